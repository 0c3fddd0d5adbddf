/** Setup, logins, sessions, passwords; and what is tried against them. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ApiProblem, routes } from '@sallyport/api';
import { createSetupToken } from '../../packages/control/src/auth/setup-token.ts';
import { Passwords } from '../../packages/control/src/auth/passwords.ts';
import { ApiError } from '../../packages/control/src/http/api-error.ts';
import { apiWorld, PASSWORD } from './api-world.ts';

type World = Awaited<ReturnType<typeof apiWorld>>;
const hour = 3_600_000;
const json = { 'content-type': 'application/json' };

const login = (world: World, body: object, headers: Record<string, string> = {}) =>
  world.send('POST', '/api/v1/login', { headers: { ...json, ...headers }, body: JSON.stringify(body) });

describe('setup', () => {
  test('hashes no password for who has no link', async (t) => {
    await using world = await apiWorld({ setUp: false });
    await createSetupToken(world.services);
    const hash = t.mock.method(world.identity.passwords, 'hash');
    const body = { token: `spf_${'A'.repeat(43)}`, name: 'root', password: PASSWORD };
    assert.equal((await world.call(undefined, 'POST', '/setup', body)).status, 410);
    assert.equal(hash.mock.callCount(), 0);
  });

  test('one link makes one administrator, once', async () => {
    await using world = await apiWorld({ setUp: false });
    const first = (await createSetupToken(world.services))!;
    assert.match(first.url, /^https:\/\/vpn\.example\.org\/setup#spf_[\w-]{43}$/);
    const second = (await createSetupToken(world.services))!;
    const setUp = (token: string, name = 'root') =>
      world.call(undefined, 'POST', '/setup', { token, name, password: PASSWORD });
    assert.equal((await setUp(first.token)).status, 410, 'a new link takes the place of the old one');
    assert.equal((await setUp(`spf_${'A'.repeat(43)}`)).status, 410);
    assert.equal(
      (await world.call(undefined, 'POST', '/setup', { token: second.token, name: 'root', password: 'short' })).status,
      400,
    );
    const answers = await Promise.all(Array.from({ length: 5 }, (_, i) => setUp(second.token, `root${i}`)));
    assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 410, 410, 410, 410]);
    assert.equal(answers.find(({ status }) => status === 201)!.body['role'], 'administrator');
    assert.equal(await createSetupToken(world.services), undefined);
    assert.equal((await setUp(second.token)).status, 410);
    const stored = JSON.stringify(await world.services.store.db.selectFrom('secret').selectAll().execute());
    assert.ok(!stored.includes(second.token));
    const [entry] = (await world.audit()).filter(({ action }) => action === 'user.create');
    assert.equal(entry.actor.kind, 'setup');
  });
});

describe('logins', () => {
  let world: World;
  before(async () => {
    world = await apiWorld();
    await world.addUser('alice');
  });
  after(() => world[Symbol.asyncDispose]());

  test('a new session at each login, whatever the client brings', async () => {
    const planted = `sps_${'A'.repeat(43)}`;
    const first = await login(world, { name: 'alice', password: PASSWORD }, { cookie: `sallyport=${planted}` });
    const second = await login(world, { name: 'alice', password: PASSWORD });
    assert.match(String(first.body['token']), /^sps_[\w-]{43}$/);
    assert.notEqual(first.body['token'], planted);
    assert.notEqual(first.body['token'], second.body['token']);
    assert.equal((await world.call(planted, 'GET', '/me')).status, 401);
  });

  test('by cookie: HttpOnly, SameSite, not in the answer; by TLS with __Host- and Secure', async () => {
    const here = `http://127.0.0.1:${world.port}`;
    const planted = `sps_${'B'.repeat(43)}`;
    const answer = await login(
      world,
      { name: 'alice', password: PASSWORD, cookie: true },
      { origin: here, host: `127.0.0.1:${world.port}`, cookie: `sallyport=${planted}` },
    );
    assert.equal(answer.status, 200);
    assert.equal(answer.body['token'], null);
    assert.equal(answer.body['knownClient'], null);
    const [session, known] = answer.headers['set-cookie']!;
    assert.match(session, /^sallyport=sps_[\w-]{43}; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Strict$/);
    assert.match(known, /^sallyport-client=spk_[\w-]{43}; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Strict$/);
    assert.ok(!session.includes(planted));

    await using secure = await apiWorld({ api: { trustedProxies: ['127.0.0.1'] } });
    const proxied = {
      'x-forwarded-proto': 'https',
      'x-forwarded-for': '203.0.113.1',
      origin: 'https://vpn.example.org',
    };
    const byTls = await login(secure, { name: 'root', password: PASSWORD, cookie: true }, proxied);
    for (const cookie of byTls.headers['set-cookie']!) {
      assert.match(
        cookie,
        /^__Host-sallyport(-client)?=sp[sk]_[\w-]{43}; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Strict; Secure$/,
      );
    }
    const value = byTls.headers['set-cookie']![0].split(';')[0];
    const me = (cookie: string) => secure.send('GET', '/api/v1/me', { headers: { ...proxied, cookie } });
    assert.equal((await me(value)).status, 200);
    assert.equal((await me(value.replace('__Host-', ''))).status, 401, 'a cookie that a neighbour could set');
    const plain = { 'x-forwarded-for': '203.0.113.1', 'sec-fetch-site': 'same-origin' };
    const refused = await login(secure, { name: 'root', password: PASSWORD, cookie: true }, plain);
    assert.equal(refused.status, 403);
    assert.equal(refused.headers['set-cookie'], undefined);
  });

  test('with a cookie, changes come from pages of the same origin only', async () => {
    const host = `127.0.0.1:${world.port}`;
    const origin = `http://${host}`;
    const { headers, body } = await login(world, { name: 'alice', password: PASSWORD, cookie: true }, { origin, host });
    const cookie = headers['set-cookie']![0].split(';')[0];
    const csrf = { 'x-csrf-token': String(body['csrfToken']) };
    const change = (more: Record<string, string>) =>
      world.send('PATCH', '/api/v1/me', {
        headers: { ...json, host, cookie, ...csrf, ...more },
        body: '{"displayName":"Alice"}',
      });
    assert.equal((await change({ origin })).status, 200);
    assert.equal((await change({ 'sec-fetch-site': 'same-origin' })).status, 200);
    assert.equal((await change({ origin: 'https://vpn.example.org' })).status, 200);
    const refused: Record<string, string>[] = [
      {},
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: `https://${host}` },
      { origin: `http://127.0.0.1:${world.port + 1}` },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      { 'sec-fetch-site': 'none' },
      { origin, 'sec-fetch-site': 'same-site' },
      { origin: 'https://evil.example', 'sec-fetch-site': 'same-origin' },
    ];
    for (const more of refused) assert.equal((await change(more)).status, 403, JSON.stringify(more));
    // Reading is SameSite's to guard; and a token is sent by who holds it, never by a browser.
    assert.equal((await world.send('GET', '/api/v1/me', { headers: { host, cookie } })).status, 200);
    const token = await world.logIn('alice');
    const byToken = await world.send('PATCH', '/api/v1/me', {
      token,
      headers: { ...json, origin: 'https://evil.example' },
      body: '{"displayName":"Alice"}',
    });
    assert.equal(byToken.status, 200);
    // Nobody is logged in to an account that isn't theirs.
    const foreign = await login(
      world,
      { name: 'alice', password: PASSWORD, cookie: true },
      { origin: 'https://evil.example' },
    );
    assert.equal(foreign.status, 403);
    // And out again.
    const out = await world.send('POST', '/api/v1/logout', { headers: { host, cookie, origin, ...csrf } });
    assert.equal(out.status, 204);
    assert.match(String(out.headers['set-cookie']), /^sallyport=; Path=\/; Max-Age=0/);
    assert.equal((await world.send('GET', '/api/v1/me', { headers: { host, cookie } })).status, 401);
  });

  test('unknown, wrong, disabled, expired and without a password: one answer', async () => {
    const admin = world.client(world.root);
    await world.addUser('disabled');
    await world.addUser('expired');
    await admin.call(routes.createUser, { body: { name: 'invited' } });
    await admin.call(routes.updateUser, { params: { userId: 'disabled' }, body: { disabled: true }, ifMatch: 1 });
    const expiresAt = new Date(world.now - 1000).toISOString();
    await admin.call(routes.updateUser, { params: { userId: 'expired' }, body: { expiresAt }, ifMatch: 1 });
    const answers = [
      await login(world, { name: 'nobody', password: PASSWORD }),
      await login(world, { name: 'alice', password: 'wrong wrong wrong' }),
      await login(world, { name: 'disabled', password: PASSWORD }),
      await login(world, { name: 'expired', password: PASSWORD }),
      await login(world, { name: 'invited', password: PASSWORD }),
      await login(world, { name: "' or 1=1 --", password: PASSWORD }),
    ];
    const vague = (headers: object) =>
      JSON.stringify(headers, (key, value: unknown) => (['date', 'x-request-id'].includes(key) ? undefined : value));
    for (const answer of answers) {
      assert.equal(answer.status, 401);
      assert.equal(answer.text, answers[0].text);
      assert.equal(vague(answer.headers), vague(answers[0].headers));
    }
  });

  test('what failed is in the audit log, with numbers, without names that nobody has', async () => {
    await login(world, { name: 'hunter2-typed-as-a-name', password: 'x' });
    await login(world, { name: 'alice', password: 'a secret that is wrong' });
    const log = await world.audit();
    const failed = log.filter(({ action }) => action === 'login.fail');
    assert.ok(failed.some(({ target, all }) => target === 'alice' && all.includes('attempts')));
    assert.ok(failed.some(({ target }) => target === '(no such user)'));
    const everything = log.map(({ all }) => all).join('\n');
    assert.doesNotMatch(everything, /hunter2|a secret that is wrong|127\.0\.0\.1|\$argon2|sp[a-z]_/);
  });

  test('the address is in the audit log only where the settings say so', async () => {
    const { body } = await world.call(world.root, 'GET', '/settings');
    await world.call(world.root, 'PATCH', '/settings', { auditAddresses: true }, Number(body['version']));
    await world.logIn('alice');
    assert.match((await world.audit()).at(-1)!.all, /127\.0\.0\.1/);
  });

  test('the time of login is kept, and others hear of it', async () => {
    const heard: string[] = [];
    const stop = world.services.store.onChange((changes) => void heard.push(...changes.map(({ kind }) => kind)));
    world.now += 1000;
    const before = world.now;
    await world.logIn('alice');
    stop();
    assert.ok(heard.includes('user'));
    const user = [...world.services.directory.model.users.values()].find(({ name }) => name === 'alice');
    assert.equal(user!.lastLoginAt, before);
  });

  test('names are taken as people type them, passwords in every form of their letters', async () => {
    const { token } = await world.client(world.root).call(routes.createInvitation, { body: { userId: 'alice' } });
    await world.client().call(routes.acceptInvitation, { body: { token, password: 'pässwörter schön' } });
    for (const [name, password] of [
      [' Alice ', 'pässwörter schön'.normalize('NFD')],
      ['ALICE', 'pässwörter schön'.normalize('NFC')],
    ] as const) {
      assert.equal((await login(world, { name, password })).status, 200);
    }
    assert.equal((await login(world, { name: 'alice', password: 'passworter schon' })).status, 401);
  });
});

test('the time that a failed login takes does not tell whether there is such a user', async () => {
  await using world = await apiWorld({
    identity: {
      passwordCost: { memoryKiB: 8192, passes: 1, parallelism: 1 },
      loginRates: {
        address: { burst: 1e6, perSecond: 1e6 },
        account: { burst: 1e6, perSecond: 1e6 },
        knownClient: { burst: 1e6, perSecond: 1e6 },
      },
    },
  });
  await world.addUser('alice');
  const times = { known: [] as number[], unknown: [] as number[] };
  const measure = async (kind: 'known' | 'unknown', name: string): Promise<void> => {
    const start = performance.now();
    await login(world, { name, password: 'wrong wrong wrong' });
    times[kind].push(performance.now() - start);
  };
  for (let i = 0; i < 60; i++) {
    const pair = [() => measure('known', 'alice'), () => measure('unknown', `nobody${i}`)];
    if (i % 2 === 0) pair.reverse();
    for (const one of pair) await one();
  }
  const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1];
  const ratio = median(times.known) / median(times.unknown);
  // Without the work for nobody it would be far beyond 3.
  assert.ok(ratio > 0.5 && ratio < 2, `${ratio}`);
});

describe('brute force', () => {
  test('many addresses at one account: strangers wait, its owner still gets in', async () => {
    await using world = await apiWorld({ api: { trustedProxies: ['127.0.0.1'] } });
    await world.addUser('alice');
    const from = (i: number) => ({ 'x-forwarded-for': `203.0.113.${i % 250}` });
    const first = await login(world, { name: 'alice', password: PASSWORD, client: 'laptop' }, from(1));
    const knownClient = String(first.body['knownClient']);
    const statuses: number[] = [];
    for (let i = 0; i < 40; i++)
      statuses.push((await login(world, { name: 'alice', password: `guess ${i}` }, from(i))).status);
    assert.equal(statuses.filter((status) => status === 401).length, 10);
    assert.equal(statuses.filter((status) => status === 429).length, 30);
    const stranger = await login(world, { name: 'alice', password: PASSWORD }, from(200));
    assert.equal(stranger.status, 429);
    assert.ok(Number(stranger.headers['retry-after']) > 0);
    // The owner, where they were before: even after mistakes of their own, and from where the guessing comes.
    for (let i = 0; i < 3; i++) {
      assert.equal((await login(world, { name: 'alice', password: 'a mistake', knownClient }, from(5))).status, 401);
    }
    assert.equal((await login(world, { name: 'alice', password: PASSWORD, knownClient }, from(5))).status, 200);
    // The mark is bound to its user, and has a limit of its own.
    await world.addUser('mallory').catch(() => undefined);
    const mallory = await login(world, { name: 'mallory', password: PASSWORD }, from(77));
    const foreign = { name: 'alice', password: PASSWORD, knownClient: String(mallory.body['knownClient']) };
    assert.equal((await login(world, foreign, from(201))).status, 429);
    const own: number[] = [];
    for (let i = 0; i < 15; i++)
      own.push((await login(world, { name: 'alice', password: 'x', knownClient }, from(6))).status);
    assert.ok(own.includes(429));
    // And time heals.
    world.now += hour;
    assert.equal((await login(world, { name: 'alice', password: PASSWORD }, from(202))).status, 200);
  });

  test('a name that nobody has is limited like one that somebody has', async () => {
    await using world = await apiWorld({ api: { trustedProxies: ['127.0.0.1'] } });
    await world.addUser('alice');
    const statuses = async (name: string, from: number) => {
      const all: number[] = [];
      for (let i = 0; i < 12; i++) {
        const headers = { 'x-forwarded-for': `198.51.100.${from + i}` };
        all.push((await login(world, { name, password: 'x' }, headers)).status);
      }
      return all;
    };
    assert.deepEqual(await statuses('nobody', 0), await statuses('alice', 100));
  });

  test('one address at many accounts: it waits, others do not', async () => {
    await using world = await apiWorld({ api: { trustedProxies: ['127.0.0.1'] } });
    const from = (address: string) => ({ 'x-forwarded-for': address });
    const statuses: number[] = [];
    for (let i = 0; i < 30; i++) {
      statuses.push((await login(world, { name: `user${i}`, password: 'x' }, from(`2001:db8::${i}`))).status);
    }
    assert.equal(statuses.filter((status) => status === 401).length, 20);
    assert.equal((await login(world, { name: 'root', password: PASSWORD }, from('2001:db8::9999'))).status, 429);
    assert.equal((await login(world, { name: 'root', password: PASSWORD }, from('2001:db8:1::1'))).status, 200);
    // Many at once get no more tries than one after the other.
    const atOnce = await Promise.all(
      Array.from({ length: 60 }, (_, i) => login(world, { name: `u${i}`, password: 'x' }, from('192.0.2.9'))),
    );
    assert.equal(atOnce.filter(({ status }) => status === 401).length, 20);
    // All of it fills a line or two of the audit log, not one for each.
    const entries = (await world.audit()).filter(({ action }) => action === 'login.fail');
    assert.ok(entries.length < 10, `${entries.length}`);
  });

  test('a session is no way to guess the password', async () => {
    await using world = await apiWorld();
    const session = await world.addUser('alice');
    const change = (currentPassword: string) =>
      world.call(session, 'POST', '/me/password', { currentPassword, newPassword: 'another password' });
    const statuses: number[] = [];
    for (let i = 0; i < 15; i++) statuses.push((await change(`guess ${i}`)).status);
    assert.equal(statuses.filter((status) => status === 400).length, 10);
    assert.equal(statuses.filter((status) => status === 429).length, 5);
  });
});

describe('sessions', () => {
  test('end: when idle, when old, by logout, by their user, by an administrator', async () => {
    await using world = await apiWorld();
    let session = await world.addUser('alice');
    const works = async (token: string) => (await world.call(token, 'GET', '/me')).status === 200;
    world.now += 23 * hour;
    assert.ok(await works(session), 'used within a day');
    world.now += 25 * hour;
    assert.ok(!(await works(session)), 'not used for a day');

    session = await world.logIn('alice');
    for (let i = 0; i < 8 * 24; i++) {
      world.now += hour;
      if (!(await works(session))) break;
    }
    assert.ok(!(await works(session)), 'older than a week');

    const root = await world.logIn('root');
    session = await world.logIn('alice');
    const other = await world.logIn('alice');
    assert.equal((await world.call(session, 'POST', '/logout')).status, 204);
    assert.ok(!(await works(session)));
    assert.ok(await works(other));

    const third = await world.logIn('alice');
    const { items } = (await world.call(other, 'GET', '/me/sessions')).body as {
      items: { id: string; current: boolean }[];
    };
    assert.equal(items.filter(({ current }) => current).length, 1);
    const foreign = (await world.call(root, 'GET', '/me/sessions')).body as { items: { id: string }[] };
    assert.equal((await world.call(other, 'DELETE', `/me/sessions/${foreign.items[0].id}`)).status, 404);
    assert.ok(await works(root));
    for (const { id, current } of items) {
      if (!current) assert.equal((await world.call(other, 'DELETE', `/me/sessions/${id}`)).status, 204);
    }
    assert.ok(!(await works(third)));
    const fourth = await world.logIn('alice');
    assert.equal((await world.call(other, 'DELETE', '/me/sessions')).status, 204);
    assert.ok((await works(other)) && !(await works(fourth)));
    assert.equal((await world.call(root, 'DELETE', '/users/alice/sessions')).status, 204);
    assert.ok(!(await works(other)));
  });

  test('a user has 50 at most, and only hashes are kept', async () => {
    await using world = await apiWorld();
    const first = await world.addUser('alice');
    let last = '';
    for (let i = 0; i < 55; i++) {
      world.now += 1000;
      last = await world.logIn('alice');
    }
    assert.equal((await world.call(first, 'GET', '/me')).status, 401);
    assert.equal((await world.call(last, 'GET', '/me')).status, 200);
    const rows = await world.services.store.db.selectFrom('session').selectAll().execute();
    assert.equal(rows.length, 51);
    assert.ok(!JSON.stringify(rows).includes(last.slice(4)));
    const marks = await world.services.store.db.selectFrom('known_client').selectAll().execute();
    assert.ok(marks.length <= 21);
  });

  test('a new password ends the other sessions, not the one that asked; the old one is worth nothing', async () => {
    await using world = await apiWorld();
    const session = await world.addUser('alice');
    const other = await world.logIn('alice');
    const change = { currentPassword: PASSWORD, newPassword: 'a better password' };
    assert.equal((await world.call(session, 'POST', '/me/password', { ...change, newPassword: 'short' })).status, 400);
    assert.equal((await world.call(session, 'POST', '/me/password', change)).status, 204);
    assert.equal((await world.call(session, 'GET', '/me')).status, 200);
    assert.equal((await world.call(other, 'GET', '/me')).status, 401);
    await assert.rejects(world.logIn('alice'), ApiProblem);
    await world.logIn('alice', 'a better password');
  });

  test('who is disabled is out with the next request, and back in after a new login', async () => {
    await using world = await apiWorld();
    const session = await world.addUser('alice');
    await world.call(world.root, 'PATCH', '/users/alice', { disabled: true }, 1);
    assert.equal((await world.call(session, 'GET', '/me')).status, 401);
    await world.call(world.root, 'PATCH', '/users/alice', { disabled: false }, 2);
    assert.equal((await world.call(session, 'GET', '/me')).status, 401);
    await world.logIn('alice');
  });
});

describe('passwords', () => {
  const cost = { memoryKiB: 64, passes: 1, parallelism: 1 };

  test('are kept as argon2id in the PHC format, with a salt of their own', async () => {
    const passwords = new Passwords();
    const [first, second] = [await passwords.hash('x'), await passwords.hash('x')];
    assert.match(first, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    assert.notEqual(first, second);
    assert.ok(await passwords.verify('x', first));
    assert.ok(!(await passwords.verify('y', first)));
    assert.ok(!(await passwords.verify('x', null)));
    assert.ok(!(await passwords.verify('x', '$argon2id$v=19$nonsense')));
  });

  test("agree with another implementation's hash", async () => {
    // The reference implementation: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32 -e
    const hash = '$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc';
    assert.ok(await new Passwords().verify('password', hash));
  });

  test('are hashed anew at login once more is asked for', async () => {
    await using world = await apiWorld();
    await world.addUser('alice');
    const read = async () =>
      (
        await world.services.store.db
          .selectFrom('user')
          .select('password_hash')
          .where('name', '=', 'alice')
          .executeTakeFirstOrThrow()
      ).password_hash!;
    const old = await new Passwords({ ...cost, memoryKiB: 32 }).hash(PASSWORD);
    await world.services.store.db.updateTable('user').set({ password_hash: old }).where('name', '=', 'alice').execute();
    await world.logIn('alice');
    const renewed = await read();
    assert.match(renewed, /m=64,/);
    await world.logIn('alice');
    assert.equal(await read(), renewed);
  });

  test('at most so many are hashed at once; who waits too long a queue is refused, who is known goes first', async () => {
    const passwords = new Passwords({ memoryKiB: 4096, passes: 2, parallelism: 1 }, { atOnce: 1, waiting: 5 });
    const done: string[] = [];
    const all = Array.from({ length: 6 }, (_, i) => passwords.verify('x', null).then(() => done.push(`stranger ${i}`)));
    await assert.rejects(
      passwords.verify('x', null),
      (error) => error instanceof ApiError && error.code === 'unavailable',
    );
    const known = passwords.verify('x', null, true).then(() => done.push('known'));
    await Promise.all([...all, known]);
    assert.equal(done.length, 7);
    assert.equal(done.indexOf('known'), 1, done.join());
  });
});
