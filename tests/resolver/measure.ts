/**
 * What the name server does on this machine: cached answers a second, processor time for each, memory with a list of a
 * million names. Prints JSON. `scripts/node tests/resolver/measure.ts`
 */
import { fork } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createWriteStream, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { flushCompileCache } from 'node:module';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BlockListStore, NameServer, Resolver } from '@sallyport/resolver';

const NAMES = 1_000_000;
const DIFFERENT = 1000;
const QUESTIONS = 300_000;
const SOCKETS = 4;
const UNDER_WAY = 32;
const UNLIMITED = { perSecond: 1e9, burst: 1e9, pending: 1e9 };

interface Usage {
  readonly residentBytes: number;
  readonly cpuMicroseconds: number;
}

if (process.argv[2] === 'serve') await serve(process.argv[3] ?? '', process.argv[4] ?? '', process.argv[5] ?? '');
else await measure();

/** The server alone, as the process of the gateway has it. */
async function serve(upstream: string, list: string, folder: string): Promise<void> {
  flushCompileCache();
  const server = await NameServer.bind(['127.0.0.1'], 0);
  const resolver = new Resolver({ upstreams: [upstream], blocked: [], blockLists: [], hosts: [], domains: [] });
  server.serve(resolver, { limits: UNLIMITED });
  const lists = new BlockListStore({
    folder,
    onNames: (names) => {
      resolver.setBlockLists(names);
      process.send?.({ names: names.size, port: server.ports[0] });
    },
    onProblem: (problem) => {
      throw new Error(problem);
    },
  });
  process.on('message', (message) => {
    if (message === 'lists') lists.setUrls([list]);
    const { user, system } = process.cpuUsage();
    process.send?.({ residentBytes: resident(), cpuMicroseconds: user + system, port: server.ports[0] });
  });
  process.send?.({ names: 0, port: server.ports[0] });
}

/** Bytes. */
function resident(): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? 0) * 1024;
}

async function measure(): Promise<void> {
  // Not in the server's process, whose memory is measured.
  const { address, plainServer, queryBytes } = await import('./name-world.ts');
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-measure-'));
  const text = join(folder, 'source.txt');
  const file = createWriteStream(text);
  for (let i = 0; i < NAMES; i++) if (!file.write(`tracker-${i}.ads${i % 977}.example\n`)) await once(file, 'drain'); // prettier-ignore
  file.end();
  await once(file, 'close');
  const web = createServer((_request, response) => response.end(readFileSync(text))).listen(0, '127.0.0.1');
  await once(web, 'listening');
  const upstream = await plainServer((asked) => address(asked));
  const list = `http://127.0.0.1:${(web.address() as AddressInfo).port}/`;
  const child = fork(import.meta.filename, ['serve', `udp://127.0.0.1:${upstream.port}`, list, folder], {
    // As apps/server/src/processes.ts starts it.
    execArgv: ['--max-semi-space-size=2'],
    env: { ...process.env, MALLOC_ARENA_MAX: '2', NODE_COMPILE_CACHE: join(tmpdir(), 'sallyport-measure-cache') },
  });
  const [{ port }] = (await once(child, 'message')) as [{ port: number }];
  const usage = async (message = 'usage'): Promise<Usage> => {
    child.send(message);
    return ((await once(child, 'message')) as [Usage])[0];
  };

  /** Asks as fast as answers come, with a few questions under way. */
  async function flood(count: number, nameOf = (i: number) => `www${i % DIFFERENT}.example.com`): Promise<void> {
    let sent = 0;
    await Promise.all(
      Array.from({ length: SOCKETS }, async () => {
        const socket = createSocket({ type: 'udp4', lookup: (host, _options, callback) => callback(null, host, 4) });
        const done = Promise.withResolvers<undefined>();
        let underWay = 0;
        const ask = (): void => {
          while (underWay < UNDER_WAY && sent < count) {
            socket.send(queryBytes({ name: nameOf(sent++) }), port, '127.0.0.1');
            underWay += 1;
          }
          if (underWay === 0) done.resolve(undefined);
        };
        socket.on('message', () => {
          underWay -= 1;
          ask();
        });
        socket.bind(0, '127.0.0.1', ask);
        await done.promise;
        socket.close();
      }),
    );
  }

  const idle = await usage();
  await flood(DIFFERENT);
  const before = await usage();
  const startedAt = performance.now();
  await flood(QUESTIONS);
  const seconds = (performance.now() - startedAt) / 1000;
  const flooded = await usage();
  await usage('lists');
  const listAt = performance.now();
  for (;;) if (((await once(child, 'message')) as [{ names?: number }])[0].names === NAMES) break;
  const listSeconds = (performance.now() - listAt) / 1000;
  const listed = await usage();
  const blockedAt = performance.now();
  await flood(QUESTIONS / 3, (i) => `tracker-${i}.ads${i % 977}.example`);
  const blockedSeconds = (performance.now() - blockedAt) / 1000;
  const blocked = await usage();
  await new Promise((resolve) => setTimeout(resolve, 5000));
  const settled = await usage();
  const peak = Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${child.pid ?? 0}/status`, 'utf8'))?.[1] ?? 0) * 1024;
  console.log(
    JSON.stringify({
      cachedPerSecond: Math.round(QUESTIONS / seconds),
      cachedCpuMicroseconds: (flooded.cpuMicroseconds - before.cpuMicroseconds) / QUESTIONS,
      blockedPerSecond: Math.round(QUESTIONS / 3 / blockedSeconds),
      blockedCpuMicroseconds: (blocked.cpuMicroseconds - listed.cpuMicroseconds) / (QUESTIONS / 3),
      listSeconds,
      idleMebibytes: idle.residentBytes / 2 ** 20,
      floodedMebibytes: flooded.residentBytes / 2 ** 20,
      listMebibytes: settled.residentBytes / 2 ** 20,
      peakMebibytes: peak / 2 ** 20,
    }),
  );
  child.kill();
  upstream.close();
  web.close();
  rmSync(folder, { recursive: true });
}
