import { AllowedIps, type AddressFamily } from '../../packages/wireguard/src/allowed-ips.ts';
import { IndexTable } from '../../packages/wireguard/src/index-table.ts';
import { REPLAY_WINDOW } from '../../packages/wireguard/src/constants.ts';
import { Arena } from '../../packages/io/src/arena.ts';

/*
 * Nanoseconds per call of the tables that every packet goes through, with peers at random: the cache misses of a
 * large table are part of the figure, those of the keypair's record are not.
 */

const ROUNDS = 7;
/** Different ones in a round, so that no cache holds all that they touch of a large table. */
const PROBES = 1 << 17;

let checksum = 0;

/** Random u32 numbers from a seed: xorshift. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

function nanoseconds(calls: number, body: () => number): string {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    checksum += body();
    times.push(((performance.now() - start) * 1e6) / calls);
  }
  times.sort((a, b) => a - b);
  return `${times[ROUNDS >> 1].toFixed(1).padStart(8)} ns   (best ${times[0].toFixed(1)})`;
}

function report(name: string, figure: string): void {
  console.log(`${name.padEnd(52)} ${figure}`);
}

type Plan = (i: number) => { family: AddressFamily; address: Uint8Array; prefixLength: number };

function words(...values: number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  values.forEach((value, k) => {
    view.setUint32(4 * k, value);
  });
  return bytes;
}

const spread = (i: number): number => Math.imul(i + 1, 0x9e3779b1) >>> 0;
const PLANS: Record<string, Plan> = {
  'lookup4, /32 in sequence': (i) => ({ family: 4, address: words(0x0a000000 + i), prefixLength: 32 }),
  'lookup4, /32 at random': (i) => ({ family: 4, address: words(spread(i)), prefixLength: 32 }),
  'lookup4, /28 in sequence': (i) => ({ family: 4, address: words(0x0a000000 + 16 * i), prefixLength: 28 }),
  'lookup6, /128 in sequence': (i) => ({ family: 6, address: words(0xfd000000, 1, 0, i), prefixLength: 128 }),
  'lookup6, /128 at random': (i) => ({ family: 6, address: words(0xfd000000, spread(i), i, 1), prefixLength: 128 }),
  'lookup6, /64 in sequence': (i) => ({ family: 6, address: words(0xfd000000, i, 0, 0), prefixLength: 64 }),
};

function benchLookups(name: string, plan: Plan, peers: number): void {
  const random = randomFrom(42);
  const memory = Arena.create(AllowedIps.bytes(2 * peers) + PROBES * 16 + 1024);
  const table = new AllowedIps(memory, memory.allocate(AllowedIps.bytes(2 * peers)), 2 * peers);
  const probesAt = memory.allocate(PROBES * 16);
  const { family } = plan(0);
  for (let i = 0; i < peers; i++) {
    const { address, prefixLength } = plan(i);
    table.insert(family, address, prefixLength, 64 * (i + 1));
  }
  for (let k = 0; k < PROBES; k++) memory.u8.set(plan(random() % peers).address, probesAt + 16 * k);
  const figure = nanoseconds(PROBES, () => {
    let sum = 0;
    if (family === 4) for (let k = 0; k < PROBES; k++) sum += table.lookup4(probesAt + 16 * k);
    else for (let k = 0; k < PROBES; k++) sum += table.lookup6(probesAt + 16 * k);
    return sum;
  });
  report(`${name}, ${peers.toLocaleString('en')} peer${peers === 1 ? '' : 's'}`, figure);
}

function benchIndices(keypairs: number): void {
  const random = randomFrom(43);
  const memory = Arena.create(IndexTable.bytes(keypairs) + 1024);
  const table = new IndexTable(memory, memory.allocate(IndexTable.bytes(keypairs)), keypairs);
  const indices = new Uint32Array(keypairs);
  for (let i = 0; i < keypairs; i++) {
    do indices[i] = random();
    while (!table.insert(indices[i], 64 * (i + 1)));
  }
  const probes = Uint32Array.from({ length: PROBES }, () => indices[random() % keypairs]);
  const figure = nanoseconds(PROBES, () => {
    let sum = 0;
    for (let k = 0; k < PROBES; k++) sum += table.lookup(probes[k]);
    return sum;
  });
  report(`index lookup, ${keypairs.toLocaleString('en')} keypair${keypairs === 1 ? '' : 's'}`, figure);
}

function benchAccept(name: string, counterOf: (k: number) => number): void {
  const memory = Arena.create(REPLAY_WINDOW.bytes + 1024);
  const window = memory.allocate(REPLAY_WINDOW.bytes);
  let base = 0;
  const figure = nanoseconds(PROBES, () => {
    let accepted = 0;
    for (let k = 0; k < PROBES; k++)
      if (REPLAY_WINDOW.accept(memory, window, (base + counterOf(k)) >>> 0, 7)) accepted++;
    base += PROBES;
    return accepted;
  });
  report(name, figure);
}

for (const [name, plan] of Object.entries(PLANS))
  for (const peers of [1, 1_000, 100_000]) benchLookups(name, plan, peers);
for (const keypairs of [1, 1_000, 300_000]) benchIndices(keypairs);
benchAccept('accept, in order', (k) => k);
benchAccept('accept, blocks of 64 backwards', (k) => k ^ 63);
console.log(`(checksum ${checksum.toString(36)})`);
