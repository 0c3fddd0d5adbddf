import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { FIREWALL_TABLE, TUNNEL_INTERFACE } from '@sallyport/client';
import { cpuSeconds, until, type Process } from '@sallyport/netlab';
import { WEB, type ClientWorld } from '../../demo/scenarios/client/world.ts';
import { heldBytes, openClientSite, type ClientSite } from '../client-site.ts';
import { Pairs, type Figure } from '../figure.ts';

/** What a start and a connection leave behind is collected after a while. */
const SETTLE_MS = 15_000;
const IDLE_MS = 30_000;

/** What the daemon takes while nothing happens. */
export const clientIdle: Figure = {
  names: ['client-idle'],
  about: 'memory and processor of the client’s daemon, connected and idle',
  timeoutMs: ({ pairs }) => 90_000 + pairs * (IDLE_MS + 5000) + SETTLE_MS,
  async run(context) {
    const { machine } = await openClientSite(context.laboratory, ['gatewayB']);
    await machine.run(['connect', 'near']);
    await sleep(SETTLE_MS);
    const { pid } = machine.daemon;
    const [held, busy]: [number[], number[]] = [[], []];
    for (let pair = 0; pair < context.pairs; pair++) {
      context.progress(`${String(pair + 1)} of ${String(context.pairs)}`);
      const [before, at] = [cpuSeconds(pid), performance.now()];
      await sleep(IDLE_MS);
      busy.push(((cpuSeconds(pid) - before) * 1e5) / (performance.now() - at));
      held.push(heldBytes(pid) / 1e6);
    }
    const common = { figure: 'client-idle', reference: '', theirs: [] };
    return [
      { ...common, name: 'memory', unit: 'MB', ours: held, goal: { of: 'ours', atMost: 80 } },
      { ...common, name: 'processor', unit: '% of a core', ours: busy, goal: { of: 'ours', atMost: 0.5 } },
    ];
  },
};

/** Until a stream is in its stride and the code on its way compiled. */
const WARM_UP_MS = 3000;
/** Until the hooks have changed everywhere. */
const CHANGE_MS = 20;
/** Short against what else happens to a stream on a busy machine: both sides have their share of it. */
const SLICE_MS = 100;

const cases = [
  { name: 'to the gateway, IPv4', address: WEB.ipv4, options: [] },
  { name: 'from the gateway, IPv4', address: WEB.ipv4, options: ['--reverse'] },
  { name: 'to the gateway, IPv6', address: WEB.ipv6, options: [] },
  { name: 'from the gateway, IPv6', address: WEB.ipv6, options: ['--reverse'] },
] as const;

/**
 * TCP through the tunnel with all of the client's protection, against none: the packet filter is put to sleep and woken up
 * within one stream, which neither starts slowly nor finds other code or memory on either side.
 */
export const clientProtection: Figure = {
  names: ['client-protection'],
  about: 'one TCP stream through the client’s tunnel with kill switch and split tunnelling, against no packet filter',
  timeoutMs: ({ pairs, seconds }) => 120_000 + pairs * cases.length * 2 * (seconds * 2000 + 4000),
  async run(context) {
    const site = await openClientSite(context.laboratory, ['gatewayB']);
    const { world, machine } = site;
    await machine.run(['connect', 'near']);
    await machine.run(['set', 'split.networks', '198.18.0.0/15']);
    await machine.run(['set', 'split.mode', 'exclude']);
    // From the first program beside the tunnel on each packet's program is looked at.
    await machine.run(['outside', 'true']);
    // Who watches the filter would wake it up.
    process.kill(watcherOf(machine.daemon.pid), 'SIGSTOP');
    const [rates, costs] = [new Pairs(), new Pairs()];
    for (const { name, address, options } of cases) {
      const stream = await startStream(world, address, options);
      for (let pair = 0; pair < context.pairs; pair++) {
        context.progress(`pair ${String(pair + 1)} of ${String(context.pairs)}: ${name}`);
        const sums = { ours: { ms: 0, bytes: 0, cpu: 0 }, theirs: { ms: 0, bytes: 0, cpu: 0 } };
        for (let slice = 0; slice * SLICE_MS < context.seconds * 1000; slice++) {
          for (const side of slice % 2 === 0 ? (['ours', 'theirs'] as const) : (['theirs', 'ours'] as const)) {
            const flags = side === 'ours' ? '' : 'flags dormant;';
            await world.client.nft(`add table inet ${FIREWALL_TABLE} { ${flags} }\n`);
            await sleep(CHANGE_MS);
            const before = spent(site, stream.client);
            await sleep(SLICE_MS);
            const after = spent(site, stream.client);
            sums[side].ms += after.at - before.at;
            sums[side].bytes += after.bytes - before.bytes;
            sums[side].cpu += after.cpu - before.cpu;
          }
        }
        for (const side of ['ours', 'theirs'] as const) {
          const { ms, bytes, cpu } = sums[side];
          rates.add(side, name, (bytes * 8e-6) / ms);
          costs.add(side, name, (cpu * 1e9) / bytes);
        }
      }
      await stream.stop();
    }
    const common = { figure: 'client-protection', reference: 'no packet filter' };
    return [
      ...rates.comparisons({ ...common, unit: 'Gbit/s', goal: { of: 'ratio', atLeast: 0.97 } }),
      ...costs.comparisons({ ...common, unit: 's/GB', goal: { of: 'ratio', atMost: 1.03 } }),
    ];
  },
};

/** The program by which a daemon hears of changes of its packet filter. */
function watcherOf(daemon: number): number {
  const children = readFileSync(`/proc/${String(daemon)}/task/${String(daemon)}/children`, 'utf8')
    .trim()
    .split(' ');
  const watcher = children.find((pid) => readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('nft\0monitor'));
  if (watcher === undefined) throw new Error('nobody watches the packet filter');
  return Number(watcher);
}

/** A TCP stream until it is stopped, in its stride. */
async function startStream(
  { client, web }: ClientWorld,
  address: string,
  options: readonly string[],
): Promise<{ readonly client: Process; readonly stop: () => Promise<void> }> {
  const server = await web.start(['iperf3', '--server', '--one-off', '--forceflush']);
  await until('iperf3: the server', () => server.stdout.includes('Server listening'));
  const sender = await client.start(['iperf3', '--client', address, '--time', '86400', '--interval', '0', ...options]);
  await sleep(WARM_UP_MS);
  const stop = async (): Promise<void> => {
    await sender.stop();
    await server.stop();
  };
  return { client: sender, stop };
}

/** Until now: milliseconds, bytes through the tunnel in both directions, and the processor time of the client's machine. */
function spent({ machine: { daemon } }: ClientSite, stream: Process): { at: number; bytes: number; cpu: number } {
  if (stream.exit !== undefined) throw new Error(`the stream has ended: ${stream.stderr}`);
  const devices = readFileSync(`/proc/${String(daemon.pid)}/net/dev`, 'utf8');
  const counters = new RegExp(`^ *${TUNNEL_INTERFACE}: *(.*)$`, 'm').exec(devices)?.[1]?.split(/ +/) ?? [];
  // Received and sent (Documentation/filesystems/proc.rst); acknowledgements are a few thousandths.
  const bytes = Number(counters[0]) + Number(counters[8]);
  return { at: performance.now(), bytes, cpu: cpuSeconds(daemon.pid) + cpuSeconds(stream.pid) };
}
