import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DropReason } from '../../packages/core/src/drop-reason.ts';
import { earlyNegotiation, type ControlPacket } from '../../packages/openvpn/src/wire/control-packet.ts';
import type { ControlWrap } from '../../packages/openvpn/src/wire/control-wrap.ts';
import { Entrance, type Arrival, type EntranceKey } from '../../packages/openvpn/src/wire/entrance.ts';
import {
  P_ACK_V1,
  P_CONTROL_HARD_RESET_CLIENT_V2,
  P_CONTROL_HARD_RESET_CLIENT_V3,
  P_CONTROL_HARD_RESET_SERVER_V2,
  P_CONTROL_SOFT_RESET_V1,
  P_CONTROL_V1,
  P_CONTROL_WKC_V1,
  type ControlOpcode,
} from '../../packages/openvpn/src/wire/opcodes.ts';
import { plainWrap } from '../../packages/openvpn/src/wire/plain-wrap.ts';
import { ReliableLayer } from '../../packages/openvpn/src/wire/reliable.ts';
import { SessionCookies } from '../../packages/openvpn/src/wire/session-cookie.ts';
import { tlsAuthWrap } from '../../packages/openvpn/src/wire/tls-auth.ts';
import { tlsCryptV2ClientWrap, tlsCryptWrap } from '../../packages/openvpn/src/wire/tls-crypt.ts';
import { wrapClientKey } from '../../packages/openvpn/src/wire/tls-crypt-v2.ts';
import { SERVER_KEY_FILE, TLS_CRYPT_V2 } from './wire-captures.ts';
import { parseTlsCryptV2ServerKey } from '../../packages/openvpn/src/wire/key-file.ts';
import { bytes, crypto } from './wire-crypto.ts';

const unixTime = 1_700_000_000;
const key = Uint8Array.from({ length: 256 }, (_, i) => i);
const serverKey = Uint8Array.from({ length: 128 }, (_, i) => 255 - i);
const metadata = bytes('0061626364');
const wrappedKey = wrapClientKey(crypto, serverKey, key, metadata);
const SESSION = bytes('0102030405060708');
const ADDRESS = bytes('c0000201d431');
const NOTHING = new Uint8Array(0);

const KINDS: Record<string, [EntranceKey, () => ControlWrap, ControlOpcode]> = {
  none: [{ kind: 'none' }, () => plainWrap({ crypto, unixTime, server: false }), P_CONTROL_HARD_RESET_CLIENT_V2],
  'tls-auth': [
    { kind: 'tls-auth', key, hash: 'sha256', direction: 0 },
    () => tlsAuthWrap({ crypto, unixTime, server: false, key, hash: 'sha256', direction: 1 }),
    P_CONTROL_HARD_RESET_CLIENT_V2,
  ],
  'tls-crypt': [
    { kind: 'tls-crypt', key },
    () => tlsCryptWrap({ crypto, unixTime, server: false, key }),
    P_CONTROL_HARD_RESET_CLIENT_V2,
  ],
  'tls-crypt-v2': [
    { kind: 'tls-crypt-v2', serverKey },
    () => tlsCryptV2ClientWrap({ crypto, unixTime, server: false, key, wrappedKey }),
    P_CONTROL_HARD_RESET_CLIENT_V3,
  ],
};

function reset(opcode: ControlOpcode): ControlPacket {
  return { opcode, keyId: 0, sessionId: SESSION, acks: [], remoteSessionId: undefined, packetId: 0, payload: NOTHING };
}

function arrival(result: Arrival | number): Arrival {
  assert.ok(typeof result !== 'number', 'dropped');
  return result;
}

for (const [kind, [entranceKey, clientWrap, opcode]] of Object.entries(KINDS))
  test(`${kind}: reset, answer, proof, and both go on from there`, () => {
    const entrance = new Entrance(crypto, entranceKey, unixTime);
    const cookies = new SessionCookies(crypto, new Uint8Array(32).fill(9));
    const wrap = clientWrap();
    const client = new ReliableLayer({ keyId: 0, sessionId: SESSION, wrapOverhead: wrap.overhead });
    client.start(opcode, 0);
    client.write(new Uint8Array(300).fill(22));
    const first = client.poll(0);
    assert.equal(first.length, 1, 'records wait for the answer');
    const one = arrival(entrance.open(wrap.wrap(first[0]) ?? NOTHING));
    assert.deepEqual(one.metadata, kind === 'tls-crypt-v2' ? metadata : undefined);
    assert.equal(one.resendsKey, kind === 'tls-crypt-v2');
    assert.ok(!cookies.proves(one.packet, ADDRESS, 0), 'a reset proves nothing');
    const answer = Entrance.answer(one, cookies.issue(one.packet.sessionId, ADDRESS, 0));

    const opened = wrap.unwrap(answer);
    assert.ok(typeof opened !== 'number');
    assert.equal(client.receive(opened, 10), undefined);
    const read = client.read();
    assert.equal(read?.opcode, P_CONTROL_HARD_RESET_SERVER_V2);
    const wanted = earlyNegotiation(read.payload);
    assert.deepEqual(wanted, { resendWrappedKey: kind === 'tls-crypt-v2' });
    if (kind === 'tls-crypt-v2') client.resendWrappedKey(wrappedKey.length);
    const [third] = client.poll(10);
    assert.equal(third.opcode, kind === 'tls-crypt-v2' ? P_CONTROL_WKC_V1 : P_CONTROL_V1);

    const two = arrival(entrance.open(wrap.wrap(third) ?? NOTHING));
    assert.deepEqual(two.metadata, one.metadata);
    assert.ok(!cookies.proves(two.packet, bytes('c0000202d431'), 20), 'another source');
    assert.ok(cookies.proves(two.packet, ADDRESS, 20));
    const { remoteSessionId, sessionId } = two.packet;
    assert.ok(remoteSessionId !== undefined);
    const server = new ReliableLayer({
      keyId: 0,
      sessionId: remoteSessionId,
      remoteSessionId: sessionId,
      wrapOverhead: two.wrap.overhead,
      resumed: true,
    });
    assert.equal(server.receive(two.packet, 20), undefined);
    assert.deepEqual(server.read()?.payload, new Uint8Array(300).fill(22));
    server.write(bytes('abcdef'));
    for (const packet of server.poll(20)) {
      const back = wrap.unwrap(two.wrap.wrap(packet) ?? NOTHING);
      assert.ok(typeof back !== 'number', 'the packet id of the session is behind that of the answer');
      assert.equal(client.receive(back, 30), undefined);
    }
    assert.deepEqual(client.read()?.payload, bytes('abcdef'));
    assert.ok(client.idle);
  });

