import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forwardClock } from '@sallyport/clientd';
import { compareTimestamps, tai64n } from '../../packages/wireguard/src/tai64n.ts';

test('a clock that was set back goes on, so that a gateway takes the handshakes of tunnels that come after', () => {
  let [wall, steady] = [1_800_000_000_000, 5000];
  const clock = forwardClock(
    () => wall,
    () => steady,
  );
  const before = clock();
  assert.equal(before, wall);
  [wall, steady] = [wall - 7_200_000, steady + 1000];
  assert.equal(clock(), before + 1000);
  assert.ok(compareTimestamps(tai64n(clock()), tai64n(before)) > 0);
  assert.ok(compareTimestamps(tai64n(wall), tai64n(before)) < 0, 'which the clock itself would not do');
  // Sleep, and a clock that is set right again, are seen.
  [wall, steady] = [wall + 9_000_000, steady + 10];
  assert.equal(clock(), wall);
});
