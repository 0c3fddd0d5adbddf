import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DeadlineQueue, type Scheduled } from '../../packages/core/src/deadline-queue.ts';
import { withSeed } from '../../packages/testkit/src/seeded-random.ts';

class Item implements Scheduled {
  deadline = Infinity;
  queuePosition = -1;
}

function drain(queue: DeadlineQueue<Item>): number[] {
  const deadlines: number[] = [];
  for (let item = queue.first; item !== undefined; item = queue.first) {
    deadlines.push(item.deadline);
    queue.remove(item);
    assert.equal(item.queuePosition, -1);
    assert.equal(item.deadline, Infinity);
  }
  return deadlines;
}

describe('DeadlineQueue', () => {
  test('is empty at first, and after the last has gone', () => {
    const queue = new DeadlineQueue<Item>();
    const item = new Item();
    assert.equal(queue.first, undefined);
    queue.remove(item);
    queue.set(item, 5);
    assert.equal(queue.first, item);
    queue.remove(item);
    queue.remove(item);
    assert.equal(queue.first, undefined);
  });

  test('has the earliest first, whatever the order in which they came', () => {
    const queue = new DeadlineQueue<Item>();
    for (const deadline of [50, 10, 40, 10, 30, -1, 20]) queue.set(new Item(), deadline);
    assert.deepEqual(drain(queue), [-1, 10, 10, 20, 30, 40, 50]);
  });

  test('follows a deadline that moves either way, and forgets one that is never', () => {
    const queue = new DeadlineQueue<Item>();
    const [a, b, c] = [new Item(), new Item(), new Item()];
    queue.set(a, 10);
    queue.set(b, 20);
    queue.set(c, 30);
    queue.set(a, 25);
    assert.equal(queue.first, b);
    queue.set(c, 5);
    assert.equal(queue.first, c);
    queue.set(c, Infinity);
    assert.equal(queue.first, b);
    assert.equal(c.queuePosition, -1);
    assert.deepEqual(drain(queue), [20, 25]);
  });

  test('agrees with a sorted list, at random', () => {
    withSeed((random) => {
      const queue = new DeadlineQueue<Item>();
      const items = Array.from({ length: 60 }, () => new Item());
      const model = new Map<Item, number>();
      for (let step = 0; step < 5000; step++) {
        const item = random.pick(items);
        if (random.chance(0.3)) {
          queue.remove(item);
          model.delete(item);
        } else {
          const deadline = random.below(100);
          queue.set(item, deadline);
          model.set(item, deadline);
        }
        assert.equal(queue.first?.deadline, model.size === 0 ? undefined : Math.min(...model.values()));
        for (const each of items) assert.equal(each.queuePosition >= 0, model.has(each));
      }
      assert.deepEqual(
        drain(queue),
        [...model.values()].sort((a, b) => a - b),
      );
    });
  });
});
