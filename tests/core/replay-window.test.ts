import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { REPLAY_WINDOW as OPENVPN } from '../../packages/openvpn/src/data/layout.ts';
import { plainMemory } from '../../packages/testkit/src/plain-memory.ts';
import { withSeed } from '../../packages/testkit/src/seeded-random.ts';
import { REPLAY_WINDOW as WIREGUARD } from '../../packages/wireguard/src/constants.ts';

const AT = 64;
const GUARD = 0xa5a5a5a5;
const MAX = 2n ** 64n - 1n;

test('WireGuard has 16,352 counters, OpenVPN 8,160', () => {
  assert.equal(WIREGUARD.bits, 16_384);
  assert.equal(WIREGUARD.size, 16_352);
  assert.equal(WIREGUARD.bytes, 2_056);
  assert.equal(OPENVPN.size, 8_160);
});

test('reset, a window is as new, and nothing beside it is touched', () => {
  const memory = plainMemory(AT + OPENVPN.bytes + 64);
  memory.u8.fill(0xff);
  OPENVPN.reset(memory, AT);
  assert.ok(memory.u8.every((byte, i) => byte === (i >= AT && i < AT + OPENVPN.bytes ? 0 : 0xff)));
  assert.ok(OPENVPN.accept(memory, AT, 0, 0));
});

