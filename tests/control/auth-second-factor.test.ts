/** Authenticator apps, recovery codes, and groups that demand a second factor. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { routes } from '@sallyport/api';
import { Secret } from '@sallyport/core';
import { Secret as TotpSecret, TOTP } from 'otpauth';
import { totpStepOf } from '../../packages/control/src/auth/codes.ts';
import { seal } from '../../packages/control/src/store/secrets.ts';
import type { Store } from '../../packages/control/src/store/store.ts';
import { apiWorld, codeOf, PASSWORD } from './api-world.ts';
import { onBothDatabases } from './databases.ts';

type World = Awaited<ReturnType<typeof apiWorld>>;
const STEP = 30_000;
const hour = 3_600_000;

const codeAt = (secret: string, time: number): string =>
  TOTP.generate({ secret: TotpSecret.fromBase32(secret), timestamp: time });

/** Sets up an authenticator app, and lets the step go by whose code that took. */
async function addApp(world: World, token: string): Promise<{ secret: string; recoveryCodes: string[] }> {
  const client = world.client(token);
  const { secret } = await client.call(routes.beginTotp);
  const { recoveryCodes } = await client.call(routes.confirmTotp, { body: { code: codeAt(secret, world.now) } });
  world.now += STEP;
  return { secret, recoveryCodes };
}

const login = (world: World, body: object, from = '203.0.113.1') =>
  world.send('POST', '/api/v1/login', {
    headers: { 'content-type': 'application/json', 'x-forwarded-for': from },
    body: JSON.stringify({ name: 'alice', password: PASSWORD, ...body }),
  });

test('codes are those of RFC 6238, appendix B', () => {
  const masterKey = new Secret(randomBytes(32));
  const store = { masterKey } as Store;
  const row = {
    user_id: 'u',
    sealed_secret: seal(masterKey, 'totp u', Buffer.from('12345678901234567890')),
    confirmed: 1,
    last_step: 0,
    created_at: 0,
  };
  // The last six of the eight digits there.
  const vectors: [number, string][] = [
    [59, '287082'],
    [1111111109, '081804'],
    [1111111111, '050471'],
    [1234567890, '005924'],
    [2000000000, '279037'],
    [20000000000, '353130'],
  ];
  for (const [seconds, code] of vectors) {
    assert.equal(totpStepOf(store, row, code, seconds * 1000), Math.floor(seconds / 30), code);
    assert.equal(totpStepOf(store, row, code, (seconds + 3600) * 1000), undefined);
  }
  assert.throws(() => totpStepOf(store, { ...row, user_id: 'v' }, '287082', 59_000), /was changed/);
});

