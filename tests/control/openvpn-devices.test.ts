/** Devices of OpenVPN by the API: added, renewed, revoked, and their profiles. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { parseProfile } from '@sallyport/openvpn';
import { planGateway } from '@sallyport/policy';
import { accessWorld, newPublicKey, type AccessWorld } from './access-world.ts';

const DAY_MS = 86_400_000;

function newKey(): string {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
}

let world: AccessWorld;

beforeEach(async () => {
  world = await accessWorld();
  await world.addUser('alice');
});
afterEach(() => world[Symbol.asyncDispose]());

/** Everybody may reach the internet, through gateways that speak OpenVPN. */
async function addGateways(): Promise<void> {
  const transports = (openvpn: object | null) => ({ amneziawg: null, tls: null, openvpn });
  await world.addGateway('oslo', { endpointHost: 'oslo.example.org', transports: transports({ port: 1194, tcpPort: 443 }) }); // prettier-ignore
  await world.addGateway('rome', { endpointHost: '2001:db8::7', transports: transports({ port: 1195, tcpPort: 0 }) });
  await world.addGateway('lima', { endpointHost: 'lima.example.org', transports: transports(null) });
  await world.addGateway('mars', { endpointHost: 'mars.example.org\nup /bin/sh', transports: transports({ port: 1, tcpPort: 0 }) }); // prettier-ignore
  await world.call('root', 'POST', '/resources', { name: 'internet', kind: 'internet' });
  await world.call('root', 'POST', '/rules', { name: 'all', groups: ['everyone'], resources: ['internet'] });
}

const add = (body: object, as = 'alice') => world.call(as, 'POST', '/me/openvpn-devices', body);
/** Time passes, and nobody has to log in again. */
async function later(milliseconds: number): Promise<void> {
  world.now += milliseconds;
  const lasting = { expires_at: world.now + DAY_MS, last_used_at: world.now };
  await world.store.db.updateTable('session').set(lasting).execute();
}

const model = (id: string) => world.directory.model.devices.get(id);

