import { parentPort, workerData } from 'node:worker_threads';
import { Arena, type SharedArena } from '../../packages/io/src/arena.ts';
import { IndexTable } from '../../packages/wireguard/src/index-table.ts';
import { SeededRandom } from '../../packages/testkit/src/seeded-random.ts';

/* A thread of index-table.test.ts: looks up from flag 1 to flag 2, and tells what it saw, and how often meanwhile. */

const { shared, flags, at, capacity } = workerData as {
  shared: SharedArena;
  flags: number;
  at: number;
  capacity: number;
};
const memory = new Arena(shared);
const table = new IndexTable(memory, at, capacity);
const random = new SeededRandom(4711);
parentPort?.postMessage('ready');
while (Atomics.load(memory.i32, flags >> 2) === 0);
let found = 0;
let wrong = 0;
let lost = 0;
while (Atomics.load(memory.i32, flags >> 2) === 1) {
  const index = 64 + 32 * (random.u32() % 4);
  const keypair = table.lookup(index);
  if (keypair !== 0) Atomics.store(memory.i32, (flags >> 2) + 1, ++found);
  if (keypair !== 0 && keypair !== (index + 1) * 64) wrong++;
  const stays = random.u32() % 6;
  if (table.lookup(stays) !== (stays + 1) * 64) lost++;
}
parentPort?.postMessage({ found, wrong, lost });
