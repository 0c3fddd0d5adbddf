/** OpenVPN over the link: certificates of gateways, and logins that gateways ask about. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes, X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { Hello } from '@sallyport/link';
import { TOTP } from 'otpauth';
import { seal } from '../../packages/control/src/store/secrets.ts';
import { renewGatewayCertificates } from '../../packages/control/src/openvpn/gateway-certificates.ts';
import { onOne } from './databases.ts';
import { ControlNode, eventually, openWorld, SimulatedGateway } from './hub-world.ts';

const START = Date.UTC(2027, 0, 15, 12);
const DAY_MS = 86_400_000;
const PASSWORD = 'correct horse battery';

let world: ReturnType<typeof openWorld>;
let node: ControlNode;
let now: number;
let gateways: SimulatedGateway[];

beforeEach(async () => {
  now = START;
  world = openWorld(() => now);
  node = await ControlNode.start(world);
  gateways = [];
});
afterEach(async () => {
  for (const gateway of gateways) await gateway.disconnect();
  await node.close();
  world.remove();
});

function newKey(): string {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
}

const tunnel = (openvpn?: Hello['tunnel']['openvpn']): Hello['tunnel'] => ({
  wireguardPublicKey: `${'A'.repeat(42)}E=`,
  endpointHost: 'gateway.example.org',
  endpointPort: 51_820,
  ...(openvpn === undefined ? {} : { openvpn }),
});

async function join(
  openvpn?: Hello['tunnel']['openvpn'],
  more: Partial<Hello> = {},
  at = node,
): Promise<SimulatedGateway> {
  const gateway = SimulatedGateway.create({ tunnel: tunnel(openvpn), ...more });
  gateways.push(gateway);
  await gateway.connect(at.url, await at.joinToken());
  await eventually('the first state', () => gateway.state !== undefined);
  return gateway;
}

/** A device of OpenVPN of `u0`, whom {@link ControlNode.addPeople} made. */
async function addDevice(
  login: string,
  more: { certificate?: object | null; id?: string } = {},
  at = node,
): Promise<void> {
  const { id = 'vpn', certificate = null } = more;
  await at.write(async ({ db, changed }) => {
    const number = id.length + 200;
    await db
      .insertInto('device')
      .values({
        id,
        user_id: 'u0',
        name: id,
        public_key: `openvpn:${id}`,
        openvpn: JSON.stringify({ login, certificate }),
        ipv4: `10.64.1.${String(number)}`,
        ipv6: `fd00:64::1:${String(number)}`,
        approved: 1,
        expires_at: null,
        bits_per_second: null,
        created_at: now,
        version: 1,
      })
      .execute();
    changed('device', id);
  });
}

