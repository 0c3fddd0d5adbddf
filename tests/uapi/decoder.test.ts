import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Secret } from '@sallyport/core';
import { encodeDeviceChange, formatEndpoint, formatIpPrefix, parseEndpoint, UapiDecoder } from '@sallyport/wireguard';
import type { DeviceChange, UapiRequest } from '@sallyport/wireguard';

const A = 'a1'.repeat(32);
const B = 'b2'.repeat(32);
const P = 'c3'.repeat(32);

function decode(text: string): UapiRequest[] {
  return new UapiDecoder().push(new TextEncoder().encode(text));
}

function decodeSet(body: string): DeviceChange {
  const [request, ...rest] = decode(`set=1\n${body}\n`);
  assert.deepEqual(rest, []);
  assert.ok(request?.kind === 'set', JSON.stringify(request));
  return request.change;
}

function hex(key: Uint8Array | Secret<Uint8Array> | undefined): string | undefined {
  const bytes = key instanceof Secret ? key.reveal() : key;
  return bytes && Buffer.from(bytes).toString('hex');
}

test('a whole device is decoded', () => {
  const change = decodeSet(
    `private_key=${P}\nlisten_port=51820\nfwmark=4294967295\nreplace_peers=true\n` +
      `public_key=${A}\npreshared_key=${B}\nendpoint=192.0.2.1:1234\npersistent_keepalive_interval=25\n` +
      `replace_allowed_ips=true\nallowed_ip=10.192.124.1/24\nallowed_ip=-fd00::1/64\nprotocol_version=1\n` +
      `public_key=${B}\nremove=true\nupdate_only=true\n`,
  );
  assert.equal(hex(change.privateKey), P);
  assert.equal(change.listenPort, 51820);
  assert.equal(change.fwmark, 0xffff_ffff);
  assert.equal(change.replacePeers, true);
  const [first, second, ...others] = change.peers;
  assert.deepEqual(others, []);
  assert.equal(hex(first?.publicKey), A);
  assert.equal(hex(first?.presharedKey), B);
  assert.equal(first?.endpoint && formatEndpoint(first.endpoint), '192.0.2.1:1234');
  assert.equal(first?.persistentKeepalive, 25);
  assert.equal(first?.replaceAllowedIps, true);
  assert.deepEqual(
    first?.allowedIps.map((ip) => [formatIpPrefix(ip), ip.remove]),
    [
      ['10.192.124.0/24', false],
      ['fd00::/64', true],
    ],
  );
  assert.equal(hex(second?.publicKey), B);
  assert.deepEqual([second?.remove, second?.updateOnly, second?.endpoint], [true, true, undefined]);
});

test('what is not mentioned stays undefined', () => {
  assert.deepEqual(decodeSet(''), {
    privateKey: undefined,
    listenPort: undefined,
    fwmark: undefined,
    replacePeers: false,
    peers: [],
  });
  assert.equal(decodeSet('fwmark=\n').fwmark, 0);
});

test('an allowed IP that came before replace_allowed_ips is forgotten with the others', () => {
  const [peer] = decodeSet(`public_key=${A}\nallowed_ip=10.0.0.0/8\nreplace_allowed_ips=true\nallowed_ip=::/0\n`).peers;
  assert.deepEqual(peer?.allowedIps.map(formatIpPrefix), ['::/0']);
});

test('several requests may come on one connection, cut anywhere', () => {
  const text = `get=1\n\nset=1\nlisten_port=7\npublic_key=${A}\nallowed_ip=10.0.0.0/8\n\n\nset=1\nbad\n\nget=1\n\n`;
  const bytes = new TextEncoder().encode(text);
  const whole = new UapiDecoder().push(bytes);
  assert.deepEqual(
    whole.map(({ kind }) => kind),
    ['get', 'set', 'invalid', 'get'],
  );
  for (let size = 1; size <= bytes.length; size++) {
    const decoder = new UapiDecoder();
    const requests: UapiRequest[] = [];
    for (let at = 0; at < bytes.length; at += size) {
      assert.equal(decoder.midway || at === 0 || bytes[at - 1] === 10, true);
      requests.push(...decoder.push(bytes.slice(at, at + size)));
    }
    assert.deepEqual(requests, whole, `in pieces of ${size} bytes`);
    assert.equal(decoder.midway, false);
  }
});

