// Random and damaged packets and texts of OpenVPN's control channel: at the entrance, where nothing is proved, and from a
// peer that has the key. `npm run fuzz` calls it at length.
import assert from 'node:assert/strict';
import { DROP_REASONS } from '@sallyport/core';
import { SeededRandom } from '@sallyport/testkit';
import { decodeCrv1, decodeCrv1Response, decodeScrv1 } from '../../packages/openvpn/src/wire/challenge.ts';
import { authFailed, ControlTextReader, encodeText, MAX_TEXT_BYTES, parseControlMessage } from '../../packages/openvpn/src/wire/control-message.ts'; // prettier-ignore
import { earlyNegotiation, encodeBody, MAX_ACKS, MAX_PAYLOAD_BYTES, type ControlPacket } from '../../packages/openvpn/src/wire/control-packet.ts'; // prettier-ignore
import { Entrance, type EntranceKey } from '../../packages/openvpn/src/wire/entrance.ts';
import { parseStaticKey, parseTlsCryptV2ClientKey, parseTlsCryptV2ServerKey } from '../../packages/openvpn/src/wire/key-file.ts'; // prettier-ignore
import { decodeKeyMethod2, encodeKeyMethod2 } from '../../packages/openvpn/src/wire/key-method.ts';
import { HEADER_BYTES, readHeader } from '../../packages/openvpn/src/wire/opcodes.ts';
import { formatPeerInfo, ivProto, parsePeerInfo, supportedCiphers } from '../../packages/openvpn/src/wire/peer-info.ts';
import { plainWrap } from '../../packages/openvpn/src/wire/plain-wrap.ts';
import { PushReplyReader } from '../../packages/openvpn/src/wire/push-reply.ts';
import { RECEIVE_WINDOW, ReliableLayer } from '../../packages/openvpn/src/wire/reliable.ts';
import { SessionCookies } from '../../packages/openvpn/src/wire/session-cookie.ts';
import { tlsAuthWrap } from '../../packages/openvpn/src/wire/tls-auth.ts';
import { sivKey, sivSeal, tlsCryptV2ClientWrap, tlsCryptWrap } from '../../packages/openvpn/src/wire/tls-crypt.ts';
import { wrapClientKey } from '../../packages/openvpn/src/wire/tls-crypt-v2.ts';
import { CLIENT_KEY_FILE, SERVER_KEY_FILE, STATIC_KEY_FILE, TLS_CRYPT_V2 } from '../openvpn/wire-captures.ts';
import { bytes, crypto } from '../openvpn/wire-crypto.ts';

const unixTime = 1_700_000_000;
const key = Uint8Array.from({ length: 256 }, (_, i) => i);
const serverKey = Uint8Array.from({ length: 128 }, (_, i) => i ^ 0x55);
const wrappedKey = wrapClientKey(crypto, serverKey, key, bytes('00616263'));
const CLIENT = bytes('0102030405060708');
const SERVER = bytes('1112131415161718');
const ADDRESS = bytes('c0000201d431');
const NOTHING = new Uint8Array(0);
const OPCODES = [3, 4, 5, 7, 8, 10, 11] as const;
const cookies = new SessionCookies(crypto, key.subarray(0, 32));

const options = { crypto, unixTime, server: false };
const ENTRANCES = (
  [
    [
      { kind: 'tls-auth', key, hash: 'sha1', direction: 0 },
      tlsAuthWrap({ ...options, key, hash: 'sha1', direction: 1 }),
    ],
    [{ kind: 'tls-crypt', key }, tlsCryptWrap({ ...options, key })],
    [{ kind: 'tls-crypt-v2', serverKey }, tlsCryptV2ClientWrap({ ...options, key, wrappedKey })],
  ] as const
).map(([entranceKey, wrap]) => {
  const opcode = entranceKey.kind === 'tls-crypt-v2' ? 10 : 7;
  const reset: ControlPacket = { opcode, keyId: 0, sessionId: CLIENT, acks: [], remoteSessionId: undefined, packetId: 0, payload: NOTHING }; // prettier-ignore
  const entrance = new Entrance(crypto, entranceKey satisfies EntranceKey, unixTime);
  return { entrance, genuine: wrap.wrap(reset) ?? NOTHING };
});

const KEY_METHOD = encodeKeyMethod2({
  preMaster: new Uint8Array(48),
  random1: new Uint8Array(32),
  random2: new Uint8Array(32),
  options: 'V4,dev-type tun',
  userName: 'bob',
  password: undefined,
  peerInfo: 'IV_VER=2.6\nIV_PROTO=990\nIV_CIPHERS=AES-256-GCM\n',
});

