import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withSeed } from '../../packages/testkit/src/seeded-random.ts';
import { simulateWeeks } from './weeks.ts';

/** Each run has a seed of its own; SIMULATION_WEEKS makes it longer than what belongs into every run. */
const weeks = Number(process.env['SIMULATION_WEEKS'] ?? 1);

for (const [peers, duration] of [
  [2, weeks],
  [3, weeks / 2],
] as const)
  test(`${peers} peers for ${duration} weeks of bad networks, restarts, moves, floods and clocks that jump`, (t) => {
    withSeed((random) => {
      t.diagnostic(`TEST_SEED=${random.seed}`);
      const report = simulateWeeks(random, peers, duration);
      t.diagnostic(JSON.stringify(report));
      assert.ok(report.recoveries > 10 * duration, `${report.recoveries} recoveries`);
      assert.ok(report.handshakes > 100 * duration, `${report.handshakes} handshakes`);
      assert.ok(report.opened > 1000 * duration, `${report.opened} messages opened`);
    });
  });
