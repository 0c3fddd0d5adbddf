import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Comparison, Figure } from '../figure.ts';
import { openServiceSite, type ServiceSite } from '../service/site.ts';

const large = 10_000;
/** What a start leaves behind is collected after a while. */
const SETTLE_MS = 15_000;

/** What control plane and gateway hold, and how long they take to start. */
export const footprint: Figure = {
  names: ['memory', 'cold-start'],
  about: `memory of control plane plus gateway, idle and with ${String(large)} devices, and the time to ready`,
  timeoutMs: ({ pairs }) => 60_000 + pairs * 2 * (SETTLE_MS + 60_000),
  async run(context): Promise<readonly Comparison[]> {
    const memory = new Map<string, number[]>();
    const starts: number[] = [];
    for (let pair = 0; pair < context.pairs; pair++) {
      for (const [name, devices] of [
        ['idle', 1],
        [`${String(large)} devices`, large],
      ] as const) {
        context.progress(`start ${String(pair + 1)} of ${String(context.pairs)}: ${name}`);
        const label = `f${String(pair)}${devices === 1 ? 'a' : 'b'}`;
        const site = await openServiceSite(context.laboratory, label, context.ours, { devices, rules: 1, groups: 1 });
        if (devices === 1) starts.push(site.readyMs / 1000);
        await sleep(SETTLE_MS);
        memory.set(name, [...(memory.get(name) ?? []), held(site) / 1e6]);
        await site.stop();
      }
    }
    const common = { reference: '', theirs: [] };
    return [
      ...[...memory].map(([name, ours]) => ({
        ...common,
        figure: 'memory',
        name: `${name}, share of control and gateway`,
        unit: 'MB',
        ours,
        goal: { of: 'ours', atMost: name === 'idle' ? 150 : 300 } as const,
      })),
      {
        ...common,
        figure: 'cold-start',
        name: 'from start to ready',
        unit: 's',
        ours: starts,
        goal: { of: 'ours', atMost: 2 },
      },
    ];
  },
};

/** Bytes: pages of their own, and their share of those that several processes have (the program itself): PSS. */
function held({ processes }: ServiceSite): number {
  return [processes.control, processes.gateway].reduce((sum, pid) => {
    const text = readFileSync(`/proc/${String(pid)}/smaps_rollup`, 'utf8');
    return sum + Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1] ?? NaN) * 1024;
  }, 0);
}