describe('a device of OpenVPN', () => {
  test('is added by a public key, and shows the certificate that is issued for it', async () => {
    const { status, body } = await add({ name: 'laptop', publicKey: newKey() });
    assert.equal(status, 201);
    assert.equal(body.protocol, 'openvpn');
    assert.equal(body.publicKey, null);
    const end = new Date(world.now + 365 * DAY_MS).toISOString();
    assert.deepEqual(body.openvpn, { login: 'certificate', certificateExpiresAt: end });
    assert.equal(body.standing, 'active');
    assert.equal(body.message, `May connect until ${end}.`);
    const device = model(body.id);
    assert.equal(device?.publicKey, null);
    assert.match(device?.openvpn?.certificate?.sha256 ?? '', /^[0-9a-f]{64}$/);
    const { items } = (await world.call('alice', 'GET', '/me/devices')).body;
    assert.deepEqual(
      items.map(({ name }) => name),
      ['laptop'],
    );
    const { body: entry } = await world.call('root', 'GET', `/devices/${body.id}`);
    assert.equal(entry.protocol, 'openvpn');
    assert.ok((await world.actions()).includes('device.create'));
  });

  test('with a password or a login in a browser needs no key, and may have one', async () => {
    for (const login of ['password', 'web']) {
      const plain = await add({ name: `${login} alone`, login });
      assert.deepEqual(plain.body.openvpn, { login, certificateExpiresAt: null });
      assert.equal(model(plain.body.id)?.openvpn?.certificate, null);
      const both = await add({ name: `${login} and key`, login, publicKey: newKey() });
      assert.notEqual(both.body.openvpn?.certificateExpiresAt, null);
    }
    const fault = await add({ name: 'nothing' });
    assert.equal(fault.status, 400);
    assert.equal(fault.body.faults[0]?.at, '/body/publicKey');
  });

  test('counts among a user’s devices, has a name of its own, and gets an address like any other', async () => {
    await world.addUser('bob', { devicesPerUser: 2 });
    const first = await add({ name: 'laptop', publicKey: newKey() }, 'bob');
    const taken = await add({ name: 'laptop', publicKey: newKey() }, 'bob');
    assert.equal(taken.body.code, 'nameTaken');
    const other = await world.call('bob', 'POST', '/me/devices', { name: 'phone', publicKey: newPublicKey() });
    assert.equal(other.body.protocol, 'wireguard');
    assert.equal(other.body.openvpn, null);
    assert.notEqual(first.body.ipv4, other.body.ipv4);
    assert.equal((await add({ name: 'third', publicKey: newKey() }, 'bob')).body.code, 'limitReached');
  });

  test('refuses what is no key, and says where', async () => {
    const rsa = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'der', type: 'spki' });
    for (const publicKey of ['x', newPublicKey(), rsa.toString('base64'), `${newKey()}\n`]) {
      const { status, body } = await add({ name: 'laptop', publicKey });
      assert.equal(status, 400, publicKey);
      assert.equal(body.faults[0]?.at, '/body/publicKey');
    }
    assert.equal((await add({ name: 'laptop', publicKey: newKey(), login: 'none' })).status, 400);
  });

  test('waits for approval where a group asks for that; an administrator’s does not', async () => {
    await world.addGroup('staff', { requireDeviceApproval: true });
    await world.addUser('carol', { groups: ['staff'] });
    const own = await add({ name: 'laptop', publicKey: newKey() }, 'carol');
    assert.equal(own.body.standing, 'awaitingApproval');
    const expiresAt = '2027-02-01T00:00:00.000Z';
    const { status, body } = await world.call('root', 'POST', '/openvpn-devices', {
      user: 'carol',
      name: 'phone',
      login: 'password',
      expiresAt,
    });
    assert.equal(status, 201);
    assert.equal(body.standing, 'active');
    assert.equal((await world.call('root', 'POST', '/openvpn-devices', { user: 'nobody', name: 'x' })).status, 400);
  });
});

