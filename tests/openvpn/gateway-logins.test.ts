/** How the gateway decides about OpenVPN clients: what it judges by itself, and what it asks the control plane. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import type { LoginRequest, Logins } from '@sallyport/agent';
import { Secret } from '@sallyport/core';
import type { AuthenticationRequest, Verdict } from '@sallyport/openvpn';
import type { DevicePlan, OpenVpnDevice } from '@sallyport/policy';
import { AuthTokens } from '../../apps/server/src/gateway/auth-tokens.ts';
import { OpenVpnLogins } from '../../apps/server/src/gateway/openvpn-logins.ts';

const ID = '00000000-0000-4000-8000-000000000001';
const OTHER = '00000000-0000-4000-8000-000000000002';
const CERTIFICATE = new Uint8Array(randomBytes(400));
const SHA256 = createHash('sha256').update(CERTIFICATE).digest('hex');
const KEY = new Uint8Array(randomBytes(128));
const HOUR_MS = 3_600_000;

function setUp(openvpn: Partial<OpenVpnDevice> | undefined) {
  let now = 1_800_000_000_000;
  const decided: Verdict[] = [];
  const asked: LoginRequest[] = [];
  let answer: Parameters<Logins['ask']>[1] | undefined;
  let cancelled = 0;
  const tokens = new AuthTokens(KEY, () => now);
  const devices = new Map<string, DevicePlan>();
  const device: DevicePlan = {
    id: ID,
    ipv4: '10.0.0.2',
    ipv6: 'fd00::2',
    groups: [],
    openvpn: { certificates: [], login: 'password', userName: 'alice', ...openvpn },
  };
  if (openvpn !== undefined) devices.set(ID, device);
  const logins = new OpenVpnLogins({
    tokens,
    logins: {
      ask(request, then) {
        asked.push(request);
        answer = then;
        return () => {
          cancelled++;
        };
      },
    },
    device: (id) => devices.get(id),
    push: () => ['route 10.1.0.0 255.255.0.0'],
    addressOf: () => '192.0.2.7',
    decide: (_id, verdict) => decided.push(verdict),
  });
  return {
    tokens,
    asked,
    devices,
    device,
    get cancelled() {
      return cancelled;
    },
    /** What was decided at once, or nothing. */
    ask(request: Partial<AuthenticationRequest>): Verdict | undefined {
      decided.length = 0;
      logins.ask({
        id: 1,
        profile: Uint8Array.of(0, ...Buffer.from(ID)),
        certificate: undefined,
        userName: undefined,
        password: undefined,
        response: undefined,
        challengeState: undefined,
        peerInfo: new Map(),
        path: 0,
        renewing: undefined,
        ...request,
      });
      return decided[0];
    },
    answer(verdict: Parameters<Parameters<Logins['ask']>[1]>[0]): Verdict {
      decided.length = 0;
      answer?.(verdict);
      return decided[0];
    },
    cancel: () => {
      logins.cancel(1);
    },
    pass: (milliseconds: number) => {
      now += milliseconds;
    },
  };
}

const shown = { userName: 'alice', password: new Secret('right') };

test('a certificate is looked for, and does where nothing else is asked', () => {
  const rig = setUp({ certificates: [SHA256], login: 'certificate' });
  const admitted = rig.ask({ certificate: CERTIFICATE });
  assert.ok(admitted?.kind === 'admit');
  assert.deepEqual([admitted.deviceId, admitted.ipv4, admitted.token], [ID, '10.0.0.2', undefined]);
  assert.ok(admitted.push.includes('route 10.1.0.0 255.255.0.0'));
  for (const certificate of [undefined, new Uint8Array(400)])
    assert.equal(rig.ask({ certificate, ...shown })?.kind, 'refuse');
  assert.equal(rig.asked.length, 0);
});

test('a profile of nobody, or of another device than the one that renegotiates', () => {
  const rig = setUp({ login: 'certificate' });
  for (const profile of [undefined, Uint8Array.of(0), Uint8Array.of(1, ...Buffer.from(ID)), Uint8Array.of(0, 255, 0)])
    assert.equal(rig.ask({ profile })?.kind, 'refuse');
  assert.equal(rig.ask({ renewing: OTHER })?.kind, 'refuse');
  assert.equal(rig.ask({ renewing: ID })?.kind, 'admit');
});

