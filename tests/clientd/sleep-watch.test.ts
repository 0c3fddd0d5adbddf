import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SleepWatch } from '@sallyport/clientd';

test('a machine that slept is told from one that was busy, or whose timers came late', () => {
  const clocks = { boot: 1_000_000, monotonic: 500 };
  let resumed = 0;
  const watch = new SleepWatch({ now: () => clocks.boot, awake: () => clocks.monotonic, onResumed: () => resumed++ });
  const pass = (ms: number, asleepMs = 0): number => {
    clocks.monotonic += ms;
    clocks.boot += ms + asleepMs;
    watch.look();
    return resumed;
  };
  watch.follow(true);
  try {
    assert.equal(pass(1000), 0);
    assert.equal(pass(600_000), 0, 'a timer that came ten minutes late');
    assert.equal(pass(1000, 3000), 1);
    assert.equal(pass(1000), 1, 'told once');
    assert.equal(pass(1000, 3_600_000), 2);
    // What was slept while nobody looked is not news.
    watch.follow(false);
    clocks.boot += 60_000;
    watch.follow(true);
    assert.equal(pass(1000), 2);
  } finally {
    watch.follow(false);
  }
});
