/** Dangerous things ask a session for a new proof; changes by cookie ask for its CSRF token. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { allRoutes, routes, type RouteContract } from '@sallyport/api';
import { Secret, TOTP } from 'otpauth';
import { markSteppedUp } from '../../packages/control/src/auth/step-up.ts';
import { apiWorld, codeOf, PASSWORD } from './api-world.ts';
import { onBothDatabases } from './databases.ts';

type World = Awaited<ReturnType<typeof apiWorld>>;
const TEN_MINUTES = 600_000;
const STEP = 30_000;

const codeAt = (secret: string, time: number): string =>
  TOTP.generate({ secret: Secret.fromBase32(secret), timestamp: time });

/** With parameters that are nobody's: what is let through fails for that, and changes nothing. */
const send = (world: World, contract: RouteContract, token: string) =>
  world.call(
    token,
    contract.method,
    contract.path.replace(/\{\w+\}/g, 'nothing'),
    contract.body === undefined ? undefined : [],
  );

describe('routes that are dangerous', () => {
  const dangerous = allRoutes.filter(({ stepUp }) => stepUp === true);

  test('ask sessions for a proof of the last ten minutes, and API tokens for none', async () => {
    await using world = await apiWorld();
    assert.ok(dangerous.length > 10);
    const tokens = new Map<RouteContract, string>();
    for (const contract of dangerous) {
      if (contract.permission === 'self' || contract.permission === 'enrol' || contract.permission === 'public')
        continue;
      tokens.set(contract, await world.addToken(world.root, [contract.permission]));
    }
    world.now += TEN_MINUTES - 1;
    for (const contract of dangerous) {
      assert.notEqual((await send(world, contract, world.root)).body?.['code'], 'stepUpRequired', contract.id);
    }
    world.now += 1;
    for (const contract of dangerous) {
      const { status, body } = await send(world, contract, world.root);
      assert.deepEqual([status, body['code']], [403, 'stepUpRequired'], contract.id);
      assert.match(String(body['detail']), /me\/step-up/);
    }
    for (const [contract, token] of tokens) {
      assert.notEqual((await send(world, contract, token)).status, 403, contract.id);
    }
  });

  test('are these: what makes a way in, or takes much away', () => {
    const ids = dangerous.map(({ id }) => id);
    for (const id of ['createToken', 'deleteUser', 'resetUserSecondFactors', 'createIdentityProvider', 'removeTotp']) {
      assert.ok(ids.includes(id), id);
    }
  });
});

