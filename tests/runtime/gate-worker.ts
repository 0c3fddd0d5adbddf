// A worker of gate.test.ts: counts in its cell, without atomics, inside its batches only; says how much it has counted.
import { parentPort, workerData } from 'node:worker_threads';
import { Arena, type SharedArena } from '@sallyport/io';
import { Gate } from '../../packages/runtime/src/gate.ts';

// i32 words that the workers and the test share.
export const STOP = 0;
/** 1 while the workers have to block between their batches. */
export const BLOCK = 1;
/** Two words: how often each worker has been inside. */
export const ENTERED = 2;
/** Two words, one for each worker: what it counts. */
export const CELL = 4;
export const WORDS = 6;

export interface GateWorkerStart {
  readonly arena: SharedArena;
  readonly gate: number;
  readonly index: number;
  readonly words: number;
}

if (parentPort !== null) {
  const { arena, gate: place, index, words } = workerData as GateWorkerStart;
  const { i32 } = new Arena(arena);
  const gate = new Gate(i32, place, 2);
  let counted = 0;
  while (Atomics.load(i32, words + STOP) === 0) {
    gate.enter(index);
    for (let k = 0; k < 100; k++) i32[words + CELL + index]++;
    counted += 100;
    gate.leave(index);
    Atomics.add(i32, words + ENTERED + index, 1);
    if (Atomics.load(i32, words + BLOCK) === 1) Atomics.wait(i32, words + BLOCK, 1);
  }
  parentPort.postMessage(counted);
}
