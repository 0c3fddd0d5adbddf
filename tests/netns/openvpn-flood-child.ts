// Sends datagrams, from a great many addresses that the machine has, to one address, each once, as many each 10 ms as it is
// told to. Its order is the JSON of the file named.
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface FloodOrder {
  readonly address: string;
  readonly port: number;
  readonly sources: readonly string[];
  /** Base64. */
  readonly datagrams: readonly string[];
  readonly each10Ms: number;
}

const { address, port, sources, datagrams, each10Ms } = JSON.parse(readFileSync(process.argv[2], 'utf8')) as FloodOrder;
const sockets = await Promise.all(
  sources.map(async (source) => {
    const socket = createSocket('udp4');
    await new Promise<void>((resolve) => socket.bind({ address: source }, resolve));
    return socket;
  }),
);
process.stdout.write('began\n');
const began = performance.now();
for (let sent = 0; sent < datagrams.length;) {
  const due = Math.min(datagrams.length, ((performance.now() - began) / 10) * each10Ms);
  for (; sent < due; sent++) sockets[sent % sockets.length].send(Buffer.from(datagrams[sent], 'base64'), port, address);
  await sleep(5);
}
for (const socket of sockets) socket.close();
