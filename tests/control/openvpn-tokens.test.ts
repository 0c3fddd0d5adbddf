/** Login tokens of OpenVPN devices: whom the control plane makes them for, and what ends them. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { routes } from '@sallyport/api';
import { decodeStateKey, verifyLoginToken, type Hello } from '@sallyport/link';
import { TOTP } from 'otpauth';
import { endSessions } from '../../packages/control/src/repositories/sessions.ts';
import { SYSTEM } from '../../packages/control/src/store/store.ts';
import { PASSWORD, type ApiWorld } from './api-world.ts';
import { onBothDatabases } from './databases.ts';
import { ControlNode, eventually, openWorld, SimulatedGateway } from './hub-world.ts';
import { scimWorld } from './scim-world.ts';

const START = Date.UTC(2027, 0, 15, 12);
const HOUR_MS = 3_600_000;

describe('a token', () => {
  let world: ReturnType<typeof openWorld>;
  let node: ControlNode;
  let now: number;
  let gateways: SimulatedGateway[];

  beforeEach(async () => {
    now = START;
    world = openWorld(() => now);
    node = await ControlNode.start(world);
    gateways = [];
    await node.addPeople(1);
    const hash = await node.people.passwords.hash(PASSWORD);
    await node.store.db.updateTable('user').set({ password_hash: hash }).where('id', '=', 'u0').execute();
    await addDevice('password', 'typed');
    await addDevice('web', 'browser');
  });
  afterEach(async () => {
    for (const gateway of gateways) await gateway.disconnect();
    await node.close();
    world.remove();
  });

  async function addDevice(login: string, id: string): Promise<void> {
    await node.write(async ({ db, changed }) => {
      await db
        .insertInto('device')
        .values({
          id,
          user_id: 'u0',
          name: id,
          public_key: `openvpn:${id}`,
          openvpn: JSON.stringify({ login, certificate: null }),
          ipv4: `10.64.1.${String(id.length)}`,
          ipv6: `fd00:64::1:${String(id.length)}`,
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

  async function join(more: Partial<Hello> = {}): Promise<SimulatedGateway> {
    const spki = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ format: 'der', type: 'spki' });
    const gateway = SimulatedGateway.create(more);
    Object.assign(gateway.hello, {
      tunnel: { ...gateway.hello.tunnel, openvpn: { port: 1194, tcpPort: 0, publicKey: spki.toString('base64') } },
    });
    gateways.push(gateway);
    await gateway.connect(node.url, await node.joinToken());
    await eventually('the first state', () => gateway.state !== undefined);
    await node.hub.whenApplied();
    return gateway;
  }

  /** Whether a gateway lets a device in by it, by what it has now. */
  function counts(gateway: SimulatedGateway, token: string, deviceId: string, at = now): boolean {
    const key = decodeStateKey(gateway.state?.gateway.openvpn?.tokenKey ?? '');
    const { loginEpoch } = gateway.state?.devices.get(deviceId)?.openvpn ?? {};
    assert.ok(key);
    return loginEpoch !== undefined && verifyLoginToken(token, { deviceId, loginEpoch }, key, at);
  }

  async function logIn(gateway: SimulatedGateway): Promise<string> {
    const proof = { kind: 'password', userName: 'u0', password: PASSWORD } as const;
    const verdict = await gateway.verdict(gateway.ask('typed', proof));
    assert.ok(verdict.kind === 'admit' && verdict.token !== undefined, JSON.stringify(verdict));
    return verdict.token;
  }

  async function endLogins(): Promise<void> {
    await node.store.write(SYSTEM, (writing) => endSessions(writing, 'u0'));
    await node.hub.whenApplied();
  }

  test('is good for twelve hours, at every gateway, for its device', async () => {
    const [first, second] = [await join(), await join()];
    const token = await logIn(first);
    for (const gateway of [first, second]) {
      assert.ok(counts(gateway, token, 'typed'));
      assert.ok(counts(gateway, token, 'typed', now + 12 * HOUR_MS - 1));
      assert.ok(!counts(gateway, token, 'typed', now + 12 * HOUR_MS));
      assert.ok(!counts(gateway, token, 'browser'));
    }
    // Nothing that a gateway is sent, or that lies open in the database, makes one.
    const rows = await node.store.db.selectFrom('secret').selectAll().where('name', '=', 'openvpn-token-key').execute();
    assert.equal(rows.length, 1);
    assert.ok(decodeStateKey(first.state?.gateway.openvpn?.tokenKey ?? '')?.type === 'public');
    const audit = JSON.stringify(await node.store.db.selectFrom('audit').selectAll().execute());
    assert.ok(!audit.includes(token.slice(0, 40)));
  });

  test('ends with the session lifetime of a group where that is shorter', async () => {
    await node.write(async ({ db, changed }) => {
      await db.updateTable('group').set({ session_lifetime_seconds: 3600 }).where('id', '=', 'everyone').execute();
      changed('group', 'everyone');
    });
    const gateway = await join();
    const token = await logIn(gateway);
    assert.ok(counts(gateway, token, 'typed', now + HOUR_MS - 1));
    assert.ok(!counts(gateway, token, 'typed', now + HOUR_MS));
  });

  test('ends with what the user was logged in by, and with the device', async () => {
    const gateway = await join();
    const token = await logIn(gateway);
    const others = structuredClone(gateway.state?.devices.get('d0'));
    await endLogins();
    assert.ok(!counts(gateway, token, 'typed'));
    assert.deepEqual(gateway.state?.devices.get('d0'), others, 'nothing changes for WireGuard');
    const next = await logIn(gateway);
    assert.ok(counts(gateway, next, 'typed'));
    await node.setUser('u0', { disabled: 1 });
    await node.hub.whenApplied();
    assert.ok(!counts(gateway, next, 'typed'));
    await node.setUser('u0', { disabled: 0 });
    await node.write(async ({ db, changed }) => {
      await db.deleteFrom('device').where('id', '=', 'typed').execute();
      changed('device', 'typed');
    });
    await node.hub.whenApplied();
    assert.ok(!counts(gateway, next, 'typed'));
  });

  test('of a login in a browser is of the moment at which that began', async () => {
    const gateway = await join();
    const begin = async () => {
      const number = gateway.ask('browser', { kind: 'web' });
      const verdict = await gateway.verdict(number);
      assert.ok(verdict.kind === 'web' && !('loginEpoch' in verdict));
      return { number, code: new URL(verdict.url).searchParams.get('code') ?? '' };
    };
    const approve = async ({ number, code }: { number: number; code: string }): Promise<string> => {
      assert.equal((await node.call('u0', 'POST', `/me/tunnel-logins/${code}`, { decision: 'approve' })).status, 204);
      const verdict = await gateway.verdict(number, 1);
      assert.ok(verdict.kind === 'admit' && verdict.token !== undefined);
      return verdict.token;
    };
    const token = await approve(await begin());
    assert.ok(counts(gateway, token, 'browser'));
    const late = await begin();
    await endLogins();
    assert.ok(!counts(gateway, token, 'browser'));
    assert.ok(!counts(gateway, await approve(late), 'browser'));
    assert.ok(counts(gateway, await approve(await begin()), 'browser'));
  });

  test('a device that shows nothing but its profile comes in nowhere', async () => {
    await addDevice('certificate', 'bare');
    const gateway = await join();
    for (const deviceId of ['bare', 'typed', 'browser']) {
      const verdict = await gateway.verdict(gateway.ask(deviceId, { kind: 'none' }));
      assert.equal(verdict.kind, 'refuse', deviceId);
    }
    const shown = { certificate: 'ab'.repeat(32) };
    assert.equal((await gateway.verdict(gateway.ask('bare', { kind: 'none' }, shown))).kind, 'refuse');
  });

  test('a gateway of an earlier version of the link gets no key, and no epoch', async () => {
    const old = await join({ protocolVersion: 2 });
    assert.equal(old.state?.gateway.openvpn, undefined);
    assert.deepEqual([...(old.state?.devices.keys() ?? [])], ['d0']);
    assert.doesNotMatch(JSON.stringify(old.state?.gateway), /tokenKey|loginEpoch/);
  });
});

