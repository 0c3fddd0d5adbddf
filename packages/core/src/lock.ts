import type { Memory } from './memory.ts';

/**
 * A lock word in shared memory, held for well under a microsecond at a time and hardly ever wanted by two threads
 * at once: so it spins.
 */
export function lock(memory: Memory, at: number): void {
  const { i32 } = memory;
  const word = at >> 2;
  while (Atomics.compareExchange(i32, word, 0, 1) !== 0);
}

export function unlock(memory: Memory, at: number): void {
  Atomics.store(memory.i32, at >> 2, 0);
}
