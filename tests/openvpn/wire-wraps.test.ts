import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { DropReason } from '../../packages/core/src/drop-reason.ts';
import { decodeBody, earlyNegotiation, type ControlPacket } from '../../packages/openvpn/src/wire/control-packet.ts';
import type { ControlWrap } from '../../packages/openvpn/src/wire/control-wrap.ts';
import {
  formatStaticKey,
  formatTlsCryptV2ClientKey,
  formatTlsCryptV2ServerKey,
  parseStaticKey,
  parseTlsCryptV2ClientKey,
  parseTlsCryptV2ServerKey,
} from '../../packages/openvpn/src/wire/key-file.ts';
import {
  P_ACK_V1,
  P_CONTROL_HARD_RESET_CLIENT_V3,
  P_CONTROL_HARD_RESET_SERVER_V2,
  P_CONTROL_V1,
  P_CONTROL_WKC_V1,
} from '../../packages/openvpn/src/wire/opcodes.ts';
import { PacketIdSource, ReplayWindow } from '../../packages/openvpn/src/wire/packet-ids.ts';
import { plainWrap } from '../../packages/openvpn/src/wire/plain-wrap.ts';
import { tlsAuthWrap } from '../../packages/openvpn/src/wire/tls-auth.ts';
import { tlsCryptV2ClientWrap, tlsCryptWrap } from '../../packages/openvpn/src/wire/tls-crypt.ts';
import {
  MAX_METADATA_BYTES,
  MAX_WRAPPED_KEY_BYTES,
  METADATA_TIMESTAMP,
  METADATA_USER,
  unwrapClientKey,
  wrapClientKey,
} from '../../packages/openvpn/src/wire/tls-crypt-v2.ts';
import {
  CLIENT_KEY_FILE,
  CLIENT_KEY_METADATA,
  DATED_CLIENT_KEY_FILE,
  DYNAMIC_KEY,
  DYNAMIC_TLS_CRYPT,
  SERVER_KEY_FILE,
  STATIC_KEY_FILE,
  TLS_AUTH,
  TLS_AUTH_UNDIRECTED,
  TLS_CRYPT,
  TLS_CRYPT_V2,
  type CapturedPacket,
} from './wire-captures.ts';
import { bytes, crypto, hex } from './wire-crypto.ts';

const unixTime = 1_700_000_000;
const staticKey = some(parseStaticKey(STATIC_KEY_FILE));
const serverKey = some(parseTlsCryptV2ServerKey(SERVER_KEY_FILE));
const clientKey = some(parseTlsCryptV2ClientKey(CLIENT_KEY_FILE));

function some<T>(value: T | undefined): T {
  assert.ok(value !== undefined);
  return value;
}

function packetOf(result: ControlPacket | number): ControlPacket {
  assert.ok(typeof result !== 'number', 'dropped');
  return result;
}

/** Both ends open the other's packets of a capture, and refuse each a second time. */
function replay(capture: readonly CapturedPacket[], server: ControlWrap, client: ControlWrap): ControlPacket[] {
  assert.ok(capture.length > 3);
  return capture.map(([from, text]) => {
    const wrap = from === 'client' ? server : client;
    const packet = packetOf(wrap.unwrap(bytes(text)));
    assert.equal(wrap.unwrap(bytes(text)), DropReason.replayed);
    const damaged = bytes(text);
    damaged[20] ^= 1;
    assert.equal(wrap.unwrap(damaged), DropReason.authenticationFailed);
    return packet;
  });
}

const MESSAGE: ControlPacket = {
  opcode: P_CONTROL_V1,
  keyId: 0,
  sessionId: bytes('0102030405060708'),
  acks: [3],
  remoteSessionId: bytes('1112131415161718'),
  packetId: 4,
  payload: bytes('160301'),
};