onBothDatabases('what ends logins of devices', ({ create }) => {
  const epoch = (world: ApiWorld, name: string): string | undefined =>
    [...world.services.directory.model.users.values()].find((user) => user.name === name)?.loginEpoch;

  /** Whether this ends a user's; the model has it as soon as the request is answered. */
  async function ends(world: ApiWorld, name: string, what: () => Promise<unknown>): Promise<boolean> {
    const before = epoch(world, name);
    await what();
    const after = epoch(world, name);
    assert.ok(after !== undefined);
    return after !== before;
  }

  test('another password, a second factor that goes, and sessions that are ended', async () => {
    await using world = await scimWorld(await create());
    const alice = world.client(await world.addUser('alice'));
    const root = world.client(world.root);
    const step = (): void => {
      world.now += 30_000;
    };
    const user = () => root.call(routes.getUser, { params: { userId: 'alice' } });
    const no: [string, () => Promise<unknown>][] = [
      ['a login', () => world.logIn('alice')],
      ['a name', () => alice.call(routes.updateMe, { body: { displayName: 'Alice' } })],
    ];
    for (const [name, what] of no) assert.equal(await ends(world, 'alice', what), false, name);
    const changePassword = (currentPassword: string, newPassword: string) => () =>
      alice.call(routes.changePassword, { body: { currentPassword, newPassword } });
    assert.ok(await ends(world, 'alice', changePassword(PASSWORD, 'another one entirely')));
    assert.ok(await ends(world, 'alice', changePassword('another one entirely', PASSWORD)));
    // Also where there is no other session.
    assert.ok(await ends(world, 'alice', () => alice.call(routes.endMyOtherSessions)));
    assert.ok(await ends(world, 'alice', () => alice.call(routes.endMyOtherSessions)));

    let secret = '';
    const code = (): string => new TOTP({ secret }).generate({ timestamp: world.now });
    const addTotp = async (): Promise<void> => {
      ({ secret } = await alice.call(routes.beginTotp));
      step();
      await alice.call(routes.confirmTotp, { body: { code: code() } });
    };
    assert.equal(await ends(world, 'alice', addTotp), false, 'a first second factor');
    assert.equal(await ends(world, 'alice', () => alice.call(routes.createRecoveryCodes)), false);
    assert.ok(await ends(world, 'alice', addTotp), 'another app');
    assert.ok(await ends(world, 'alice', () => alice.call(routes.removeTotp)));
    await addTotp();
    await world.services.store.db
      .insertInto('passkey')
      .values({
        id: 'p',
        user_id: (await user()).id,
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
    assert.ok(await ends(world, 'alice', () => alice.call(routes.removePasskey, { params: { passkeyId: 'p' } })));
    const reset = () => root.call(routes.resetUserSecondFactors, { params: { userId: 'alice' } });
    assert.ok(await ends(world, 'alice', reset));
    assert.ok(await ends(world, 'alice', () => root.call(routes.endUserSessions, { params: { userId: 'alice' } })));

    const { id } = await user();
    const { token } = await root.call(routes.createInvitation, { body: { userId: id } });
    const accept = () => world.client().call(routes.acceptInvitation, { body: { token, password: PASSWORD } });
    assert.ok(await ends(world, 'alice', accept));
    const disable = async (disabled: boolean) =>
      root.call(routes.updateUser, { params: { userId: id }, body: { disabled }, ifMatch: (await user()).version });
    assert.ok(await ends(world, 'alice', () => disable(true)));
    assert.equal(await ends(world, 'alice', () => disable(false)), false);
    // It says nothing about anything, and is told to nobody else.
    assert.match(epoch(world, 'alice') ?? '', /^[\w-]{22}$/);
    assert.doesNotMatch(JSON.stringify(await user()), /epoch/i);
    assert.ok((await world.audit()).every(({ all }) => !/login_?epoch/i.test(all)));
  });

  test('a SCIM client that deactivates the user', async () => {
    await using world = await scimWorld(await create());
    const client = await world.addClient('directory');
    const { id } = await client.addUser('carol@example.com');
    const name = world.services.directory.model.users.get(id)?.name ?? '';
    const active = (value: boolean) => () => client.patch(`/Users/${id}`, { op: 'replace', path: 'active', value });
    assert.ok(await ends(world, name, active(false)));
    assert.equal(await ends(world, name, active(true)), false);
  });

  test('an identity provider that is switched off, for who may have logged in by it', async () => {
    await using world = await scimWorld(await create());
    const root = world.client(world.root);
    for (const name of ['alice', 'bob']) await world.addUser(name);
    const body = { name: 'Company', issuer: 'https://login.example', clientId: 'sallyport' };
    const provider = await root.call(routes.createIdentityProvider, { body });
    const { db } = world.services.store;
    const users = await db.selectFrom('user').select(['id', 'name']).where('name', 'in', ['alice', 'bob']).execute();
    const insert = { provider_id: provider.id, created_at: 1, last_login_at: 1 };
    for (const { id } of users) await db.insertInto('external_identity').values({ ...insert, subject: id, user_id: id }).execute(); // prettier-ignore
    const alice = users.find(({ name }) => name === 'alice')!.id;
    const device = await world.addDevice(alice);
    await db.updateTable('device').set({ openvpn: '{"login":"web","certificate":null}' }).where('id', '=', device).execute(); // prettier-ignore
    const bob = epoch(world, 'bob');
    const off = () =>
      root.call(routes.updateIdentityProvider, {
        params: { providerId: provider.id },
        body: { enabled: false },
        ifMatch: provider.version,
      });
    assert.ok(await ends(world, 'alice', off));
    assert.equal(epoch(world, 'bob'), bob, 'who has no such device');
    const remove = () =>
      root.call(routes.deleteIdentityProvider, { params: { providerId: provider.id }, ifMatch: provider.version + 1 }); // prettier-ignore
    assert.ok(await ends(world, 'alice', remove));
  });
});
