import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSeconds, iperf } from '@sallyport/netlab';
import { WEB } from '../../demo/scenarios/client/world.ts';
import { heldBytes, openClientSite } from '../client-site.ts';
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

const cases = [
  { name: 'to the gateway', reverse: false },
  { name: 'from the gateway', reverse: true },
] as const;

/** TCP through the tunnel with all of the client's protection, against without. */
export const clientProtection: Figure = {
  names: ['client-protection'],
  about: 'one TCP stream through the client’s tunnel with kill switch and split tunnelling, against without both',
  timeoutMs: ({ pairs, seconds }) => 90_000 + pairs * cases.length * 2 * (seconds * 1000 + 6000),
  async run(context) {
    const { world, machine } = await openClientSite(context.laboratory, ['gatewayB']);
    await machine.run(['connect', 'near']);
    const found = new Pairs();
    const sides = [
      ['ours', { 'kill-switch': 'on', 'split.networks': '198.18.0.0/15', 'split.mode': 'exclude' }],
      ['theirs', { 'split.mode': 'off', 'kill-switch': 'off' }],
    ] as const;
    for (let pair = 0; pair < context.pairs; pair++) {
      for (const [side, settings] of sides) {
        for (const [key, value] of Object.entries(settings)) await machine.run(['set', key, value]);
        for (const { name, reverse } of cases) {
          context.progress(`pair ${String(pair + 1)} of ${String(context.pairs)}: ${name}, ${side}`);
          const route = { client: world.client, server: world.web, address: WEB.ipv4 };
          const { bitsPerSecond } = await iperf(route, { seconds: context.seconds, reverse });
          found.add(side, name, bitsPerSecond / 1e9);
        }
      }
    }
    return found.comparisons({
      figure: 'client-protection',
      unit: 'Gbit/s',
      reference: 'without',
      goal: { of: 'ratio', atLeast: 0.97 },
    });
  },
};