const TEXTS = ['PUSH_REQUEST', 'PUSH_REPLY,route 10.0.0.0 255.0.0.0,peer-id 1,push-continuation 2', 'AUTH_FAILED,TEMP[backoff 4,advance addr]:x', 'AUTH_FAILED,CRV1:R,E:state:Ym9i:Code?', 'AUTH_FAILED,SESSION:x', 'AUTH_PENDING,timeout 60', 'INFO_PRE,WEB_AUTH::https://a', 'RESTART,[NP]x', 'HALT,x', 'EXIT', 'CR_RESPONSE,YQ==', 'SCRV1:YQ==:Yg==', 'CRV1::state::answer', 'IV_PROTO=990\nIV_CIPHERS=A:B\n', STATIC_KEY_FILE, SERVER_KEY_FILE, CLIENT_KEY_FILE]; // prettier-ignore

/** Counts what means something (accepted) and what is refused (dropped). Nothing is thrown, nothing grows. */
export function fuzzOpenVpnControl(iterations: number, seed: number): { accepted: number; dropped: number } {
  const random = new SeededRandom(seed);
  const peer = new AuthenticPeer(random);
  const targets = [atTheEntrance, withoutProtection, () => peer.send(), keyMethod, texts];
  let accepted = 0;
  let dropped = 0;
  for (let i = 0; i < iterations; i++) {
    try {
      if (random.pick(targets)(random)) accepted++;
      else dropped++;
    } catch (cause) {
      throw new Error(`iteration ${String(i)} of seed ${String(seed)}: ${String(cause)}`, { cause });
    }
  }
  return { accepted, dropped };
}

function mutate(random: SeededRandom, original: Uint8Array): Uint8Array {
  let changed = original.slice();
  for (let changes = 1 + random.below(3); changes > 0; changes--)
    switch (random.below(5)) {
      case 0:
        if (changed.length > 0) changed[random.below(changed.length)] ^= 1 << random.below(8);
        break;
      case 1:
        if (changed.length > 0) changed[random.below(changed.length)] = random.pick([0, 1, 0x7f, 0xff, random.u32()]);
        break;
      case 2:
        changed = changed.slice(0, random.below(changed.length + 1));
        break;
      case 3:
        changed = Uint8Array.of(...changed, ...random.bytes(random.below(40)));
        break;
      case 4: {
        const at = random.below(changed.length + 1);
        changed = Uint8Array.of(...changed.subarray(0, at), ...random.bytes(random.below(9)), ...changed.subarray(at));
        break;
      }
    }
  return changed;
}

function isDropReason(value: unknown): boolean {
  return typeof value === 'number' && DROP_REASONS[value] !== undefined;
}

/** Without the key nobody comes in; with it everybody does, whatever came before. */
function atTheEntrance(random: SeededRandom): boolean {
  const { entrance, genuine } = random.pick(ENTRANCES);
  if (random.chance(0.1)) {
    const arrival = entrance.open(genuine);
    assert.ok(typeof arrival !== 'number');
    assert.ok(!cookies.proves(arrival.packet, ADDRESS, 0));
    assert.ok(Entrance.answer(arrival, SERVER).length < 3 * genuine.length, 'an answer is no amplifier');
    return true;
  }
  const datagram = random.chance(0.2) ? random.bytes(random.below(700)) : mutate(random, genuine);
  if (datagram.length === genuine.length && datagram.every((byte, i) => byte === genuine[i])) return true;
  assert.ok(isDropReason(entrance.open(datagram)), 'a forged packet came in');
  return false;
}

/** Nothing stands before the decoder. */
function withoutProtection(random: SeededRandom): boolean {
  const wrap = plainWrap({ ...options, server: true });
  const genuine = wrap.wrap({ opcode: random.pick(OPCODES), keyId: 0, sessionId: CLIENT, acks: [0, 1], remoteSessionId: SERVER, packetId: 1, payload: random.bytes(30) }) ?? NOTHING; // prettier-ignore
  const datagram = random.chance(0.2) ? random.bytes(random.below(60)) : mutate(random, genuine);
  const packet = wrap.unwrap(datagram);
  if (typeof packet === 'number') {
    assert.ok(isDropReason(packet));
    return false;
  }
  assert.ok(packet.acks.length <= MAX_ACKS && packet.payload.length <= MAX_PAYLOAD_BYTES);
  assert.equal(packet.remoteSessionId === undefined, packet.acks.length === 0);
  assert.deepEqual(wrap.wrap(packet), datagram);
  assert.ok(!cookies.proves(packet, ADDRESS, random.below(100_000)));
  const wanted = earlyNegotiation(packet.payload);
  assert.ok(typeof wanted === 'object' || isDropReason(wanted));
  return true;
}