test('a password is asked about; with the token that follows nobody is asked, for twelve hours', () => {
  const rig = setUp({ login: 'password' });
  assert.equal(rig.ask({ ...shown, response: new Secret('123456') }), undefined);
  const { proof, ...rest } = rig.asked[0];
  assert.deepEqual(rest, { deviceId: ID, address: '192.0.2.7', client: '', certificate: undefined });
  assert.ok(proof.kind === 'password' && proof.password.reveal() === 'right' && proof.code?.reveal() === '123456');
  const admitted = rig.answer({ kind: 'admit' });
  assert.ok(admitted.kind === 'admit' && admitted.token !== undefined);
  const { token } = admitted;
  const again = (): Verdict | undefined => rig.ask({ userName: 'alice', password: token });
  rig.pass(12 * HOUR_MS - 2000);
  assert.equal(again()?.kind, 'admit');
  rig.pass(2000);
  const refused = again();
  assert.ok(refused?.kind === 'refuse' && refused.sessionEnded === true);
  assert.equal(rig.asked.length, 1);
});

test('a token is good for its device alone, unchanged, and for nobody who may not connect', () => {
  const rig = setUp({ login: 'password' });
  const token = rig.tokens.issue(ID);
  assert.ok(rig.tokens.isValid(token, ID));
  assert.ok(!rig.tokens.isValid(token, OTHER));
  assert.ok(!new AuthTokens(new Uint8Array(128), () => 1_800_000_000_000).isValid(token, ID));
  const text = token.reveal();
  for (let i = 0; i < text.length; i += 3) {
    const changed = text.slice(0, i) + (text[i] === 'A' ? 'B' : 'A') + text.slice(i + 1);
    assert.ok(!rig.tokens.isValid(new Secret(changed), ID));
  }
  for (const cut of ['', text.slice(0, 10), text.slice(0, -1), `${text}AAAA`])
    assert.ok(!rig.tokens.isValid(new Secret(cut), ID));
  rig.devices.clear();
  assert.equal(rig.ask({ userName: 'alice', password: token }), undefined);
  assert.equal(rig.asked[0].proof.kind, 'none');
  const refused = rig.answer({ kind: 'refuse', reason: 'the user is disabled' });
  assert.ok(refused.kind === 'refuse' && refused.sessionEnded === true && refused.reason === 'the user is disabled');
});

test('a challenge goes out, and its answer needs no password', () => {
  const rig = setUp({ login: 'password' });
  rig.ask(shown);
  const challenge = { state: 's', text: 'Code', echo: true };
  const verdict = rig.answer({ kind: 'refuse', reason: 'a code is needed', challenge });
  assert.ok(verdict.kind === 'refuse');
  assert.deepEqual(verdict.challenge, challenge);
  assert.equal(rig.ask({ userName: 'alice', challengeState: 's', response: new Secret('1') }), undefined);
  const { proof } = rig.asked[1];
  assert.ok(proof.kind === 'password' && proof.challengeState === 's' && proof.code?.reveal() === '1');
});

test('a browser: for who can open one', () => {
  const rig = setUp({ login: 'web' });
  assert.equal(rig.ask(shown)?.kind, 'refuse');
  for (const [sso, info] of [
    ['openurl,crtext', 'OPEN_URL:https://x/'],
    ['webauth,openurl', 'WEB_AUTH::https://x/'],
  ] as const) {
    assert.equal(rig.ask({ peerInfo: new Map([['IV_SSO', sso]]) }), undefined);
    assert.equal(rig.asked.at(-1)?.proof.kind, 'web');
    const pending = rig.answer({ kind: 'web', url: 'https://x/', timeoutSeconds: 60 });
    assert.deepEqual(pending, { kind: 'pending', timeoutSeconds: 60, info });
    const admitted = rig.answer({ kind: 'admit' });
    assert.ok(admitted.kind === 'admit' && admitted.token !== undefined);
    assert.ok(admitted.push.includes('auth-token-user YWxpY2U='));
  }
});

test('who logs in anew is let in once the device is there; who goes away is asked about no more', () => {
  const rig = setUp(undefined);
  rig.ask(shown);
  const early = rig.answer({ kind: 'admit' });
  assert.ok(early.kind === 'refuse' && early.retryAfterSeconds !== undefined);
  rig.devices.set(ID, rig.device);
  rig.ask(shown);
  assert.equal(rig.answer({ kind: 'admit' }).kind, 'admit');
  rig.ask(shown);
  rig.cancel();
  assert.equal(rig.cancelled, 1);
});