const EINVAL = 22;
const EPROTO = 71;
const faults: readonly (readonly [string, number])[] = [
  ['listen_port', EPROTO],
  ['listen_port=65536', EINVAL],
  ['listen_port=-1', EINVAL],
  ['listen_port=', EINVAL],
  ['listen_port=080', EINVAL],
  ['listen_port= 80', EINVAL],
  ['fwmark=4294967296', EINVAL],
  ['fwmark=0x10', EINVAL],
  ['replace_peers=false', EINVAL],
  [`private_key=${A}0`, EINVAL],
  ['private_key=', EINVAL],
  [`private_key=${'g'.repeat(64)}`, EINVAL],
  ['public_key=abc', EINVAL],
  ['=', EINVAL],
  ['PrivateKey=x', EINVAL],
  ['endpoint=1.2.3.4:5', EINVAL],
  [`public_key=${A}\nlisten_port=1`, EINVAL],
  [`public_key=${A}\nendpoint=1.2.3.4`, EINVAL],
  [`public_key=${A}\nendpoint=1.2.3.4:0`, EINVAL],
  [`public_key=${A}\nendpoint=1.2.3.4:65536`, EINVAL],
  [`public_key=${A}\nendpoint=[1.2.3.4]:5`, EINVAL],
  [`public_key=${A}\nendpoint=fd00::1:5`, EINVAL],
  [`public_key=${A}\nendpoint=[fd00::1]5`, EINVAL],
  [`public_key=${A}\nendpoint=[fe80::1%]:5`, EINVAL],
  [`public_key=${A}\nendpoint=[fe80::1%${'x'.repeat(16)}]:5`, EINVAL],
  [`public_key=${A}\nendpoint=example.com:5`, EINVAL],
  [`public_key=${A}\nallowed_ip=10.0.0.0`, EINVAL],
  [`public_key=${A}\nallowed_ip=10.0.0.0/33`, EINVAL],
  [`public_key=${A}\nallowed_ip=--10.0.0.0/8`, EINVAL],
  [`public_key=${A}\nallowed_ip=`, EINVAL],
  [`public_key=${A}\npersistent_keepalive_interval=off`, EINVAL],
  [`public_key=${A}\nprotocol_version=2`, EINVAL],
  [`public_key=${A}\nremove=1`, EINVAL],
  [`public_key=${A}\nreplace_allowed_ips=false`, EINVAL],
  [`public_key=${A}\nlast_handshake_time_sec=1`, EINVAL],
  ['\u00e9=1', EINVAL],
];

for (const [body, errno] of faults) {
  test(`${JSON.stringify(body.replaceAll(A, 'KEY'))} is answered by errno ${errno}, and what follows is still read`, () => {
    const requests = decode(`set=1\nlisten_port=9\n${body}\nfwmark=nonsense\n\nget=1\n\n`);
    assert.equal(requests.length, 2);
    const [fault, next] = requests;
    assert.ok(fault?.kind === 'invalid');
    assert.equal(fault.errno, errno);
    assert.equal(fault.close, false);
    assert.match(fault.reason, /^line \d+: /);
    assert.ok(!fault.reason.includes(A));
    assert.deepEqual(next, { kind: 'get' });
  });
}

