// The gateway's end of OpenVPN over TCP on loopback, a socket in the place of its OpenVPN, and connections that say anything.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { OpenVpnTcpServer, type OpenVpnTcpLimits } from '@sallyport/carrier';
import { Device } from './rig.ts';

/** A client's hard reset (version 3 by default) of `bytes` bytes. */
export function reset(bytes = 86, opcode = 10): Buffer {
  const packet = Buffer.alloc(bytes, 0x5a);
  packet[0] = opcode << 3;
  return packet;
}

/** A packet of the data channel. */
export function data(bytes: number, fill: number): Buffer {
  const packet = Buffer.alloc(bytes, fill);
  packet[0] = 9 << 3;
  return packet;
}

export function framed(...packets: readonly Buffer[]): Buffer {
  return Buffer.concat(
    packets.flatMap((packet) => {
      const length = Buffer.alloc(2);
      length.writeUInt16BE(packet.length);
      return [length, packet];
    }),
  );
}

export interface OpenVpnGateway {
  readonly server: OpenVpnTcpServer;
  readonly port: number;
  readonly webPort: number;
  readonly device: Device;
  /** What it told of where clients come from. */
  readonly sources: [local: string, address: string | null][];
}

export async function openOpenVpnGateway(
  t: TestContext,
  limits: Partial<OpenVpnTcpLimits> = {},
): Promise<OpenVpnGateway> {
  const device = await Device.open(t);
  const anywhere = { host: '127.0.0.1', port: 0 };
  const sources: OpenVpnGateway['sources'] = [];
  const server = await OpenVpnTcpServer.bind({
    listen: [anywhere],
    behindWeb: anywhere,
    openvpnPort: device.port,
    onSource: (local, address) => sources.push([local, address]),
    limits,
  });
  t.after(() => server.close());
  server.open();
  const [{ port } = { port: 0 }] = server.addresses;
  return { server, port, webPort: server.behindWebAddress?.port ?? 0, device, sources };
}

export interface Stream {
  readonly socket: Socket;
  /** What came back, as packets. */
  readonly packets: () => Buffer[];
  readonly ended: () => boolean;
}

export async function openStream(t: TestContext, port: number): Promise<Stream> {
  const socket = connect(port, '127.0.0.1');
  t.after(() => socket.destroy());
  let bytes = Buffer.alloc(0);
  let ended = false;
  socket
    .on('error', () => undefined)
    .on('close', () => {
      ended = true;
    })
    .on('data', (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk]);
    });
  await once(socket, 'connect');
  return {
    socket,
    packets: () => {
      const packets: Buffer[] = [];
      for (let at = 0; at + 2 <= bytes.length;) {
        const end = at + 2 + bytes.readUInt16BE(at);
        if (end > bytes.length) break;
        packets.push(bytes.subarray(at + 2, end));
        at = end;
      }
      return packets;
    },
    ended: () => ended,
  };
}
