import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mtuDeadline, mtuStep, SMALL_PING, startMtuSearch, type MtuEvent, type MtuSearch } from '@sallyport/client';
import { SeededRandom, withSeed } from '@sallyport/testkit';

/** A path that lets packets up to `limit` pass, loses some, and answers after the round trip. */
class Path {
  limit: number;
  readonly loss: number;
  readonly roundTripMs: number;
  now = 5000;
  search: MtuSearch;
  sent = 0;
  readonly found: number[] = [];
  narrow = 0;
  readonly #random: SeededRandom;
  #answers: { readonly at: number; readonly size: number }[] = [];

  constructor(limit: number, random = new SeededRandom(1), loss = 0, roundTripMs = 40, held = 1280, ceiling = 1420) {
    this.limit = limit;
    this.loss = loss;
    this.roundTripMs = roundTripMs;
    this.#random = random;
    this.search = startMtuSearch(1280, ceiling, held, this.now);
  }

  run(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const at = Math.min(mtuDeadline(this.search), ...this.#answers.map((answer) => answer.at));
      if (at > end) break;
      this.now = Math.max(this.now, at);
      const ready = this.#answers.filter((answer) => answer.at <= this.now);
      this.#answers = this.#answers.filter((answer) => answer.at > this.now);
      for (const { size } of ready) this.#take({ kind: 'answered', size });
      this.#take({ kind: 'time' });
    }
    this.now = end;
  }

  #take(event: MtuEvent): void {
    const { search, send, found, narrow } = mtuStep(this.search, event, this.now);
    if (narrow) this.narrow++;
    this.search = search;
    if (found !== undefined) this.found.push(found);
    for (const size of send) {
      assert.ok(size === SMALL_PING || (size >= 1280 && size <= search.ceiling), `sends ${String(size)}`);
      this.sent++;
      const lost = this.#random.chance(this.loss) || this.#random.chance(this.loss);
      if (size <= this.limit && !lost) this.#answers.push({ at: this.now + this.roundTripMs, size });
    }
  }
}

describe('the search for the MTU', () => {
  it('finds what any path takes, within a few seconds, to four bytes and never above it', () => {
    for (let limit = 1280; limit <= 1430; limit++) {
      const path = new Path(limit);
      path.run(15_000);
      const { held } = path.search;
      const most = Math.min(limit, 1420);
      assert.ok(held <= most && held > most - 4, `${String(held)} where ${String(limit)} passes`);
      assert.equal(path.search.mode, 'hold');
    }
  });

  it('needs one packet where the whole ceiling passes', () => {
    const path = new Path(1500);
    path.run(1000);
    assert.deepEqual([path.found, path.sent], [[1420], 2]);
  });

  it('notices a path on which not even the floor passes, at once or later, and takes no loss for it', () => {
    for (const ceiling of [1280, 1300, 1420]) {
      const path = new Path(1279, undefined, 0, 40, 1280, ceiling);
      path.run(5000);
      assert.equal(path.narrow, 1, String(ceiling));
      const later = new Path(1420, undefined, 0, 40, 1280, ceiling);
      later.run(20_000);
      later.limit = 1200;
      later.run(30_000);
      assert.deepEqual([later.narrow, later.search.held], [1, 1280]);
    }
    withSeed((random) => {
      for (let round = 0; round < 100; round++) {
        const path = new Path(1280 + random.below(150), random, 0.15);
        path.run(60_000);
        assert.equal(path.narrow, 0);
      }
    });
  });

  it('looks for nothing where the size was set by hand', () => {
    const search = startMtuSearch(1280, 1280, 1280, 0, true);
    assert.equal(mtuDeadline(search), Infinity);
  });

  it('takes losses for losses, and slow answers for answers', () => {
    withSeed((random) => {
      let right = 0;
      for (let round = 0; round < 100; round++) {
        const path = new Path(1280 + random.below(150), random, 0.15);
        path.run(25_000);
        const most = Math.min(path.limit, 1420);
        assert.ok(path.search.held <= most, `${String(path.search.held)} where ${String(path.limit)} passes`);
        if (path.search.held > most - 4) right++;
      }
      assert.ok(right > 80, String(right));
    });
    const slow = new Path(1372, undefined, 0, 900);
    slow.search = mtuStep(slow.search, { kind: 'roundTrip', ms: 900 }, slow.now).search;
    slow.run(60_000);
    assert.ok(slow.search.held > 1368 && slow.search.held <= 1372);
  });

  it('notices a black hole within half a minute, and a wider path within ten minutes', () => {
    const path = new Path(1420);
    path.run(20_000);
    assert.equal(path.search.held, 1420);
    path.limit = 1350;
    path.run(30_000);
    assert.ok(path.search.held > 1346 && path.search.held <= 1350, String(path.search.held));
    path.limit = 1400;
    path.run(620_000);
    assert.ok(path.search.held > 1396 && path.search.held <= 1400, String(path.search.held));
  });

  it('keeps what it has while nothing passes at all, and goes on then', () => {
    const path = new Path(1390);
    path.run(20_000);
    const { held } = path.search;
    path.limit = 0;
    path.run(300_000);
    assert.equal(path.search.held, held);
    path.limit = 1300;
    path.run(60_000);
    assert.ok(path.search.held > 1296 && path.search.held <= 1300, String(path.search.held));
  });

  it('sends little while it holds', () => {
    const path = new Path(1400);
    path.run(30_000);
    const { sent } = path;
    path.run(3_600_000);
    assert.ok(path.sent - sent < 600, String(path.sent - sent));
  });

  it('believes nobody who answers what was not asked', () => {
    const path = new Path(1300);
    path.run(1);
    const { search, send } = mtuStep(path.search, { kind: 'answered', size: 9000 }, path.now);
    assert.deepEqual([search, send], [path.search, []]);
  });
});
