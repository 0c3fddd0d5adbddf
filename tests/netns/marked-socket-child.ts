/** Runs in a namespace: marked-socket.test.ts reads what it prints, as JSON. */
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { captureOutgoing, CommandRunner, connectMarkedTcp, Ip, openMarkedUdpSocket } from '@sallyport/io';

const MARK = 0x5a11;
const ip = new Ip(new CommandRunner(() => undefined));
const [own = '', peer = ''] = process.argv.slice(2);

async function tcp(address: string): Promise<{ connected: string; refused: string; silent: string }> {
  const server = createServer((socket) => socket.end('hello'));
  server.listen(7000, address);
  await once(server, 'listening');
  const socket = connectMarkedTcp(address, 7000, { mark: MARK }, 20_000);
  socket.setEncoding('utf8');
  const [connected] = (await once(socket, 'data')) as [string];
  server.close();
  const failing = async (port: number, to: string, timeoutMs: number): Promise<string> => {
    const [error] = (await once(connectMarkedTcp(to, port, { mark: MARK }, timeoutMs), 'error')) as [Error];
    return error.message;
  };
  return { connected, refused: await failing(7001, address, 20_000), silent: await failing(7002, peer, 300) };
}

async function udp(address: string, device: string, bytes: number, probing: boolean): Promise<string> {
  const socket = createSocket('udp4');
  try {
    socket.bind({ fd: openMarkedUdpSocket(4, { mark: MARK, device }, probing) });
    return await new Promise<string>((resolve) => {
      socket.send(Buffer.alloc(bytes), 7003, address, (error: NodeJS.ErrnoException | null) => {
        resolve(error?.code ?? 'sent');
      });
    });
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'failed';
  } finally {
    socket.close();
  }
}

const overTcp = await tcp(own);
const seen: string[] = [];
const capture = captureOutgoing(2000, ({ etherType, bytes }) => {
  if (etherType === 0x0800 && bytes[9] === 17) seen.push(bytes.subarray(16, 20).join('.'));
});
const result = {
  tcp: overTcp,
  // By the interface it goes to the neighbour; by loopback it doesn't get there.
  byDevice: await udp(peer, 'eth0', 100, false),
  noDevice: await udp(peer, 'nosuch0', 100, false),
  // A route with a lower MTU holds other sockets down, not one that probes; the interface's own holds both.
  fits: await udp(peer, 'eth0', 1400, true),
  tooLarge: await udp(peer, 'eth0', 1500, true),
  batch: await ip.batch(4, ['rule add priority 5300 fwmark 0x1 table 254', 'rule delete priority 9999']).catch((error: unknown) => (error as Error).message), // prettier-ignore
  forced: await ip.batch(4, ['rule delete priority 9999', 'rule delete priority 5300', 'rule delete priority 5300'], true), // prettier-ignore
  missed: await capture,
  seen,
};
process.stdout.write(`${JSON.stringify(result)}\n`);
