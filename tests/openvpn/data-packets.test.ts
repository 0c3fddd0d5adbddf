import assert from 'node:assert/strict';
import { createCipheriv, createDecipheriv, createHmac, type CipherGCMTypes } from 'node:crypto';
import { test } from 'node:test';
import { PATH_PORT } from '@sallyport/core';
import { DATA_LIMITS, type DataKey } from '@sallyport/openvpn';
import { withSeed } from '@sallyport/testkit';
import { PING } from '../../packages/openvpn/src/wire/inner.ts';
import { DataEnd, hmac, ip, KINDS, material, pair } from './data-end.ts';

type Kind = Pick<DataKey, 'cipher' | 'format'>;
const GCM: Kind = { cipher: 'AES-256-GCM', format: 'v2' };
const CBC: Kind = { cipher: 'AES-256-CBC', format: 'v2' };
const EPOCH: Kind = { cipher: 'AES-256-GCM', format: 'epoch' };

// --- an implementation of its own, from the wire protocol's description --------------------------------------------

function label(secret: Uint8Array, name: string, bytes: number): Uint8Array {
  const full = Buffer.from(`ovpn ${name}`);
  const info = Buffer.concat([Buffer.from([bytes >> 8, bytes & 255, full.length]), full, Buffer.from([0])]);
  return hmac.hmac('sha256', secret, [info, Uint8Array.of(1)]).subarray(0, bytes);
}

/** Seals as one side would: `direction` 0 is the client's, 1 the server's. */
function sealByHand(
  kind: Kind,
  direction: 0 | 1,
  keyId: number,
  peerId: number,
  id: number,
  payload: Uint8Array,
): Buffer {
  const part = material(1).subarray(direction * 128, direction * 128 + 128);
  const opcode = Buffer.from([(9 << 3) | keyId, peerId >> 16, (peerId >> 8) & 255, peerId & 255]);
  const number = Buffer.alloc(4);
  number.writeUInt32BE(id % 2 ** 32);
  if (kind.cipher === 'AES-256-CBC') {
    const iv = Buffer.alloc(16, 0x5a);
    const cipher = createCipheriv('aes-256-cbc', part.subarray(0, 32), iv);
    const sealed = Buffer.concat([iv, cipher.update(number), cipher.update(payload), cipher.final()]);
    return Buffer.concat([opcode, createHmac('sha256', part.subarray(64, 96)).update(sealed).digest(), sealed]);
  }
  const keyBytes = kind.cipher === 'AES-128-GCM' ? 16 : 32;
  let key = part.subarray(0, keyBytes);
  let nonce = Buffer.concat([number, part.subarray(64, 72)]);
  let header = Buffer.concat([opcode, number]);
  if (kind.format === 'epoch') {
    const secret = part.subarray(0, 32);
    const packetId = Buffer.from([0, 1, 0, 0, 0, 0, 0, 0]);
    packetId.writeUIntBE(id, 2, 6);
    key = label(secret, 'data_key', keyBytes);
    nonce = Buffer.from(label(secret, 'data_iv', 12));
    for (let i = 0; i < 8; i++) nonce[i] ^= packetId[i];
    header = Buffer.concat([opcode, packetId]);
  }
  const cipher = createCipheriv(kind.cipher.toLowerCase() as CipherGCMTypes, key, nonce, { authTagLength: 16 });
  cipher.setAAD(header);
  const sealed = Buffer.concat([cipher.update(payload), cipher.final()]);
  const tag = cipher.getAuthTag();
  return Buffer.concat(kind.format === 'epoch' ? [header, sealed, tag] : [header, tag, sealed]);
}

