import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Secret } from '@sallyport/core';
import { decodeDeviceState, encodeDeviceState, encodeErrno, parseEndpoint, parseIpPrefix } from '@sallyport/wireguard';
import type { DeviceState, IpPrefix, PeerState } from '@sallyport/wireguard';

function peer(n: number, fields: Partial<PeerState> = {}): PeerState {
  return {
    publicKey: new Uint8Array(32).fill(n),
    presharedKey: undefined,
    endpoint: undefined,
    lastHandshakeSeconds: 0,
    lastHandshakeNanoseconds: 0,
    rxBytes: 0,
    txBytes: 0,
    persistentKeepalive: 0,
    allowedIps: [],
    ...fields,
  };
}

const state: DeviceState = {
  privateKey: new Secret(new Uint8Array(32).fill(0x11)),
  listenPort: 51820,
  fwmark: 51,
  peers: [
    peer(0x22, {
      presharedKey: new Secret(new Uint8Array(32).fill(0x33)),
      endpoint: parseEndpoint('[2001:db8::1]:9'),
      lastHandshakeSeconds: 1_700_000_000,
      lastHandshakeNanoseconds: 5,
      rxBytes: 9_007_199_254_740_991,
      txBytes: 2,
      persistentKeepalive: 25,
      allowedIps: ['10.0.0.0/8', '::/0'].map((text) => parseIpPrefix(text) as IpPrefix),
    }),
    peer(0x44),
  ],
};

test('the answer to get=1 has what the protocol asks for', () => {
  assert.equal(
    [...encodeDeviceState(state)].join(''),
    `private_key=${'11'.repeat(32)}\nlisten_port=51820\nfwmark=51\n` +
      `public_key=${'22'.repeat(32)}\npreshared_key=${'33'.repeat(32)}\nprotocol_version=1\nendpoint=[2001:db8::1]:9\n` +
      'last_handshake_time_sec=1700000000\nlast_handshake_time_nsec=5\ntx_bytes=2\nrx_bytes=9007199254740991\n' +
      'persistent_keepalive_interval=25\nallowed_ip=10.0.0.0/8\nallowed_ip=::/0\n' +
      `public_key=${'44'.repeat(32)}\npreshared_key=${'00'.repeat(32)}\nprotocol_version=1\n` +
      'last_handshake_time_sec=0\nlast_handshake_time_nsec=0\ntx_bytes=0\nrx_bytes=0\n' +
      'persistent_keepalive_interval=0\nerrno=0\n\n',
  );
});

test('a state survives its encoding', () => {
  const decoded = decodeDeviceState([...encodeDeviceState(state)].join(''));
  assert.ok(decoded.ok);
  assert.equal(Buffer.from(decoded.state.privateKey?.reveal() ?? []).toString('hex'), '11'.repeat(32));
  assert.deepEqual([...decoded.state.peers], state.peers);
});

test('an answer without its errno, with another, or with a broken line is refused', () => {
  for (const [text, reason] of [
    ['listen_port=1\n', /ends before its errno/],
    ['errno=-22\n\n', /errno -22/],
    ['listen_port=x\nerrno=0\n\n', /line 1 /],
    [`public_key=${'zz'.repeat(32)}\nerrno=0\n\n`, /line 1 /],
    [`public_key=${'22'.repeat(32)}\nallowed_ip=10.0.0.0\nerrno=0\n\n`, /line 2 /],
    ['nonsense\nerrno=0\n\n', /line 1 /],
  ] as const) {
    const decoded = decodeDeviceState(text);
    assert.ok(!decoded.ok);
    assert.match(decoded.reason, reason);
  }
});

test('many peers come in many pieces', () => {
  const peers = Array.from({ length: 5000 }, (_, i) => peer(i & 255));
  const pieces = [...encodeDeviceState({ ...state, peers })];
  assert.ok(pieces.length > 10 && pieces.every((piece) => piece.length < 40_000));
});

test('an errno is answered as a negative number', () => {
  assert.equal(encodeErrno(0), 'errno=0\n\n');
  assert.equal(encodeErrno(22), 'errno=-22\n\n');
});

test("what is not WireGuard's own is told, and read back", () => {
  const variant = { jc: 4, jmin: 40, jmax: 70, s1: 50, s2: 100, h1: 4_294_967_295, h2: 6, h3: 7, h4: 8 };
  const text = [...encodeDeviceState({ ...state, variant })].join('');
  assert.match(
    text,
    /^fwmark=51\njc=4\njmin=40\njmax=70\ns1=50\ns2=100\nh1=4294967295\nh2=6\nh3=7\nh4=8\npublic_key=/m,
  );
  const decoded = decodeDeviceState(text);
  assert.ok(decoded.ok);
  assert.deepEqual(decoded.state.variant, variant);
  const plain = decodeDeviceState([...encodeDeviceState(state)].join(''));
  assert.ok(plain.ok && plain.state.variant === undefined);
  assert.ok(!decodeDeviceState('jc=129\nerrno=0\n\n').ok);
});
