import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withSeed } from '../../packages/testkit/src/seeded-random.ts';
import { simulateWeeks } from './weeks.ts';

/** SIMULATION_WEEKS makes it longer than what belongs into every run. */
const weeks = Number(process.env['SIMULATION_WEEKS'] ?? 3);

for (const peers of [2, 3])
  test(`${peers} peers for ${weeks} weeks of bad networks, restarts, moves, floods and clocks that jump`, (t) => {
    withSeed((random) => {
      t.diagnostic(`TEST_SEED=${random.seed}`);
      const report = simulateWeeks(random, peers, weeks);
      t.diagnostic(JSON.stringify(report));
      assert.ok(report.recoveries > 10 * weeks && report.handshakes > 100 * weeks && report.opened > 1000 * weeks);
    });
  });