describe('a gateway of OpenVPN', () => {
  test('is issued a certificate for the key that it names, and another one for another', async () => {
    const publicKey = newKey();
    const gateway = await join({ port: 1194, tcpPort: 443, publicKey });
    const openvpn = gateway.state?.gateway.openvpn;
    assert.ok(openvpn);
    const certificate = new X509Certificate(openvpn.certificate);
    assert.equal(certificate.publicKey.export({ format: 'der', type: 'spki' }).toString('base64'), publicKey);
    assert.equal(certificate.subject, `CN=sallyport-gateway-${gateway.id ?? ''}`);
    assert.ok(certificate.verify(new X509Certificate(openvpn.authority).publicKey));
    assert.equal(Buffer.from(openvpn.clientKey, 'base64').length, 128);
    assert.deepEqual(openvpn.dataCiphers, ['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305']);
    assert.deepEqual(openvpn.push, [
      'redirect-gateway def1 ipv6',
      'dns server 0 address 10.64.0.1',
      'dns server 0 address fd00:64::1',
      'dhcp-option DNS 10.64.0.1',
      'dhcp-option DNS fd00:64::1',
      'block-outside-dns',
    ]);
    const row = await node.store.db.selectFrom('gateway').select('transports').executeTakeFirstOrThrow();
    assert.deepEqual((JSON.parse(row.transports) as { openvpn: unknown }).openvpn, { port: 1194, tcpPort: 443 });
    const again = async (hello: Hello['tunnel']): Promise<void> => {
      await gateway.disconnect();
      Object.assign(gateway.hello, { tunnel: hello });
      await gateway.connect(node.url);
      await node.hub.whenApplied();
    };
    await again(tunnel({ port: 1194, tcpPort: 443, publicKey }));
    assert.equal(gateway.state?.gateway.openvpn?.certificate, openvpn.certificate);
    await again(tunnel({ port: 1194, tcpPort: 443, publicKey: newKey() }));
    assert.notEqual(gateway.state?.gateway.openvpn?.certificate, openvpn.certificate);
    await again(tunnel());
    assert.equal(gateway.state?.gateway.openvpn, undefined);
    await again(tunnel({ port: 0, tcpPort: 0, publicKey }));
    assert.equal(gateway.state?.gateway.openvpn, undefined);
    // Keys of the service stand in no audit entry.
    const audit = JSON.stringify(await node.store.db.selectFrom('audit').selectAll().execute());
    assert.doesNotMatch(audit, /BEGIN|clientKey/);
    assert.ok(!audit.includes(openvpn.clientKey));
  });

  test('gets a new certificate long before the one that it has ends', async () => {
    const gateway = await join({ port: 1194, tcpPort: 0, publicKey: newKey() });
    const first = gateway.state?.gateway.openvpn?.certificate;
    now += 200 * DAY_MS;
    await renewGatewayCertificates(node.services);
    await node.hub.whenApplied();
    assert.equal(gateway.state?.gateway.openvpn?.certificate, first);
    now += 100 * DAY_MS;
    await renewGatewayCertificates(node.services);
    await node.hub.whenApplied();
    const second = new X509Certificate(gateway.state?.gateway.openvpn?.certificate ?? '');
    assert.equal(second.validToDate.getTime(), now + 365 * DAY_MS);
    assert.ok(second.publicKey.equals(new X509Certificate(first ?? '').publicKey));
    assert.ok((await node.auditActions()).includes('gateway.renewCertificate'));
  });

  test('is refused with a key that no certificate is issued for', async () => {
    const gateway = SimulatedGateway.create({
      tunnel: tunnel({ port: 1194, tcpPort: 0, publicKey: randomBytes(91).toString('base64') }),
    });
    gateways.push(gateway);
    await gateway.connect(node.url, await node.joinToken());
    await eventually('goodbye', () => gateway.goodbye !== undefined);
    assert.match(gateway.goodbye?.message ?? '', /OpenVPN public key/);
  });

  test('hears of changed settings; none of it reaches one that does not speak it', async () => {
    const plain = await join();
    assert.equal(plain.state?.gateway.openvpn, undefined);
    const gateway = await join({ port: 1194, tcpPort: 0, publicKey: newKey() }, { tunnel: { ...tunnel({ port: 1194, tcpPort: 0, publicKey: newKey() }), wireguardPublicKey: `${'B'.repeat(42)}E=` } }); // prettier-ignore
    await node.write(async ({ db, changed }) => {
      const { value } = await db.selectFrom('settings').select('value').executeTakeFirstOrThrow();
      const before = JSON.parse(value) as { dns: object };
      const settings = {
        ...before,
        openvpn: { dataCiphers: ['AES-128-GCM'], oldClients: true },
        allowedIps: ['10.20.0.0/16', 'fd20::/48'],
        dns: { ...before.dns, searchDomains: ['corp.example', 'lab.example'] },
      };
      await db
        .updateTable('settings')
        .set({ value: JSON.stringify(settings) })
        .execute();
      changed('settings', 'settings');
    });
    await eventually('the ciphers', () => gateway.state?.gateway.openvpn?.dataCiphers[0] === 'AES-128-GCM');
    assert.deepEqual(gateway.state?.gateway.openvpn?.dataCiphers, ['AES-128-GCM', 'AES-256-CBC']);
    assert.deepEqual(gateway.state.gateway.openvpn.push, [
      'route 10.20.0.0 255.255.0.0',
      'route-ipv6 fd20::/48',
      'route 10.64.0.1 255.255.255.255',
      'route-ipv6 fd00:64::1/128',
      'dns server 0 address 10.64.0.1',
      'dns server 0 address fd00:64::1',
      'dns search-domains corp.example',
      'dns search-domains lab.example',
      'dhcp-option DNS 10.64.0.1',
      'dhcp-option DNS fd00:64::1',
      'dhcp-option DOMAIN corp.example',
      'dhcp-option DOMAIN-SEARCH corp.example',
      'dhcp-option DOMAIN-SEARCH lab.example',
    ]);
    await node.hub.whenApplied();
    assert.equal(plain.state?.gateway.openvpn, undefined);
  });

  test('of an earlier version of the link gets neither OpenVPN nor its devices', async () => {
    await node.addPeople(1);
    await addDevice('password');
    const seen = new Set<string>();
    const openvpn = { port: 1194, tcpPort: 0, publicKey: newKey() };
    const old = await join(openvpn, { protocolVersion: 2 });
    old.refuses = ({ change }) => {
      for (const device of change.putDevices) seen.add(device.id);
      return change.gateway?.openvpn !== undefined || change.putDevices.some((device) => 'openvpn' in device);
    };
    await addDevice('web', { id: 'other' });
    await node.setUser('u0', { traffic_bytes_per_month: 1000 });
    await node.hub.whenApplied();
    assert.equal(old.state?.gateway.openvpn, undefined);
    assert.deepEqual([...(old.state?.devices.keys() ?? [])], ['d0']);
    assert.deepEqual([...seen], []);
    await old.disconnect();
    Object.assign(old.hello, { protocolVersion: 3 });
    old.refuses = undefined;
    await old.connect(node.url);
    await eventually('what it lacked', () => old.state?.devices.has('vpn') === true);
    assert.ok(old.state?.gateway.openvpn);
  });
});

