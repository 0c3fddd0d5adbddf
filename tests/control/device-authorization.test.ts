/** Logins of clients without a browser (RFC 8628): how they come about, and what is tried against them. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, beforeEach, describe, test } from 'node:test';
import { routes } from '@sallyport/api';
import {
  AUTHORIZATION_MS,
  MAX_WAITING,
  MAX_WAITING_OF_ADDRESS,
  newUserCode,
  readUserCode,
  showUserCode,
} from '../../packages/control/src/auth/device-authorization.ts';
import { requireOwnSession } from '../../packages/control/src/auth/second-factors.ts';
import { hashToken } from '../../packages/control/src/auth/tokens.ts';
import { forgetOld } from '../../packages/control/src/housekeeping.ts';
import { newPublicKey } from './access-world.ts';
import { apiWorld, codeOf, PASSWORD } from './api-world.ts';

type World = Awaited<ReturnType<typeof apiWorld>>;

let world: World;
let alice = '';
before(async () => {
  world = await apiWorld();
  await world.addUser('alice');
  await world.addUser('mallory');
});
after(() => world[Symbol.asyncDispose]());
beforeEach(async () => {
  // What one address may begin comes back with time, and proofs grow old.
  world.now += 3_600_000;
  await world.services.store.db.deleteFrom('device_authorization').execute();
  alice = await world.logIn('alice');
});

const start = (client = 'alice-laptop') => world.client().call(routes.startDeviceAuthorization, { body: { client } });
const redeem = (deviceCode: string) => world.client().call(routes.redeemDeviceAuthorization, { body: { deviceCode } });
const look = (userCode: string, token = alice) =>
  world.client(token).call(routes.getDeviceAuthorization, { params: { userCode } });
const decide = (userCode: string, decision: 'approve' | 'deny', token = alice) =>
  world.client(token).call(routes.decideDeviceAuthorization, { params: { userCode }, body: { decision } });
const sessionsOf = async (token: string) => (await world.client(token).call(routes.listMySessions)).items;
const rows = () => world.services.store.db.selectFrom('device_authorization').selectAll().execute();

describe('codes', () => {
  test('are eight letters without vowels, and are read as people type them', () => {
    const codes = Array.from({ length: 500 }, newUserCode);
    for (const code of codes) assert.match(code, /^[BCDFGHJKLMNPQRSTVWXZ]{8}$/);
    assert.equal(new Set(codes).size, codes.length);
    assert.equal(new Set(codes.join('')).size, 20, 'every letter comes up');
    assert.equal(showUserCode('BCDFGHJK'), 'BCDF-GHJK');
    for (const typed of ['BCDF-GHJK', 'bcdfghjk', ' bcdf ghjk ', 'b-c-d-f–ghjk']) {
      assert.equal(readUserCode(typed), 'BCDFGHJK', typed);
    }
    for (const typed of ['BCDFGHJ', 'BCDFGHJKL', 'ABCDFGHJ', 'BCDFGHJ1', 'BCDFGHJ\u0130', '', '%%%%%%%%']) {
      assert.equal(readUserCode(typed), undefined, typed);
    }
  });
});

describe('a client that is let in', () => {
  test('gets one session, named after it, with the proofs of whoever let it in', async () => {
    const before = world.now;
    const begun = await start();
    assert.match(begun.deviceCode, /^spd_[\w-]{43}$/);
    assert.match(begun.userCode, /^[A-Z]{4}-[A-Z]{4}$/);
    assert.equal(begun.verificationUri, 'https://vpn.example.org/client');
    assert.equal(begun.verificationUriComplete, `https://vpn.example.org/client?code=${begun.userCode}`);
    assert.deepEqual(await redeem(begun.deviceCode), { state: 'pending' });
    assert.deepEqual(await look(begun.userCode.toLowerCase().replace('-', ' ')), {
      userCode: begun.userCode,
      client: 'alice-laptop',
      address: '127.0.0.1',
      createdAt: new Date(before).toISOString(),
      expiresAt: new Date(before + begun.expiresInSeconds * 1000).toISOString(),
    });
    await decide(begun.userCode, 'approve');
    world.now += 60_000;
    const answers = await Promise.all(Array.from({ length: 5 }, () => redeem(begun.deviceCode)));
    assert.deepEqual(answers.map(({ state }) => state).sort(), [
      'approved',
      'expired',
      'expired',
      'expired',
      'expired',
    ]);
    const answer = answers.find(({ state }) => state === 'approved')!;
    assert.ok(answer.state === 'approved');
    assert.equal(answer.userName, 'alice');
    const { user } = await world.client(alice).call(routes.getMe);
    assert.equal(user.id, answer.userId);
    const session = (await sessionsOf(alice)).find(({ kind }) => kind === 'client')!;
    assert.equal(session.client, 'alice-laptop');
    assert.deepEqual(session.methods, ['password']);
    // Of the login in the browser, not of now.
    assert.equal(session.authenticatedAt, new Date(before).toISOString());
    assert.equal(user.lastLoginAt, new Date(world.now).toISOString());
    assert.equal((await redeem(begun.deviceCode)).state, 'expired');
    const actions = (await world.audit()).slice(-2);
    assert.deepEqual(
      actions.map(({ action, target }) => [action, target]),
      [
        ['clientLogin.approve', 'alice'],
        ['login.succeed', 'alice'],
      ],
    );
    assert.equal(actions[0].actor.name, 'alice');
  });

  test('by who logged in at a provider, has its session by that provider', async () => {
    const { db } = world.services.store;
    const own = (await sessionsOf(alice)).find(({ current }) => current)!;
    await db
      .insertInto('identity_provider')
      .values({
        id: 'p1',
        name: 'Company',
        issuer: 'https://login.example',
        client_id: 'sallyport',
        scopes: '[]',
        enabled: 1,
        create_users: 0,
        email_domains: '[]',
        link_by_email: 0,
        asks_second_factor: 0,
        groups_claim: 'groups',
        groups_by_name: 0,
        group_mapping: '[]',
        version: 1,
      })
      .execute();
    const methods = JSON.stringify(['provider', 'passkey']);
    await db.updateTable('session').set({ provider_id: 'p1', methods }).where('id', '=', own.id).execute();
    const { userCode, deviceCode } = await start();
    await decide(userCode, 'approve');
    const answer = await redeem(deviceCode);
    assert.ok(answer.state === 'approved');
    const sessions = await db.selectFrom('session').selectAll().where('client', '=', 'alice-laptop').execute();
    const row = sessions.find(({ created_at: at }) => at === world.now)!;
    assert.equal(row.provider_id, 'p1');
    assert.equal(row.methods, methods);
  });

  test('keeps neither code nor token as they are', async () => {
    const { userCode, deviceCode } = await start();
    const stored = JSON.stringify(await rows());
    assert.ok(!stored.includes(deviceCode));
    await decide(userCode, 'approve');
    const answer = await redeem(deviceCode);
    assert.ok(answer.state === 'approved');
    const everything = (await world.audit()).map(({ all }) => all).join() + world.logged.join();
    for (const secret of [deviceCode, answer.token]) assert.ok(!everything.includes(secret));
    assert.equal((await rows()).length, 0);
  });
});

describe('the session of a client', () => {
  const dayMs = 86_400_000;
  const letIn = async (token = alice, client = 'alice-laptop'): Promise<string> => {
    const { userCode, deviceCode } = await start(client);
    await decide(userCode, 'approve', token);
    const answer = await redeem(deviceCode);
    assert.ok(answer.state === 'approved');
    return answer.token;
  };
  const addDevice = (token: string, name = randomBytes(8).toString('hex')) =>
    world.client(token).call(routes.addMyDevice, { body: { name, publicKey: newPublicKey() } });
  const configuration = (token: string, deviceId: string) =>
    world.client(token).call(routes.getClientConfiguration, { params: { deviceId } });
  const stored = (token: string) =>
    world.services.store.db
      .selectFrom('session')
      .selectAll()
      .where('token_hash', '=', hashToken(token))
      .executeTakeFirst();

  test('lasts for 90 days without use, and as long as it is used', async () => {
    const token = await letIn();
    const { id } = await addDevice(token);
    const unused = await letIn();
    const begun = world.now;
    for (let i = 1; i <= 5; i++) {
      world.now += 90 * dayMs - 1;
      await configuration(token, id);
      assert.equal((await stored(token))?.expires_at, world.now + 90 * dayMs);
      // Nothing is swept that may still be used, and all that may not.
      await forgetOld(world.services);
      assert.equal((await stored(unused)) !== undefined, i === 1);
    }
    assert.ok(world.now - begun > 400 * dayMs);
    const session = (await sessionsOf(await world.logIn('alice'))).find(({ kind }) => kind === 'client');
    assert.equal(session?.expiresAt, new Date(world.now + 90 * dayMs).toISOString());
    world.now += 90 * dayMs;
    assert.equal(await codeOf(configuration(token, id)), 'loginRequired');
    await forgetOld(world.services);
    assert.equal(await stored(token), undefined);
  });

  test('is over at its end though nothing has swept it, and moves on no other session', async () => {
    const token = await letIn();
    const login = await world.logIn('alice');
    const { expires_at: end } = (await stored(login))!;
    world.now += dayMs - 1;
    await world.client(login).call(routes.getMe);
    assert.equal((await stored(login))!.expires_at, end);
    world.now += 90 * dayMs;
    assert.ok(await stored(token));
    assert.equal(await codeOf(addDevice(token)), 'loginRequired');
  });

  test('is not pushed out by logins, nor they by it', async () => {
    const token = await letIn();
    const { id } = await addDevice(token);
    for (let i = 0; i < 55; i++) {
      alice = await world.logIn('alice');
      world.now += 60_000;
    }
    await configuration(token, id);
    const kinds = (await sessionsOf(alice)).map(({ kind }) => kind);
    assert.equal(kinds.filter((kind) => kind === 'login').length, 50);
    assert.ok(kinds.includes('client'));
  });

  test('ends when it, its user or the password does', async () => {
    const { db } = world.services.store;
    const ends: [string, (token: string) => Promise<unknown>][] = [
      ['by its client', (token) => world.client(token).call(routes.logOut)],
      [
        'by its user',
        async (token) => {
          const { id: sessionId } = (await stored(token))!;
          await world.client(alice).call(routes.endMySession, { params: { sessionId } });
        },
      ],
      [
        'by an administrator',
        async () => {
          const root = await world.logIn('root');
          await world.client(root).call(routes.endUserSessions, { params: { userId: 'alice' } });
          alice = await world.logIn('alice');
        },
      ],
      [
        'with a new password',
        () =>
          world
            .client(alice)
            .call(routes.changePassword, { body: { currentPassword: PASSWORD, newPassword: PASSWORD } }),
      ],
      [
        'with its user’s time',
        () => db.updateTable('user').set({ expires_at: 1 }).where('name', '=', 'alice').execute(),
      ],
      [
        'with its user’s rights',
        () => db.updateTable('user').set({ disabled: 1 }).where('name', '=', 'alice').execute(),
      ],
    ];
    for (const [what, end] of ends) {
      const token = await letIn();
      const { id } = await addDevice(token);
      assert.equal(await codeOf(configuration(token, id)), 'ok', what);
      await end(token);
      const code = await codeOf(configuration(token, id));
      await db.updateTable('user').set({ disabled: 0, expires_at: null }).where('name', '=', 'alice').execute();
      assert.equal(code, 'loginRequired', what);
    }
  });

  test('is for the one device that it made, and ends with it', async () => {
    const token = await letIn();
    const others = await addDevice(alice);
    assert.equal(await codeOf(configuration(token, others.id)), 'forbidden', 'it has none yet');
    const own = await addDevice(token);
    assert.equal(await codeOf(addDevice(token)), 'forbidden');
    const client = world.client(token);
    const prefixes = { prefixes: ['10.20.0.0/16'] };
    for (const deviceId of [others.id, others.name, own.name, 'nothing']) {
      const params = { deviceId };
      assert.equal(await codeOf(configuration(token, deviceId)), 'forbidden', deviceId);
      assert.equal(await codeOf(client.call(routes.getMyDevice, { params })), 'forbidden', deviceId);
      assert.equal(await codeOf(client.call(routes.advertiseNetworks, { params, body: prefixes })), 'forbidden');
      assert.equal(await codeOf(client.call(routes.removeMyDevice, { params, ifMatch: 1 })), 'forbidden', deviceId);
    }
    const params = { deviceId: own.id };
    await client.call(routes.advertiseNetworks, { params, body: prefixes });
    const other = await letIn();
    const { version } = await client.call(routes.getMyDevice, { params });
    await world.client(alice).call(routes.removeMyDevice, { params, ifMatch: version });
    assert.match((await world.audit()).at(-1)!.all, /sessionsEnded/);
    assert.equal(await codeOf(configuration(token, own.id)), 'loginRequired');
    assert.equal(await codeOf(addDevice(token)), 'loginRequired');
    assert.equal(await codeOf(addDevice(other)), 'ok', 'another client goes on');
    assert.equal(await codeOf(world.client(alice).call(routes.getMe)), 'ok');
  });

  test('has nothing of an administrator’s', async () => {
    const root = await world.logIn('root');
    const token = await letIn(root, 'server-room');
    for (const path of ['/users', '/settings', '/audit', '/me']) {
      const { status, body } = await world.call(token, 'GET', path);
      assert.equal(status, 403, path);
      assert.match(String(body['detail']), /session of a Sallyport client/);
    }
    assert.equal((await world.send('GET', '/metrics', { token })).status, 403);
    assert.equal((await world.send('GET', '/metrics', { token: root })).status, 200);
    // Not only where the API asks: whoever else asks who this is hears of no more rights.
    const { caller } = await world.identity.authenticate({
      method: 'GET',
      client: { address: '127.0.0.1', secure: false, loopback: true },
      header: (name) => (name === 'authorization' ? `Bearer ${token}` : undefined),
    });
    assert.deepEqual([...caller.permissions], ['self']);
    assert.throws(() => requireOwnSession(caller), /forbidden/);
  });

  test('lets in no client, gives no proof, and is no cookie', async () => {
    const token = await letIn();
    const { userCode, deviceCode } = await start('another');
    assert.equal(await codeOf(look(userCode, token)), 'forbidden');
    assert.equal(await codeOf(decide(userCode, 'approve', token)), 'forbidden');
    const proof = world.client(token).call(routes.stepUp, { body: { password: PASSWORD } });
    assert.equal(await codeOf(proof), 'forbidden');
    // Also not where it stands in the database as the one that did.
    const { db } = world.services.store;
    const { id, user_id } = (await stored(token))!;
    await db.updateTable('device_authorization').set({ state: 'approved', user_id, session_id: id }).execute();
    assert.deepEqual(await redeem(deviceCode), { state: 'denied' });
    const asCookie = (value: string) =>
      world.send('GET', '/api/v1/me', { headers: { cookie: `sallyport=${value}` } }).then(({ status }) => status);
    assert.equal(await asCookie(alice), 200);
    assert.equal(await asCookie(token), 401);
    const change = await world.send('POST', '/api/v1/logout', { headers: { cookie: `sallyport=${token}` } });
    assert.equal(change.status, 401);
  });

  test('is cut off where a group demands a second factor that it lacks, and says what to do', async () => {
    const token = await letIn();
    const { id } = await addDevice(token);
    const demand = (value: number) =>
      world.services.store.db
        .updateTable('group')
        .set({ require_second_factor: value })
        .where('id', '=', 'everyone')
        .execute();
    await demand(1);
    const { body } = await world.call(token, 'GET', `/me/devices/${id}/client`);
    await demand(0);
    assert.equal(body['code'], 'enrolmentRequired');
    assert.match(String(body['detail']), /log the client in anew/);
    assert.equal(await codeOf(configuration(token, id)), 'ok');
  });

  test('leaves a group’s session lifetime as it is: devices are cut off until a login, as by a code', async () => {
    const root = await world.logIn('root');
    const limit = async (sessionLifetimeSeconds: number | null): Promise<void> => {
      const params = { groupId: 'everyone' };
      const { version } = await world.client(root).call(routes.getGroup, { params });
      await world.client(root).call(routes.updateGroup, { params, body: { sessionLifetimeSeconds }, ifMatch: version });
    };
    const token = await letIn();
    const { id } = await addDevice(token);
    await limit(3600);
    try {
      const standing = async () => (await configuration(token, id)).device.standing;
      assert.notEqual(await standing(), 'loginRequired');
      world.now += 3_600_000;
      assert.equal(await standing(), 'loginRequired', 'that the client asks is no login');
      const { userCode, deviceCode } = await start('anew');
      alice = await world.logIn('alice');
      await decide(userCode, 'approve');
      world.now += 30_000;
      await redeem(deviceCode);
      assert.notEqual(await standing(), 'loginRequired');
      world.now += 3_600_000 - 1;
      assert.notEqual(await standing(), 'loginRequired', 'counted from when the client was let in');
    } finally {
      await limit(null);
    }
  });
});

describe('a client that is not let in', () => {
  test('is told so once, where somebody sent it away', async () => {
    const { userCode, deviceCode } = await start();
    await decide(userCode, 'deny');
    assert.equal(await codeOf(look(userCode)), 'notFound');
    assert.equal(await codeOf(decide(userCode, 'approve')), 'notFound');
    assert.deepEqual(await redeem(deviceCode), { state: 'denied' });
    assert.deepEqual(await redeem(deviceCode), { state: 'expired' });
    assert.equal((await world.audit()).at(-1)!.action, 'clientLogin.deny');
  });

  test('waits ten minutes at most, also for its session', async () => {
    const [late, unfetched] = [await start('late'), await start('unfetched')];
    world.now += AUTHORIZATION_MS - 1;
    alice = await world.logIn('alice');
    await decide(unfetched.userCode, 'approve');
    await look(late.userCode);
    world.now += 1;
    assert.equal(await codeOf(look(late.userCode)), 'notFound');
    assert.equal(await codeOf(decide(late.userCode, 'approve')), 'notFound');
    assert.deepEqual(await redeem(late.deviceCode), { state: 'expired' });
    assert.deepEqual(await redeem(unfetched.deviceCode), { state: 'expired' });
    assert.deepEqual(await redeem(`spd_${'A'.repeat(43)}`), { state: 'expired' });
    assert.equal((await rows()).length, 2);
    await forgetOld(world.services);
    assert.equal((await rows()).length, 0);
  });

  for (const [what, spoil] of [
    [
      'was disabled',
      () => world.services.store.db.updateTable('user').set({ disabled: 1 }).where('name', '=', 'alice').execute(),
    ],
    [
      'has expired',
      () => world.services.store.db.updateTable('user').set({ expires_at: 1 }).where('name', '=', 'alice').execute(),
    ],
  ] as const) {
    test(`gets nothing where whoever approved it ${what} meanwhile`, async () => {
      const { userCode, deviceCode } = await start();
      await decide(userCode, 'approve');
      await spoil();
      const answer = await redeem(deviceCode);
      await world.services.store.db.updateTable('user').set({ disabled: 0, expires_at: null }).execute();
      assert.deepEqual(answer, { state: 'denied' });
    });
  }

  test('gets nothing where the session that approved it has ended', async () => {
    const { userCode, deviceCode } = await start();
    await decide(userCode, 'approve');
    await world.client(alice).call(routes.logOut);
    assert.notEqual((await redeem(deviceCode)).state, 'approved');
  });

  test('gets nothing where a second factor is demanded meanwhile that was not shown', async () => {
    const { userCode, deviceCode } = await start();
    await decide(userCode, 'approve');
    const demand = (value: number) =>
      world.services.store.db
        .updateTable('group')
        .set({ require_second_factor: value })
        .where('id', '=', 'everyone')
        .execute();
    await demand(1);
    const waiting = await start('another');
    const [refusedToLook, refused] = [
      await codeOf(look(waiting.userCode)),
      await codeOf(decide(waiting.userCode, 'approve')),
    ];
    const answer = await redeem(deviceCode);
    await demand(0);
    assert.deepEqual(answer, { state: 'denied' });
    assert.deepEqual([refusedToLook, refused], ['enrolmentRequired', 'enrolmentRequired']);
  });

  test('is not let in by API tokens, strangers, or on an old proof', async () => {
    const { userCode, deviceCode } = await start();
    const token = await world.addToken(await world.logIn('root'), ['self']);
    assert.equal(await codeOf(look(userCode, token)), 'forbidden');
    assert.equal(await codeOf(decide(userCode, 'approve', token)), 'forbidden');
    assert.equal(await codeOf(decide(userCode, 'approve', `sps_${'A'.repeat(43)}`)), 'loginRequired');
    const old = alice;
    world.now += AUTHORIZATION_MS - 60_000;
    alice = await world.logIn('alice');
    const { userCode: fresh } = await start();
    world.now += 60_000;
    assert.equal(await codeOf(decide(fresh, 'approve', old)), 'stepUpRequired');
    assert.deepEqual(await redeem(deviceCode), { state: 'expired' });
    await decide(fresh, 'deny', old);
  });

  test('is not let in by another site’s page with the user’s cookie', async () => {
    const { userCode } = await start();
    const body = JSON.stringify({ decision: 'approve' });
    const path = `/api/v1/me/device-authorizations/${userCode}`;
    const host = `127.0.0.1:${world.port}`;
    for (const origin of ['https://evil.example', `http://${host}`]) {
      const headers = { cookie: `sallyport=${alice}`, origin, host, 'content-type': 'application/json' };
      assert.equal((await world.send('POST', path, { headers, body })).status, 403, origin);
    }
    assert.equal((await rows()).find(({ user_code: code }) => showUserCode(code) === userCode)?.state, 'pending');
  });
});

describe('limits', () => {
  test('who asks too often is told to, and waits five seconds more from then on', async () => {
    const { deviceCode, intervalSeconds } = await start();
    const poll = async (): Promise<string> => (await redeem(deviceCode)).state;
    assert.equal(await poll(), 'pending', 'the first time at once');
    assert.equal(await poll(), 'slowDown');
    world.now += intervalSeconds * 1000;
    assert.equal(await poll(), 'slowDown', 'the interval of before is too short now');
    world.now += (intervalSeconds + 5) * 1000;
    assert.equal(await poll(), 'slowDown', 'and longer by each');
    world.now += (intervalSeconds + 15) * 1000;
    assert.equal(await poll(), 'pending');
  });

  test('codes can’t be guessed: ten tries, then one a minute', async () => {
    const { userCode } = await start();
    const other = await world.logIn('mallory');
    const guess = (token: string) => codeOf(look(showUserCode(newUserCode()), token));
    for (let i = 0; i < 10; i++) assert.equal(await guess(other), 'notFound');
    assert.equal(await guess(other), 'tooManyRequests');
    assert.equal(await codeOf(look(userCode, other)), 'tooManyRequests', 'also of a right one');
    assert.equal(await codeOf(decide(userCode, 'approve', other)), 'tooManyRequests');
    // Who has another account, at the same address, has what is left of that.
    for (let i = 0; i < 9; i++) assert.equal(await guess(alice), 'notFound');
    assert.equal(await codeOf(look(userCode)), 'ok');
    for (let i = 0; i < 30; i++) assert.equal(await codeOf(look(userCode)), 'ok', 'right codes cost nothing');
    world.now += 60_000;
    assert.equal(await codeOf(look(userCode, other)), 'ok');
  });

  test('few wait of one address, and not without end in all', async () => {
    for (let i = 0; i < MAX_WAITING_OF_ADDRESS; i++) await start(`client ${i}`);
    assert.equal(await codeOf(start()), 'tooManyRequests');
    world.now += 60_000;
    assert.equal(await codeOf(start()), 'tooManyRequests', 'they still wait');
    world.now += AUTHORIZATION_MS;
    assert.equal(await codeOf(start()), 'ok', 'they are over');
    const [like] = await rows();
    const { db } = world.services.store;
    const many = Array.from({ length: MAX_WAITING - 1 }, (_, i) => ({
      ...like,
      device_code_hash: `hash ${i}`,
      user_code: `code ${i}`,
      address: `198.18.${i >> 8}.${i & 255}`,
    }));
    for (let i = 0; i < many.length; i += 500) {
      await db
        .insertInto('device_authorization')
        .values(many.slice(i, i + 500))
        .execute();
    }
    assert.equal(await codeOf(start()), 'tooManyRequests');
    await db.deleteFrom('device_authorization').where('user_code', '=', 'code 7').execute();
    assert.equal(await codeOf(start()), 'ok');
  });

  test('one IPv6 network is one address', async () => {
    await using proxied = await apiWorld({ api: { trustedProxies: ['127.0.0.1'] } });
    const begin = async (address: string): Promise<number> => {
      const headers = { 'content-type': 'application/json', 'x-forwarded-for': address };
      const body = JSON.stringify({ client: 'x' });
      return (await proxied.send('POST', '/api/v1/device-authorizations', { headers, body })).status;
    };
    for (let i = 0; i < MAX_WAITING_OF_ADDRESS; i++) assert.equal(await begin(`2001:db8::${i + 1}`), 201);
    assert.equal(await begin('2001:db8::ffff'), 429);
    assert.equal(await begin('2001:db8:0:1::1'), 201);
  });

  test('a name that would write over what people compare is refused', async () => {
    for (const client of ['', '  ', 'a\u202eb', 'a\nb', 'x'.repeat(101)]) {
      assert.equal(await codeOf(start(client)), 'invalidRequest', JSON.stringify(client));
    }
  });
});
