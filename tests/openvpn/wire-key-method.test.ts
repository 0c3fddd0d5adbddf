import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DropReason } from '../../packages/core/src/drop-reason.ts';
import { Secret } from '../../packages/core/src/secret.ts';
import { keyMaterialByPrf } from '../../packages/openvpn/src/wire/data-key-material.ts';
import {
  decodeKeyMethod2,
  encodeKeyMethod2,
  MAX_KEY_METHOD_BYTES,
  type KeyMethod2,
} from '../../packages/openvpn/src/wire/key-method.ts';
import { PRF } from './wire-captures.ts';
import { bytes, crypto, hex } from './wire-crypto.ts';

const PRE_MASTER = new Uint8Array(48).fill(1);
const RANDOM1 = new Uint8Array(32).fill(2);
const RANDOM2 = new Uint8Array(32).fill(3);
const CLIENT: KeyMethod2 = {
  preMaster: PRE_MASTER,
  random1: RANDOM1,
  random2: RANDOM2,
  options: 'V4,tls-client',
  userName: 'zoë',
  password: new Secret('pässword'),
  peerInfo: 'IV_VER=2.6.14\nIV_PROTO=990\n',
};
const HEAD = `0000000002${'01'.repeat(48)}${'02'.repeat(32)}${'03'.repeat(32)}`;

test('a client by hand', () => {
  const options = `000e${Buffer.from('V4,tls-client\0').toString('hex')}`;
  const login = `0005${Buffer.from('zoë\0').toString('hex')}000a${Buffer.from('pässword\0').toString('hex')}`;
  const peerInfo = `001c${Buffer.from('IV_VER=2.6.14\nIV_PROTO=990\n\0').toString('hex')}`;
  assert.equal(hex(encodeKeyMethod2(CLIENT)), HEAD + options + login + peerInfo);
  const message = decodeKeyMethod2(bytes(HEAD + options + login + peerInfo), 'client');
  assert.ok(typeof message === 'object');
  assert.deepEqual([message.preMaster, message.random1, message.random2], [PRE_MASTER, RANDOM1, RANDOM2]);
  assert.deepEqual([message.options, message.userName, message.password?.reveal()], ['V4,tls-client', 'zoë', 'pässword']); // prettier-ignore
  assert.equal(message.peerInfo, CLIENT.peerInfo);
  assert.ok(!JSON.stringify(message).includes('pässword'));
});

test('a server has no pre-master secret; absent strings have no length', () => {
  const server = { ...CLIENT, preMaster: undefined, userName: undefined, password: undefined, peerInfo: '' };
  const encoded = encodeKeyMethod2(server);
  assert.equal(
    hex(encoded),
    `0000000002${'02'.repeat(32)}${'03'.repeat(32)}000e56342c746c732d636c69656e7400000000000000`,
  );
  assert.deepEqual(decodeKeyMethod2(encoded, 'server'), { ...server, tooLong: false, length: encoded.length });
});

test('strings that an older peer leaves out', () => {
  const message = decodeKeyMethod2(bytes(`${HEAD}000000000000`), 'client');
  assert.ok(typeof message === 'object');
  assert.deepEqual([message.options, message.userName, message.peerInfo], ['', undefined, '']);
  assert.ok(typeof decodeKeyMethod2(bytes(`${HEAD}0000`), 'client') === 'object');
});

test('a message that is not whole yet, and one with more behind it', () => {
  const encoded = encodeKeyMethod2(CLIENT);
  const ends = new Set<number>();
  for (let length = 0; length < encoded.length; length++) {
    const part = decodeKeyMethod2(encoded.subarray(0, length), 'client');
    if (typeof part === 'object') ends.add(length);
    else assert.equal(part, 'short', String(length));
  }
  // Only between strings, where the rest might be absent.
  assert.deepEqual([...ends], [133, 140, 152]);
  const more = decodeKeyMethod2(Uint8Array.of(...encoded, 1, 2, 3), 'client');
  assert.ok(typeof more === 'object');
  assert.equal(more.length, encoded.length);
});