onBothDatabases('step-up', ({ create }) => {
  const token = { body: { name: 'ci', permissions: ['users:read' as const] } };

  test('by password, where there is nothing else; it counts for this session, for ten minutes', async () => {
    await using world = await apiWorld({ url: await create() });
    const [root, other] = [world.client(world.root), world.client(await world.logIn('root'))];
    world.now += TEN_MINUTES;
    assert.equal(await codeOf(root.call(routes.createToken, token)), 'stepUpRequired');
    const options = await root.call(routes.beginStepUp);
    assert.deepEqual(options, { password: true, code: false, passkey: null, provider: null });
    assert.equal(await codeOf(root.call(routes.stepUp, { body: {} })), 'invalidRequest');
    assert.equal(await codeOf(root.call(routes.stepUp, { body: { password: 'wrong' } })), 'loginFailed');
    assert.equal(await codeOf(root.call(routes.stepUp, { body: { code: '123456' } })), 'invalidRequest');
    assert.equal(await codeOf(root.call(routes.createToken, token)), 'stepUpRequired');
    const { authenticatedAt } = await root.call(routes.stepUp, { body: { password: PASSWORD } });
    assert.equal(authenticatedAt, new Date(world.now).toISOString());
    assert.equal((await root.call(routes.getMe)).session!.authenticatedAt, authenticatedAt);
    const made = await root.call(routes.createToken, token);
    assert.equal(await codeOf(other.call(routes.createToken, token)), 'stepUpRequired');
    assert.equal(await codeOf(world.client(made.token).call(routes.beginStepUp)), 'forbidden', 'it may not `self`');
    const own = await world.addToken(world.root, ['self']);
    assert.equal(await codeOf(world.client(own).call(routes.beginStepUp)), 'conflict');
    assert.equal(await codeOf(world.client(own).call(routes.stepUp, { body: { password: PASSWORD } })), 'conflict');
    world.now += TEN_MINUTES;
    assert.equal(await codeOf(root.call(routes.createToken, token)), 'stepUpRequired');
    const log = await world.audit();
    assert.ok(log.some(({ action, target }) => action === 'session.stepUp' && target === 'root'));
    assert.ok(log.some(({ action, target }) => action === 'login.fail' && target === 'root'));
    assert.ok(log.every(({ all }) => !all.includes(PASSWORD)));
  });

  test('with a code, where there is an app: none counts twice, neither half is enough', async () => {
    await using world = await apiWorld({ url: await create() });
    const root = world.client(world.root);
    const { secret } = await root.call(routes.beginTotp);
    await root.call(routes.confirmTotp, { body: { code: codeAt(secret, world.now) } });
    world.now += TEN_MINUTES;
    const code = codeAt(secret, world.now);
    const prove = (body: object) => codeOf(root.call(routes.stepUp, { body }));
    assert.deepEqual(await root.call(routes.beginStepUp), {
      password: true,
      code: true,
      passkey: null,
      provider: null,
    });
    assert.equal(await prove({ password: PASSWORD }), 'secondFactorRequired');
    assert.equal(await prove({ code }), 'invalidRequest');
    assert.equal(await prove({ password: 'wrong', code }), 'loginFailed');
    assert.equal(await prove({ password: PASSWORD, code: codeAt(secret, world.now - 10 * STEP) }), 'loginFailed');
    assert.equal(await codeOf(root.call(routes.createToken, token)), 'stepUpRequired');
    const many = await Promise.all(Array.from({ length: 3 }, () => prove({ password: PASSWORD, code })));
    assert.deepEqual(many.sort(), ['loginFailed', 'loginFailed', 'ok']);
    assert.equal(await codeOf(root.call(routes.createToken, token)), 'ok');
  });

  test('a stolen session is no way to guess: neither the password nor codes', async () => {
    await using world = await apiWorld({ url: await create() });
    const root = world.client(world.root);
    const guess = (body: object) => codeOf(root.call(routes.stepUp, { body }));
    const answers: string[] = [];
    for (let i = 0; i < 12; i++) answers.push(await guess({ password: `guess ${i}` }));
    assert.equal(answers.filter((answer) => answer === 'loginFailed').length, 10);
    assert.equal(await guess({ password: PASSWORD }), 'tooManyRequests');
    world.now += TEN_MINUTES;
    const second = world.client(await world.logIn('root'));
    const { secret } = await second.call(routes.beginTotp);
    await second.call(routes.confirmTotp, { body: { code: codeAt(secret, world.now) } });
    const codes: string[] = [];
    for (let i = 0; i < 7; i++)
      codes.push(await codeOf(second.call(routes.stepUp, { body: { password: PASSWORD, code: '000000' } })));
    assert.deepEqual(codes.slice(0, 5), Array<string>(5).fill('loginFailed'));
    assert.deepEqual(codes.slice(5), ['tooManyRequests', 'tooManyRequests']);
  });

  test('who has no password shows a code, or logs in at the provider again', async () => {
    await using world = await apiWorld({ url: await create() });
    const client = world.client(await world.addUser('alice'));
    const { db } = world.services.store;
    const { secret } = await client.call(routes.beginTotp);
    await client.call(routes.confirmTotp, { body: { code: codeAt(secret, world.now) } });
    await db.updateTable('user').set({ password_hash: null }).where('name', '=', 'alice').execute();
    const { id } = await db.selectFrom('user').select('id').where('name', '=', 'alice').executeTakeFirstOrThrow();
    const provider = {
      ...{ id: 'p1', name: 'Company', issuer: 'https://login.example.com', client_id: 'c', sealed_client_secret: null },
      ...{ scopes: '[]', enabled: 1, create_users: 0, email_domains: '[]', link_by_email: 0, asks_second_factor: 0 },
      ...{ groups_claim: 'groups', groups_by_name: 0, group_mapping: '[]', version: 1 },
    };
    await db.insertInto('identity_provider').values(provider).execute();
    await db
      .insertInto('external_identity')
      .values({ provider_id: 'p1', subject: 's', user_id: id, created_at: 1, last_login_at: 1 })
      .execute();
    world.now += TEN_MINUTES;
    assert.deepEqual(await client.call(routes.beginStepUp), {
      password: false,
      code: true,
      passkey: null,
      provider: { id: 'p1', name: 'Company' },
    });
    const change = { body: { newPassword: 'a first password' } };
    assert.equal(await codeOf(client.call(routes.changePassword, change)), 'stepUpRequired');
    await client.call(routes.stepUp, { body: { code: codeAt(secret, world.now) } });
    assert.equal(await codeOf(client.call(routes.changePassword, change)), 'ok');
    world.now += STEP;
    const login = { name: 'alice', password: 'a first password', code: codeAt(secret, world.now) };
    assert.equal((await world.call(undefined, 'POST', '/login', login)).status, 200);
    // A provider that asks for a second factor itself stands for one, and only while it does.
    await db.updateTable('group').set({ require_second_factor: 1 }).where('id', '=', 'everyone').execute();
    const session = { provider_id: 'p1', methods: '["provider"]' };
    await db.updateTable('session').set(session).where('user_id', '=', id).execute();
    const mustEnrol = async () => (await client.call(routes.getMe)).session!.mustEnrol;
    assert.equal(await mustEnrol(), true);
    await db.updateTable('identity_provider').set({ asks_second_factor: 1 }).execute();
    assert.equal(await mustEnrol(), false);
  });

  test('a proof for a session that ended marks nothing', async () => {
    await using world = await apiWorld({ url: await create() });
    const { db } = world.services.store;
    assert.equal(await markSteppedUp(db, 'no such session', world.now, ['provider']), false);
  });

  test('a role, a mail address and an invitation of who may more ask for a proof', async () => {
    await using world = await apiWorld({ url: await create() });
    await world.addUser('alice');
    const admin = await world.addUser('admin', 'administrator');
    const api = await world.addToken(admin, ['self', 'users:read', 'users:write', 'groups:write']);
    world.now += TEN_MINUTES;
    const root = world.client(world.root);
    const update = async (client: typeof root, body: object) => {
      const { version } = await client.call(routes.getUser, { params: { userId: 'alice' } });
      return codeOf(client.call(routes.updateUser, { params: { userId: 'alice' }, body, ifMatch: version }));
    };
    const invite = (userId: string) => codeOf(root.call(routes.createInvitation, { body: { userId } }));
    assert.equal(await update(root, { displayName: 'Alice' }), 'ok');
    assert.equal(await update(root, { role: 'auditor' }), 'stepUpRequired');
    assert.equal(await update(root, { email: 'mallory@example.org' }), 'stepUpRequired');
    assert.equal(await codeOf(root.call(routes.updateMe, { body: { email: 'me@example.org' } })), 'stepUpRequired');
    assert.equal(await invite('alice'), 'ok');
    assert.equal(await invite('admin'), 'stepUpRequired');
    assert.equal(await update(world.client(api), { email: 'alice@example.org' }), 'ok', 'tokens have nobody to ask');
    await root.call(routes.stepUp, { body: { password: PASSWORD } });
    assert.equal(await update(root, { role: 'auditor' }), 'ok');
    assert.equal(await invite('admin'), 'ok');
    assert.equal(await codeOf(root.call(routes.updateMe, { body: { email: 'me@example.org' } })), 'ok');
  });

  test('to ask a group for no second factor any more asks for a proof', async () => {
    await using world = await apiWorld({ url: await create() });
    const root = world.client(world.root);
    const body = { name: 'staff', requireSecondFactor: true };
    const { id } = await root.call(routes.createGroup, { body });
    world.now += TEN_MINUTES;
    const params = { groupId: id };
    const update = async (change: object) => {
      const { version: ifMatch } = await root.call(routes.getGroup, { params });
      return codeOf(root.call(routes.updateGroup, { params, body: change, ifMatch }));
    };
    const remove = async () => {
      const { version: ifMatch } = await root.call(routes.getGroup, { params });
      return codeOf(root.call(routes.deleteGroup, { params, ifMatch }));
    };
    assert.equal(await update({ requireSecondFactor: false }), 'stepUpRequired');
    assert.equal(await remove(), 'stepUpRequired');
    assert.equal(await update({ description: 'x', requireSecondFactor: true }), 'ok');
    await root.call(routes.stepUp, { body: { password: PASSWORD } });
    assert.equal(await update({ requireSecondFactor: false }), 'ok');
    world.now += TEN_MINUTES;
    assert.equal(await update({ requireSecondFactor: true }), 'ok');
    assert.equal(await update({ requireSecondFactor: true }), 'ok');
    await root.call(routes.stepUp, { body: { password: PASSWORD } });
    assert.equal(await remove(), 'ok');
  });

  test('sessions of a user are listed, with how they began', async () => {
    await using world = await apiWorld({ url: await create() });
    await world.addUser('alice');
    await world.logIn('alice');
    const { items } = await world.client(world.root).call(routes.listUserSessions, { params: { userId: 'alice' } });
    assert.equal(items.length, 2);
    for (const { methods, current } of items) assert.deepEqual([methods, current], [['password'], false]);
    const own = await world.client(world.root).call(routes.listUserSessions, { params: { userId: 'root' } });
    assert.deepEqual(
      own.items.map(({ current }) => current),
      [true],
    );
  });
});

