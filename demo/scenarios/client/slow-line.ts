import { join } from 'node:path';
import { until, type Process } from '@sallyport/netlab';
import type { ClientWorld } from './world.ts';

const TABLE = '100';
const DEVICE = 'long';
/** The client's networks as the internet sees them. */
const CLIENTS = { '-4': '192.0.2.0/24', '-6': '2001:db8:1::/48' } as const;

/** A long line between the access networks and the rest: every packet takes `delayMs` longer, in each direction. */
export class SlowLine {
  readonly #world: ClientWorld;
  readonly #program: Process;

  private constructor(world: ClientWorld, program: Process) {
    this.#world = world;
    this.#program = program;
  }

  static async start(world: ClientWorld, delayMs: number): Promise<SlowLine> {
    const { internet } = world;
    const interfaces = ['all', 'default', 'home', 'cafe'];
    await internet.sysctl(Object.fromEntries(interfaces.map((name) => [`net.ipv4.conf.${name}.rp_filter`, 0])));
    const program = join(import.meta.dirname, 'slow-line-program.ts');
    const running = await internet.start([process.execPath, program, DEVICE, String(delayMs)]);
    await until('the long line', () => {
      if (running.exit !== undefined) throw new Error(running.stderr);
      return running.stdout.includes('ready');
    });
    await internet.ip('link', 'set', DEVICE, 'up');
    for (const [family, clients] of Object.entries(CLIENTS)) {
      await internet.ip(family, 'route', 'replace', 'default', 'dev', DEVICE, 'table', TABLE);
      await internet.ip(family, 'rule', 'add', 'priority', '90', 'iif', DEVICE, 'lookup', 'main');
      for (const from of [
        ['iif', 'home'],
        ['iif', 'cafe'],
        ['to', clients],
      ])
        await internet.ip(family, 'rule', 'add', 'priority', '100', ...from, 'lookup', TABLE);
    }
    return new SlowLine(world, running);
  }

  async stop(): Promise<void> {
    for (const family of Object.keys(CLIENTS))
      for (const priority of ['90', '100', '100', '100'])
        await this.#world.internet.ip(family, 'rule', 'del', 'priority', priority);
    await this.#program.stop();
  }
}
