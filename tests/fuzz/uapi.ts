// Mutated configuration, over the socket's protocol and in files. `npm run fuzz` calls it at length.
import assert from 'node:assert/strict';
import { SeededRandom } from '@sallyport/testkit';
import { decodeDeviceState, encodeDeviceChange, UapiDecoder } from '@sallyport/wireguard';
import type { UapiRequest } from '@sallyport/wireguard';
import { parseConfig } from '../../apps/cli/src/wg-quick/parse.ts';

export interface FuzzResult {
  /** Requests, answers and files that were understood. */
  readonly accepted: number;
  /** Those that were refused. */
  readonly dropped: number;
}

const HEX = '7f3c9a5be1d2084657aabbccddeeff00112233445566778899a0b1c2d3e4f506';
const BASE64 = Buffer.from(HEX, 'hex').toString('base64');
const OTHER = '5'.repeat(64);

const REQUEST = `set=1
private_key=${HEX}
listen_port=51820
fwmark=7
jc=4
jmin=40
jmax=70
s1=50
s2=100
h1=4294967295
h4=8
replace_peers=true
public_key=${OTHER}
preshared_key=${HEX}
endpoint=[fe80::1%eth0]:51820
persistent_keepalive_interval=25
replace_allowed_ips=true
allowed_ip=10.0.0.0/8
allowed_ip=-2001:db8::/32
protocol_version=1
public_key=${HEX}
update_only=true
remove=true

get=1

`;

const ANSWER = `private_key=${HEX}
listen_port=5
public_key=${OTHER}
preshared_key=${HEX}
endpoint=192.0.2.1:5
last_handshake_time_sec=1
last_handshake_time_nsec=2
rx_bytes=3
tx_bytes=4
persistent_keepalive_interval=5
allowed_ip=::/0
errno=0

`;

const FILE = `[Interface]
PrivateKey = ${BASE64}
ListenPort = 51820
FwMark = 0x33
Address = 10.0.0.1/24, fd00::1/64
DNS = 10.0.0.53, example.com
MTU = 1400
Table = auto
PostUp = echo %i
SaveConfig = true
[Peer]
PublicKey = ${Buffer.alloc(32, 0x55).toString('base64')}
PresharedKey = ${BASE64}
AllowedIPs = 10.0.0.0/8, ::/0
Endpoint = [2001:db8::1]:51820
PersistentKeepalive = 25
`;

/** What goes in beside random bytes: each has broken some parser once. */
const FRAGMENTS = ['\n', '\n\n', '=', '', '/', '/0', '/129', '::', '%', '[', ']', ':', ',', '#', '\0', '-', '0x', '\r\n', '9'.repeat(20), ' ', 'true', 'set=1\n', 'get=1\n', '\u00ff', '[Peer]\n', 'x'.repeat(300)]; // prettier-ignore

/** No more of a secret than this may show in a message. */
const SHOWN_LENGTH = 17;

/**
 * Feeds `iterations` mutated requests, answers and files to the decoders. Nothing may throw; what is accepted must
 * mean the same once encoded and decoded again, however its bytes are cut; and no message may show a key.
 */
export function fuzzUapi(iterations: number, seed: number): FuzzResult {
  const random = new SeededRandom(seed);
  let accepted = 0;
  let dropped = 0;
  for (let i = 0; i < iterations; i++) {
    try {
      const [yes, no] = random.pick([fuzzRequest, fuzzAnswer, fuzzFile])(random);
      accepted += yes;
      dropped += no;
    } catch (cause) {
      throw new Error(`iteration ${i} of seed ${seed}: ${String(cause)}`, { cause });
    }
  }
  return { accepted, dropped };
}

function fuzzRequest(random: SeededRandom): [number, number] {
  const bytes = Buffer.from(mutate(REQUEST, random), 'latin1');
  const whole = new UapiDecoder().push(bytes);
  const decoder = new UapiDecoder();
  const pieces: UapiRequest[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = 1 + random.below(100);
    pieces.push(...decoder.push(bytes.subarray(at, at + length)));
    at += length;
  }
  assert.deepEqual(pieces, whole);
  let accepted = 0;
  for (const request of whole) {
    if (request.kind === 'invalid') {
      assert.ok(request.errno > 0);
      assertHidden(request.reason);
      continue;
    }
    accepted++;
    if (request.kind !== 'set') continue;
    const text = [...encodeDeviceChange(request.change)].join('');
    const [again, ...more] = new UapiDecoder().push(Buffer.from(text, 'latin1'));
    assert.deepEqual(more, []);
    assert.deepEqual(again, request);
    assert.deepEqual(secretsOf(again), secretsOf(request));
  }
  return [accepted, whole.length - accepted];
}

function secretsOf(request: UapiRequest | undefined): unknown {
  if (request?.kind !== 'set') return undefined;
  const { privateKey, peers } = request.change;
  return [privateKey?.reveal(), peers.map(({ presharedKey }) => presharedKey?.reveal())];
}

function fuzzAnswer(random: SeededRandom): [number, number] {
  const decoded = decodeDeviceState(mutate(ANSWER, random));
  if (!decoded.ok) assertHidden(decoded.reason);
  return decoded.ok ? [1, 0] : [0, 1];
}

function fuzzFile(random: SeededRandom): [number, number] {
  const text = mutate(FILE, random);
  const parsed = parseConfig(text);
  if (parsed.ok) return [1, 0];
  const lines = text.split('\n').length;
  assert.ok(parsed.faults.length > 0);
  for (const { line, message } of parsed.faults) {
    assert.ok(line >= 1 && line <= lines);
    assert.ok(message.length < 400 && !/[^\x20-\x7e]/.test(message), JSON.stringify(message));
    assertHidden(message);
  }
  return [0, 1];
}

function assertHidden(message: string): void {
  for (const secret of [HEX, BASE64]) {
    for (let at = 0; at + SHOWN_LENGTH <= secret.length; at++) {
      assert.ok(!message.includes(secret.slice(at, at + SHOWN_LENGTH)), `a key shows in: ${message}`);
    }
  }
}

/** Cuts, doubles, swaps, overwrites and inserts, at a few places. */
function mutate(text: string, random: SeededRandom): string {
  let result = text;
  for (let n = random.below(5); n > 0; n--) {
    const at = random.below(result.length + 1);
    const to = Math.min(result.length, at + 1 + random.below(random.chance(0.8) ? 4 : 80));
    const piece = result.slice(at, to);
    const byte = String.fromCharCode(random.below(256));
    const inserted = random.pick([
      piece + piece,
      byte,
      '',
      random.pick(FRAGMENTS),
      byte + piece,
      random.pick(FRAGMENTS) + piece,
    ]);
    result = result.slice(0, at) + inserted + result.slice(to);
  }
  return result;
}
