import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AllowedIps, type AddressFamily } from '../../packages/wireguard/src/allowed-ips.ts';
import { plainMemory } from '../../packages/testkit/src/plain-memory.ts';
import { withSeed } from '../../packages/testkit/src/seeded-random.ts';

/** Unaligned on purpose. */
const ADDRESS_AT = 3;
const AT = 64;

function bytesOf(family: AddressFamily, value: bigint): Uint8Array {
  const bytes = new Uint8Array(family === 4 ? 4 : 16);
  for (let k = bytes.length - 1; k >= 0; k--, value >>= 8n) bytes[k] = Number(value & 0xffn);
  return bytes;
}

function valueOf(bytes: Uint8Array): bigint {
  return bytes.reduce((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

class Subject {
  readonly table: AllowedIps;
  readonly #reader: AllowedIps;
  readonly #u8: Uint8Array;
  readonly #end: number;

  constructor(capacity: number) {
    const memory = plainMemory(AT + AllowedIps.bytes(capacity) + 64);
    this.#end = AT + AllowedIps.bytes(capacity);
    memory.u8.fill(0xa5, this.#end);
    memory.u8.fill(0xa5, 32, AT);
    this.#u8 = memory.u8;
    this.table = new AllowedIps(memory, AT, capacity);
    this.#reader = new AllowedIps(memory, AT, capacity);
  }

  /** As another thread does it: by an instance that has written nothing. */
  lookup(address: Uint8Array): number {
    this.#u8.set(address, ADDRESS_AT);
    return address.length === 4 ? this.#reader.lookup4(ADDRESS_AT) : this.#reader.lookup6(ADDRESS_AT);
  }

  assertInBounds(): void {
    assert.ok(this.#u8.subarray(this.#end).every((byte) => byte === 0xa5));
    assert.ok(this.#u8.subarray(32, AT).every((byte) => byte === 0xa5));
  }
}

interface Entry {
  readonly family: AddressFamily;
  readonly prefix: bigint;
  readonly length: number;
  session: number;
}

/** The plainest longest-prefix match: look at every prefix. */
class Model {
  entries: Entry[] = [];
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  insert(family: AddressFamily, address: bigint, length: number, session: number): string {
    const prefix = masked(family, address, length);
    const old = this.entries.findIndex((e) => e.family === family && e.length === length && e.prefix === prefix);
    if (old >= 0 && this.entries[old].session === session) return 'unchanged';
    if (old < 0 && this.entries.length === this.#capacity) return 'full';
    if (old >= 0) this.entries.splice(old, 1);
    this.entries.push({ family, prefix, length, session });
    return old >= 0 ? 'moved' : 'inserted';
  }

  remove(family: AddressFamily, address: bigint, length: number, session: number): boolean {
    const before = this.entries.length;
    const prefix = masked(family, address, length);
    this.entries = this.entries.filter(
      (e) => !(e.family === family && e.length === length && e.prefix === prefix && e.session === session),
    );
    return this.entries.length !== before;
  }

  lookup(family: AddressFamily, address: bigint): number {
    let best: Entry | undefined;
    for (const entry of this.entries)
      if (entry.family === family && masked(family, address, entry.length) === entry.prefix)
        if (best === undefined || entry.length > best.length) best = entry;
    return best?.session ?? 0;
  }

  entriesOf(session: number): string[] {
    return this.entries
      .filter((e) => e.session === session)
      .map((e) => `${String(e.family)} ${e.prefix.toString(16)}/${String(e.length)}`);
  }
}

function masked(family: AddressFamily, address: bigint, length: number): bigint {
  const rest = BigInt((family === 4 ? 32 : 128) - length);
  return (address >> rest) << rest;
}

function entriesOf(table: AllowedIps, session: number): string[] {
  return Array.from(
    table.entriesOf(session),
    (e) => `${String(e.family)} ${valueOf(e.address).toString(16)}/${String(e.prefixLength)}`,
  );
}

const ip4 = (text: string): Uint8Array => Uint8Array.from(text.split('.').map(Number));
const ip6 = (text: string): Uint8Array => {
  const [head, tail = ''] = text.split('::');
  const words = (part: string): number[] => (part === '' ? [] : part.split(':').map((word) => parseInt(word, 16)));
  const middle = text.includes('::') ? 8 - words(head).length - words(tail).length : 0;
  const all = [...words(head), ...Array.from({ length: middle }, () => 0), ...words(tail)];
  return Uint8Array.from(all.flatMap((word) => [word >> 8, word & 0xff]));
};

describe('allowed IPs', () => {
  test('finds nothing in an empty table', () => {
    const subject = new Subject(4);
    assert.equal(subject.lookup(ip4('0.0.0.0')), 0);
    assert.equal(subject.lookup(ip6('::')), 0);
    assert.deepEqual(entriesOf(subject.table, 64), []);
    subject.table.removeSession(64);
    assert.equal(subject.table.remove(4, ip4('0.0.0.0'), 0, 64), false);
    assert.equal(subject.table.remove(4, ip4('0.0.0.0'), 0, 0), false);
  });

  test('the longest prefix decides, from /0 to /32', () => {
    const subject = new Subject(33);
    const address = ip4('203.0.113.77');
    for (let length = 0; length <= 32; length++) {
      assert.equal(subject.table.insert(4, address, length, 64 * (length + 1)), 'inserted');
      assert.equal(subject.lookup(address), 64 * (length + 1));
    }
    for (let length = 0; length < 32; length++) {
      const other = bytesOf(4, valueOf(address) ^ (1n << BigInt(31 - length)));
      assert.equal(subject.lookup(other), 64 * (length + 1), `differs in bit ${String(length)}`);
    }
    for (let length = 32; length >= 0; length--) {
      assert.equal(subject.table.remove(4, address, length, 64 * (length + 1)), true);
      assert.equal(subject.lookup(address), 64 * length);
    }
  });

  test('the longest prefix decides, from /0 to /128, whatever the order of insertion', () => {
    withSeed((random) => {
      const subject = new Subject(129);
      const address = ip6('2001:db8:ffff:0:8000:1:0:ffff');
      const lengths = Array.from({ length: 129 }, (_, i) => i).sort(() => (random.u32() % 3) - 1);
      for (const length of lengths) assert.equal(subject.table.insert(6, address, length, length + 1), 'inserted');
      assert.equal(subject.lookup(address), 129);
      for (let length = 0; length < 128; length++) {
        const other = bytesOf(6, valueOf(address) ^ (1n << BigInt(127 - length)));
        assert.equal(subject.lookup(other), length + 1, `differs in bit ${String(length)}`);
      }
      subject.assertInBounds();
    });
  });

  test('families are apart, even where the bits are the same', () => {
    const subject = new Subject(8);
    subject.table.insert(4, ip4('10.0.0.1'), 32, 64);
    subject.table.insert(6, ip6('a00:1::'), 32, 128);
    assert.equal(subject.lookup(ip4('10.0.0.1')), 64);
    assert.equal(subject.lookup(ip6('a00:1::')), 128);
    subject.table.insert(6, ip6('a00:1::'), 128, 192);
    assert.equal(subject.lookup(ip6('a00:1::')), 192);
    assert.equal(subject.lookup(ip4('10.0.0.1')), 64);
    subject.table.insert(4, ip4('0.0.0.0'), 0, 256);
    assert.equal(subject.lookup(ip6('::')), 0);
    assert.equal(subject.lookup(ip4('9.9.9.9')), 256);
  });

  test('masks what lies beyond the prefix', () => {
    const subject = new Subject(8);
    assert.equal(subject.table.insert(4, ip4('192.168.77.99'), 16, 64), 'inserted');
    assert.equal(subject.table.insert(4, ip4('192.168.0.1'), 16, 64), 'unchanged');
    assert.equal(subject.table.insert(6, ip6('fd00:1:2:3:4:5:6:7'), 48, 64), 'inserted');
    assert.deepEqual(subject.table.entriesOf(64), [
      { family: 4, address: ip4('192.168.0.0'), prefixLength: 16 },
      { family: 6, address: ip6('fd00:1:2::'), prefixLength: 48 },
    ]);
    assert.equal(subject.table.remove(4, ip4('192.168.3.3'), 16, 64), true);
    assert.equal(subject.lookup(ip4('192.168.77.99')), 0);
  });

  test('a prefix moves to the session that asks for it last', () => {
    const subject = new Subject(3);
    const { table } = subject;
    table.insert(4, ip4('10.1.0.0'), 16, 64);
    table.insert(4, ip4('10.2.0.1'), 32, 64);
    table.insert(6, ip6('fd00::1'), 128, 64);
    assert.equal(table.insert(4, ip4('10.2.0.1'), 32, 128), 'moved');
    assert.equal(table.insert(6, ip6('fd00::1'), 128, 128), 'moved');
    assert.equal(table.insert(4, ip4('10.3.0.0'), 16, 128), 'full');
    assert.equal(subject.lookup(ip4('10.2.0.1')), 128);
    assert.equal(subject.lookup(ip6('fd00::1')), 128);
    assert.deepEqual(entriesOf(table, 64), ['4 a010000/16']);
    assert.deepEqual(entriesOf(table, 128), ['4 a020001/32', '6 fd000000000000000000000000000001/128']);
    assert.equal(table.remove(4, ip4('10.2.0.1'), 32, 64), false);
    table.removeSession(128);
    assert.equal(subject.lookup(ip4('10.2.0.1')), 0);
    assert.equal(subject.lookup(ip4('10.1.2.3')), 64);
    assert.equal(table.insert(4, ip4('10.3.0.0'), 16, 192), 'inserted');
  });

  test('a prefix may begin where the trie only branches', () => {
    const subject = new Subject(3);
    const { table } = subject;
    table.insert(4, ip4('10.0.0.0'), 9, 64);
    table.insert(4, ip4('10.128.0.0'), 9, 128);
    assert.equal(table.remove(4, ip4('10.0.0.0'), 8, 0), false);
    assert.equal(table.remove(4, ip4('10.0.0.0'), 8, 64), false);
    assert.equal(table.insert(4, ip4('10.0.0.0'), 8, 192), 'inserted');
    assert.equal(table.remove(4, ip4('10.0.0.0'), 9, 64), true);
    assert.equal(subject.lookup(ip4('10.1.1.1')), 192);
    assert.equal(subject.lookup(ip4('10.129.1.1')), 128);
    assert.equal(subject.lookup(ip4('11.0.0.0')), 0);
  });

  test('refuses addresses and lengths that can not be', () => {
    const { table } = new Subject(4);
    assert.throws(() => table.insert(4, ip4('10.0.0.0'), 33, 64), RangeError);
    assert.throws(() => table.insert(4, ip4('10.0.0.0'), -1, 64), RangeError);
    assert.throws(() => table.insert(4, ip4('10.0.0.0'), 1.5, 64), RangeError);
    assert.throws(() => table.insert(6, ip4('10.0.0.0'), 8, 64), RangeError);
    assert.throws(() => table.insert(6, ip6('::'), 129, 64), RangeError);
    assert.throws(() => table.insert(4, ip4('10.0.0.0'), 8, 0), RangeError);
  });

  test('agrees with a scan of all prefixes, at random', () => {
    withSeed((random) => {
      for (let round = 0; round < 60; round++) {
        const capacity = 1 + (random.u32() % 120);
        const subject = new Subject(capacity);
        const model = new Model(capacity);
        // Addresses that differ in a few bits only, so that prefixes overlap, nest, meet again and move.
        const free = (family: AddressFamily): bigint => {
          let value = family === 4 ? 0x0a000000n : 0xfd00_0000_0000_0001_8000_0000_0000_0000n;
          const bits = family === 4 ? 32 : 128;
          for (let k = 0; k < 7; k++) {
            const at = [0, 8, 9, bits / 2 - 1, bits / 2, bits - 3, bits - 2, bits - 1, random.u32() % bits][
              random.u32() % 9
            ];
            if (random.u32() % 2 === 0) value ^= 1n << BigInt(bits - 1 - at);
          }
          return value;
        };
        const length = (bits: number): number =>
          [0, bits, bits, bits - 1, bits / 2, 9, random.u32() % (bits + 1)][random.u32() % 7];
        for (let step = 0; step < 1_500; step++) {
          const family = random.u32() % 2 === 0 ? 4 : 6;
          const bits = family === 4 ? 32 : 128;
          const session = 64 * (1 + (random.u32() % 6));
          let address = free(family);
          let prefixLength = length(bits);
          const action = random.u32() % (round % 2 === 0 ? 10 : 14);
          if (action < 6) {
            assert.equal(
              subject.table.insert(family, bytesOf(family, address), prefixLength, session),
              model.insert(family, address, prefixLength, session),
            );
          } else if (action < 13) {
            const known = model.entries.length === 0 ? undefined : model.entries[random.u32() % model.entries.length];
            if (known?.family === family && random.u32() % 4 !== 0) {
              address = known.prefix;
              prefixLength = known.length;
            }
            const owner = known !== undefined && random.u32() % 4 !== 0 ? known.session : session;
            assert.equal(
              subject.table.remove(family, bytesOf(family, address), prefixLength, owner),
              model.remove(family, address, prefixLength, owner),
            );
          } else if (random.u32() % 20 === 0) {
            subject.table.removeSession(session);
            model.entries = model.entries.filter((entry) => entry.session !== session);
          }
          for (const each of [4, 6] as const) {
            const probe = free(each);
            assert.equal(subject.lookup(bytesOf(each, probe)), model.lookup(each, probe), probe.toString(16));
          }
          if (step % 50 === 0) {
            for (const entry of model.entries)
              assert.equal(
                subject.lookup(bytesOf(entry.family, entry.prefix)),
                model.lookup(entry.family, entry.prefix),
              );
            for (let k = 1; k <= 6; k++) assert.deepEqual(entriesOf(subject.table, 64 * k), model.entriesOf(64 * k));
          }
        }
        // Nothing of the pool is lost: emptied, it takes as much as at first.
        for (let k = 1; k <= 6; k++) subject.table.removeSession(64 * k);
        assert.equal(subject.lookup(bytesOf(6, free(6))), 0);
        for (let k = 0; k < capacity; k++)
          assert.equal(subject.table.insert(4, bytesOf(4, BigInt(k) << 20n), 32 - (k % 8), 64), 'inserted');
        assert.equal(subject.table.insert(6, bytesOf(6, 1n), 128, 64), 'full');
        subject.assertInBounds();
      }
    });
  });

  test('100,000 peers with a /32 and a /128 each', (t) => {
    withSeed((random) => {
      const peers = 100_000;
      const subject = new Subject(2 * peers);
      const session = (i: number): number => 64 + i * 256;
      const address4 = (i: number): Uint8Array => bytesOf(4, 0x0a000000n + BigInt(i));
      const address6 = (i: number): Uint8Array => bytesOf(6, (0xfd00_1234_5678n << 80n) + BigInt(i) * 0x10001n);
      const addresses = Array.from({ length: peers }, (_, i) => [address4(i), address6(i)] as const);
      const start = performance.now();
      addresses.forEach(([four, six], i) => {
        subject.table.insert(4, four, 32, session(i));
        subject.table.insert(6, six, 128, session(i));
      });
      t.diagnostic(`${String(2 * peers)} prefixes inserted in ${(performance.now() - start).toFixed(0)} ms`);
      t.diagnostic(`${(AllowedIps.bytes(2 * peers) / peers).toFixed(0)} bytes of shared memory a peer`);
      for (let i = 0; i < peers; i++) {
        assert.equal(subject.lookup(addresses[i][0]), session(i));
        assert.equal(subject.lookup(addresses[i][1]), session(i));
      }
      for (let k = 0; k < 100_000; k++) {
        const value = 0x0a000000n + BigInt(random.u32() % (2 * peers));
        const i = Number(value - 0x0a000000n);
        assert.equal(subject.lookup(bytesOf(4, value)), i < peers ? session(i) : 0);
      }
      const removing = performance.now();
      for (let i = 0; i < peers; i += 2) subject.table.removeSession(session(i));
      t.diagnostic(
        `${String(peers)} prefixes of half the peers removed in ${(performance.now() - removing).toFixed(0)} ms`,
      );
      for (let i = 0; i < peers; i++) {
        assert.equal(subject.lookup(addresses[i][0]), i % 2 === 0 ? 0 : session(i));
        assert.equal(subject.lookup(addresses[i][1]), i % 2 === 0 ? 0 : session(i));
      }
      subject.assertInBounds();
    });
  });
});