test('what no peer says', () => {
  const malformed = [
    `0000000001${HEAD.slice(10)}0000`,
    `${HEAD}000241420000`,
    `${HEAD}0003410000`,
    `${HEAD}0002ff00`,
    `${HEAD}000000030a4100`,
    `${HEAD}0202${'41'.repeat(513)}00`,
    `${HEAD}0202${'41'.repeat(513)}000000`,
  ];
  for (const text of malformed)
    assert.equal(decodeKeyMethod2(bytes(text), 'client'), DropReason.malformedDatagram, text.slice(HEAD.length, 300));
  assert.equal(decodeKeyMethod2(new Uint8Array(MAX_KEY_METHOD_BYTES + 1), 'client'), DropReason.malformedDatagram);
});

test('a user name or password that is too long is told apart: its user should hear of it', () => {
  const long = 'a'.repeat(4097);
  const fits = 'b'.repeat(4096);
  const say = (userName: string, password: string): unknown => {
    const message = decodeKeyMethod2(
      encodeKeyMethod2({ ...CLIENT, userName, password: new Secret(password) }),
      'client',
    );
    assert.ok(typeof message === 'object');
    return [message.tooLong, message.userName, message.password?.reveal()];
  };
  assert.deepEqual(say(long, 'x'), [true, undefined, undefined]);
  assert.deepEqual(say('x', long), [true, undefined, undefined]);
  assert.deepEqual(say(fits, fits), [false, fits, fits]);
});

test('what is encoded is decoded again', () => {
  const text = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((each) => !/\p{Cc}/u.test(each));
  fc.assert(
    fc.property(text, fc.option(text), fc.option(text), text, (options, userName, password, peerInfo) => {
      const message = {
        ...CLIENT,
        options,
        userName: userName ?? undefined,
        password: password === null ? undefined : new Secret(password),
        peerInfo,
      };
      const encoded = encodeKeyMethod2(message);
      const decoded = decodeKeyMethod2(encoded, 'client');
      assert.ok(typeof decoded === 'object');
      assert.deepEqual({ ...decoded, password: decoded.password?.reveal() }, { ...message, password: password ?? undefined, tooLong: false, length: encoded.length }); // prettier-ignore
    }),
  );
});

test("key material by TLS 1.0's PRF: OpenVPN's own keys", () => {
  const material = keyMaterialByPrf(crypto, {
    client: {
      preMaster: bytes(PRF.preMaster),
      random1: bytes(PRF.clientRandom1),
      random2: bytes(PRF.clientRandom2),
    },
    server: { random1: bytes(PRF.serverRandom1), random2: bytes(PRF.serverRandom2) },
    clientSessionId: bytes(PRF.clientSessionId),
    serverSessionId: bytes(PRF.serverSessionId),
  });
  assert.equal(material.length, 256);
  assert.equal(hex(material.subarray(0, 32)), PRF.clientKey);
  assert.equal(hex(material.subarray(128, 160)), PRF.serverKey);
});

test('asking for a message that comes byte by byte takes no time', () => {
  const long = 'é'.repeat(2040);
  const whole = encodeKeyMethod2({ ...CLIENT, userName: long, password: new Secret(long), peerInfo: 'IV_VER=1\n'.repeat(440) }); // prettier-ignore
  const begun = process.threadCpuUsage();
  let short = 0;
  for (let length = 0; length < whole.length; length++)
    if (decodeKeyMethod2(whole.subarray(0, length), 'client') === 'short') short++;
  assert.equal(short, whole.length - 3, 'an older peer might end behind each string');
  // Some milliseconds; where strings are decoded each time it is seconds.
  const { user, system } = process.threadCpuUsage(begun);
  assert.ok(user + system < 1_000_000, `${String(user + system)} µs`);
  const message = decodeKeyMethod2(whole, 'client');
  assert.ok(typeof message === 'object' && message.userName === long);
});
