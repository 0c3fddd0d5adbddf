import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainMemory } from '@sallyport/testkit';
import { decapsulateEcn, outerEcn, tosOf } from '@sallyport/wire';
import { buildPacket, UDP } from './packets.ts';

const NOT_ECT = 0;
const ECT_1 = 1;
const ECT_0 = 2;
const CE = 3;

/** RFC 6040, figure 4: by inner, then by outer field; undefined is a drop. */
const FIGURE_4: readonly (readonly [inner: number, outer: number, result: number | undefined])[] = [
  [NOT_ECT, NOT_ECT, NOT_ECT],
  [NOT_ECT, ECT_0, NOT_ECT],
  [NOT_ECT, ECT_1, NOT_ECT],
  [NOT_ECT, CE, undefined],
  [ECT_0, NOT_ECT, ECT_0],
  [ECT_0, ECT_0, ECT_0],
  [ECT_0, ECT_1, ECT_1],
  [ECT_0, CE, CE],
  [ECT_1, NOT_ECT, ECT_1],
  [ECT_1, ECT_0, ECT_1],
  [ECT_1, ECT_1, ECT_1],
  [ECT_1, CE, CE],
  [CE, NOT_ECT, CE],
  [CE, ECT_0, CE],
  [CE, ECT_1, CE],
  [CE, CE, CE],
];

test('decapsulation follows RFC 6040, figure 4, and keeps the rest of the packet and its checksum right', () => {
  const memory = plainMemory(256);
  for (const version of [4, 6] as const) {
    for (const dscp of [0, 0x2e, 0x3f]) {
      for (const [inner, outer, result] of FIGURE_4) {
        const shape = { version, protocol: UDP, flowLabel: 0xabcde, identification: 7, payload: new Uint8Array(9) };
        const packet = buildPacket({ ...shape, tos: (dscp << 2) | inner });
        memory.u8.set(packet, 32);
        assert.equal(tosOf(memory, 32), (dscp << 2) | inner);
        assert.equal(decapsulateEcn(memory, 32, 0xfc | outer), result !== undefined);
        const expected = buildPacket({ ...shape, tos: (dscp << 2) | (result ?? inner) });
        assert.deepEqual(memory.u8.slice(32, 32 + packet.length), expected);
      }
    }
  }
});

test('encapsulation copies the field and nothing else', () => {
  for (let tos = 0; tos < 256; tos++) assert.equal(outerEcn(tos), tos % 4);
});
