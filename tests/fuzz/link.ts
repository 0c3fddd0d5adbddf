// Mutated frames, messages and signed states of the link. `npm run fuzz` calls it at length.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import {
  decodeMessage,
  encodeFrame,
  FrameDecoder,
  fromControl,
  fromGateway,
  LinkError,
  MAX_FRAME_BYTES,
  parseJoinToken,
  signState,
  verifyState,
} from '@sallyport/link';
import { SeededRandom } from '@sallyport/testkit';

const LIMIT = 4096;
const keys = generateKeyPairSync('ed25519');

const STATE = signState(
  {
    gatewayId: 'gw',
    version: 2,
    base: 1,
    change: {
      putGroups: [{ id: 'g', grants: [{ rule: 'r', destination: { kind: 'internet' }, protocol: 'any', ports: [] }] }],
      removeGroups: ['h'],
      putDevices: [],
      removeDevices: ['d'],
    },
  },
  keys.privateKey,
);

const MESSAGES: readonly object[] = [
  STATE,
  { kind: 'ping', sent: 1.5 },
  { kind: 'pong', sent: 2 },
  { kind: 'acknowledge', version: 3 },
  { kind: 'resync', reason: 'ä€😀' },
  { kind: 'goodbye', reason: 'removed', message: 'gone' },
  { kind: 'welcome', protocolVersion: 1, gatewayId: 'gw', stateKey: 'AA==' },
  {
    kind: 'hello',
    protocolVersion: 1,
    software: 'x',
    token: `spj_${'a'.repeat(32)}.${'0'.repeat(32)}`,
    tunnel: {
      wireguardPublicKey: `${'A'.repeat(43)}=`,
      endpointHost: '',
      endpointPort: 51820,
      amneziawg: { port: 51821, jc: 4, jmin: 40, jmax: 70, s1: 20, s2: 30, h1: 5, h2: 6, h3: 7, h4: 8 },
      tls: { host: '', port: 8444, path: `/${'a'.repeat(20)}`, certificateSha256: '0'.repeat(64) },
    },
    stateVersion: 0,
    addresses: ['192.0.2.1'],
  },
  {
    kind: 'report',
    devices: [{ id: 'd', lastHandshakeAt: 1, sentBytes: 2, receivedBytes: 3 }],
    health: 'healthy',
    problems: ['p'],
    load: { cpu: 0.5, memoryBytes: 1, receivedBitsPerSecond: 1, sentBitsPerSecond: 1, activeDevices: 1 },
  },
];

const FRAGMENTS = ['"', '{', '}', '[', ']', ',', ':', 'null', '1e999', '-1', '\\u0000', '\\ud800', '"__proto__":', '{"kind":', '\u00ff', '0'.repeat(40), 'x'.repeat(300)]; // prettier-ignore

/**
 * Feeds streams of mutated frames to the decoder, cut at random, and mutated messages and states to their readers.
 * Frames must come out the same however they are cut, nothing but a LinkError is thrown, what is accepted must mean the
 * same when it is encoded again, and no state passes but the one that was signed.
 */
export function fuzzLink(iterations: number, seed: number): { accepted: number; dropped: number } {
  const random = new SeededRandom(seed);
  let accepted = 0;
  let dropped = 0;
  for (let i = 0; i < iterations; i++) {
    try {
      if (random.pick([fuzzFrames, fuzzMessage, fuzzState])(random)) accepted++;
      else dropped++;
    } catch (cause) {
      throw new Error(`iteration ${i} of seed ${seed}: ${String(cause)}`, { cause });
    }
  }
  return { accepted, dropped };
}

function fuzzFrames(random: SeededRandom): boolean {
  const frames: Buffer[] = [];
  for (let n = random.below(6); n > 0; n--) {
    const text = JSON.stringify(random.pick(MESSAGES)).slice(0, random.below(LIMIT));
    frames.push(encodeFrame(text, LIMIT * 2));
  }
  const stream = Buffer.concat(frames);
  if (random.chance(0.3) && stream.length > 0) stream[random.below(stream.length)] = random.below(256);
  const whole = readFrames(stream, () => stream.length);
  const pieces = readFrames(stream, () => 1 + random.below(random.chance(0.5) ? 5 : 2000));
  assert.deepEqual(pieces, whole);
  return whole.at(-1) !== 'tooLong';
}

function readFrames(stream: Buffer, cut: () => number): string[] {
  const decoder = new FrameDecoder(LIMIT);
  const found: string[] = [];
  let fed = 0;
  let used = 0;
  while (fed < stream.length) {
    // A copy, as a frame may be looked at after its piece.
    const piece = Buffer.from(stream.subarray(fed, fed + cut()));
    decoder.push(piece);
    fed += piece.length;
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
      if (frame === 'tooLong') return [...found, 'tooLong'];
      assert.ok(frame.length <= LIMIT);
      used += 4 + frame.length;
      found.push(frame.toString('latin1'));
    }
    assert.ok(decoder.held <= fed - used, 'it holds more than came');
  }
  return found;
}

function fuzzMessage(random: SeededRandom): boolean {
  const bytes = Buffer.from(mutate(JSON.stringify(random.pick(MESSAGES)), random), 'utf8');
  if (random.chance(0.1) && bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256);
  let understood = 0;
  for (const schema of [fromGateway, fromControl])
    try {
      const message = decodeMessage<object>(bytes, schema);
      understood++;
      const again = decodeMessage<object>(encodeFrame(JSON.stringify(message), MAX_FRAME_BYTES).subarray(4), schema);
      assert.deepEqual(again, message);
      if ('token' in message && typeof message.token === 'string') parseJoinToken(message.token);
    } catch (error) {
      if (!(error instanceof LinkError)) throw error;
      assert.ok(error.message.length < 300 && !/[^\x20-\x7e]/.test(error.message), error.message);
    }
  assert.ok(understood <= 1, 'both sides understand the same message');
  return understood === 1;
}

function fuzzState(random: SeededRandom): boolean {
  const payload = random.chance(0.2) ? STATE.payload : mutate(STATE.payload, random);
  const signature = random.chance(0.5) ? STATE.signature : mutate(STATE.signature, random);
  const result = verifyState({ payload, signature }, keys.publicKey, 'gw');
  const same = Buffer.from(signature, 'base64').equals(Buffer.from(STATE.signature, 'base64'));
  assert.equal(result.ok, payload === STATE.payload && same);
  // Signed all the same: then the schema stands alone.
  let parsed: unknown;
  try {
    parsed = JSON.parse(payload);
  } catch {
    return result.ok;
  }
  const signed = signState(parsed as Parameters<typeof signState>[0], keys.privateKey);
  return verifyState(signed, keys.publicKey, 'gw').ok;
}

function mutate(text: string, random: SeededRandom): string {
  let result = text;
  for (let n = random.below(4); n > 0; n--) {
    const at = random.below(result.length + 1);
    const to = Math.min(result.length, at + random.below(random.chance(0.8) ? 4 : 60));
    const piece = result.slice(at, to);
    const inserted = random.pick(['', piece + piece, random.pick(FRAGMENTS), String.fromCharCode(random.below(256))]);
    result = result.slice(0, at) + inserted + result.slice(to);
  }
  return result;
}