describe('a certificate', () => {
  test('is renewed for another key, and the one before counts no more', async () => {
    const { body: added } = await add({ name: 'laptop', publicKey: newKey() });
    const before = model(added.id)?.openvpn?.certificate;
    await later(300 * DAY_MS);
    const renewed = await world.call('alice', 'PUT', '/me/devices/laptop/certificate', { publicKey: newKey() }, 1);
    assert.equal(renewed.status, 200);
    assert.equal(renewed.body.version, 2);
    assert.equal(renewed.body.openvpn?.certificateExpiresAt, new Date(world.now + 365 * DAY_MS).toISOString());
    const after = model(added.id)?.openvpn?.certificate;
    assert.notEqual(after?.sha256, before?.sha256);
    assert.ok((await world.actions()).includes('device.renewCertificate'));
    const stale = await world.call('alice', 'PUT', '/me/devices/laptop/certificate', { publicKey: newKey() }, 1);
    assert.equal(stale.body.code, 'versionMismatch');
    const byRoot = await world.call('root', 'PUT', `/devices/${added.id}/certificate`, { publicKey: newKey() }, 2);
    assert.equal(byRoot.status, 200);
  });

  test('that has ended keeps the device out, with words that say what to do', async () => {
    const { body: added } = await add({ name: 'laptop', publicKey: newKey() });
    await later(365 * DAY_MS);
    const { body } = await world.call('alice', 'GET', '/me/devices/laptop');
    assert.equal(body.standing, 'certificateExpired');
    assert.match(body.message, /make a new one/);
    const renewed = await world.call('alice', 'PUT', `/me/devices/${added.id}/certificate`, { publicKey: newKey() }, 1);
    assert.equal(renewed.body.standing, 'active');
  });

  test('is for devices of OpenVPN alone', async () => {
    await world.call('alice', 'POST', '/me/devices', { name: 'phone', publicKey: newPublicKey() });
    const renewed = await world.call('alice', 'PUT', '/me/devices/phone/certificate', { publicKey: newKey() }, 1);
    assert.equal(renewed.body.code, 'conflict');
    await addGateways();
    assert.equal((await world.call('alice', 'GET', '/me/devices/phone/openvpn-profile')).body.code, 'conflict');
    await add({ name: 'laptop', publicKey: newKey() });
    assert.equal((await world.call('alice', 'GET', '/me/devices/laptop/configuration')).body.code, 'conflict');
    const networks = await world.call('alice', 'PUT', '/me/devices/laptop/advertised', { prefixes: ['10.1.0.0/16'] });
    assert.equal(networks.body.code, 'conflict');
  });

  test('stands in the plan of gateways, until its device is removed', async () => {
    await addGateways();
    const { body: added } = await add({ name: 'laptop', publicKey: newKey() });
    const { body: phone } = await add({ name: 'phone', login: 'password' });
    const plan = () => planGateway(world.directory.model, 'oslo', world.now).devices;
    const sha256 = model(added.id)?.openvpn?.certificate?.sha256 ?? '';
    const { publicKey, openvpn, validUntil } = plan().get(added.id) ?? {};
    assert.deepEqual(
      { publicKey, openvpn, validUntil },
      {
        publicKey: undefined,
        openvpn: { certificates: [sha256], login: 'certificate', userName: 'alice' },
        validUntil: world.now + 365 * DAY_MS,
      },
    );
    const loginEpoch = plan().get(phone.id)?.openvpn?.loginEpoch;
    assert.deepEqual(plan().get(phone.id)?.openvpn, { certificates: [], login: 'password', userName: 'alice', loginEpoch }); // prettier-ignore
    assert.equal(typeof loginEpoch, 'string');
    await world.call('alice', 'DELETE', '/me/devices/laptop', undefined, 1);
    assert.equal(plan().has(added.id), false);
  });
});