test('what begins no request, or never ends, closes the connection', () => {
  for (const text of [
    'hello\n',
    'get=2\n\n',
    'set=2\n',
    'get=1\nx=1\n',
    `set=1\n${'x'.repeat(300)}`,
    'x'.repeat(1000),
  ]) {
    const decoder = new UapiDecoder();
    const requests = decoder.push(new TextEncoder().encode(text));
    assert.equal(requests.length, 1, text);
    assert.ok(requests[0]?.kind === 'invalid' && requests[0].close);
    assert.deepEqual(decoder.push(new TextEncoder().encode('get=1\n\n')), []);
  }
});

test('a line that grows byte by byte is not kept for ever', () => {
  const decoder = new UapiDecoder();
  let closed = 0;
  for (let i = 0; i < 10_000 && closed === 0; i++) closed = decoder.push(Uint8Array.of(65)).length;
  assert.equal(closed, 1);
});

test('endpoints are read and written alike', () => {
  for (const text of ['192.0.2.1:1', '[2001:db8::1]:65535', '[fe80::1%eth0]:51820', '[::ffff:192.0.2.1]:9']) {
    const endpoint = parseEndpoint(text);
    assert.ok(endpoint);
    assert.equal(formatEndpoint(endpoint), text);
  }
});

test('100,000 peers are decoded from chunks, and a change survives encoding', () => {
  const lines = [`set=1\nprivate_key=${P}\nlisten_port=51820\nreplace_peers=true\n`];
  for (let i = 0; i < 100_000; i++) {
    const key = i.toString(16).padStart(64, 'a');
    lines.push(
      `public_key=${key}\npreshared_key=${key}\nendpoint=10.${i >> 16}.${(i >> 8) & 255}.${i & 255}:51820\n` +
        `persistent_keepalive_interval=25\nreplace_allowed_ips=true\n` +
        `allowed_ip=10.${i >> 16}.${(i >> 8) & 255}.${i & 255}/32\nallowed_ip=fd00::${(i >> 8).toString(16)}:${i & 255}/128\n`,
    );
  }
  lines.push('\n');
  const bytes = new TextEncoder().encode(lines.join(''));
  assert.ok(bytes.length > 20_000_000);
  const decoder = new UapiDecoder();
  const requests: UapiRequest[] = [];
  for (let at = 0; at < bytes.length; at += 65_536) requests.push(...decoder.push(bytes.subarray(at, at + 65_536)));
  const [request] = requests;
  assert.ok(request?.kind === 'set' && request.change.peers.length === 100_000);
  assert.equal(hex(request.change.peers[99_999]?.publicKey), (99_999).toString(16).padStart(64, 'a'));
  const again = new UapiDecoder().push(new TextEncoder().encode([...encodeDeviceChange(request.change)].join('')));
  assert.ok(again[0]?.kind === 'set');
  assert.deepEqual(again[0].change.peers[4711], request.change.peers[4711]);
});

test("AmneziaWG's keys are the device's, and only there", () => {
  assert.deepEqual(decodeSet('jc=4\njmin=40\njmax=70\ns1=50\ns2=100\nh1=4294967295\nh2=6\nh3=7\nh4=8\n').variant, {
    jc: 4,
    jmin: 40,
    jmax: 70,
    s1: 50,
    s2: 100,
    h1: 4_294_967_295,
    h2: 6,
    h3: 7,
    h4: 8,
  });
  // As with amneziawg-go, a type word of WireGuard's own means the default.
  assert.deepEqual(decodeSet('h2=0\nh3=1\n').variant, { h2: 2, h3: 3 });
  for (const body of [
    'jc=129',
    'jc=-1',
    'jc=',
    'jmin=x',
    's1=1133',
    'h1=4294967296',
    'h1=5-9',
    's3=1',
    `public_key=${A}\njc=1`,
  ]) {
    const [request] = decode(`set=1\n${body}\n\n`);
    assert.ok(request?.kind === 'invalid' && request.errno === 22, body);
  }
  const text = [...encodeDeviceChange(decodeSet('jc=4\njmax=9\nh4=77\n'))].join('');
  assert.equal(text, 'set=1\njc=4\njmax=9\nh4=77\n\n');
});