for (const replayWindow of [WIREGUARD, OPENVPN])
  describe(`a replay window of ${String(replayWindow.size)} counters`, () => {
    const { bits: WINDOW_BITS, size: WINDOW_SIZE, bytes: WINDOW_BYTES } = replayWindow;

    function freshWindow(): (counter: bigint) => boolean {
      const memory = plainMemory(AT + WINDOW_BYTES + 64);
      const before = (AT >> 2) - 1;
      const after = (AT + WINDOW_BYTES) >> 2;
      memory.u32[before] = memory.u32[after] = GUARD;
      return (counter) => {
        const accepted = replayWindow.accept(memory, AT, Number(counter & 0xffffffffn), Number(counter >> 32n));
        if (memory.u32[before] !== GUARD || memory.u32[after] !== GUARD) assert.fail('wrote beside its record');
        return accepted;
      };
    }

    /** What the window promises, in the plainest terms. */
    function modelWindow(): (counter: bigint) => boolean {
      const seen = new Set<bigint>();
      let greatest = 0n;
      return (counter) => {
        if (counter + BigInt(WINDOW_SIZE) < greatest || seen.has(counter)) return false;
        seen.add(counter);
        if (counter > greatest) greatest = counter;
        return true;
      };
    }

    /** Places at which words, rings and u32 halves wrap. */
    const BASES = [
      0n,
      1n,
      31n,
      32n,
      BigInt(WINDOW_BITS),
      BigInt(WINDOW_BITS) * 3n + 17n,
      2n ** 31n,
      2n ** 32n - 1n,
      2n ** 32n,
      2n ** 33n + 5n,
      2n ** 53n,
      2n ** 53n + 1n,
      2n ** 63n,
      2n ** 64n - 2n ** 13n - 1n,
      MAX - 40_000n,
    ];

    test('accepts each counter once, in order, over several turns of the ring', () => {
      const receive = freshWindow();
      for (let counter = 0n; counter < 3n * BigInt(WINDOW_BITS); counter++) {
        assert.equal(receive(counter), true, String(counter));
        assert.equal(receive(counter), false, String(counter));
      }
    });

    test('accepts a whole window backwards, from every kind of place, and nothing behind it', () => {
      for (const base of BASES) {
        const greatest = base + BigInt(WINDOW_SIZE) > MAX ? MAX : base + BigInt(WINDOW_SIZE);
        const receive = freshWindow();
        for (let counter = greatest; counter >= greatest - BigInt(WINDOW_SIZE); counter--)
          assert.equal(receive(counter), true, `${String(counter)} after ${String(greatest)}`);
        for (let counter = greatest; counter >= greatest - BigInt(WINDOW_SIZE); counter--)
          assert.equal(receive(counter), false, `${String(counter)} again`);
        for (let behind = 1n; behind <= 70n; behind++) {
          const counter = greatest - BigInt(WINDOW_SIZE) - behind;
          if (counter >= 0n) assert.equal(receive(counter), false, `${String(counter)} is too old`);
        }
      }
    });

    test('forgets exactly what it has to when it jumps', () => {
      const jumps = [1, 31, 32, 33, WINDOW_SIZE - 1, WINDOW_SIZE, WINDOW_SIZE + 1, WINDOW_BITS - 1, WINDOW_BITS]
        .concat([WINDOW_BITS + 1, WINDOW_BITS + 31, 2 * WINDOW_BITS, 10 * WINDOW_BITS + 1])
        .map(BigInt)
        .concat([2n ** 32n - 1n, 2n ** 32n, 2n ** 32n + 1n, 2n ** 59n, 2n ** 63n]);
      for (const base of BASES) {
        for (const jump of jumps) {
          const to = base + jump;
          if (to > MAX) continue;
          const receive = freshWindow();
          const model = modelWindow();
          for (let k = 0n; k <= 100n; k++) {
            const counter = base > 3n * k ? base - 3n * k : k;
            assert.equal(receive(counter), model(counter));
          }
          assert.equal(receive(to), model(to), `${String(base)} to ${String(to)}`);
          // Every counter near the window's two ends, and one in seven between.
          for (let k = 0n; k <= BigInt(WINDOW_BITS) + 64n; k += k > 100n && k < BigInt(WINDOW_SIZE) - 100n ? 7n : 1n) {
            if (to < k) break;
            assert.equal(receive(to - k), model(to - k), `${String(base)} to ${String(to)}, then ${String(k)} behind`);
          }
        }
      }
    });

    // The Linux driver's selftest, its scenarios with this window's own sizes; the limit on messages is the caller's.
    test('the scenarios of the Linux driver', () => {
      const window = BigInt(WINDOW_SIZE);
      const script = (steps: [bigint, boolean][]): void => {
        const receive = freshWindow();
        steps.forEach(([counter, expected], step) => {
          assert.equal(receive(counter), expected, `step ${String(step + 1)}: ${String(counter)}`);
        });
      };
      script([
        [0n, true],
        [1n, true],
        [1n, false],
        [9n, true],
        [8n, true],
        [7n, true],
        [7n, false],
        [window, true],
        [window - 1n, true],
        [window - 1n, false],
        [window - 2n, true],
        [2n, true],
        [2n, false],
        [window + 16n, true],
        [3n, false],
        [window + 16n, false],
        [window * 4n, true],
        [window * 4n - (window - 1n), true],
        [10n, false],
        [window * 4n - window, true],
        [window * 4n - (window + 1n), false],
        [window * 4n - (window - 2n), true],
        [window * 4n + 1n - window, false],
        [0n, false],
        [MAX - 8192n - 1n, true],
        [MAX - 8192n, true],
        [MAX - 8192n, false],
        [MAX - 8192n - 1n, false],
        [MAX - 8192n + 1n, true],
        [MAX - 8192n - window + 1n, true],
        [MAX - 8192n - window, false],
        [MAX, true],
        [MAX, false],
        [MAX - window, true],
        [MAX - window - 1n, false],
        [0n, false],
      ]);
      const upTo = (first: bigint, last: bigint): [bigint, boolean][] =>
        Array.from({ length: Number(last - first) + 1 }, (_, i) => [first + BigInt(i), true]);
      const downTo = (last: bigint, first: bigint): [bigint, boolean][] => upTo(first, last).reverse();
      script([...upTo(1n, window), [0n, true], [0n, false]]);
      script([...upTo(2n, window + 1n), [1n, true], [0n, false]]);
      script(downTo(window, 0n));
      script([...downTo(window + 1n, 1n), [0n, false]]);
      script([...downTo(window, 1n), [window + 1n, true], [0n, false]]);
      script([...downTo(window, 1n), [0n, true], [window + 1n, true], [0n, false], [1n, false]]);
    });

    test('agrees with a set of all counters seen, at random', () => {
      withSeed((random) => {
        for (let round = 0; round < 60; round++) {
          const receive = freshWindow();
          const model = modelWindow();
          let around = BASES[random.u32() % BASES.length];
          for (let step = 0; step < 3_000; step++) {
            const kind = random.u32() % 100;
            if (kind === 0) around += BigInt(random.u32()) << BigInt(random.u32() % 33);
            else if (kind < 10) around += BigInt(random.u32() % (2 * WINDOW_BITS));
            else if (kind < 50) around += BigInt(random.u32() % 40);
            let counter = around - BigInt(random.u32() % (kind % 2 === 0 ? 64 : WINDOW_BITS + 100));
            if (counter < 0n) counter = -counter;
            if (counter > MAX) counter = MAX - BigInt(random.u32() % 100);
            if (around > MAX) around = MAX;
            assert.equal(
              receive(counter),
              model(counter),
              `round ${String(round)}, step ${String(step)}: ${String(counter)}`,
            );
          }
        }
      });
    });
  });
