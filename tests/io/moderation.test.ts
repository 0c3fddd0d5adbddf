/** Pauses between a worker's turns, against simulated arrivals. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Moderation } from '@sallyport/io';

interface Traffic {
  /** Datagrams that come alone, a millisecond. */
  readonly rate: number;
  /** How long this goes on, in ms. */
  readonly for: number;
}

interface Turn {
  /** When it began, in ms. */
  readonly at: number;
  readonly count: number;
  /** What followed it, in µs. */
  readonly pause: number;
}

const TURN_MS = 0.004;
const DATAGRAM_MS = 0.0015;
const BATCH = 64;

/** Runs a worker's loop against one kind of traffic after the other. */
function simulate(...traffic: readonly Traffic[]): Turn[] {
  const arrivals: number[] = [];
  let begin = 0;
  for (const { rate, for: duration } of traffic) {
    for (let i = 0; i < rate * duration; i++) arrivals.push(begin + i / rate);
    begin += duration;
  }
  const moderation = new Moderation();
  const turns: Turn[] = [];
  let now = 0;
  let next = 0;
  while (next < arrivals.length) {
    const at = Math.max(now, arrivals[next] ?? 0); // poll
    let count = 0;
    while (next < arrivals.length && (arrivals[next] ?? 0) <= at && count < BATCH) {
      next++;
      count++;
    }
    const pause = moderation.pauseAfter(at, count);
    turns.push({ at, count, pause });
    now = at + TURN_MS + count * DATAGRAM_MS + pause / 1000;
  }
  return turns;
}

const mean = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;

test('dense datagrams are taken many at a time', () => {
  const turns = simulate({ rate: 130, for: 50 }).filter(({ at }) => at > 2);
  assert.ok(turns.every(({ pause }) => pause > 0));
  assert.ok(mean(turns.map(({ count }) => count)) > 8);
});

test('sparse ones never wait, nor does what follows a silence', () => {
  for (const rate of [0.5, 5, 30]) assert.ok(simulate({ rate, for: 200 }).every(({ pause }) => pause === 0));
  const turns = simulate({ rate: 130, for: 20 }, { rate: 0, for: 50 }, { rate: 0.5, for: 100 });
  assert.ok(turns.some(({ pause }) => pause > 0));
  assert.ok(turns.filter(({ at }) => at > 30).every(({ pause }) => pause === 0));
});

test('trains, which are many already, make it no denser', () => {
  const moderation = new Moderation();
  for (let i = 0; i < 1000; i++) assert.equal(moderation.pauseAfter(i * 0.03, 0), 0);
});

test('it begins within a millisecond or so, and ends as soon', () => {
  const turns = simulate({ rate: 130, for: 20 }, { rate: 10, for: 20 });
  const paused = turns.filter(({ pause }) => pause > 0).map(({ at }) => at);
  assert.ok((paused[0] ?? Infinity) < 1.5);
  assert.ok((paused.at(-1) ?? 0) < 21.5);
});

test('where a turn brings much as it is, more than a worker can take too, there is no pause', () => {
  const turns = simulate({ rate: 900, for: 20 }).filter(({ at }) => at > 2);
  assert.ok(turns.every(({ count, pause }) => count < 32 || pause === 0));
  assert.ok(mean(turns.map(({ pause }) => pause)) < 5);
});