test('a captured OpenVPN 2.6 comes in, and says that it can send its key again', () => {
  const entrance = new Entrance(crypto, { kind: 'tls-crypt-v2', serverKey: parseTlsCryptV2ServerKey(SERVER_KEY_FILE) ?? NOTHING }, unixTime); // prettier-ignore
  assert.ok(arrival(entrance.open(bytes(TLS_CRYPT_V2[0][1]))).resendsKey);
  const wrapped = arrival(entrance.open(bytes(TLS_CRYPT_V2[2][1])));
  assert.ok(!wrapped.resendsKey);
  assert.deepEqual(wrapped.packet.acks, [0]);
});

test('a client of 2.5 does not say so', () => {
  const old = tlsCryptV2ClientWrap({ crypto, unixTime, server: false, key, wrappedKey, firstPacketId: 1 });
  const entrance = new Entrance(crypto, { kind: 'tls-crypt-v2', serverKey }, unixTime);
  const one = arrival(entrance.open(old.wrap(reset(P_CONTROL_HARD_RESET_CLIENT_V3)) ?? NOTHING));
  assert.ok(!one.resendsKey);
  const opened = old.unwrap(Entrance.answer(one, bytes('aaaaaaaaaaaaaaaa')));
  assert.ok(typeof opened !== 'number');
  assert.equal(opened.payload.length, 0);
});

test('what has no place here', () => {
  for (const [kind, [entranceKey, clientWrap]] of Object.entries(KINDS)) {
    const entrance = new Entrance(crypto, entranceKey, unixTime);
    const send = (packet: ControlPacket): Arrival | number => entrance.open(clientWrap().wrap(packet) ?? NOTHING);
    assert.equal(send(reset(P_CONTROL_SOFT_RESET_V1)), DropReason.unknownReceiver);
    assert.equal(send(reset(P_CONTROL_HARD_RESET_SERVER_V2)), DropReason.unknownReceiver);
    assert.equal(send({ ...reset(P_CONTROL_V1), keyId: 1 }), DropReason.unknownReceiver);
    assert.equal(entrance.open(bytes('4800000000')), DropReason.unknownMessageType, 'data');
    if (kind !== 'tls-crypt-v2') continue;
    assert.equal(send(reset(P_CONTROL_HARD_RESET_CLIENT_V2)), DropReason.authenticationFailed);
    assert.equal(send(reset(P_CONTROL_V1)), DropReason.unknownReceiver);
    const other = new Entrance(crypto, { kind: 'tls-crypt-v2', serverKey: new Uint8Array(128) }, unixTime);
    const datagram = clientWrap().wrap(reset(P_CONTROL_HARD_RESET_CLIENT_V3)) ?? NOTHING;
    assert.equal(other.open(datagram), DropReason.authenticationFailed, 'a key of another server');
  }
});

test('a cookie is good for its slot and two more, and for what a handshake begins with', () => {
  const cookies = new SessionCookies(crypto, new Uint8Array(32).fill(1), 60_000);
  const remoteSessionId = cookies.issue(SESSION, ADDRESS, 29_999);
  const proof: ControlPacket = { ...reset(P_ACK_V1), acks: [0], remoteSessionId, packetId: undefined };
  assert.equal(remoteSessionId.length, 8);
  for (const now of [29_999, 30_000, 89_999]) assert.ok(cookies.proves(proof, ADDRESS, now), String(now));
  assert.ok(!cookies.proves(proof, ADDRESS, 90_000));
  assert.ok(cookies.proves({ ...proof, opcode: P_CONTROL_V1, packetId: 1, acks: [0, 1] }, ADDRESS, 30_000));
  assert.ok(!cookies.proves({ ...proof, acks: [2] }, ADDRESS, 30_000));
  assert.ok(!cookies.proves({ ...proof, packetId: 2 }, ADDRESS, 30_000));
  assert.ok(!cookies.proves({ ...proof, sessionId: bytes('0102030405060709') }, ADDRESS, 30_000));
  assert.ok(!cookies.proves({ ...proof, remoteSessionId: bytes('0000000000000001') }, ADDRESS, 30_000));
  const others = new SessionCookies(crypto, new Uint8Array(32).fill(2), 60_000);
  assert.ok(!others.proves(proof, ADDRESS, 30_000));
});