for (const kind of KINDS)
  for (const memory of ['reference', 'real'] as const) {
    const name = `${kind.cipher} ${kind.format}, ${memory}`;

    test(`${name}: opens what an independent implementation seals, and seals the same`, () => {
      const { server, client, s, c } = pair(kind, { kind: memory });
      const payloads = [ip(1), ip(15), ip(16), ip(60, 9), ip(1400)];
      server.open(payloads.map((payload, i) => sealByHand(kind, 0, 0, 0, i + 1, payload)));
      assert.deepEqual(
        server.opened.map(({ bytes }) => bytes),
        payloads,
      );
      assert.ok(server.opened.every(({ session }) => session === s));
      client.open(payloads.map((payload, i) => sealByHand(kind, 1, 0, 0, i + 1, payload)));
      assert.deepEqual(
        client.opened.map(({ bytes }) => bytes),
        payloads,
      );
      if (kind.cipher === 'AES-256-CBC') return; // its IV is random: what it seals is opened below
      assert.deepEqual(
        client.seal(c, payloads).map((bytes) => Buffer.from(bytes)),
        payloads.map((payload, i) => sealByHand(kind, 0, 0, 0, i + 1, payload)),
      );
    });

    test(`${name}: goes both ways in trains whose datagrams touch`, () => {
      const { server, client, s, c } = pair(kind, { kind: memory });
      const payloads = Array.from({ length: 40 }, (_, i) => ip(i === 39 ? 501 : 1396, i));
      server.open(client.seal(c, payloads));
      client.open(server.seal(s, payloads));
      for (const end of [server, client]) {
        assert.deepEqual(
          end.opened.map(({ bytes }) => bytes),
          payloads,
        );
        end.datagrams.reduce((last, next) => {
          assert.equal(next.at, last.at + last.bytes.length);
          return next;
        });
        assert.deepEqual(end.drops, []);
      }
      const bytes = client.datagrams.reduce((sum, datagram) => sum + datagram.bytes.length, 0);
      assert.deepEqual(client.sessions.activity(c), {
        lastReceivedAt: 2000,
        lastSentAt: 1000,
        receivedBytes: bytes,
        sentBytes: bytes,
      });
    });

    test(`${name}: forged, cut and replayed datagrams are counted and change nothing`, () => {
      withSeed((random) => {
        const { server, client, s, c } = pair(kind, { kind: memory });
        const sealed = client.seal(c, [ip(100), ip(40)]);
        const forged = sealed.flatMap((good) =>
          Array.from({ length: 30 }, () => {
            const bad = good.slice(0, random.chance(0.3) ? random.below(good.length) : good.length);
            // neither opcode nor key id, so that it stays with this cipher
            if (bad.length > 4) bad[4 + random.below(bad.length - 4)] ^= 1 << random.below(8);
            return bad;
          }),
        );
        server.open(forged, 2);
        assert.equal(server.opened.length, 0);
        assert.equal(server.drops.length, forged.length);
        assert.equal(server.memory.view.getUint16(server.sessions.pathOf(s) + PATH_PORT, true), 1, 'did not float');
        assert.deepEqual(server.sessions.activity(s).lastReceivedAt, 1);
        server.open([...sealed, ...sealed]);
        assert.equal(server.opened.length, 2);
        assert.deepEqual(server.drops.slice(forged.length), ['replayed', 'replayed']);
      });
    });
  }

test('opened packets are handed on in any order within the window, each once', () => {
  withSeed((random) => {
    for (const kind of [GCM, EPOCH, CBC]) {
      const { server, client, c } = pair(kind);
      const sealed = Array.from({ length: 20 }, () => client.seal(c, [ip(30), ip(31), ip(32)])).flat();
      const order = Array.from({ length: 300 }, () => random.below(sealed.length));
      for (let i = 0; i < order.length; i += 7) server.open(order.slice(i, i + 7).map((k) => sealed[k]));
      assert.equal(server.opened.length, new Set(order).size);
      assert.ok(server.drops.every((reason) => reason === 'replayed'));
    }
  });
});

test('packet ids begin with 1, and go to 2^32 - 1, or to 2^48 - 1 with epochs', () => {
  for (const kind of [GCM, EPOCH, CBC]) {
    const { server } = pair(kind);
    const last = kind === EPOCH ? 2 ** 48 - 1 : 2 ** 32 - 1;
    const ids = [0, 1, 0, 1, last, last - 8160, last - 8161, last];
    server.open(ids.map((id) => sealByHand(kind, 0, 0, 0, id, ip(30))));
    assert.equal(server.opened.length, 3);
    assert.deepEqual(server.drops, Array(5).fill('replayed'));
  }
});

test('a session moves to the path of what is authentic, and answers by it', () => {
  const { server, client, s, c } = pair(GCM);
  const [first, second] = client.seal(c, [ip(40), ip(40)]);
  server.open([first], 1);
  server.open([second], 77);
  server.seal(s, [ip(50)]);
  assert.equal(server.datagrams[0].port, 77);
  server.open([first], 99);
  assert.equal(server.memory.view.getUint16(server.sessions.pathOf(s) + PATH_PORT, true), 77, 'a replay moves nothing');
});

test('pings end in the packet half, other messages go to the session half', () => {
  const { server, client, s, c } = pair(GCM);
  const occ = Uint8Array.of(0x28, 0x7f, 0x34, 0x6b, 6);
  server.open(client.seal(c, [new Uint8Array(), PING, occ, ip(30)]));
  assert.equal(client.datagrams[0].bytes.length, 24 + 16);
  assert.deepEqual(server.inners, [{ bytes: occ, session: s }]);
  assert.equal(server.opened.length, 1);
  assert.equal(server.sessions.activity(s).lastReceivedAt, 2000);
});