onBothDatabases('second factors', ({ create }) => {
  const open = async (): Promise<World> => {
    const world = await apiWorld({ url: await create(), api: { trustedProxies: ['127.0.0.1'] } });
    await world.addUser('alice');
    return world;
  };

  test('logins ask for a code once one of the app was shown, and nothing that is kept gives it away', async () => {
    await using world = await open();
    const alice = await world.logIn('alice');
    const client = world.client(alice);
    const { secret, uri } = await client.call(routes.beginTotp);
    assert.match(uri, /^otpauth:\/\/totp\/Sallyport:alice(%40|@)vpn\.example\.org\?/);
    assert.ok(uri.includes(secret));
    assert.equal(secret.length, 32, '160 bits');
    assert.equal((await login(world, {})).status, 200, 'it does not count yet');
    assert.equal(await codeOf(client.call(routes.confirmTotp, { body: { code: '000000' } })), 'invalidRequest');
    const { recoveryCodes } = await client.call(routes.confirmTotp, { body: { code: codeAt(secret, world.now) } });
    assert.equal(new Set(recoveryCodes).size, 10);
    for (const code of recoveryCodes) assert.match(code, /^([a-z2-7]{4}-){3}[a-z2-7]{4}$/);
    const asked = await login(world, {});
    assert.equal(asked.status, 401);
    assert.equal(asked.body['code'], 'secondFactorRequired');
    assert.deepEqual(asked.body['methods'], ['code', 'recoveryCode']);
    assert.equal((await login(world, { password: 'wrong' })).body['code'], 'loginFailed');
    world.now += STEP;
    const code = codeAt(secret, world.now);
    const done = await login(world, { code: `${code.slice(0, 3)} ${code.slice(3)}` });
    assert.equal(done.status, 200, done.text);
    const me = await world.client(String(done.body['token'])).call(routes.getMe);
    assert.deepEqual(me.session!.methods, ['password', 'code']);
    assert.equal(me.user.hasSecondFactor, true);
    const factors = await client.call(routes.getMySecondFactors);
    assert.equal(factors.recoveryCodesLeft, 10);
    assert.notEqual(factors.totp, null);
    await login(world, { code: '000000' });
    const log = await world.audit();
    assert.ok(log.some(({ action, target }) => action === 'totp.add' && target === 'alice'));
    assert.ok(log.some(({ action, all }) => action === 'login.fail' && all.includes('\\"why\\":\\"code\\"')));
    const { db } = world.services.store;
    const kept = JSON.stringify([
      log,
      await db.selectFrom('totp').selectAll().execute(),
      await db.selectFrom('recovery_code').selectAll().execute(),
      world.logged,
    ]);
    for (const text of [secret, Buffer.from(secret).toString('base64'), ...recoveryCodes, code]) {
      assert.ok(!kept.includes(text), text);
      assert.ok(!kept.includes(text.replaceAll('-', '')), text);
    }
  });

  test('a step before and after counts, two do not; no code counts twice, nor one before it', async () => {
    await using world = await open();
    const { secret } = await addApp(world, await world.logIn('alice'));
    world.now += 10 * STEP;
    const at = (steps: number) => login(world, { code: codeAt(secret, world.now + steps * STEP) });
    assert.equal((await at(-2)).status, 401);
    assert.equal((await at(2)).status, 401);
    assert.equal((await at(-1)).status, 200);
    assert.equal((await at(-1)).status, 401, 'again');
    assert.equal((await at(1)).status, 200);
    assert.equal((await at(0)).status, 401, 'one before the last that counted');
    world.now += 2 * STEP;
    assert.equal((await at(0)).status, 200);
  });

  test('many at once with one code: one gets in', async () => {
    await using world = await open();
    const { secret, recoveryCodes } = await addApp(world, await world.logIn('alice'));
    for (const code of [codeAt(secret, world.now), recoveryCodes[0]]) {
      const answers = await Promise.all(Array.from({ length: 5 }, () => login(world, { code })));
      assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 401, 401, 401, 401], code);
      world.now += 10 * hour;
    }
    await world.identity.failures.flush();
    const failed = (await world.audit()).filter(({ action }) => action === 'login.fail');
    assert.ok(failed.length > 0);
  });

  test('recovery codes are good once each, as people type them, until there are new ones', async () => {
    await using world = await open();
    const alice = await world.logIn('alice');
    const { recoveryCodes } = await addApp(world, alice);
    const typed = recoveryCodes[1].toUpperCase().replaceAll('-', ' ');
    const done = await login(world, { code: typed });
    assert.deepEqual((await world.client(String(done.body['token'])).call(routes.getMe)).session!.methods, [
      'password',
      'recoveryCode',
    ]);
    assert.equal((await login(world, { code: recoveryCodes[1] })).status, 401);
    assert.equal((await world.client(alice).call(routes.getMySecondFactors)).recoveryCodesLeft, 9);
    const fresh = (await world.client(alice).call(routes.createRecoveryCodes)).recoveryCodes;
    assert.equal((await login(world, { code: recoveryCodes[2] })).status, 401);
    assert.equal((await login(world, { code: fresh[0] })).status, 200);
    const bob = await world.addUser('bob');
    assert.equal(await codeOf(world.client(bob).call(routes.createRecoveryCodes)), 'conflict');
    await addApp(world, bob);
    assert.equal((await login(world, { name: 'bob', code: fresh[1] })).status, 401, "another's");
  });

  test('codes can be tried five times, from wherever; the owner still gets in where they were before', async () => {
    await using world = await open();
    const alice = await world.logIn('alice');
    const knownClient = String((await login(world, {}, '198.51.100.7')).body['knownClient']);
    const { secret, recoveryCodes } = await addApp(world, alice);
    // Asking costs whoever has the password nothing.
    for (let i = 0; i < 25; i++) assert.equal((await login(world, {})).body['code'], 'secondFactorRequired');
    const statuses: number[] = [];
    for (let i = 0; i < 12; i++) {
      statuses.push((await login(world, { code: `00000${i % 10}` }, `203.0.113.${i + 10}`)).status);
    }
    assert.deepEqual(statuses, [401, 401, 401, 401, 401, 429, 429, 429, 429, 429, 429, 429]);
    assert.equal((await login(world, { code: recoveryCodes[0] }, '203.0.113.99')).status, 429);
    const mine = await login(world, { code: codeAt(secret, world.now), knownClient }, '203.0.113.98');
    assert.equal(mine.status, 200, mine.text);
    // The clients that are known share their tries, too.
    const second = String(mine.body['knownClient']);
    const own: number[] = [];
    for (let i = 0; i < 6; i++) {
      own.push((await login(world, { code: '111111', knownClient: i % 2 === 0 ? knownClient : second })).status);
    }
    assert.equal(own.filter((status) => status === 401).length, 5);
    assert.equal(own.at(-1), 429);
    world.now += hour;
    assert.equal((await login(world, { code: codeAt(secret, world.now) }, '203.0.113.97')).status, 200);
  });

  test('the right password without a code gives back no guess at the password', async () => {
    await using world = await open();
    await addApp(world, await world.logIn('alice'));
    const statuses: number[] = [];
    for (let i = 0; i < 15; i++) {
      statuses.push((await login(world, { password: `guess ${i}` }, `203.0.113.${i + 10}`)).status);
      await login(world, {}, `203.0.113.${i + 100}`);
    }
    assert.equal(statuses.filter((status) => status === 401).length, 10);
  });

  test('a group demands one: sessions without can set it up and nothing else, then everything', async () => {
    await using world = await open();
    const alice = await world.logIn('alice');
    const token = await world.addToken(alice, ['self']).catch(() => undefined);
    assert.equal(token, undefined, 'users make no tokens');
    const root = world.client(world.root);
    await root.call(routes.createGroup, { body: { name: 'staff', requireSecondFactor: true } });
    assert.equal((await root.call(routes.getGroup, { params: { groupId: 'staff' } })).requireSecondFactor, true);
    const bare = async (): Promise<boolean> => (await world.client(alice).call(routes.getMe)).session!.mustEnrol;
    assert.equal(await bare(), false);
    await root.call(routes.addGroupMember, { params: { groupId: 'staff', userId: 'alice' } });
    assert.equal(await bare(), true, 'at once');
    const client = world.client(alice);
    assert.deepEqual((await client.call(routes.getMe)).permissions, []);
    for (const [method, path, body] of [
      ['GET', '/me/devices', undefined],
      ['GET', '/me/sessions', undefined],
      ['PATCH', '/me', { displayName: 'x' }],
      ['POST', '/me/password', { currentPassword: PASSWORD, newPassword: 'another good password' }],
      ['DELETE', '/me/second-factors/totp', undefined],
    ] as const) {
      const { status, body: answer } = await world.call(alice, method, path, body);
      assert.deepEqual([status, answer['code']], [403, 'enrolmentRequired'], path);
    }
    assert.equal((await client.call(routes.getMySecondFactors)).required, true);
    await addApp(world, alice);
    assert.equal(await bare(), false);
    assert.equal((await world.call(alice, 'GET', '/me/devices')).status, 200);
    assert.equal(await codeOf(client.call(routes.removeTotp)), 'conflict', 'the last is kept');
    await root.call(routes.removeGroupMember, { params: { groupId: 'staff', userId: 'alice' } });
    assert.equal(await codeOf(client.call(routes.removeTotp)), 'ok');
    // Everybody is in `everyone`.
    const { version } = await root.call(routes.getGroup, { params: { groupId: 'everyone' } });
    await root.call(routes.updateGroup, {
      params: { groupId: 'everyone' },
      body: { requireSecondFactor: true },
      ifMatch: version,
    });
    assert.equal((await world.call(world.root, 'GET', '/users')).body['code'], 'enrolmentRequired');
  });

  test('where a group demands one, a login without it connects no device again', async () => {
    await using world = await open();
    const root = world.client(world.root);
    const group = { name: 'staff', requireSecondFactor: true, sessionLifetimeSeconds: 3600 };
    await root.call(routes.createGroup, { body: group });
    await root.call(routes.addGroupMember, { params: { groupId: 'staff', userId: 'alice' } });
    const params = { userId: 'alice' };
    const { id, lastLoginAt: first } = await root.call(routes.getUser, { params });
    const lastLogin = async (): Promise<number | null> => {
      const { lastLoginAt } = await root.call(routes.getUser, { params });
      assert.equal(world.services.directory.model.users.get(id)?.lastLoginAt, Date.parse(lastLoginAt!), 'gateways too');
      return Date.parse(lastLoginAt!);
    };
    world.now += 2 * hour;
    const bare = await world.logIn('alice');
    assert.equal(await lastLogin(), Date.parse(first!));
    const { secret } = await addApp(world, bare);
    assert.equal(await lastLogin(), world.now - STEP, 'the factor is set up');
    world.now += 2 * hour;
    assert.equal((await login(world, { code: codeAt(secret, world.now) })).status, 200);
    assert.equal(await lastLogin(), world.now);
    // Who came by a provider has yet to show theirs.
    world.now += 2 * hour;
    await world.services.store.db
      .updateTable('session')
      .set({ methods: '["provider"]' })
      .where('user_id', '=', id)
      .execute();
    const body = { password: PASSWORD, code: codeAt(secret, world.now) };
    await world.client(bare).call(routes.stepUp, { body });
    assert.equal(await lastLogin(), world.now);
    // A proof alone is no login.
    world.now += STEP;
    await world.client(bare).call(routes.stepUp, { body: { ...body, code: codeAt(secret, world.now) } });
    assert.equal(await lastLogin(), world.now - STEP);
  });

  test('a session that never showed the second factor changes none, whatever it proves else', async () => {
    await using world = await open();
    const [old, other] = [await world.logIn('alice'), await world.logIn('alice')];
    const { secret, recoveryCodes } = await addApp(world, old);
    const { version } = await world.client(world.root).call(routes.getGroup, { params: { groupId: 'everyone' } });
    const require = { params: { groupId: 'everyone' }, body: { requireSecondFactor: true }, ifMatch: version };
    await world.client(world.root).call(routes.updateGroup, require);
    const client = world.client(other);
    assert.equal(await codeOf(client.call(routes.beginTotp)), 'stepUpRequired');
    assert.equal(await codeOf(client.call(routes.beginPasskey)), 'stepUpRequired');
    assert.equal((await client.call(routes.getMe)).session!.mustEnrol, true);
    const proof = { password: PASSWORD, code: codeAt(secret, world.now) };
    await client.call(routes.stepUp, { body: proof });
    assert.equal((await client.call(routes.getMe)).session!.mustEnrol, false);
    // Now it may put another app in its place; who logged in by the old one is out.
    const next = await addApp(world, other);
    assert.deepEqual(next.recoveryCodes, [], 'those from before still count');
    assert.equal((await world.call(old, 'GET', '/me')).status, 401);
    world.now += STEP;
    assert.equal((await login(world, { code: codeAt(secret, world.now) })).status, 401);
    assert.equal((await login(world, { code: codeAt(next.secret, world.now) })).status, 200);
    assert.equal((await login(world, { code: recoveryCodes[0] })).status, 200);
  });

  test('an API token changes none; an administrator takes all away, and who may do less does not', async () => {
    await using world = await open();
    const alice = await world.logIn('alice');
    await addApp(world, alice);
    const admin = await world.addUser('admin', 'administrator');
    const token = await world.addToken(admin, ['self', 'users:write']);
    for (const contract of [routes.beginTotp, routes.removeTotp, routes.createRecoveryCodes, routes.beginPasskey]) {
      assert.equal(await codeOf(world.client(token).callUntyped(contract, {})), 'forbidden', contract.id);
    }
    await addApp(world, admin);
    const reset = (as: string, userId: string) =>
      codeOf(world.client(as).call(routes.resetUserSecondFactors, { params: { userId } }));
    assert.equal(await reset(token, 'admin'), 'forbidden');
    assert.equal(await reset(world.root, 'alice'), 'ok');
    assert.equal((await world.call(alice, 'GET', '/me')).status, 401);
    assert.equal((await login(world, {})).status, 200);
    const { db } = world.services.store;
    const left = await db.selectFrom('recovery_code').select('user_id').execute();
    const user = await db.selectFrom('user').select('id').where('name', '=', 'alice').executeTakeFirstOrThrow();
    assert.ok(left.every(({ user_id: id }) => id !== user.id));
    assert.ok(
      (await world.audit()).some(({ action, target }) => action === 'secondFactors.reset' && target === 'alice'),
    );
  });

  test('to remove the app ends the other sessions, and the recovery codes with it', async () => {
    await using world = await open();
    const [alice, other] = [await world.logIn('alice'), await world.logIn('alice')];
    await addApp(world, alice);
    assert.equal((await world.call(other, 'GET', '/me')).status, 200, 'to add one ends none');
    await world.client(alice).call(routes.removeTotp);
    assert.equal((await world.call(other, 'GET', '/me')).status, 401);
    assert.equal((await world.client(alice).call(routes.getMySecondFactors)).recoveryCodesLeft, 0);
    assert.equal((await login(world, {})).status, 200);
  });

  test('a secret waits an hour for its first code', async () => {
    await using world = await open();
    const client = world.client(await world.logIn('alice'));
    const { secret } = await client.call(routes.beginTotp);
    world.now += hour;
    const late = { body: { code: codeAt(secret, world.now) } };
    assert.equal(await codeOf(client.call(routes.confirmTotp, late)), 'conflict');
  });
});

describe('secrets of the service', () => {
  test('are sealed for one user: one in the place of another opens nothing', async () => {
    await using world = await apiWorld();
    const alice = await world.addUser('alice');
    await addApp(world, alice);
    const { db } = world.services.store;
    const root = await db.selectFrom('user').select('id').where('name', '=', 'root').executeTakeFirstOrThrow();
    await db.updateTable('totp').set({ user_id: root.id }).execute();
    const { status } = await login(world, { name: 'root', code: '123456' });
    assert.equal(status, 500);
  });
});
