import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PATH_BYTES, PATH_LISTENER, type Memory } from '../../packages/core/src/index.ts';
import { plainMemory } from '../../packages/testkit/src/plain-memory.ts';
import { decodeMessage, decodeVariant, newInitiation, writeType } from '../../packages/wireguard/src/messages.ts';
import {
  checkVariant,
  isPlain,
  PLAIN_VARIANT,
  VARIANT_KEYS,
  VARIANT_LIMITS,
  VariantTable,
  type Variant,
} from '../../packages/wireguard/src/variant.ts';
import { fuzzAmneziaWg } from '../fuzz/amneziawg.ts';

const VARIANT: Variant = {
  jc: 4,
  jmin: 40,
  jmax: 70,
  s1: 50,
  s2: 100,
  h1: 1_234_567_891,
  h2: 0xffff_ffff,
  h3: 5,
  h4: 0x8000_0000,
};

describe('the parameters of a variant', () => {
  test('what AmneziaWG takes is taken, WireGuard itself too', () => {
    assert.equal(checkVariant(VARIANT), undefined);
    assert.equal(checkVariant(PLAIN_VARIANT), undefined);
    assert.equal(checkVariant({ ...VARIANT, jmin: 70 }), undefined);
    assert.equal(checkVariant({ ...VARIANT, h1: 4, h4: 1 }), undefined);
    assert.ok(isPlain({ ...PLAIN_VARIANT }) && !isPlain(VARIANT));
  });

  test('each has its range', () => {
    for (const key of VARIANT_KEYS) {
      for (const value of [-1, 0.5, NaN, Infinity, VARIANT_LIMITS[key] + 1])
        assert.match(checkVariant({ ...VARIANT, [key]: value }) ?? '', new RegExp(`^${key} `), `${key} ${value}`);
    }
  });

  test('what can’t be told apart is refused', () => {
    assert.match(checkVariant({ ...VARIANT, jmin: 71 }) ?? '', /jmin/);
    assert.match(checkVariant({ ...VARIANT, s1: 10, s2: 66 }) ?? '', /equally long/);
    for (const [a, b] of [
      ['h1', 'h2'],
      ['h2', 'h3'],
      ['h1', 'h4'],
    ] as const)
      assert.match(checkVariant({ ...VARIANT, [a]: VARIANT[b] }) ?? '', /different/);
  });
});

describe('a table of variants', () => {
  function table(): { variants: VariantTable; paths: [number, number]; memory: Memory } {
    const memory = plainMemory(4096);
    const paths: [number, number] = [1024, 1024 + PATH_BYTES];
    memory.u32[(paths[1] + PATH_LISTENER) >> 2] = 1;
    return { variants: new VariantTable(memory, 64), paths, memory };
  }

  test('zeroed is WireGuard, and each listener has its own', () => {
    const { variants, paths } = table();
    for (const path of paths) {
      assert.deepEqual(variants.of(path), PLAIN_VARIANT);
      assert.equal(variants.transportType(path), 4);
    }
    variants.set(1, VARIANT);
    assert.deepEqual(variants.of(paths[0]), PLAIN_VARIANT);
    assert.deepEqual(variants.of(paths[1]), VARIANT);
    assert.equal(variants.transportType(paths[1]), VARIANT.h4);
    variants.set(1, PLAIN_VARIANT);
    assert.deepEqual(variants.of(paths[1]), PLAIN_VARIANT);
  });

  test('tells what can be a handshake by length and type word', () => {
    const { variants, paths, memory } = table();
    variants.set(1, VARIANT);
    const at = 2048;
    const is = (length: number, word: number, offset: number): boolean => {
      memory.u8.fill(0, at, at + 512);
      memory.view.setUint32(at + offset, word, true);
      return variants.isControl(at, length, paths[1]);
    };
    assert.ok(is(148 + 50, VARIANT.h1, 50));
    assert.ok(is(92 + 100, VARIANT.h2, 100));
    assert.ok(is(64, VARIANT.h3, 0));
    for (const [length, word, offset] of [
      [148, VARIANT.h1, 0],
      [148 + 50, VARIANT.h1, 49],
      [148 + 50, VARIANT.h2, 50],
      [148 + 51, VARIANT.h1, 50],
      [64, 3, 0],
    ] as const)
      assert.ok(!is(length, word, offset), `${length} ${word} ${offset}`);
  });
});

describe('messages of a variant', () => {
  test('are found behind their padding, the rest as in WireGuard', () => {
    const message = newInitiation(0xcafe);
    message.bytes.fill(7, 8);
    writeType(message.bytes, VARIANT.h1);
    const datagram = Uint8Array.from([...new Uint8Array(50).fill(0xaa), ...message.bytes]);
    const decoded = decodeVariant(datagram, VARIANT);
    assert.deepEqual(decoded, { ...message, bytes: datagram.subarray(50) });
    assert.equal(decodeVariant(message.bytes, VARIANT).type, 0);
    assert.equal(decodeMessage(datagram).type, 0);
  });

  test('padding that begins like transport data is none of a handshake', () => {
    const datagram = new Uint8Array(198);
    writeType(datagram, VARIANT.h4);
    writeType(datagram.subarray(50), VARIANT.h1);
    assert.equal(decodeVariant(datagram, VARIANT).type, 4);
  });

  test('without padding and other words they are WireGuard’s', () => {
    for (const [type, length] of [
      [1, 148],
      [2, 92],
      [3, 64],
      [4, 32],
      [4, 1000],
      [0, 148],
      [5, 64],
      [3, 3],
    ] as const) {
      const datagram = new Uint8Array(length).fill(9);
      if (length >= 4) writeType(datagram, type);
      assert.deepEqual(decodeVariant(datagram, PLAIN_VARIANT), decodeMessage(datagram));
    }
  });
});

test('thousands of junk datagrams and damaged messages: none is answered, and the right one always is', () => {
  const { accepted, dropped } = fuzzAmneziaWg(9000, 20_260_103);
  assert.equal(accepted, 45);
  assert.ok(dropped > 8000, String(dropped));
});
