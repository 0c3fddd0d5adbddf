// The other thread of arena.test.ts: reads a word, waits to be woken, and writes by each kind of view and address.
import { parentPort, workerData } from 'node:worker_threads';
import { Arena, libc, type SharedArena } from '@sallyport/io';

const { arena: shared, at } = workerData as { arena: SharedArena; at: number };
const arena = new Arena(shared);
Atomics.wait(arena.i32, (at + 4) >> 2, 0);
arena.f64[(at + 8) >> 3] = 0.5;
const event = libc.eventfd(0, 0x800);
arena.u8.set([1, 2, 3, 4, 0, 0, 0, 0], at + 24);
libc.write(event, arena.address + at + 24, 8);
libc.read(event, arena.address + at + 16, 8);
libc.close(event);
parentPort?.postMessage({ seen: arena.u32[at >> 2], address: arena.address });