test('congestion marks of inner packets are copied; of other payloads there are none', () => {
  const { client, c } = pair(GCM);
  const marked = ip(40);
  marked[1] = 1;
  client.seal(c, [marked, ip(40), Uint8Array.of(0x28, 0xff)]);
  assert.deepEqual(
    client.datagrams.map(({ ecn }) => ecn),
    [1, 0, 0],
  );
});

test('control packets go on unlooked at, the rest is dropped by its reason', () => {
  const { server, client, c } = pair(GCM);
  const opcodes = Array.from({ length: 32 }, (_, opcode) => Uint8Array.of(opcode << 3, 0, 0, 0, 9));
  server.open(opcodes);
  assert.deepEqual(
    server.controls.map(([first]) => first >> 3),
    [3, 4, 5, 7, 8, 10, 11],
  );
  const [sealed] = client.seal(c, [ip(40)]);
  const otherKey = sealed.slice();
  otherKey[0] ^= 5;
  const otherPeer = sealed.slice();
  otherPeer[2] = 3;
  const none = sealed.slice();
  none.fill(0xff, 1, 4);
  server.drops.length = 0;
  server.open([new Uint8Array(), Uint8Array.of(0x48), sealed.slice(0, 24), otherKey, otherPeer, none]);
  assert.deepEqual(server.drops, [
    'malformedDatagram',
    'malformedDatagram',
    'malformedDatagram',
    'unknownReceiver',
    'unknownReceiver',
    'unknownReceiver',
  ]);
});

test('what is authentic but wrongly padded, or empty, is dropped', () => {
  const { server } = pair(CBC);
  const part = material(1);
  const craft = (plaintext: Uint8Array): Buffer => {
    const iv = Buffer.alloc(16);
    const cipher = createCipheriv('aes-256-cbc', part.subarray(0, 32), iv).setAutoPadding(false);
    const sealed = Buffer.concat([iv, cipher.update(plaintext)]);
    const mac = createHmac('sha256', part.subarray(64, 96)).update(sealed).digest();
    return Buffer.concat([Buffer.from([0x48, 0, 0, 0]), mac, sealed]);
  };
  const block = (id: number, ...tail: number[]): Uint8Array => {
    const bytes = new Uint8Array(16).fill(0x45);
    bytes.set([0, 0, 0, id]);
    bytes.set(tail, 16 - tail.length);
    return bytes;
  };
  server.open([
    craft(block(1, 0)),
    craft(block(2, 17)),
    craft(block(3, 3, 2, 3)),
    craft(block(4, ...Array<number>(12).fill(12))),
    craft(block(5, ...Array<number>(11).fill(11))),
  ]);
  assert.deepEqual(server.drops, Array(4).fill('malformedDatagram'));
  assert.deepEqual(server.opened[0].bytes, Uint8Array.of(0x45));
});

test('without a key or a path a packet is undeliverable', () => {
  const end = new DataEnd();
  const session = end.sessions.open(0);
  end.seal(session, [ip(40)]);
  end.sessions.installKey(session, 3, { ...GCM, material: material(2), server: true });
  end.sessions.sendWith(session, 3);
  end.seal(session, [ip(40)]);
  end.sessions.setPath(session, end.path(5));
  assert.equal(end.seal(session, [ip(40)])[0][0], (9 << 3) | 3);
  end.sessions.removeKey(session, 3);
  end.seal(session, [ip(40)]);
  assert.deepEqual(end.undelivered, ['noEndpoint', 'noEndpoint', 'noEndpoint']);
});

test('a new key opens beside the old one, which opens until it is removed', () => {
  const { server, client, s, c } = pair(GCM);
  const [old] = client.seal(c, [ip(40)]);
  for (const [end, session, isServer] of [
    [server, s, true],
    [client, c, false],
  ] as const)
    assert.ok(end.sessions.installKey(session, 1, { cipher: 'AES-128-GCM', format: 'v2', material: material(3), server: isServer })); // prettier-ignore
  client.sessions.sendWith(c, 1);
  assert.equal(server.sessions.heardBy(s, 1), false);
  const [by1, late] = client.seal(c, [ip(41), ip(43)]);
  server.open([by1]);
  assert.equal(server.sessions.heardBy(s, 1), true);
  assert.deepEqual(server.attended, [s]);
  server.sessions.attend(s, 1000);
  server.open([old]);
  assert.equal(server.opened.length, 2);
  assert.deepEqual(server.attended, [s, s], 'the old key is heard for the first time');
  client.sessions.sendWith(c, 0);
  const [again] = client.seal(c, [ip(42)]);
  server.sessions.removeKey(s, 0);
  server.open([again, late]);
  assert.deepEqual(server.drops, ['unknownReceiver']);
  assert.equal(server.opened.length, 3);
  assert.throws(() => server.sessions.installKey(s, 1, { ...GCM, material: material(3), server: true }), RangeError);
  assert.throws(() => server.sessions.installKey(s, 2, { ...EPOCH, material: material(3), server: true }), RangeError);
});