describe('what OpenVPN put on the wire', () => {
  test('tls-auth with SHA-256 and a direction', () => {
    const options = { crypto, unixTime, key: staticKey, hash: 'sha256' } as const;
    const server = tlsAuthWrap({ ...options, server: true, direction: 0 });
    const client = tlsAuthWrap({ ...options, server: false, direction: 1 });
    const packets = replay(TLS_AUTH, server, client);
    assert.deepEqual(packets[1].acks, [0]);
    assert.deepEqual(packets[1].remoteSessionId, packets[0].sessionId);
    assert.equal(packets[2].payload[0], 22, 'a record of the TLS handshake');
  });

  test('tls-auth with SHA-1 and no direction', () => {
    const options = { crypto, unixTime, key: staticKey, hash: 'sha1', direction: undefined } as const;
    replay(TLS_AUTH_UNDIRECTED, tlsAuthWrap({ ...options, server: true }), tlsAuthWrap({ ...options, server: false }));
  });

  test('tls-crypt', () => {
    const options = { crypto, unixTime, key: staticKey };
    replay(TLS_CRYPT, tlsCryptWrap({ ...options, server: true }), tlsCryptWrap({ ...options, server: false }));
  });

  test('tls-crypt-v2: the reset, the server that wants the key again, the client that sends it', () => {
    const options = { crypto, unixTime, key: clientKey.key };
    const server = tlsCryptWrap({ ...options, server: true });
    const client = tlsCryptV2ClientWrap({ ...options, server: false, wrappedKey: clientKey.wrappedKey });
    const packets = replay(TLS_CRYPT_V2, server, client);
    const opcodes = [P_CONTROL_HARD_RESET_CLIENT_V3, P_CONTROL_HARD_RESET_SERVER_V2, P_CONTROL_WKC_V1];
    assert.deepEqual(packets.slice(0, 3).map(({ opcode }) => opcode), opcodes); // prettier-ignore
    assert.deepEqual(earlyNegotiation(packets[1].payload), { resendWrappedKey: true });
    assert.equal(packets[2].payload[0], 22);
  });

  test('the same bytes again from what was opened', () => {
    // Packet id, time and key are the capture's; so it is the whole datagram.
    const [, text] = TLS_CRYPT_V2[2];
    const datagram = bytes(text);
    const view = new DataView(datagram.buffer);
    const options = { crypto, key: clientKey.key };
    const opened = packetOf(tlsCryptWrap({ ...options, unixTime, server: true }).unwrap(datagram));
    const client = tlsCryptV2ClientWrap({
      ...options,
      server: false,
      unixTime: view.getUint32(13),
      firstPacketId: view.getUint32(9),
      wrappedKey: clientKey.wrappedKey,
    });
    assert.equal(hex(some(client.wrap(opened))), text);
  });

  test('the dynamic key of a renegotiation', () => {
    const key = new Uint8Array(256);
    key.set(bytes(DYNAMIC_KEY.serverCipher), 0);
    key.set(bytes(DYNAMIC_KEY.serverHmac), 64);
    key.set(bytes(DYNAMIC_KEY.clientCipher), 128);
    key.set(bytes(DYNAMIC_KEY.clientHmac), 192);
    // What TLS exported is not in the log: it is that which the client's key makes the known one of.
    const material = key.map((byte, i) => byte ^ clientKey.key[i]);
    const options = { crypto, unixTime, key: clientKey.key };
    const server = tlsCryptWrap({ ...options, server: true }).dynamic(material);
    const client = tlsCryptV2ClientWrap({ ...options, server: false, wrappedKey: clientKey.wrappedKey }).dynamic(
      material,
    );
    for (const packet of replay(DYNAMIC_TLS_CRYPT, server, client)) assert.equal(packet.keyId, 1);
  });

  test('metadata of client keys', () => {
    const unwrapped = unwrapClientKey(crypto, serverKey, clientKey.wrappedKey);
    assert.ok(typeof unwrapped !== 'number');
    assert.deepEqual(unwrapped.key, clientKey.key);
    assert.equal(unwrapped.metadata[0], METADATA_USER);
    assert.equal(Buffer.from(unwrapped.metadata.subarray(1)).toString(), CLIENT_KEY_METADATA);
    const dated = some(parseTlsCryptV2ClientKey(DATED_CLIENT_KEY_FILE));
    const other = unwrapClientKey(crypto, serverKey, dated.wrappedKey);
    assert.ok(typeof other !== 'number');
    assert.equal(other.metadata[0], METADATA_TIMESTAMP);
    assert.equal(other.metadata.length, 9);
    assert.deepEqual(wrapClientKey(crypto, serverKey, dated.key, other.metadata), dated.wrappedKey);
  });
});

