/** Proving again, by a provider, that it is still the same person. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PASSWORD } from './api-world.ts';
import { onBothDatabases } from './databases.ts';
import { startHostile } from './oidc-hostile.ts';
import { addProvider, atEnd, Browser, oidcWorld, whoAmI, type World } from './oidc-provider.ts';

const minute = 60_000;

/** When the user of a browser's session last proved themselves, and how. */
async function proof(world: World, browser: Browser): Promise<[at: number, methods: unknown] | undefined> {
  const headers = { cookie: `sallyport=${browser.cookie('sallyport')!}` };
  const { status, body } = await world.send('GET', '/api/v1/me', { headers });
  if (status !== 200) return undefined;
  const session = body['session'] as { authenticatedAt: string; methods: unknown };
  return [Date.parse(session.authenticatedAt), session.methods];
}

onBothDatabases('step-up by a provider', ({ dialect, create }) => {
  test('by the same person, anew, in the same session', async () => {
    await using it = await oidcWorld(dialect === 'sqlite' ? {} : { url: await create() }, { createUsers: true });
    const { world, provider, id } = it;
    provider.accounts.set('alice', { preferred_username: 'alice' });
    provider.accounts.set('bob', { preferred_username: 'bob' });
    provider.user = 'alice';
    const browser = new Browser(world);
    // The login was an hour ago.
    world.now -= 60 * minute;
    const begun = world.now;
    assert.equal(await browser.logIn(id), '/');
    world.now += 60 * minute;
    const session = browser.cookie('sallyport');
    assert.deepEqual(await proof(world, browser), [begun, ['provider']]);

    provider.requests.length = 0;
    assert.equal(await browser.logIn(id, '?stepUp=true&return=/tokens'), '/tokens');
    const request = new URL(
      provider.requests.find((path) => path.startsWith('/auth?'))!,
      provider.issuer,
    );
    assert.equal(request.searchParams.get('prompt'), 'login');
    assert.equal(request.searchParams.get('max_age'), '0');
    assert.equal(browser.cookie('sallyport'), session, 'it is the same session');
    assert.deepEqual(await proof(world, browser), [world.now, ['provider']]);
    const entries = (await world.audit()).filter(({ action }) => action === 'session.stepUp');
    assert.deepEqual(
      entries.map(({ actor, target }) => [actor.name, target]),
      [['alice', 'alice']],
    );

    // Somebody else at the keyboard.
    world.now += minute / 2;
    const asBob = (): Promise<string> => {
      provider.user = 'bob';
      browser.cookies.delete(provider.issuer);
      return browser.logIn(id, '?stepUp=true');
    };
    assert.equal(await asBob(), '/login?problem=otherUser');
    assert.deepEqual(await proof(world, browser), [world.now - minute / 2, ['provider']]);
    assert.equal((await whoAmI(world, browser))?.['name'], 'alice');
    const own = new Browser(world);
    assert.equal(await own.logIn(id), '/');
    assert.equal(await asBob(), '/login?problem=otherUser', 'though they have a user here');
    provider.user = 'alice';
    browser.cookies.delete(provider.issuer);

    // It counts once, in the browser that began it.
    const callback = await browser.upToCallback(id, '?stepUp=true');
    const sealed = browser.cookie('sallyport-oidc')!;
    assert.equal((await own.go(callback.href, atEnd)).url.search, '?problem=expired');
    assert.equal((await browser.go(callback.href, atEnd)).url.pathname, '/');
    const before = await proof(world, browser);
    world.now += 1000;
    browser.setCookie('sallyport-oidc', sealed);
    assert.match((await browser.go(callback.href, atEnd)).url.search, /^\?problem=/);
    assert.deepEqual(await proof(world, browser), before);

    // The session ends meanwhile.
    const late = await browser.upToCallback(id, '?stepUp=true');
    await world.services.store.db.deleteFrom('session').execute();
    assert.equal((await browser.go(late.href, atEnd)).url.search, '?problem=sessionEnded');
    assert.equal(await whoAmI(world, browser), undefined, 'and none begins');
  });
});

describe('step-up by a provider', () => {
  test('needs a session, by cookie, that came by it', async () => {
    await using it = await oidcWorld({}, { createUsers: true });
    const { world, root, provider, id } = it;
    provider.accounts.set('alice', {});
    provider.user = 'alice';
    assert.equal(await new Browser(world).logIn(id, '?stepUp=true'), '/login?problem=sessionEnded');
    const { headers } = await world.send('GET', `/login/oidc/${id}/start?stepUp=true`, { token: root });
    assert.equal(headers.location, '/login?problem=sessionEnded', 'a browser’s');

    await world.addUser('bob');
    const login = await world.send('POST', '/api/v1/login', {
      headers: { 'content-type': 'application/json', 'sec-fetch-site': 'same-origin' },
      body: JSON.stringify({ name: 'bob', password: PASSWORD, cookie: true }),
    });
    const browser = new Browser(world);
    const cookie = /^sallyport=([^;]+)/.exec(login.headers['set-cookie']![0])![1];
    browser.setCookie('sallyport', cookie, true);
    assert.equal((await whoAmI(world, browser))?.['name'], 'bob');
    assert.equal(await browser.logIn(id, '?stepUp=true'), '/login?problem=otherUser', 'who has a password shows that');
  });

  test('takes no old login for a new one', async () => {
    await using it = await oidcWorld();
    const { world, root } = it;
    await using hostile = await startHostile();
    const id = await addProvider(world, root, { name: 'hostile', issuer: hostile.issuer, createUsers: true });
    const browser = new Browser(world);
    assert.equal(await browser.logIn(id), '/');
    const at = (ago: number): number => Math.floor((world.now - ago) / 1000);
    for (const [time, where] of [
      [at(2 * minute), '/login?problem=mismatch'],
      ['now', '/login?problem=mismatch'],
      [at(0), '/'],
      // Not all providers say.
      [undefined, '/'],
    ] as const) {
      hostile.claims = { auth_time: time };
      assert.equal(await browser.logIn(id, '?stepUp=true'), where, String(time));
    }
  });
});