test('the session half is told again where it could not be told', () => {
  const { server, client, c, s } = pair(GCM);
  const sealed = client.seal(c, [ip(40), ip(41), ip(42)]);
  server.hears = false;
  server.open([sealed[0]]);
  server.hears = true;
  server.open([sealed[1]]);
  server.open([sealed[2]]);
  assert.deepEqual(server.attended, [s]);
});

test('a key that is nearly used up is said to be, and never used past its limit', () => {
  for (const [kind, packets] of [
    [{ cipher: 'CHACHA20-POLY1305', format: 'v2' }, true],
    [CBC, true],
    [GCM, false],
  ] as const) {
    // 20 packets, or 20 packets of two blocks each: 60
    const limits = packets
      ? { ...DATA_LIMITS, packets: 20, renewPackets: 10 }
      : { ...DATA_LIMITS, use: 60, renewUse: 30 };
    const { server, client, s, c } = pair(kind, { limits });
    for (let i = 0; i < 10; i++) client.seal(c, [ip(32)]);
    assert.equal(client.sessions.wornOut(c, 0), false);
    const eleventh = client.seal(c, [ip(32)]);
    assert.equal(client.sessions.wornOut(c, 0), true);
    assert.deepEqual(client.attended, [c]);
    for (let i = 0; i < 20; i++) client.seal(c, [ip(32)]);
    assert.equal(client.datagrams.length, 20);
    assert.deepEqual(client.undelivered, Array(11).fill('keypairExpired'));
    if (kind.cipher === 'AES-256-CBC') continue;
    const ids = client.datagrams.map(({ bytes }) => Buffer.from(bytes).readUInt32BE(4));
    assert.deepEqual(
      ids,
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
    // what comes wears a key of AES-GCM out too, and is taken nevertheless
    server.open(client.datagrams.map(({ bytes }) => bytes));
    assert.equal(server.opened.length, 20);
    assert.equal(server.sessions.wornOut(s, 0), !packets);
    assert.equal(eleventh.length, 1);
  }
});

test('the last packet id of a key is its limit: a run that would pass it is not begun', () => {
  const limits = { ...DATA_LIMITS, packets: 5 };
  const { client, c } = pair(GCM, { limits });
  client.seal(c, [ip(9), ip(9), ip(9)]);
  assert.deepEqual(client.seal(c, [ip(9), ip(9), ip(9)]), []);
  assert.equal(client.seal(c, [ip(9), ip(9)]).length, 2);
  assert.deepEqual(client.undelivered, Array(3).fill('keypairExpired'));
});

test('too many forgeries end a key', () => {
  const { server, client, s, c } = pair(GCM, { limits: { ...DATA_LIMITS, failures: 6, renewFailures: 3 } });
  const [good] = client.seal(c, [ip(40)]);
  const bad = good.slice();
  bad[20] ^= 1;
  server.open([bad, bad, bad]);
  assert.equal(server.sessions.wornOut(s, 0), false);
  server.open([bad]);
  assert.equal(server.sessions.wornOut(s, 0), true);
  assert.deepEqual(server.attended, [s]);
  server.open([bad, bad, bad]);
  server.open([good]);
  assert.equal(server.drops.at(-1), 'keypairExpired');
});

test('a datagram that was sealed opens by the description alone', () => {
  const { client, c } = pair(CBC);
  const [sealed] = client.seal(c, [ip(77, 3)]);
  const part = material(1);
  const mac = createHmac('sha256', part.subarray(64, 96)).update(sealed.subarray(36)).digest();
  assert.deepEqual(Buffer.from(sealed.subarray(4, 36)), mac);
  const cipher = createDecipheriv('aes-256-cbc', part.subarray(0, 32), sealed.subarray(36, 52));
  const plaintext = Buffer.concat([cipher.update(sealed.subarray(52)), cipher.final()]);
  assert.deepEqual(plaintext, Buffer.concat([Buffer.from([0, 0, 0, 1]), ip(77, 3)]));
});