describe('protections between our own ends', () => {
  const pairs: Record<string, (server: boolean) => ControlWrap> = {
    plain: (server) => plainWrap({ crypto, unixTime, server }),
    'tls-auth md5': (server) => tlsAuthWrap({ crypto, unixTime, server, key: staticKey, hash: 'md5', direction: server ? 1 : 0 }), // prettier-ignore
    'tls-auth sha512': (server) => tlsAuthWrap({ crypto, unixTime, server, key: staticKey, hash: 'sha512', direction: server ? 0 : 1 }), // prettier-ignore
    'tls-crypt': (server) => tlsCryptWrap({ crypto, unixTime, server, key: staticKey }),
    'dynamic over plain': (server) => plainWrap({ crypto, unixTime, server }).dynamic(staticKey),
    'dynamic over tls-auth': (server) => tlsAuthWrap({ crypto, unixTime, server, key: staticKey, hash: 'sha1', direction: server ? 0 : 1 }).dynamic(new Uint8Array(256).fill(7)), // prettier-ignore
  };
  for (const [name, make] of Object.entries(pairs))
    test(name, () => {
      const server = make(true);
      const client = make(false);
      for (const [from, to] of [
        [server, client],
        [client, server],
      ] as const)
        // prettier-ignore
        for (const packet of [MESSAGE, { ...MESSAGE, opcode: P_ACK_V1, packetId: undefined, payload: new Uint8Array(0) } as const]) { // prettier-ignore
          const datagram = some(from.wrap(packet));
          const { length } = some(plainWrap({ crypto, unixTime, server: true }).wrap(packet));
          assert.equal(datagram.length, length + from.overhead);
          assert.deepEqual(to.unwrap(datagram), packet);
          if (name !== 'plain') assert.equal(typeof from.unwrap(datagram), 'number', 'its own, come back');
        }
    });

  test('any bit of a protected packet', () => {
    for (const name of ['tls-auth sha512', 'tls-crypt']) {
      const datagram = some(pairs[name](true).wrap(MESSAGE));
      const client = pairs[name](false);
      for (let bit = 0; bit < 8 * datagram.length; bit++) {
        const damaged = datagram.slice();
        damaged[bit >> 3] ^= 1 << (bit & 7);
        assert.equal(typeof client.unwrap(damaged), 'number', `bit ${String(bit)} of ${name}`);
      }
      for (let length = 0; length < datagram.length; length++)
        assert.equal(typeof client.unwrap(datagram.subarray(0, length)), 'number');
      assert.deepEqual(client.unwrap(datagram), MESSAGE);
    }
  });

  test('the key is copied, and of no use once it is erased', () => {
    // A slice of a Buffer is the same memory.
    const key = Buffer.from(staticKey);
    const server = tlsCryptWrap({ crypto, unixTime, server: true, key });
    const client = tlsCryptWrap({ crypto, unixTime, server: false, key });
    key.fill(0);
    const datagram = some(client.wrap(MESSAGE));
    assert.deepEqual(tlsCryptWrap({ crypto, unixTime, server: true, key: staticKey }).unwrap(datagram), MESSAGE);
    server.erase();
    assert.equal(server.unwrap(datagram), DropReason.authenticationFailed);
    const material = Buffer.alloc(256, 5);
    client.dynamic(material);
    assert.deepEqual(material, Buffer.alloc(256, 5));
    const other = Buffer.from(staticKey);
    const authenticates = tlsAuthWrap({ crypto, unixTime, server: true, key: other, hash: 'sha256', direction: 0 });
    authenticates.erase();
    assert.deepEqual(new Uint8Array(other), staticKey, "the caller's own is left alone");
  });
});

describe('packet ids of the protection', () => {
  test('they count up, and end', () => {
    const source = new PacketIdSource(unixTime, 0xfffffffe);
    assert.deepEqual([source.next(), source.next(), source.next()], [0xfffffffe, 0xffffffff, undefined]);
    const wrap = tlsCryptWrap({ crypto, unixTime, server: true, key: staticKey, firstPacketId: 0xffffffff });
    assert.ok(wrap.wrap(MESSAGE) !== undefined);
    assert.equal(wrap.wrap(MESSAGE), undefined);
  });

  test('each is taken once, in a window of 64, and no time goes back', () => {
    const window = new ReplayWindow();
    assert.ok(!window.accept(unixTime, 0));
    assert.ok(window.accept(unixTime, 100));
    assert.ok(!window.accept(unixTime, 100));
    assert.ok(window.accept(unixTime, 37));
    assert.ok(!window.accept(unixTime, 36));
    assert.ok(!window.accept(unixTime - 1, 101));
    assert.ok(window.accept(unixTime + 1, 1));
    assert.ok(!window.accept(unixTime, 101));
    assert.ok(window.accept(unixTime + 1, 0xffffffff));
  });

  test('as a list of all that were taken would have it', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 0, max: 200 })), { maxLength: 300 }),
        (ids) => {
          // prettier-ignore
          const window = new ReplayWindow();
          let latest = 0;
          let taken = new Set<number>();
          for (const [time, id] of ids) {
            if (time > latest && id !== 0) {
              latest = time;
              taken = new Set();
            }
            const expected = id !== 0 && time === latest && !taken.has(id) && id > Math.max(0, ...taken) - 64;
            assert.equal(window.accept(time, id), expected);
            if (expected) taken.add(id);
          }
        },
      ),
    );
  });
});

