/** How the gateway decides about OpenVPN clients: what it judges by itself, and what it asks the control plane. */
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto';
import { test } from 'node:test';
import type { LoginRequest, Logins } from '@sallyport/agent';
import { Secret } from '@sallyport/core';
import { encodeStateKey, signLoginToken, type DeviceLogin } from '@sallyport/link';
import type { AuthenticationRequest, Verdict } from '@sallyport/openvpn';
import type { DevicePlan, OpenVpnDevice } from '@sallyport/policy';
import { AuthTokens } from '../../apps/server/src/gateway/auth-tokens.ts';
import { OpenVpnLogins } from '../../apps/server/src/gateway/openvpn-logins.ts';

const ID = '00000000-0000-4000-8000-000000000001';
const OTHER = '00000000-0000-4000-8000-000000000002';
const CERTIFICATE = new Uint8Array(randomBytes(400));
const SHA256 = createHash('sha256').update(CERTIFICATE).digest('hex');
const HOUR_MS = 3_600_000;
/** Of the control plane. */
const KEY = generateKeyPairSync('ed25519').privateKey;
const EPOCH = 'e';

function setUp(openvpn: Partial<OpenVpnDevice> | undefined) {
  let now = 1_800_000_000_000;
  const decided: Verdict[] = [];
  const asked: LoginRequest[] = [];
  let answer: Parameters<Logins['ask']>[1] | undefined;
  let cancelled = 0;
  let elsewhere = false;
  let tokenKey: string | undefined = encodeStateKey(KEY);
  const tokens = new AuthTokens(
    () => tokenKey,
    () => now,
  );
  const devices = new Map<string, DevicePlan>();
  const device: DevicePlan = {
    id: ID,
    ipv4: '10.0.0.2',
    ipv6: 'fd00::2',
    groups: [],
    openvpn: { certificates: [], login: 'password', userName: 'alice', loginEpoch: EPOCH, ...openvpn },
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
    goesElsewhere: () => elsewhere,
    addressOf: () => '192.0.2.7',
    decide: (_id, verdict) => decided.push(verdict),
  });
  return {
    /** A token as the control plane makes it, but for what is said. */
    token(more: Partial<DeviceLogin> = {}, key: KeyObject = KEY): string {
      const login = { deviceId: ID, loginEpoch: EPOCH, loginAt: now, endsAt: now + 12 * HOUR_MS, ...more };
      return signLoginToken(login, key);
    },
    /** Another plan of the gateway. */
    setTokenKey(text: string | undefined): void {
      tokenKey = text;
    },
    setElsewhere(value: boolean): void {
      elsewhere = value;
    },
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
    knows: (profile: Uint8Array) => logins.knows(profile),
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

test('OpenVPN 3 is sent on by a refusal, before anybody is asked for a login', () => {
  const rig = setUp({ certificates: [SHA256], login: 'password' });
  const certificate = CERTIFICATE;
  const three = { certificate, ...shown, peerInfo: new Map([['IV_VER', '3.11.7'], ['IV_PROTO', '8190']]) }; // prettier-ignore
  rig.setElsewhere(true);
  const refused = rig.ask(three);
  assert.ok(refused?.kind === 'refuse');
  assert.deepEqual([refused.elsewhere, refused.retryAfterSeconds], [true, 1]);
  assert.equal(rig.asked.length, 0);
  // Not who has something else wrong, who is in, or who would not come again by that.
  const other = rig.ask({ ...three, certificate: undefined });
  assert.ok(other?.kind === 'refuse' && other.elsewhere === undefined);
  for (const version of ['2.6.12', '3.7.0']) {
    rig.ask({ ...three, peerInfo: new Map([['IV_VER', version], ['IV_PROTO', version === '3.7.0' ? '30' : '8190']]) }); // prettier-ignore
    assert.equal(rig.asked.length, version === '2.6.12' ? 1 : 2);
  }
  rig.ask({ ...three, renewing: ID });
  assert.equal(rig.asked.length, 3);
  rig.setElsewhere(false);
  rig.ask(three);
  assert.equal(rig.asked.length, 4);
});

test('a profile of nobody, or of another device than the one that renegotiates', () => {
  const rig = setUp({ certificates: [SHA256], login: 'certificate' });
  const certificate = CERTIFICATE;
  for (const profile of [undefined, Uint8Array.of(0), Uint8Array.of(1, ...Buffer.from(ID)), Uint8Array.of(0, 255, 0)])
    assert.equal(rig.ask({ profile, certificate })?.kind, 'refuse');
  assert.equal(rig.ask({ renewing: OTHER, certificate })?.kind, 'refuse');
  assert.equal(rig.ask({ renewing: ID, certificate })?.kind, 'admit');
  const own = Uint8Array.of(0, ...Buffer.from(ID));
  assert.equal(rig.knows(own), true);
  for (const profile of [
    Uint8Array.of(0),
    Uint8Array.of(1, ...Buffer.from(ID)),
    Uint8Array.of(0, ...Buffer.from(OTHER)),
  ])
    assert.equal(rig.knows(profile), false);
  rig.devices.clear();
  assert.equal(rig.knows(own), false);
});

test('a profile alone lets nobody in, whatever the device asks for', () => {
  for (const openvpn of [
    { login: 'certificate' },
    { login: 'certificate', certificates: [SHA256] },
    { login: 'password' },
    { login: 'web' },
    { login: 'web', loginEpoch: undefined },
  ] as const) {
    const rig = setUp(openvpn);
    for (const renewing of [undefined, ID]) assert.equal(rig.ask({ renewing })?.kind, 'refuse', openvpn.login);
    assert.equal(rig.asked.length, 0);
  }
  const rig = setUp({ login: 'certificate' });
  assert.equal(rig.ask({ certificate: CERTIFICATE })?.kind, 'refuse');
  assert.equal(rig.ask({ userName: 'alice', password: new Secret(rig.token()) })?.kind, 'refuse');
  // Whose device is not there is asked about, and let in by no more than that.
  const gone = setUp(undefined);
  assert.equal(gone.ask({}), undefined);
  assert.equal(gone.asked[0].proof.kind, 'none');
  assert.equal(gone.answer({ kind: 'admit' }).kind, 'refuse');
});

test('a password is asked about; with the token that follows nobody is asked, for twelve hours', () => {
  const rig = setUp({ login: 'password' });
  assert.equal(rig.ask({ ...shown, response: new Secret('123456') }), undefined);
  const { proof, ...rest } = rig.asked[0];
  assert.deepEqual(rest, { deviceId: ID, address: '192.0.2.7', client: '', certificate: undefined });
  assert.ok(proof.kind === 'password' && proof.password.reveal() === 'right' && proof.code?.reveal() === '123456');
  const made = rig.token();
  const admitted = rig.answer({ kind: 'admit', token: made });
  assert.ok(admitted.kind === 'admit' && admitted.token?.reveal() === made);
  const { token } = admitted;
  const again = (renewing?: string): Verdict | undefined => rig.ask({ userName: 'alice', password: token, renewing });
  for (let hour = 1; hour < 12; hour++) {
    rig.pass(HOUR_MS);
    const renewed = again(ID);
    assert.ok(
      renewed?.kind === 'admit' && renewed.token?.reveal() === made,
      'the same, not one that is good for longer',
    );
  }
  rig.pass(HOUR_MS - 1);
  assert.equal(again()?.kind, 'admit');
  rig.pass(1);
  const refused = again();
  assert.ok(refused?.kind === 'refuse' && refused.sessionEnded === true);
  assert.equal(rig.asked.length, 1);
});

test('a token is good for its device, epoch and key alone, and for nobody who may not connect', () => {
  const rig = setUp({ login: 'password' });
  const show = (text: string, renewing?: string): Verdict | undefined =>
    rig.ask({ userName: 'alice', password: new Secret(text), renewing });
  const refused = (text: string): void => {
    for (const renewing of [undefined, ID]) {
      const verdict = show(text, renewing);
      assert.ok(verdict?.kind === 'refuse' && verdict.sessionEnded === true);
    }
  };
  const token = rig.token();
  assert.equal(show(token)?.kind, 'admit');
  refused(rig.token({ deviceId: OTHER }));
  refused(rig.token({ loginEpoch: 'f' }));
  refused(rig.token({ endsAt: 1_800_000_000_000 }));
  refused(rig.token({}, generateKeyPairSync('ed25519').privateKey));
  for (let i = 'SPTOKEN-2-'.length; i < token.length - 1; i += 3)
    refused(token.slice(0, i) + (token[i] === 'A' ? 'B' : 'A') + token.slice(i + 1));
  refused(token.slice(0, -1));
  refused(`${token}AAAA`);
  assert.equal(rig.asked.length, 0, 'none of it is taken for a password');
  // The plan of another control plane, of none, and one that makes no sense.
  for (const key of [encodeStateKey(generateKeyPairSync('ed25519').publicKey), undefined, 'x'.repeat(60)]) {
    rig.setTokenKey(key);
    refused(token);
  }
  rig.setTokenKey(encodeStateKey(KEY));
  assert.equal(show(token)?.kind, 'admit');
  // The user has another password by now.
  const { openvpn } = rig.device;
  assert.ok(openvpn);
  for (const loginEpoch of ['f', undefined]) {
    rig.devices.set(ID, { ...rig.device, openvpn: { ...openvpn, loginEpoch } });
    refused(token);
  }
  rig.devices.clear();
  assert.equal(show(token), undefined);
  assert.equal(rig.asked[0].proof.kind, 'none');
  const gone = rig.answer({ kind: 'refuse', reason: 'the user is disabled' });
  assert.ok(gone.kind === 'refuse' && gone.sessionEnded === true && gone.reason === 'the user is disabled');
});

test('a login is let in by what counts when its verdict comes', () => {
  const rig = setUp({ login: 'password', certificates: [SHA256] });
  const { openvpn } = rig.device;
  assert.ok(openvpn);
  const asks = (): void => {
    rig.devices.set(ID, rig.device);
    assert.equal(rig.ask({ ...shown, certificate: CERTIFICATE }), undefined);
  };
  asks();
  assert.equal(rig.answer({ kind: 'admit', token: rig.token() }).kind, 'admit');
  for (const token of [undefined, '', 'right', rig.token({ deviceId: OTHER }), rig.token({ loginEpoch: 'before' })]) {
    asks();
    const verdict = rig.answer({ kind: 'admit', token });
    assert.ok(verdict.kind === 'refuse' && verdict.retryAfterSeconds !== undefined);
  }
  // Meanwhile the certificate was renewed, or the password changed.
  for (const changed of [{ certificates: ['ab'.repeat(32)] }, { loginEpoch: 'f' }]) {
    asks();
    rig.devices.set(ID, { ...rig.device, openvpn: { ...openvpn, ...changed } });
    assert.equal(rig.answer({ kind: 'admit', token: rig.token() }).kind, 'refuse');
  }
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
    const admitted = rig.answer({ kind: 'admit', token: rig.token() });
    assert.ok(admitted.kind === 'admit' && admitted.token !== undefined);
    assert.ok(admitted.push.includes('auth-token-user YWxpY2U='));
  }
});

test('who logs in anew is let in once the device is there; who goes away is asked about no more', () => {
  const rig = setUp(undefined);
  rig.ask(shown);
  const early = rig.answer({ kind: 'admit', token: rig.token() });
  assert.ok(early.kind === 'refuse' && early.retryAfterSeconds !== undefined);
  rig.devices.set(ID, rig.device);
  rig.ask(shown);
  assert.equal(rig.answer({ kind: 'admit', token: rig.token() }).kind, 'admit');
  rig.ask(shown);
  rig.cancel();
  assert.equal(rig.cancelled, 1);
});