/** A peer that has the key and says anything: bodies that are authentic and wrong, in a session that goes on. */
class AuthenticPeer {
  readonly #random: SeededRandom;
  readonly #client = sivKey(key.subarray(128));
  #id = 0;
  #now = 0;
  #wrap = tlsCryptWrap({ ...options, server: true, key });
  #sent = 0;
  #read = 0;
  #layer = this.#newLayer();

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  #newLayer(): ReliableLayer {
    this.#sent = this.#read = 0;
    return new ReliableLayer({ keyId: 0, sessionId: SERVER, remoteSessionId: CLIENT, wrapOverhead: 40, resumed: true });
  }

  send(): boolean {
    const random = this.#random;
    if (random.chance(0.01)) this.#layer = this.#newLayer();
    const packet = this.#wrap.unwrap(this.#datagram());
    if (typeof packet === 'number') {
      assert.ok(isDropReason(packet));
      return false;
    }
    this.#now += random.below(500);
    const reason = this.#layer.receive(packet, this.#now);
    assert.ok(reason === undefined || isDropReason(reason));
    if (random.chance(0.5) && this.#layer.write(random.bytes(random.below(5000)))) this.#sent++;
    let read = 0;
    while (this.#layer.read() !== undefined) read++;
    assert.ok(read <= RECEIVE_WINDOW);
    this.#read += read;
    const answers = this.#layer.poll(this.#now);
    assert.ok(answers.length <= 8, `${String(answers.length)} packets at once`);
    for (const answer of answers) assert.ok((this.#wrap.wrap(answer)?.length ?? 0) + 48 <= 1250);
    const next = this.#layer.pollTimeout();
    assert.ok(next === undefined || next > this.#now, 'it has nothing to do at once, again');
    return reason === undefined;
  }

  #datagram(): Uint8Array {
    const random = this.#random;
    const opcode = random.pick(OPCODES);
    const acks = Array.from({ length: random.below(10) }, () => random.below(this.#sent + 4));
    const honest = encodeBody({ opcode, keyId: 0, sessionId: CLIENT, acks, remoteSessionId: acks.length > 0 ? SERVER : undefined, packetId: opcode === 5 ? undefined : this.#read + random.below(8), payload: random.bytes(random.below(50)) }); // prettier-ignore
    const body = random.chance(0.3) ? mutate(random, honest) : honest;
    const plain = Uint8Array.of((opcode << 3) | (random.chance(0.05) ? 1 : 0), ...CLIENT, ...new Uint8Array(8));
    new DataView(plain.buffer).setUint32(HEADER_BYTES, ++this.#id);
    new DataView(plain.buffer).setUint32(HEADER_BYTES + 4, unixTime);
    const { tag, ciphertext } = sivSeal(crypto, this.#client, plain, body);
    return Uint8Array.of(...plain, ...tag, ...ciphertext, ...(opcode >= 10 ? wrappedKey : []));
  }
}

function keyMethod(random: SeededRandom): boolean {
  const from = random.chance(0.8) ? 'client' : 'server';
  const said = random.chance(0.1) ? random.bytes(random.below(400)) : mutate(random, KEY_METHOD);
  const message = decodeKeyMethod2(said, from);
  if (typeof message !== 'object') {
    assert.ok(message === 'short' || isDropReason(message));
    return false;
  }
  assert.ok(message.length <= said.length && message.options.length <= 512);
  const again = decodeKeyMethod2(encodeKeyMethod2(message), from);
  assert.ok(typeof again === 'object');
  assert.deepEqual([again.userName, again.options, again.peerInfo], [message.userName, message.options, message.peerInfo]); // prettier-ignore
  const peerInfo = parsePeerInfo(message.peerInfo);
  assert.deepEqual(parsePeerInfo(formatPeerInfo(peerInfo)), peerInfo);
  assert.ok(ivProto(peerInfo) >= 0 && supportedCiphers(peerInfo, message.options).length <= 1024);
  return true;
}

const pushes = new PushReplyReader();

function texts(random: SeededRandom): boolean {
  const said = mutate(random, random.chance(0.05) ? bytes(random.pick(TLS_CRYPT_V2)[1]) : Buffer.from(random.pick(TEXTS))); // prettier-ignore
  readHeader(said);
  const reader = new ControlTextReader();
  const cut = random.below(said.length + 1);
  const read = [said.subarray(0, cut), said.subarray(cut), Uint8Array.of(0)].flatMap<string | number>((part) =>
    reader.push(part),
  );
  let understood = false;
  for (const text of read) {
    assert.ok(typeof text === 'string');
    decodeScrv1(text);
    decodeCrv1(text);
    decodeCrv1Response(text);
    const message = parseControlMessage(text);
    understood ||= message.kind !== 'unknown';
    if (message.kind === 'pushReply') {
      const whole = pushes.push(message.options);
      assert.ok(whole === 'more' || Array.isArray(whole) || isDropReason(whole));
    }
    if (message.kind === 'authFailed') assert.ok(encodeText(authFailed(message.failure)).length <= MAX_TEXT_BYTES);
  }
  const file = Buffer.from(said).toString('latin1');
  for (const found of [parseStaticKey(file), parseTlsCryptV2ServerKey(file), parseTlsCryptV2ClientKey(file)?.key])
    assert.ok(found === undefined || found.length === 256 || found.length === 128);
  return understood;
}