describe('key files', () => {
  test('what is read is written the same', () => {
    assert.equal(staticKey.length, 256);
    assert.equal(formatStaticKey(staticKey), STATIC_KEY_FILE);
    assert.equal(serverKey.length, 128);
    assert.equal(formatTlsCryptV2ServerKey(serverKey), SERVER_KEY_FILE);
    assert.equal(formatTlsCryptV2ClientKey(clientKey), CLIENT_KEY_FILE);
  });

  test('lines end as they like, and other text stands around them', () => {
    const text = `#\n# 2048 bit OpenVPN static key\n#\n${STATIC_KEY_FILE}\nmore`.replaceAll('\n', ' \r\n');
    assert.deepEqual(parseStaticKey(text), staticKey);
    const middle = Math.floor(SERVER_KEY_FILE.length / 2);
    const split = `${SERVER_KEY_FILE.slice(0, middle)}\n${SERVER_KEY_FILE.slice(middle)}`;
    assert.deepEqual(parseTlsCryptV2ServerKey(split), serverKey);
  });

  test('what is no whole key is none', () => {
    const lines = STATIC_KEY_FILE.split('\n');
    assert.equal(parseStaticKey(''), undefined);
    assert.equal(parseStaticKey(lines.toSpliced(3, 1).join('\n')), undefined);
    assert.equal(parseStaticKey(lines.slice(0, -2).join('\n')), undefined);
    assert.equal(parseStaticKey(STATIC_KEY_FILE.replace(/\n[0-9a-f]/, '\ng')), undefined);
    assert.equal(parseStaticKey(SERVER_KEY_FILE), undefined);
    assert.equal(parseTlsCryptV2ServerKey(CLIENT_KEY_FILE), undefined);
    assert.equal(parseTlsCryptV2ServerKey(formatTlsCryptV2ServerKey(serverKey.subarray(1))), undefined);
    assert.equal(parseTlsCryptV2ServerKey(formatTlsCryptV2ServerKey(new Uint8Array(0))), undefined);
    const { key, wrappedKey } = clientKey;
    for (const wrong of [wrappedKey.subarray(0, 289), new Uint8Array(MAX_WRAPPED_KEY_BYTES + 1)])
      assert.equal(parseTlsCryptV2ClientKey(formatTlsCryptV2ClientKey({ key, wrappedKey: wrong })), undefined);
  });
});

describe('wrapped client keys', () => {
  test('any metadata that fits comes back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: MAX_METADATA_BYTES }), (data) => {
        const metadata = Uint8Array.from(data);
        const wrapped = wrapClientKey(crypto, serverKey, staticKey, metadata);
        assert.equal(wrapped.length, 32 + 256 + metadata.length + 2);
        assert.deepEqual(unwrapClientKey(crypto, serverKey, wrapped), { key: staticKey, metadata });
      }),
      { numRuns: 30 },
    );
    assert.throws(
      () => wrapClientKey(crypto, serverKey, staticKey, new Uint8Array(MAX_METADATA_BYTES + 1)),
      RangeError,
    );
    assert.throws(() => wrapClientKey(crypto, serverKey, staticKey.subarray(1), new Uint8Array(0)), RangeError);
  });

  test('another server, a changed byte, another length', () => {
    const wrapped = wrapClientKey(crypto, serverKey, staticKey, bytes('00aa'));
    assert.equal(unwrapClientKey(crypto, new Uint8Array(128), wrapped), DropReason.authenticationFailed);
    for (let i = 0; i < wrapped.length - 2; i++) {
      const damaged = wrapped.slice();
      damaged[i] ^= 0x80;
      assert.equal(unwrapClientKey(crypto, serverKey, damaged), DropReason.authenticationFailed);
    }
    for (let length = 0; length < wrapped.length; length++)
      assert.equal(unwrapClientKey(crypto, serverKey, wrapped.subarray(0, length)), DropReason.malformedDatagram);
    assert.equal(unwrapClientKey(crypto, serverKey, new Uint8Array(1025)), DropReason.malformedDatagram);
  });

  test('a body that authenticates may still be malformed', () => {
    assert.equal(
      decodeBody({ opcode: P_ACK_V1, keyId: 0, sessionId: MESSAGE.sessionId }, bytes('00')),
      DropReason.malformedDatagram,
    );
  });
});
