import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainMemory, withSeed } from '@sallyport/testkit';
import { fold, networkSum, pseudoHeaderSum, swap16, updateChecksum, writeIpv4Checksum } from '@sallyport/wire';
import { buildPacket, naiveChecksum, naiveSum, pseudoHeader, TCP, UDP } from './packets.ts';

const memory = plainMemory(65536 * 2);

test('the example of RFC 1071, section 3', () => {
  memory.u8.set([0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]);
  assert.equal(networkSum(memory.sum(0, 8)), 0xddf2);
});

test('the examples of RFC 1624, section 4', () => {
  assert.equal(updateChecksum(0xdd2f, 0x5555, 0x3285), 0x0000);
});

test('fold gives 16 bits that are congruent modulo 0xffff, and 0 only for 0', () => {
  withSeed((random) => {
    for (const sum of [0, 1, 0xffff, 0x10000, 0x1fffe, 0x1ffff, 0xffff_0000, 0xffff_fffe, 0xffff_ffff]) check(sum);
    for (let i = 0; i < 10_000; i++) check(random.u32() >>> random.below(32));
  });
  function check(sum: number): void {
    const folded = fold(sum);
    assert.ok(folded >= 0 && folded <= 0xffff);
    assert.equal(folded % 0xffff, sum % 0xffff);
    assert.equal(folded === 0, sum === 0);
  }
});

test('swap16', () => {
  assert.equal(swap16(0x1234), 0x3412);
  assert.equal(swap16(0xff00), 0x00ff);
});

test('networkSum is the sum of big-endian words', () => {
  withSeed((random) => {
    for (let i = 0; i < 500; i++) {
      const bytes = random.bytes(random.below(200));
      const at = random.below(64);
      memory.u8.set(bytes, at);
      const sum = networkSum(memory.sum(at, bytes.length));
      assert.equal(sum % 0xffff, naiveSum(bytes) % 0xffff);
    }
  });
});

test('updateChecksum is the checksum of the changed data', () => {
  withSeed((random) => {
    for (let i = 0; i < 2000; i++) {
      const bytes = random.bytes(20);
      const words = new DataView(bytes.buffer);
      const before = naiveChecksum(bytes);
      const at = 2 * random.below(10);
      const oldWord = words.getUint16(at);
      const newWord = random.pick([0, 0xffff, random.below(65536)]);
      words.setUint16(at, newWord);
      assert.equal(updateChecksum(before, oldWord, newWord) % 0xffff, naiveChecksum(bytes) % 0xffff);
    }
  });
});

test('pseudoHeaderSum in both families', () => {
  withSeed((random) => {
    for (const version of [4, 6] as const) {
      for (const protocol of [TCP, UDP]) {
        const size = version === 4 ? 4 : 16;
        const shape = { version, protocol, source: random.bytes(size), destination: random.bytes(size) };
        memory.u8.set(buildPacket(shape), 300);
        const sum = fold(pseudoHeaderSum(memory, 300, version, protocol) + 1234);
        assert.equal(sum, naiveSum(pseudoHeader(shape, 1234)));
      }
    }
  });
});

test('writeIpv4Checksum, with and without options', () => {
  for (const options of [new Uint8Array(0), new Uint8Array([7, 7, 4, 192, 0, 2, 1, 0])]) {
    const packet = buildPacket({ version: 4, protocol: TCP, ipOptions: options });
    const header = 20 + options.length;
    memory.u8.set(packet, 100);
    memory.view.setUint16(110, 0xabcd);
    writeIpv4Checksum(memory, 100, header);
    assert.deepEqual(memory.u8.slice(100, 100 + header), packet.subarray(0, header));
  }
});
