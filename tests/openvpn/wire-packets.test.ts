import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DropReason } from '../../packages/core/src/drop-reason.ts';
import {
  decodeBody,
  earlyNegotiation,
  EARLY_NEGOTIATION_RESEND_KEY,
  encodeBody,
  MAX_ACKS,
  MAX_PAYLOAD_BYTES,
  type ControlPacket,
} from '../../packages/openvpn/src/wire/control-packet.ts';
import { isPing, OCC_EXIT, OCC_MAGIC, occMessage, occOpcode, PING } from '../../packages/openvpn/src/wire/inner.ts';
import {
  firstByte,
  isHardReset,
  keyIdOf,
  opcodeOf,
  P_ACK_V1,
  P_CONTROL_HARD_RESET_CLIENT_V2,
  P_CONTROL_HARD_RESET_SERVER_V2,
  P_CONTROL_SOFT_RESET_V1,
  P_CONTROL_V1,
  P_CONTROL_WKC_V1,
  peerIdOf,
  readHeader,
  sessionIdKey,
  type ControlOpcode,
  type Header,
} from '../../packages/openvpn/src/wire/opcodes.ts';
import { bytes, hex } from './wire-crypto.ts';

const SESSION = bytes('0102030405060708');
const REMOTE = bytes('1112131415161718');

function header(opcode: ControlOpcode): Header {
  return { opcode, keyId: 0, sessionId: SESSION };
}

test('the first byte: five bits of opcode, three of key id', () => {
  assert.equal(firstByte(P_CONTROL_V1, 3), 0x23);
  assert.equal(opcodeOf(0x23), P_CONTROL_V1);
  assert.equal(keyIdOf(0x23), 3);
  assert.equal(peerIdOf(bytes('4b00012a')), 298);
});

test('a header is read of control packets alone', () => {
  const known = [3, 4, 5, 7, 8, 10, 11];
  for (let opcode = 0; opcode < 32; opcode++) {
    const read = readHeader(Uint8Array.of(firstByte(opcode, 1), ...SESSION));
    if (known.includes(opcode)) assert.deepEqual(read, { opcode, keyId: 1, sessionId: SESSION });
    else assert.equal(read, DropReason.unknownMessageType, `opcode ${String(opcode)}`);
  }
});

test('a header that is short, or names no session, is malformed', () => {
  assert.equal(readHeader(new Uint8Array(0)), DropReason.malformedDatagram);
  assert.equal(readHeader(bytes('2001020304050607')), DropReason.malformedDatagram);
  assert.equal(readHeader(bytes('200000000000000000')), DropReason.malformedDatagram);
});

test('session ids are told apart by their keys', () => {
  assert.equal(sessionIdKey(SESSION), sessionIdKey(SESSION.slice()));
  assert.notEqual(sessionIdKey(SESSION), sessionIdKey(REMOTE));
});

test('a body by hand: two acknowledgements, whose they are, an id, a payload', () => {
  const packet = decodeBody(header(P_CONTROL_V1), bytes('02 00000000 00000001 1112131415161718 00000007 abcd'.replaceAll(' ', ''))); // prettier-ignore
  assert.deepEqual(packet, {
    opcode: P_CONTROL_V1,
    keyId: 0,
    sessionId: SESSION,
    acks: [0, 1],
    remoteSessionId: REMOTE,
    packetId: 7,
    payload: bytes('abcd'),
  });
  const alone = decodeBody(header(P_ACK_V1), bytes('01000000021112131415161718'));
  assert.ok(typeof alone !== 'number');
  assert.deepEqual([alone.acks, alone.packetId, alone.payload.length], [[2], undefined, 0]);
});

test('bodies that no peer sends are malformed', () => {
  const malformed: [ControlOpcode, string][] = [
    [P_CONTROL_V1, ''],
    [P_CONTROL_V1, '00000000'],
    [P_CONTROL_V1, '0100000001'],
    [P_CONTROL_V1, `09${'00000001'.repeat(9)}111213141516171800000001`],
    [P_CONTROL_V1, `0000000001${'00'.repeat(MAX_PAYLOAD_BYTES + 1)}`],
    [P_ACK_V1, '00'],
    [P_ACK_V1, '0100000001111213141516171800'],
    [P_CONTROL_HARD_RESET_CLIENT_V2, '0000000001'],
    [P_CONTROL_SOFT_RESET_V1, '0000000001'],
  ];
  for (const [opcode, body] of malformed)
    assert.equal(decodeBody(header(opcode), bytes(body)), DropReason.malformedDatagram, body);
});

test('what is encoded is decoded again', () => {
  fc.assert(
    fc.property(
      fc.constantFrom<ControlOpcode>(P_CONTROL_V1, P_CONTROL_WKC_V1, P_ACK_V1, P_CONTROL_HARD_RESET_SERVER_V2),
      fc.array(fc.integer({ min: 0, max: 0xffffffff }), { maxLength: MAX_ACKS }),
      fc.integer({ min: 0, max: 0xffffffff }),
      fc.uint8Array({ maxLength: MAX_PAYLOAD_BYTES }),
      (opcode, ids, id, data) => {
        const acks = opcode === P_ACK_V1 && ids.length === 0 ? [1] : ids;
        const packet: ControlPacket = {
          opcode,
          keyId: 0,
          sessionId: SESSION,
          acks,
          remoteSessionId: acks.length > 0 ? REMOTE : undefined,
          packetId: opcode === P_ACK_V1 ? undefined : isHardReset(opcode) ? 0 : id,
          payload: opcode === P_ACK_V1 ? new Uint8Array(0) : Uint8Array.from(data),
        };
        assert.deepEqual(decodeBody(header(opcode), encodeBody(packet)), packet);
      },
    ),
  );
});

test('early negotiation: the flag, among fields that are unknown', () => {
  assert.equal(hex(EARLY_NEGOTIATION_RESEND_KEY), '000100020001');
  assert.deepEqual(earlyNegotiation(EARLY_NEGOTIATION_RESEND_KEY), { resendWrappedKey: true });
  assert.deepEqual(earlyNegotiation(new Uint8Array(0)), { resendWrappedKey: false });
  assert.deepEqual(earlyNegotiation(bytes('00070003aabbcc000100020001')), { resendWrappedKey: true });
  assert.deepEqual(earlyNegotiation(bytes('000100020002')), { resendWrappedKey: false });
  for (const bad of ['00', '000100', '0001000200', '00010003000100', '000700ff00'])
    assert.equal(earlyNegotiation(bytes(bad)), DropReason.malformedDatagram, bad);
});

test('pings and messages of OCC are known by their bytes', () => {
  assert.equal(PING.length, 16);
  assert.equal(OCC_MAGIC.length, 16);
  assert.ok(isPing(PING.slice()));
  assert.ok(!isPing(PING.subarray(0, 15)));
  assert.ok(!isPing(Uint8Array.of(...PING, 0)));
  assert.equal(hex(occMessage(OCC_EXIT)), '287f346bd4ef7a812d56b8d3afc5459c06');
  assert.equal(occOpcode(occMessage(OCC_EXIT)), OCC_EXIT);
  assert.equal(occOpcode(OCC_MAGIC), undefined);
  assert.equal(occOpcode(Uint8Array.of(...PING, 6)), undefined);
});