describe('a profile', () => {
  const profile = (device: string, more = '') => world.call('alice', 'GET', `/me/devices/${device}/openvpn-profile${more}`); // prettier-ignore
  const block = (text: string, name: string): string =>
    new RegExp(`<${name}>\n([^<]*)</${name}>`).exec(text)?.[1] ?? '';

  test('leads to the gateways that the user may use, over UDP and then over TCP', async () => {
    await addGateways();
    await add({ name: 'laptop', publicKey: newKey() });
    const { status, text, headers } = await profile('laptop');
    assert.equal(status, 200);
    assert.match(headers.get('content-type') ?? '', /^text\/plain/);
    assert.match(headers.get('cache-control') ?? '', /no-store/);
    const remotes = text.split('\n').filter((line) => line.startsWith('remote '));
    assert.deepEqual([...remotes.slice(0, 2)].sort(), [
      'remote 2001:db8::7 1195 udp',
      'remote oslo.example.org 1194 udp',
    ]);
    assert.deepEqual(remotes.slice(2), ['remote oslo.example.org 443 tcp']);
    // What a gateway says of itself starts no program.
    assert.doesNotMatch(text, /mars|bin\/sh/);
    const ca = new X509Certificate(block(text, 'ca'));
    const certificate = new X509Certificate(block(text, 'cert'));
    assert.ok(certificate.verify(ca.publicKey));
    assert.equal(certificate.fingerprint256.replaceAll(':', '').toLowerCase(), model(certificate.subject.slice(3))?.openvpn?.certificate?.sha256); // prettier-ignore
    assert.match(text, /^# <key><\/key>$/m);
    for (const line of [
      'client',
      'dev tun',
      'remote-cert-tls server',
      'verify-x509-name sallyport-gateway- name-prefix',
      'tls-version-min 1.2',
    ])
      // prettier-ignore
      assert.ok(text.split('\n').includes(line), line);
    assert.doesNotMatch(text, /auth-user-pass|static-challenge|CLIENT_CERT/);

    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const key = `<key>\n${privateKey.export({ format: 'pem', type: 'pkcs8' })}</key>`;
    const parsed = parseProfile(text.replace(/^# Put the private key .*\n# <key><\/key>$/m, key));
    assert.ok(parsed.ok, JSON.stringify(parsed));
    assert.equal(parsed.profile.remotes.length, 3);
    assert.equal(parsed.profile.wrapping.kind, 'tlsCryptV2');
    assert.deepEqual(parsed.profile.verifyName, { kind: 'name-prefix', name: 'sallyport-gateway-' });

    const one = (await profile('laptop', '?gateway=rome')).text.match(/^remote .*/gm);
    assert.deepEqual(one, ['remote 2001:db8::7 1195 udp']);
    assert.equal((await profile('laptop', '?gateway=lima')).status, 404);
    assert.equal((await profile('laptop', '?gateway=nowhere')).status, 404);
    const again = (await profile('laptop')).text;
    assert.notEqual(block(again, 'tls-crypt-v2'), block(text, 'tls-crypt-v2'));
    const { body } = await world.call('alice', 'GET', '/me/gateways');
    const speak = body.items.map((item) => [item.name, (item as unknown as { openvpn: boolean }).openvpn]);
    assert.deepEqual(Object.fromEntries(speak), { oslo: true, rome: true, lima: false, mars: true });
  });

  test('asks for what the login needs', async () => {
    await addGateways();
    await add({ name: 'password', login: 'password' });
    const { text } = await profile('password');
    assert.match(text, /^auth-user-pass$/m);
    assert.match(text, /^auth-retry interact$/m);
    assert.match(text, /^auth-nocache$/m);
    assert.match(text, /^setenv CLIENT_CERT 0$/m);
    assert.doesNotMatch(text, /static-challenge|<cert>|<key>/);
    await world.store.db
      .insertInto('totp')
      .values({ user_id: 'alice', sealed_secret: '', confirmed: 1, last_step: 0, created_at: 1 })
      .execute();
    assert.match((await profile('password')).text, /^static-challenge "[^"]+" 1$/m);
    await add({ name: 'web', login: 'web', publicKey: newKey() });
    assert.doesNotMatch((await profile('web')).text, /auth-user-pass|static-challenge/);
  });

  test('has the ciphers of the settings', async () => {
    await addGateways();
    await add({ name: 'laptop', publicKey: newKey() });
    assert.match((await profile('laptop')).text, /^data-ciphers AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305$/m);
    const { body } = await world.call('root', 'GET', '/settings');
    const change = { openvpn: { dataCiphers: ['CHACHA20-POLY1305', 'CHACHA20-POLY1305'], oldClients: true } };
    assert.equal((await world.call('root', 'PATCH', '/settings', change, body.version)).status, 200);
    assert.match((await profile('laptop')).text, /^data-ciphers CHACHA20-POLY1305:AES-256-CBC$/m);
    const none = { openvpn: { dataCiphers: [] } };
    assert.equal((await world.call('root', 'PATCH', '/settings', none, body.version + 1)).status, 400);
  });

  test('is its user’s and administrators’, and there is none without a gateway', async () => {
    const { body } = await add({ name: 'laptop', publicKey: newKey() });
    assert.equal((await profile('laptop')).body.code, 'conflict');
    await addGateways();
    await world.addUser('bob');
    assert.equal((await world.call('bob', 'GET', `/me/devices/${body.id}/openvpn-profile`)).status, 404);
    assert.equal((await world.call('bob', 'GET', `/devices/${body.id}/openvpn-profile`)).status, 403);
    assert.equal((await world.call('root', 'GET', `/devices/${body.id}/openvpn-profile`)).status, 200);
    await world.addUser('audrey', { role: 'auditor' });
    assert.equal((await world.call('audrey', 'GET', `/devices/${body.id}/openvpn-profile`)).status, 403);
  });
});