describe('a login by password', () => {
  let gateway: SimulatedGateway;

  beforeEach(async () => {
    await node.addPeople(1);
    await addDevice('password');
    await setPassword(PASSWORD);
    gateway = await join({ port: 1194, tcpPort: 0, publicKey: newKey() });
  });

  async function setPassword(password: string): Promise<void> {
    const hash = await node.people.passwords.hash(password);
    await node.store.db.updateTable('user').set({ password_hash: hash }).where('id', '=', 'u0').execute();
  }
  const ask = (
    password: string,
    more: { code?: string; challengeState?: string; userName?: string; deviceId?: string } = {},
  ) => {
    const { deviceId = 'vpn', userName = 'u0', ...rest } = more;
    return gateway.verdict(gateway.ask(deviceId, { kind: 'password', userName, password, ...rest }));
  };
  const lastLogin = async (): Promise<number | null> =>
    (await node.store.db.selectFrom('user').select('last_login_at').where('id', '=', 'u0').executeTakeFirstOrThrow()).last_login_at; // prettier-ignore

  const secret = Buffer.from('12345678901234567890');
  async function addTotp(): Promise<void> {
    const sealed = seal(node.store.masterKey!, 'totp u0', secret);
    await node.store.db
      .insertInto('totp')
      .values({ user_id: 'u0', sealed_secret: sealed, confirmed: 1, last_step: 0, created_at: 1 })
      .execute();
  }
  const code = (): string => new TOTP({ secret: base32(secret) }).generate({ timestamp: now });

  test('lets the device in, and counts as a login of its user', async () => {
    now += 60_000;
    assert.equal((await ask(PASSWORD)).kind, 'admit');
    assert.equal((await ask(PASSWORD, { userName: ' U0 ', code: '' })).kind, 'admit');
    assert.equal(await lastLogin(), now);
    const entry = await node.store.db.selectFrom('audit').selectAll().where('action', '=', 'login.succeed').executeTakeFirstOrThrow(); // prettier-ignore
    assert.match(entry.after, /"device":\{"id":"vpn"/);
    assert.match(entry.actor, /u0/);
    assert.doesNotMatch(JSON.stringify(await node.store.db.selectFrom('audit').selectAll().execute()), /correct horse|192\.0\.2\.7/); // prettier-ignore
  });

  test('is refused with another password, name or device, all in the same words', async () => {
    await node.addPeople(1, 1);
    const wrong = { kind: 'refuse', reason: 'The name or the password is wrong, or the account is not active.' };
    assert.deepEqual(await ask('wrong'), wrong);
    assert.deepEqual(await ask(PASSWORD, { userName: 'u1' }), wrong);
    assert.deepEqual(await ask(PASSWORD, { userName: 'nobody' }), wrong);
    assert.deepEqual(await ask(`${PASSWORD}${'x'.repeat(300)}`), wrong);
    assert.match(reasonOf(await ask(PASSWORD, { deviceId: 'gone' })), /removed/);
    // A device of WireGuard's logs in nowhere.
    assert.match(reasonOf(await ask(PASSWORD, { deviceId: 'd0' })), /removed/);
    await node.people.failures.flush();
    const fails = await node.store.db.selectFrom('audit').select(['actor', 'after']).where('action', '=', 'login.fail').execute(); // prettier-ignore
    assert.ok(fails.length > 0);
    for (const { actor } of fails) assert.match(actor, /anonymous/);
    assert.equal(await lastLogin(), null);
  });

  test('is asked for no more often than at the page for logging in, whatever name is said, and counts for its device alone', async () => {
    await addDevice('password', { id: 'second' });
    for (const userName of ['u0', 'u9']) {
      for (let i = 0; i < 10; i++) assert.equal((await ask(`guess ${String(i)}`, { userName })).kind, 'refuse');
      const late = await ask(PASSWORD);
      assert.ok(late.kind === 'refuse' && late.retryAfterSeconds !== undefined);
      assert.equal((await ask(PASSWORD, { deviceId: 'second' })).kind, 'admit');
      now += 3_600_000;
      assert.equal((await ask(PASSWORD)).kind, 'admit');
    }
    // Nobody's tries at the page for logging in were used up.
    for (const name of ['u0', 'u9'])
      for (let i = 0; i < 10; i++) node.people.limits.take({ address: '192.0.2.7', name, knownClient: undefined }, now);
  });

  test('is looked at for so many wrong ones at a gateway, and the others still are', async () => {
    const devices = Array.from({ length: 14 }, (_, number) => 'd'.repeat(10 + number));
    for (const id of devices) await addDevice('password', { id });
    const answers = [];
    for (const deviceId of devices) for (let i = 0; i < 9; i++) answers.push(await ask('guess', { deviceId }));
    assert.equal(
      answers.filter((answer) => answer.kind === 'refuse' && answer.retryAfterSeconds === undefined).length,
      120,
    );
    const late = await ask(PASSWORD);
    assert.ok(late.kind === 'refuse' && /at this gateway/.test(late.reason));
    now += 1000;
    assert.equal((await ask(PASSWORD)).kind, 'admit');
  });

  test('uses up none of a gateway’s tries where it has none left of its own', async () => {
    await addDevice('password', { id: 'second' });
    for (let i = 0; i < 150; i++) assert.equal((await ask('guess')).kind, 'refuse');
    assert.equal((await ask(PASSWORD, { deviceId: 'second' })).kind, 'admit');
  });

  test('leaves the tries at a code alone that its user has at the page for logging in', async () => {
    await addTotp();
    for (let i = 0; i < 7; i++) await ask(PASSWORD, { code: '000000' });
    const late = await ask(PASSWORD, { code: code() });
    assert.ok(late.kind === 'refuse' && late.retryAfterSeconds !== undefined);
    for (const from of ['known', 'strange'] as const)
      for (let i = 0; i < 5; i++) node.people.limits.takeCode({ userId: 'u0', from }, now);
  });

  test('takes a code with the password (static challenge), and each code once', async () => {
    await addTotp();
    assert.equal((await ask(PASSWORD, { code: code() })).kind, 'admit');
    assert.match(reasonOf(await ask(PASSWORD, { code: code() })), /code is wrong/);
    now += 30_000;
    assert.match(reasonOf(await ask(PASSWORD, { code: '000000' })), /code is wrong/);
    assert.match(reasonOf(await ask('wrong', { code: code() })), /name or the password/);
    assert.equal((await ask(PASSWORD, { code: code() })).kind, 'admit');
  });

  test('asks for the code in another connection where it is missing (dynamic challenge)', async () => {
    await addTotp();
    const first = await ask(PASSWORD);
    assert.ok(first.kind === 'refuse' && first.challenge?.echo === true);
    const { state } = first.challenge;
    // OpenVPN's management interface takes no longer answer, be it with a recovery code.
    assert.ok(`CRV1::${state}::abcd-efgh-ijkl-mnop`.length <= 255, state);
    assert.match(reasonOf(await ask('', { challengeState: state, code: '000000' })), /code is wrong/);
    // It is this device's and nobody else's.
    await addDevice('password', { id: 'second' });
    assert.match(reasonOf(await ask('', { challengeState: state, code: code(), deviceId: 'second' })), /begin again/);
    assert.match(reasonOf(await ask('', { challengeState: `${state.slice(0, -4)}AAAA`, code: code() })), /begin again/);
    assert.equal((await ask('', { challengeState: state, code: code() })).kind, 'admit');
    now += 30_000;
    assert.match(reasonOf(await ask('', { challengeState: state, code: code() })), /used already/);
    const other = await ask(PASSWORD, { code: ' ' });
    assert.ok(other.kind === 'refuse' && other.challenge !== undefined);
    now += 301_000;
    assert.match(reasonOf(await ask('', { challengeState: other.challenge.state, code: code() })), /begin again/);
    const third = await ask(PASSWORD);
    assert.ok(third.kind === 'refuse' && third.challenge !== undefined);
    await setPassword('another one entirely');
    assert.match(reasonOf(await ask('', { challengeState: third.challenge.state, code: code() })), /begin again/);
  });

  test('does not do for a second factor that OpenVPN can not ask for, or that a group demands', async () => {
    await node.write(async ({ db, changed }) => {
      await db.updateTable('group').set({ require_second_factor: 1 }).where('id', '=', 'everyone').execute();
      changed('group', 'everyone');
    });
    assert.match(reasonOf(await ask(PASSWORD)), /demands a second factor/);
    await node.store.db
      .insertInto('passkey')
      .values({
        id: 'p',
        user_id: 'u0',
        credential_id: 'c',
        public_key: 'k',
        sign_count: 0,
        transports: '[]',
        synced: 0,
        name: 'p',
        created_at: 1,
        last_used_at: null,
      }) // prettier-ignore
      .execute();
    assert.match(reasonOf(await ask(PASSWORD)), /passkey/);
    await addTotp();
    assert.equal((await ask(PASSWORD, { code: code() })).kind, 'admit');
  });

  test('brings a device back whose user had to log in again, before the verdict is said', async () => {
    await node.write(async ({ db, changed }) => {
      await db.updateTable('group').set({ session_lifetime_seconds: 3600 }).where('id', '=', 'everyone').execute();
      changed('group', 'everyone');
    });
    await eventually('the devices are gone', () => gateway.state?.devices.size === 0);
    let there: boolean | undefined;
    gateway.onApplied = ({ verdicts }) => {
      there ??= ([...verdicts.values()].at(-1)?.length ?? 0) > 0 ? undefined : gateway.state?.devices.has('vpn');
    };
    assert.equal((await ask(PASSWORD)).kind, 'admit');
    assert.equal(there, true);
    assert.ok(gateway.state?.devices.has('vpn'));
    assert.equal(gateway.state?.devices.get('vpn')?.validUntil, now + 3_600_000);
  });

  test('says why somebody is kept out, once the password was right', async () => {
    await node.write(async ({ db, changed }) => {
      await db.updateTable('device').set({ approved: 0 }).where('id', '=', 'vpn').execute();
      changed('device', 'vpn');
    });
    assert.match(reasonOf(await ask('wrong')), /name or the password/);
    assert.match(reasonOf(await ask(PASSWORD)), /administrator must approve/);
    await node.setUser('u0', { disabled: 1 });
    assert.match(reasonOf(await ask(PASSWORD)), /not active/);
  });

  test('is nothing for a device that shows another certificate, or logs in in another way', async () => {
    const certificate = { pem: '', sha256: 'ab'.repeat(32), expiresAt: now + DAY_MS };
    await addDevice('password', { id: 'both', certificate });
    const proof = { kind: 'password', userName: 'u0', password: PASSWORD } as const;
    assert.match(reasonOf(await gateway.verdict(gateway.ask('both', proof))), /certificate/);
    const other = { certificate: 'cd'.repeat(32) };
    assert.match(reasonOf(await gateway.verdict(gateway.ask('both', proof, other))), /certificate/);
    assert.equal((await gateway.verdict(gateway.ask('both', proof, { certificate: 'ab'.repeat(32) }))).kind, 'admit');
    await addDevice('web', { id: 'browser' });
    assert.match(reasonOf(await gateway.verdict(gateway.ask('browser', proof))), /browser/);
    assert.match(reasonOf(await gateway.verdict(gateway.ask('vpn', { kind: 'web' }))), /name and password/);
    assert.match(reasonOf(await gateway.verdict(gateway.ask('vpn', { kind: 'none' }))), /name and password/);
    await addDevice('certificate', { id: 'certificate-only', certificate });
    now += 2 * DAY_MS;
    const expired = await gateway.verdict(gateway.ask('certificate-only', { kind: 'none' }, { certificate: 'ab'.repeat(32) })); // prettier-ignore
    assert.match(reasonOf(expired), /certificate has expired/);
  });

  test('is refused at a gateway where the user reaches nothing', async () => {
    await node.write(async ({ db, changed }) => {
      await db.updateTable('rule').set({ enabled: 0 }).execute();
      for (const { id } of await db.selectFrom('rule').select('id').execute()) changed('rule', id);
    });
    await node.hub.whenApplied();
    assert.match(reasonOf(await ask(PASSWORD)), /use another one/);
  });

  test('that comes twice under one number ends the link', async () => {
    const proof = { kind: 'password', userName: 'u0', password: 'x' } as const;
    gateway.ask('vpn', proof);
    gateway.link?.send({ kind: 'authenticate', number: 1, deviceId: 'vpn', address: '', client: '', proof });
    await eventually('the end', () => gateway.link?.closed === true);
  });
});

function reasonOf(verdict: { readonly kind: string; readonly reason?: string }): string {
  return verdict.kind === 'refuse' ? (verdict.reason ?? '') : `(${verdict.kind})`;
}

function base32(bytes: Buffer): string {
  const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  return (bits.match(/.{1,5}/g) ?? []).map((five) => letters[parseInt(five.padEnd(5, '0'), 2)]).join('');
}

describe('a login in a browser', () => {
  let gateway: SimulatedGateway;

  beforeEach(async () => {
    await node.addPeople(2);
    await addDevice('web');
    gateway = await join({ port: 1194, tcpPort: 0, publicKey: newKey() });
  });

  const waiting = async (): Promise<number> => (await node.store.db.selectFrom('tunnel_login').selectAll().execute()).length; // prettier-ignore

  async function begin(): Promise<{ readonly number: number; readonly code: string }> {
    const number = gateway.ask('vpn', { kind: 'web' });
    const verdict = await gateway.verdict(number);
    assert.ok(verdict.kind === 'web');
    const url = new URL(verdict.url);
    assert.equal(`${url.origin}${url.pathname}`, 'https://vpn.example.org/tunnel-login');
    assert.equal(verdict.timeoutSeconds, 300);
    return { number, code: url.searchParams.get('code') ?? '' };
  }

  test('is shown to the device’s user and to nobody else, and lets it in when they say so', async () => {
    const { number, code } = await begin();
    const { status, body } = await node.call('u0', 'GET', `/me/tunnel-logins/${code}`);
    assert.equal(status, 200);
    const { deviceName, client, address } = body as unknown as Record<string, string>;
    assert.deepEqual(
      { deviceName, client, address },
      { deviceName: 'vpn', client: 'OpenVPN 2.6', address: '192.0.2.7' },
    );
    assert.equal((await node.call('u1', 'GET', `/me/tunnel-logins/${code}`)).status, 404);
    const approve = { decision: 'approve' };
    assert.equal((await node.call('u1', 'POST', `/me/tunnel-logins/${code}`, approve)).status, 404);
    const stale = await node.call('u0 stale', 'POST', `/me/tunnel-logins/${code}`, approve);
    assert.equal(stale.body.code, 'stepUpRequired');
    now += 1000;
    assert.equal((await node.call('u0', 'POST', `/me/tunnel-logins/${code.toLowerCase()}`, approve)).status, 204);
    assert.equal((await gateway.verdict(number, 1)).kind, 'admit');
    const user = await node.store.db
      .selectFrom('user')
      .select('last_login_at')
      .where('id', '=', 'u0')
      .executeTakeFirst();
    assert.equal(user?.last_login_at, now);
    assert.ok((await node.auditActions()).includes('tunnelLogin.approve'));
    assert.equal(await waiting(), 0);
    assert.equal((await node.call('u0', 'POST', `/me/tunnel-logins/${code}`, approve)).status, 404);
  });

  test('is refused when they say so, without a fresh proof', async () => {
    const { number, code } = await begin();
    assert.equal((await node.call('u0 stale', 'POST', `/me/tunnel-logins/${code}`, { decision: 'deny' })).status, 204);
    assert.match(reasonOf(await gateway.verdict(number, 1)), /refused in the browser/);
    assert.ok((await node.auditActions()).includes('tunnelLogin.deny'));
    assert.equal(await waiting(), 0);
  });

  test('is over after a while, and when nobody waits for it any more', async () => {
    const { code } = await begin();
    now += 301_000;
    assert.equal((await node.call('u0', 'GET', `/me/tunnel-logins/${code}`)).status, 404);
    const second = await begin();
    gateway.link?.send({ kind: 'cancelAuthentication', number: second.number });
    await eventually('it is taken away', async () => (await waiting()) === 0);
    await begin();
    await gateway.disconnect();
    await eventually('it is taken away', async () => (await waiting()) === 0);
  });

  test('waits in few places at a time', async () => {
    for (let i = 0; i < 5; i++) await begin();
    const more = await gateway.verdict(gateway.ask('vpn', { kind: 'web' }));
    assert.ok(more.kind === 'refuse' && more.retryAfterSeconds !== undefined);
  });

  test('asks for the second factor that a group demands', async () => {
    const { code } = await begin();
    await node.write(async ({ db, changed }) => {
      await db.updateTable('group').set({ require_second_factor: 1 }).where('id', '=', 'everyone').execute();
      changed('group', 'everyone');
    });
    const answer = await node.call('u0', 'POST', `/me/tunnel-logins/${code}`, { decision: 'approve' });
    assert.equal(answer.body.code, 'forbidden');
  });

  test('goes with its device', async () => {
    const { number, code } = await begin();
    await node.write(async ({ db, changed }) => {
      await db.deleteFrom('device').where('id', '=', 'vpn').execute();
      changed('device', 'vpn');
    });
    assert.match(reasonOf(await gateway.verdict(number, 1)), /removed/);
    assert.equal((await node.call('u0', 'GET', `/me/tunnel-logins/${code}`)).status, 404);
    assert.match(reasonOf(await gateway.verdict(gateway.ask('vpn', { kind: 'web' }))), /removed/);
  });
});

describe('on PostgreSQL', () => {
  onOne('postgresql', ({ create }) => {
    test('whoever lets a device in at another control node lets it in', async () => {
      const url = await create();
      const shared = openWorld(() => now);
      const [first, second] = [await ControlNode.start(shared, { url }), await ControlNode.start(shared, { url })];
      try {
        await first.addPeople(1);
        await addDevice('web', {}, first);
        const gateway = await join({ port: 1194, tcpPort: 0, publicKey: newKey() }, {}, first);
        const number = gateway.ask('vpn', { kind: 'web' });
        const verdict = await gateway.verdict(number);
        assert.ok(verdict.kind === 'web');
        const code = new URL(verdict.url).searchParams.get('code') ?? '';
        const answer = await second.call('u0', 'POST', `/me/tunnel-logins/${code}`, { decision: 'approve' });
        assert.equal(answer.status, 204);
        assert.equal((await gateway.verdict(number, 1)).kind, 'admit');
        // Both nodes have the same authority.
        await eventually('the model', () => second.directory.model.openvpn !== null);
        assert.equal(second.directory.model.openvpn?.authority, first.directory.model.openvpn?.authority);
        await gateway.disconnect();
      } finally {
        await first.close();
        await second.close();
        shared.remove();
      }
    });
  });
});
