/** Logins of clients without a browser (RFC 8628): how they come about, and what is tried against them. */
import assert from 'node:assert/strict';
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
import { forgetOld } from '../../packages/control/src/housekeeping.ts';
import { apiWorld, codeOf } from './api-world.ts';

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
    const { user } = await world.client(answer.token).call(routes.getMe);
    assert.equal(user.id, answer.userId);
    const session = (await sessionsOf(answer.token)).find(({ current }) => current)!;
    assert.equal(session.client, 'alice-laptop');
    assert.deepEqual(session.methods, ['password']);
    // Of the login in the browser, not of now: what is dangerous asks the client as soon as it would ask there.
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
