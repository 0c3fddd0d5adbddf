// The writing thread of ring.test.ts: pushes `count` records, each until it fits; says how often one did not.
import { parentPort, workerData } from 'node:worker_threads';
import { Arena, type SharedArena } from '@sallyport/io';
import { ATTEND, CONTROL, Ring } from '../../packages/runtime/src/ring.ts';

export interface WriterStart {
  readonly arena: SharedArena;
  readonly ring: number;
  readonly capacity: number;
  readonly packet: number;
  readonly count: number;
}

/** Of the i-th record: mostly small ones, and now and then one that takes a while to copy. */
export function lengthOf(i: number): number {
  return i % 16 === 0 ? 20_000 : (i * 37) % 1500;
}

if (parentPort !== null) {
  const start = workerData as WriterStart;
  const arena = new Arena(start.arena);
  const ring = new Ring(arena, start.ring, start.capacity);
  let refused = 0;
  for (let i = 0; i < start.count; i++) {
    const length = lengthOf(i);
    arena.u8.fill(i & 255, start.packet, start.packet + length);
    while (!ring.push(i % 2 === 0 ? ATTEND : CONTROL, i, start.packet, length, 0)) refused++;
  }
  parentPort.postMessage(refused);
}
