import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import { decodeStateKey, encodeStateKey, signState, verifyState, type SignedState } from '@sallyport/link';

const keys = generateKeyPairSync('ed25519');
const other = generateKeyPairSync('ed25519');

const state: SignedState = {
  gatewayId: 'gw1',
  version: 7,
  base: 0,
  change: {
    gateway: {
      id: 'gw1',
      name: 'Berlin',
      pool4: '100.64.0.0/10',
      pool6: 'fd00::/64',
      address4: '100.64.0.1',
      address6: 'fd00::1',
      egress: { ipv4: '192.0.2.1' },
      draining: false,
      neighbours: [{ gatewayId: 'gw2', host: 'oslo.example.org', port: 51_820 }],
      names: {
        upstreams: ['tls://9.9.9.9:853#dns.quad9.net'],
        blocked: ['ads.example'],
        blockLists: ['https://lists.example/hosts'],
        hosts: [{ name: 'db.internal', addresses: ['10.0.0.5', 'fd07::5'] }],
        domains: [{ domain: 'corp.example', servers: ['10.1.0.53'] }],
      },
    },
    putGroups: [
      {
        id: 'g',
        grants: [
          { rule: 'r', destination: { kind: 'network', prefix: '10.0.0.0/8' }, protocol: 'tcp', ports: [{ from: 1, to: 2 }] }, // prettier-ignore
        ],
      },
    ],
    removeGroups: [],
    putDevices: [
      { id: 'd', publicKey: `${'A'.repeat(43)}=`, ipv4: '100.64.0.2', ipv6: 'fd00::2', groups: ['g'], validUntil: 5, networks: ['10.1.0.0/16', 'fd07::/64'] }, // prettier-ignore
    ],
    removeDevices: ['x'],
  },
};

test('a signed state is read as it was', () => {
  const message = signState(state, keys.privateKey);
  assert.deepEqual(verifyState(message, keys.publicKey, 'gw1'), { ok: true, state });
  const key = decodeStateKey(encodeStateKey(keys.privateKey));
  assert.ok(key?.equals(keys.publicKey));
  assert.equal(encodeStateKey(keys.publicKey), encodeStateKey(keys.privateKey));
  assert.equal(decodeStateKey('AAAA'), undefined);
  assert.equal(decodeStateKey(encodeStateKey(generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey)), undefined);
});

test('every changed byte of the payload, and of the signature, is refused', () => {
  const { payload, signature } = signState(state, keys.privateKey);
  for (let at = 0; at < payload.length; at++) {
    const changed = payload.slice(0, at) + String.fromCharCode(payload.charCodeAt(at) ^ 1) + payload.slice(at + 1);
    assert.equal(verifyState({ payload: changed, signature }, keys.publicKey, 'gw1').ok, false);
  }
  const bytes = Buffer.from(signature, 'base64');
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ 0x10;
    assert.equal(verifyState({ payload, signature: changed.toString('base64') }, keys.publicKey, 'gw1').ok, false);
  }
  for (const bad of ['', 'AA==', 'not base64', signature.slice(0, -4)])
    assert.equal(verifyState({ payload, signature: bad }, keys.publicKey, 'gw1').ok, false);
});

test('a state of another key, for another gateway, or signed for another purpose is refused', () => {
  const message = signState(state, keys.privateKey);
  assert.deepEqual(verifyState(message, other.publicKey, 'gw1'), { ok: false, fault: "the state's signature is not the control plane's" }); // prettier-ignore
  assert.deepEqual(verifyState(message, keys.publicKey, 'gw2'), { ok: false, fault: 'the state is for another gateway' }); // prettier-ignore
  const bare = sign(null, Buffer.from(message.payload), keys.privateKey).toString('base64');
  assert.equal(verifyState({ ...message, signature: bare }, keys.publicKey, 'gw1').ok, false);
});

test('what is signed but makes no sense is refused all the same', () => {
  const refused = (payload: unknown): string => {
    const result = verifyState(signState(payload as SignedState, keys.privateKey), keys.publicKey, 'gw1');
    assert.equal(result.ok, false);
    return result.ok ? '' : result.fault;
  };
  assert.match(refused({ ...state, base: 7 }), /leads back/);
  assert.match(refused({ ...state, change: { ...state.change, gateway: undefined } }), /does not describe the gateway/);
  assert.match(refused({ ...state, extra: 1 }), /extra/);
  assert.match(refused({ ...state, version: 1.5 }), /version/);
  assert.match(refused(null), /can't be read/);
});
