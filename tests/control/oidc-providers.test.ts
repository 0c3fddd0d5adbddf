/** The API of identity providers: what may be set, what is kept, and what is said about them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { apiWorld } from './api-world.ts';
import { onBothDatabases } from './databases.ts';
import { startHostile } from './oidc-hostile.ts';
import { addProvider, Browser, CLIENT_SECRET, oidcWorld } from './oidc-provider.ts';

onBothDatabases('identity providers', ({ dialect, create }) => {
  const open = async () => apiWorld(dialect === 'sqlite' ? {} : { url: await create() });

  test('are created, read, changed and removed; the secret is never shown', async () => {
    await using world = await open();
    const { root } = world;
    const call = (method: string, path: string, body?: unknown, version?: number) =>
      world.call(root, method, `/identity-providers${path}`, body, version);
    const first = { name: 'Company', issuer: 'https://login.example.com', clientId: 'vpn' };
    const created = await call('POST', '', first);
    assert.equal(created.status, 201, created.text);
    const id = created.body['id'] as string;
    assert.deepEqual(created.body, {
      ...first,
      id,
      hasClientSecret: false,
      redirectUri: `https://vpn.example.org/login/oidc/${id}/callback`,
      scopes: ['openid', 'profile', 'email'],
      enabled: true,
      createUsers: false,
      emailDomains: [],
      linkByEmail: false,
      asksSecondFactor: false,
      groupsClaim: 'groups',
      groupsByName: false,
      groupMapping: [],
      version: 1,
    });
    assert.equal((await call('POST', '', first)).body['code'], 'nameTaken');
    assert.equal((await call('POST', '', { ...first, name: 'Another' })).status, 201);
    assert.deepEqual((await call('GET', '/Company')).body, created.body);
    assert.deepEqual(
      ((await call('GET', '')).body['items'] as { name: string }[]).map(({ name }) => name),
      ['Another', 'Company'],
    );

    assert.equal((await call('PATCH', '/Company', { clientSecret: CLIENT_SECRET })).status, 428);
    assert.equal((await call('PATCH', '/Company', { clientSecret: CLIENT_SECRET }, 7)).status, 412);
    const secret = await call('PATCH', '/Company', { clientSecret: CLIENT_SECRET }, 1);
    assert.equal(secret.body['hasClientSecret'], true);
    const renamed = await call('PATCH', '/Company', { name: 'Company 2', emailDomains: ['CORP.example'] }, 2);
    assert.equal(renamed.body['hasClientSecret'], true, 'what is not named stays');
    assert.deepEqual(renamed.body['emailDomains'], ['corp.example']);
    assert.equal((await call('PATCH', `/${id}`, { name: 'Another' }, 3)).body['code'], 'nameTaken');

    // The secret is for the issuer that it was given with.
    const moved = { issuer: 'https://evil.example' };
    assert.equal((await call('PATCH', `/${id}`, moved, 3)).status, 400);
    assert.equal((await call('PATCH', `/${id}`, { ...moved, clientSecret: 'another' }, 3)).status, 200);
    const without = await call('PATCH', `/${id}`, { clientSecret: null }, 4);
    assert.equal(without.body['hasClientSecret'], false);
    assert.equal((await call('PATCH', `/${id}`, { clientSecret: CLIENT_SECRET }, 5)).status, 200);

    const { db } = world.services.store;
    const rows = JSON.stringify(await db.selectFrom('identity_provider').selectAll().execute());
    const audit = await world.audit();
    for (const text of [rows, secret.text, ...world.logged, ...audit.map(({ all }) => all)]) {
      assert.ok(!text.includes(CLIENT_SECRET) && !text.includes(JSON.stringify(CLIENT_SECRET).slice(1, -1)));
    }
    // Sealed to its row: in another's place it is none.
    const { sealed_client_secret: sealed } = await db
      .selectFrom('identity_provider')
      .select('sealed_client_secret')
      .where('id', '=', id)
      .executeTakeFirstOrThrow();
    await db
      .updateTable('identity_provider')
      .set({ sealed_client_secret: sealed })
      .where('name', '=', 'Another')
      .execute();
    const another = (await call('GET', '/Another')).body as { id: string };
    assert.equal(
      (await world.send('GET', `/login/oidc/${another.id}/start`)).headers.location,
      '/login?problem=internal',
    );

    const deleted = await call('DELETE', `/${id}`, undefined, 6);
    assert.equal(deleted.status, 204, deleted.text);
    assert.equal((await call('GET', `/${id}`)).status, 404);
    assert.deepEqual(
      (await world.audit())
        .filter(({ action, target }) => action.startsWith('identityProvider.') && target !== 'Another')
        .map(({ action, actor }) => [action, actor.name]),
      [
        ['identityProvider.create', 'root'],
        ...Array.from({ length: 5 }, () => ['identityProvider.update', 'root']),
        ['identityProvider.delete', 'root'],
      ],
    );
  });

  test('are for administrators, who have just proved that they are', async () => {
    await using world = await open();
    const { root } = world;
    const id = await addProvider(world, root, { name: 'Company', issuer: 'https://login.example.com' });
    const auditor = await world.addUser('auditor', 'auditor');
    const alice = await world.addUser('alice');
    assert.equal((await world.call(alice, 'GET', '/identity-providers')).status, 403);
    assert.equal((await world.call(auditor, 'GET', '/identity-providers')).status, 200);
    assert.equal((await world.call(auditor, 'POST', `/identity-providers/${id}/check`)).status, 403);
    assert.equal((await world.call(auditor, 'PATCH', `/identity-providers/${id}`, { enabled: false }, 1)).status, 403);
    world.now += 11 * 60_000;
    const late = await world.call(root, 'PATCH', `/identity-providers/${id}`, { enabled: false }, 1);
    assert.equal(late.body['code'], 'stepUpRequired');
  });

  test('must make sense', async () => {
    await using world = await open();
    const { root } = world;
    const good = { name: 'Company', issuer: 'https://login.example.com', clientId: 'vpn' };
    const faults = async (fields: Record<string, unknown>): Promise<string[]> => {
      const { status, body } = await world.call(root, 'POST', '/identity-providers', { ...good, ...fields });
      if (status === 201) return [];
      assert.equal(status, 400);
      return (body['faults'] as { at: string }[]).map(({ at }) => at);
    };
    for (const issuer of [
      'http://login.example.com',
      'http://127.0.0.1.evil.example',
      'http://192.0.2.1',
      'ftp://login.example.com',
      'javascript:alert(1)',
      'https://user:pass@login.example.com',
      'https://login.example.com?a=b',
      'https://login.example.com#a',
      'https://login.example.com/.well-known/openid-configuration',
    ]) {
      assert.deepEqual(await faults({ issuer }), ['/body/issuer'], issuer);
    }
    assert.deepEqual(await faults({ scopes: ['email'] }), ['/body/scopes']);
    assert.deepEqual(await faults({ scopes: ['openid', 'a b'] }), ['/body/scopes/1']);
    const mapping = [
      { claim: 'a', groupId: 'everyone' },
      { claim: 'b', groupId: 'nobody' },
    ];
    assert.deepEqual(await faults({ groupMapping: mapping }), ['/body/groupMapping/0', '/body/groupMapping/1']);
    for (const issuer of ['http://127.0.0.1:9000', 'http://localhost:9000', 'http://[::1]:9000/realms/a']) {
      assert.deepEqual(await faults({ name: issuer, issuer }), []);
    }
  });
});

test('an issuer stays, once people have logged in by it', async () => {
  await using it = await oidcWorld({}, { createUsers: true });
  const { world, root, provider, id, change } = it;
  await change({ issuer: provider.issuer });
  provider.accounts.set('s', {});
  provider.user = 's';
  assert.equal(await new Browser(world).logIn(id), '/');
  const { version } = (await world.call(root, 'GET', `/identity-providers/${id}`)).body as { version: number };
  const body = { issuer: 'https://evil.example', clientSecret: null };
  const answer = await world.call(root, 'PATCH', `/identity-providers/${id}`, body, version);
  assert.equal(answer.body['code'], 'conflict');
});

test('a check says what is wrong', async () => {
  await using it = await oidcWorld();
  const { world, root, id } = it;
  await using hostile = await startHostile();
  const other = await addProvider(world, root, { name: 'Other', issuer: hostile.issuer });
  const check = async (provider = other): Promise<[unknown, string]> => {
    const { body } = await world.call(root, 'POST', `/identity-providers/${provider}/check`);
    return [body['works'], body['message'] as string];
  };
  const says = async (works: boolean, pattern: RegExp): Promise<void> => {
    const [did, message] = await check();
    assert.equal(did, works, message);
    assert.match(message, pattern);
  };
  assert.deepEqual((await check(id))[0], true);
  await says(true, /with 1 key\./);
  hostile.metadata = { issuer: 'https://login.example.com' };
  await says(false, /issuer/);
  hostile.metadata = { scopes_supported: ['openid'] };
  await says(true, /does not list the scopes profile, email, groups/);
  hostile.metadata = { response_types_supported: ['id_token'] };
  await says(false, /authorization code flow/);
  hostile.metadata = { code_challenge_methods_supported: ['plain'] };
  await says(false, /PKCE/);
  hostile.metadata = { jwks_uri: undefined };
  await says(false, /jwks_uri/);
  hostile.metadata = {};
  for (const [body, pattern] of [
    ['{"keys":[]}', /no key/],
    ['{"keys":[null,{"kty":"oct"},{"kty":"RSA","use":"enc"}]}', /no key/],
    ['[]', /no JWK Set/],
    ['<html>', /no JSON/],
  ] as const) {
    hostile.instead = (path, response) => {
      if (path !== '/jwks') return false;
      response.end(body);
      return true;
    };
    await says(false, pattern);
  }
  await hostile[Symbol.asyncDispose]();
  await says(false, /cannot be reached \(ECONNREFUSED\)/);
});
