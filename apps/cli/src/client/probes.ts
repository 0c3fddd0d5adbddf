/** Packets that would be a leak if they left. Nobody hears them: they go to addresses for documentation, or on the link. */
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';

/** RFC 5737 and RFC 3849: nobody has these addresses. */
export const NOWHERE4 = ['192.0.2.1', '198.51.100.1', '203.0.113.1'] as const;
export const NOWHERE6 = ['2001:db8::1', '2001:db8:ffff::1'] as const;

export interface From {
  /** Sends from this address of this machine. */
  readonly address?: string;
  /** Sends by this interface, whatever the routes say (SO_BINDTODEVICE). */
  readonly device?: string;
}

/** A name that nobody has asked for before, so that no cache answers. */
export function freshName(): string {
  return `leaktest-${randomBytes(6).toString('hex')}.example.com`;
}

/** RFC 1035, section 4.1: a question for the address of a name. */
export function dnsQuestion(name: string): Buffer {
  const header = Buffer.from([...randomBytes(2), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  const labels = name.split('.').flatMap((label) => [label.length, ...Buffer.from(label, 'latin1')]);
  return Buffer.concat([header, Buffer.from([...labels, 0, 0, 1, 0, 1])]);
}

/** Sends a datagram. That it can't be sent is as it should be. */
export async function sendUdp(
  address: string,
  port: number,
  payload: Uint8Array | string,
  from: From = {},
): Promise<void> {
  const socket = await udpSocket(isIPv6(address) ? 6 : 4, from).catch(() => undefined);
  if (socket === undefined) return;
  await new Promise<void>((resolve) => {
    socket.on('error', () => undefined);
    socket.send(payload, port, address, () => {
      resolve();
    });
  });
  socket.close();
}

async function udpSocket(family: 4 | 6, { address, device }: From): Promise<Socket> {
  const socket = createSocket({ type: family === 6 ? 'udp6' : 'udp4', reuseAddr: true });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      if (device === undefined) socket.bind({ port: 0, ...(address === undefined ? {} : { address }) }, resolve);
      else {
        void import('@sallyport/io').then(({ openMarkedUdpSocket }) => {
          socket.bind({ fd: openMarkedUdpSocket(family, { mark: 0, device }) }, resolve);
        }).catch(reject); // prettier-ignore
      }
    });
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}

/** Begins a TCP connection and gives it up. */
export function tryTcp(address: string, port: number, milliseconds: number, localAddress?: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, ...(localAddress === undefined ? {} : { localAddress }) });
    const end = (): void => {
      socket.destroy();
      resolve();
    };
    socket.on('error', end).on('connect', end);
    setTimeout(end, milliseconds);
  });
}

/** The address that this machine would send from, or undefined where it would send nothing. Sends nothing itself. */
export async function sourceTowards(address: string): Promise<string | undefined> {
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  try {
    await new Promise<void>((resolve, reject) => {
      // A callback would be told of the failure as well, without it being one.
      socket.once('error', reject).once('connect', resolve);
      socket.connect(443, address);
    });
    return socket.address().address;
  } catch {
    return undefined;
  } finally {
    socket.close();
  }
}
