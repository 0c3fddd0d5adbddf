// Random and mutated profiles of OpenVPN. `npm run fuzz` calls it at length.
import assert from 'node:assert/strict';
import { SeededRandom } from '@sallyport/testkit';
import { parseProfile, pulledNetwork } from '../../packages/openvpn/src/profile/index.ts';
import { block, CERTIFICATE, CLIENT_KEY, LEAST, STATIC_KEY } from '../openvpn/profile-files.ts';

const LINES: readonly string[] = [
  ...LEAST.split('\n'),
  'remote 192.0.2.1 1194 udp',
  'proto tcp-client',
  'data-ciphers AES-256-GCM:AES-128-GCM',
  'route 10.0.0.0 255.0.0.0 net_gateway 5',
  'route-ipv6 2001:db8::/32',
  'redirect-gateway def1 ipv6',
  'dhcp-option DNS 10.8.0.1',
  'dns server 0 address [fd00::1]:53 10.8.0.1:53',
  'static-challenge "code?" 1',
  'auth-user-pass',
  'pull-filter ignore "route"',
  'setenv opt block-outside-dns',
  'verify-x509-name "C=DE, CN=x y" subject',
  "setenv UV_X 'a b'",
  'keepalive 10 60',
  '<connection>',
  '</connection>',
  ...block('tls-auth', STATIC_KEY).split('\n'),
  ...block('tls-crypt-v2', CLIENT_KEY).split('\n'),
  ...block('extra-certs', CERTIFICATE).split('\n'),
];
const CHARACTERS = Array.from('\\"\'#;<>/-\t\r\n\0 :.%aZ09é\u2028');

/** Counts what is a profile (accepted) and what is none (dropped): nothing throws, and a fault has a line of the text. */
export function fuzzProfile(iterations: number, seed: number): { accepted: number; dropped: number } {
  const random = new SeededRandom(seed);
  let accepted = 0;
  let dropped = 0;
  for (let i = 0; i < iterations; i++) {
    const text = random.pick([noise, mutated, mutated, extended])(random);
    try {
      const result = parseProfile(text, { read: () => (random.chance(0.5) ? CERTIFICATE : undefined) });
      if (result.ok) {
        accepted++;
        const { profile } = result;
        assert.ok(profile.remotes.length > 0 && profile.dataCiphers.length > 0);
        for (const { port } of profile.remotes) assert.ok(port > 0 && port < 65_536);
        assert.ok(profile.authority !== undefined || profile.peerFingerprints.length > 0);
        const pushed = Array.from({ length: 8 }, () => mangle(random, random.pick(LINES)));
        for (const { prefix } of pulledNetwork(profile, pushed).network.routes)
          assert.match(prefix, /^[0-9a-f.:]+\/\d+$/);
      } else {
        dropped++;
        assert.ok(result.faults.length > 0 && result.faults.length <= 101);
        const lines = text.split('\n').length;
        for (const { line, message } of result.faults) {
          assert.ok(line >= 1 && line <= lines, `line ${String(line)} of ${String(lines)}`);
          assert.ok(message.length < 500);
        }
      }
    } catch (cause) {
      throw new Error(`iteration ${String(i)} of seed ${String(seed)}: ${String(cause)}`, { cause });
    }
  }
  return { accepted, dropped };
}

function noise(random: SeededRandom): string {
  return Array.from({ length: random.below(200) }, () => random.pick(CHARACTERS)).join('');
}

/** A whole profile, some of whose lines are changed, gone, or there twice. */
function mutated(random: SeededRandom): string {
  const lines = [...LEAST.split('\n'), random.pick(LINES), random.pick(LINES)];
  for (let changes = 1 + random.below(3); changes > 0; changes--) {
    const at = random.below(lines.length);
    const kind = random.below(4);
    if (kind === 0) lines.splice(at, 1);
    else if (kind === 1) lines.splice(at, 0, random.pick(LINES));
    else lines[at] = mangle(random, lines[at]);
  }
  return lines.join(random.chance(0.2) ? '\r\n' : '\n');
}

/** A whole profile, and lines that it may have. */
function extended(random: SeededRandom): string {
  const lines = LINES.filter((line) => !/^[<-]|^[0-9a-zA-Z+/=]{32,}$/.test(line));
  return LEAST + Array.from({ length: random.below(8) }, () => random.pick(lines)).join('\n');
}

function mangle(random: SeededRandom, line: string): string {
  const at = random.below(line.length + 1);
  const end = random.chance(0.3) ? at + random.below(4) : at;
  return line.slice(0, at) + random.pick(CHARACTERS) + line.slice(end);
}
