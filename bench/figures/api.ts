import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { PostgresServer, until, type Process } from '@sallyport/netlab';
import { Pairs, type BenchContext, type Comparison, type Figure } from '../figure.ts';

const devices = 10_000;
const connections = 16;
/** The server has a core to itself, and so has who asks. */
const [SERVER_CORE, CLIENT_CORE] = ['0', '1'];

const requests = [
  { name: 'one device', path: '/api/v1/devices/device-u77' },
  { name: 'a page of 100 devices', path: '/api/v1/devices?limit=100' },
  { name: 'who am I', path: '/api/v1/me' },
];

/** Requests that read, answered by one core. */
export const api: Figure = {
  names: ['api-reads', 'api-p99'],
  about: `API reads a second and their p99 on one core, SQLite and PostgreSQL, with ${String(devices)} devices`,
  timeoutMs: ({ pairs, seconds }) => 120_000 + pairs * requests.length * 2 * (seconds * 1000 + 3000),
  async run(context): Promise<readonly Comparison[]> {
    const postgres = await PostgresServer.start();
    try {
      const sides = [
        ['ours', await startApi(context, `sqlite:${join(context.laboratory.folder, 'api.db')}`)],
        ['theirs', await startApi(context, await postgres.createDatabase())],
      ] as const;
      const rates = new Pairs();
      const tails = new Pairs();
      for (let pair = 0; pair < context.pairs; pair++) {
        for (const { name, path } of requests) {
          for (const [side, server] of sides) {
            const storage = side === 'ours' ? 'SQLite' : 'PostgreSQL';
            context.progress(`pair ${String(pair + 1)} of ${String(context.pairs)}: ${name}, ${storage}`);
            const { perSecond, p99 } = await load(context, server, path);
            rates.add(side, name, perSecond);
            tails.add(side, name, p99);
          }
        }
      }
      // Nothing to reach: the figures are stated.
      const goal = { of: 'ours' } as const;
      return [
        ...rates.comparisons({ figure: 'api-reads', unit: '/s', reference: 'PostgreSQL (ours: SQLite)', goal }),
        ...tails.comparisons({ figure: 'api-p99', unit: 'ms', reference: 'PostgreSQL (ours: SQLite)', goal }),
      ];
    } finally {
      await postgres.remove();
    }
  },
};

interface Serving {
  readonly port: number;
  readonly token: string;
}

async function startApi({ laboratory }: BenchContext, url: string): Promise<Serving> {
  const folder = mkdtempSync(join(laboratory.folder, 'api-'));
  const script = join(import.meta.dirname, '..', 'service', 'api-server.ts');
  const argv = ['taskset', '-c', SERVER_CORE, process.execPath, script, url, folder, String(devices)];
  const server: Process = await laboratory.start(argv);
  await until(
    'the API',
    () => {
      if (server.exit !== undefined) throw new Error(`the API ended: ${server.stderr}`);
      return server.stdout.includes('\n');
    },
    60_000,
  );
  return JSON.parse(server.stdout) as Serving;
}

async function load({ laboratory, seconds }: BenchContext, { port, token }: Serving, path: string) {
  const script = join(import.meta.dirname, '..', 'service', 'load.ts');
  const run = await laboratory.run(
    ['taskset', '-c', CLIENT_CORE, process.execPath, script, String(port), path, String(connections), String(seconds)],
    { input: token, timeoutMs: 120_000 },
  );
  return JSON.parse(run.stdout) as { perSecond: number; p99: number };
}