describe('CSRF tokens', () => {
  test('are asked of every change by cookie: those of their session only, and never of a token', async () => {
    await using world = await apiWorld();
    const host = `127.0.0.1:${world.port}`;
    const same = { host, origin: `http://${host}`, 'content-type': 'application/json' };
    const logIn = async () => {
      const body = JSON.stringify({ name: 'root', password: PASSWORD, cookie: true });
      const answer = await world.send('POST', '/api/v1/login', { headers: same, body });
      return { cookie: answer.headers['set-cookie']![0].split(';')[0], csrf: String(answer.body['csrfToken']) };
    };
    const [mine, other] = [await logIn(), await logIn()];
    assert.match(mine.csrf, /^[\w-]{43}$/);
    assert.notEqual(mine.csrf, other.csrf);
    const change = async (csrf: string | undefined, method = 'PATCH') => {
      const headers = { ...same, cookie: mine.cookie, ...(csrf === undefined ? {} : { 'x-csrf-token': csrf }) };
      const { status } = await world.send(method, '/api/v1/me', { headers, body: '{"displayName":"Root"}' });
      return status;
    };
    assert.equal(await change(mine.csrf), 200);
    const flipped = (mine.csrf[0] === 'A' ? 'B' : 'A') + mine.csrf.slice(1);
    for (const wrong of [
      undefined,
      '',
      'x',
      other.csrf,
      flipped,
      mine.csrf.slice(1),
      `${mine.csrf}A`,
      `${mine.csrf},x`,
    ]) {
      assert.equal(await change(wrong), 403, String(wrong));
    }
    // A page that was loaded anew asks for it; and reading needs none.
    const me = await world.send('GET', '/api/v1/me', { headers: { host, cookie: mine.cookie } });
    assert.equal((me.body['session'] as Record<string, unknown>)['csrfToken'], mine.csrf);
    assert.equal((await world.client(world.root).call(routes.getMe)).session!.csrfToken, null);
    // The right token makes no other origin right.
    const foreign = { ...same, origin: 'https://evil.example', cookie: mine.cookie, 'x-csrf-token': mine.csrf };
    const body = '{"displayName":"x"}';
    assert.equal((await world.send('PATCH', '/api/v1/me', { headers: foreign, body })).status, 403);
    // Who logs in while a cookie is there needs none: the page knows of no session yet.
    const again = JSON.stringify({ name: 'root', password: PASSWORD, cookie: true });
    const headers = { ...same, cookie: mine.cookie };
    assert.equal((await world.send('POST', '/api/v1/login', { headers, body: again })).status, 200);
  });
});
