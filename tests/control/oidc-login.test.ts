/** Logins by a real OpenID provider: who comes in as whom, and into which groups. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { accessRoutes, routes } from '@sallyport/api';
import { administrator, onBothDatabases, type Databases } from './databases.ts';
import { addProvider, Browser, oidcWorld, SERVICE, startProvider, whoAmI } from './oidc-provider.ts';

onBothDatabases('logins by a provider', (databases) => {
  const open = async (fields: Record<string, unknown> = {}, method?: 'client_secret_post') =>
    oidcWorld(await optionsOf(databases), fields, method);

  for (const [kind, fields, method] of [
    ['a client with a secret', {}, undefined],
    ['a client that posts its secret', {}, 'client_secret_post'],
    ['a client with PKCE alone', { clientSecret: null }, undefined],
  ] as const) {
    test(`${kind}: who comes for the first time gets a user, and is the same one the next time`, async () => {
      await using it = await open({ createUsers: true, ...fields }, method);
      const { world, provider, id } = it;
      provider.accounts.set('s-1', {
        email: 'Zoe.M@Corp.Example',
        email_verified: true,
        preferred_username: 'Zoë.Müller@corp.example',
        name: 'Zoë Müller',
      });
      provider.user = 's-1';
      const browser = new Browser(world);
      assert.equal(await browser.logIn(id, '?return=/devices?page=2%23top'), '/devices?page=2#top');
      const user = (await whoAmI(world, browser))!;
      assert.equal(user['name'], 'zoe.muller');
      assert.equal(user['displayName'], 'Zoë Müller');
      assert.equal(user['email'], 'zoe.m@corp.example');
      assert.equal(user['role'], 'user');
      assert.equal(browser.cookie('sallyport-oidc'), undefined, 'the transaction is cleared away');

      const again = new Browser(world);
      assert.equal(await again.logIn(id), '/');
      assert.equal((await whoAmI(world, again))?.['id'], user['id']);
      assert.notEqual(again.cookie('sallyport'), browser.cookie('sallyport'));

      const row = await world.services.store.db
        .selectFrom('user')
        .selectAll()
        .where('id', '=', user['id'] as string)
        .executeTakeFirstOrThrow();
      assert.equal(row.password_hash, null);
      const sessions = await world.services.store.db
        .selectFrom('session')
        .selectAll()
        .where('user_id', '=', row.id)
        .execute();
      assert.deepEqual(
        sessions.map(({ methods, provider_id }) => [methods, provider_id]),
        [
          ['["provider"]', id],
          ['["provider"]', id],
        ],
      );
      const audit = await world.audit();
      const created = audit.filter(({ action, target }) => action === 'user.create' && target === 'zoe.muller');
      assert.deepEqual(
        created.map(({ actor }) => [actor.kind, actor.name]),
        [['system', 'Company']],
      );
      assert.match(created[0].all, /\\"via\\":\\"oidc\\"/);
      assert.equal(audit.filter(({ action, target }) => action === 'login.succeed' && target === row.name).length, 2);
      // The directory has heard of them: they can have devices.
      assert.ok(world.services.directory.model.users.has(row.id));
    });
  }

  test('nobody comes in where users are not made, and the page is told why', async () => {
    await using it = await open();
    const { world, provider, id } = it;
    provider.accounts.set('s-1', { email: 'alice@corp.example', email_verified: true, preferred_username: 'alice' });
    provider.user = 's-1';
    await world.addUser('alice');
    const browser = new Browser(world);
    assert.equal(await browser.logIn(id), '/login?problem=notAllowed', 'a name is no proof');
    assert.equal(browser.cookie('sallyport'), undefined);
    assert.equal(browser.cookie('sallyport-oidc'), undefined);
    assert.ok((await world.audit()).some(({ action, all }) => action === 'login.fail' && all.includes('provider')));
  });

  test('a name that is taken is made unique, also for two at once; nothing odd gets in', async () => {
    await using it = await open({ createUsers: true });
    const { world, provider, id } = it;
    const token = `spt_${'a'.repeat(40)}`;
    provider.accounts.set('s-1', { preferred_username: 'root', name: 'Not\u202ethe root' });
    provider.accounts.set('s-2', { preferred_username: '../../', name: token, email: 'nobody', email_verified: true });
    provider.accounts.set('s-3', { email: 'eve@evil.example', name: 'x'.repeat(101) });
    const names: unknown[] = [];
    for (const subject of ['s-1', 's-2', 's-3']) {
      provider.user = subject;
      const browser = new Browser(world);
      assert.equal(await browser.logIn(id), '/');
      const user = (await whoAmI(world, browser))!;
      names.push([user['name'], user['displayName'], user['email']]);
    }
    assert.deepEqual(names, [
      ['root-2', '', null],
      ['user', '', null],
      ['eve', '', null],
    ]);

    const subjects = ['t-1', 't-2', 't-3', 't-4'];
    const callbacks: [Browser, URL][] = [];
    for (const subject of subjects) {
      provider.accounts.set(subject, { preferred_username: 'twin' });
      provider.user = subject;
      const browser = new Browser(world);
      callbacks.push([browser, await browser.upToCallback(id)]);
    }
    await Promise.all(callbacks.map(([browser, url]) => browser.go(url.href, (next) => next.pathname === '/')));
    const twins = await Promise.all(callbacks.map(async ([browser]) => (await whoAmI(world, browser))?.['name']));
    assert.deepEqual(twins.sort(), ['twin', 'twin-2', 'twin-3', 'twin-4']);
  });

  test('a verified mail address links a user, once, and nobody who may do more', async () => {
    await using it = await open();
    const { world, root, provider, id, change } = it;
    const admin = world.client(root);
    const alice = await admin.call(routes.createUser, { body: { name: 'alice', email: 'Alice@corp.example' } });
    await admin.call(routes.createUser, { body: { name: 'boss', email: 'boss@corp.example', role: 'auditor' } });
    await admin.call(routes.createUser, { body: { name: 'one', email: 'shared@corp.example' } });
    await admin.call(routes.createUser, { body: { name: 'two', email: 'shared@corp.example' } });
    const claims = (email: string, verified: unknown) => ({ email, email_verified: verified });
    provider.accounts.set('alice', claims('alice@CORP.example', true));
    const logIn = async (subject: string): Promise<[string, unknown]> => {
      provider.user = subject;
      const browser = new Browser(world);
      return [await browser.logIn(id), (await whoAmI(world, browser))?.['name']];
    };
    const refused = ['/login?problem=notAllowed', undefined];
    assert.deepEqual(await logIn('alice'), refused, 'linking is off');
    await change({ linkByEmail: true });
    for (const [subject, verified] of [
      ['unverified', false],
      ['text', 'true'],
      ['unsaid', undefined],
    ] as const) {
      provider.accounts.set(subject, claims('alice@corp.example', verified));
      assert.deepEqual(await logIn(subject), refused, subject);
    }
    await change({ emailDomains: ['Other.example'] });
    assert.deepEqual(await logIn('alice'), refused, 'another domain');
    await change({ emailDomains: ['corp.example'] });
    assert.deepEqual(await logIn('alice'), ['/', 'alice']);
    const linked = (await world.audit()).filter(({ action }) => action === 'user.link');
    assert.deepEqual(
      linked.map(({ target }) => target),
      ['alice'],
    );

    // The address goes to somebody else at the provider.
    provider.accounts.set('alice-the-second', claims('alice@corp.example', true));
    await change({ createUsers: true });
    assert.deepEqual(await logIn('alice-the-second'), refused);
    provider.accounts.set('boss', claims('boss@corp.example', true));
    assert.deepEqual(await logIn('boss'), refused);
    provider.accounts.set('shared', claims('shared@corp.example', true));
    assert.deepEqual(await logIn('shared'), refused);
    // And alice stays alice, whatever her address is now.
    provider.accounts.set('alice', claims('boss@corp.example', true));
    assert.deepEqual(await logIn('alice'), ['/', 'alice']);
    assert.equal((await admin.call(routes.getUser, { params: { userId: alice.id } })).email, 'Alice@corp.example');
  });

  test('nobody gives themselves the mail address of who is yet to come', async () => {
    await using it = await open({ linkByEmail: true, createUsers: true });
    const { world, root, provider, id } = it;
    const address = { email: 'cfo@corp.example' };
    const mallory = await world.addUser('mallory');
    assert.equal((await world.call(mallory, 'PATCH', '/me', address)).status, 403);
    // Nor does who finds an API token of an administrator that is for their own things alone.
    assert.equal((await world.call(await world.addToken(root, ['self']), 'PATCH', '/me', address)).status, 403);
    assert.equal((await world.call(mallory, 'PATCH', '/me', { displayName: 'M', email: null })).status, 200);
    assert.equal((await world.call(root, 'PATCH', '/me', { email: 'root@corp.example' })).status, 200);
    provider.accounts.set('cfo', { ...address, email_verified: true, preferred_username: 'cfo' });
    provider.user = 'cfo';
    const browser = new Browser(world);
    assert.equal(await browser.logIn(id), '/');
    assert.equal((await whoAmI(world, browser))?.['name'], 'cfo');
  });

  test('users are taken from the domains that are named, by verified addresses', async () => {
    await using it = await open({ createUsers: true, emailDomains: ['corp.example'] });
    const { world, provider, id } = it;
    const logIn = async (claims: Record<string, unknown>): Promise<string> => {
      provider.user = `s-${provider.accounts.size}`;
      provider.accounts.set(provider.user, claims);
      return new Browser(world).logIn(id);
    };
    const refused = '/login?problem=notAllowed';
    assert.equal(await logIn({ email: 'a@corp.example', email_verified: true }), '/');
    assert.equal(await logIn({ email: 'a@CORP.EXAMPLE', email_verified: true }), '/');
    assert.equal(await logIn({ email: 'a@corp.example', email_verified: false }), refused);
    assert.equal(await logIn({ email: 'a@sub.corp.example', email_verified: true }), refused);
    assert.equal(await logIn({ email: 'a@corp.example.evil.example', email_verified: true }), refused);
    assert.equal(await logIn({ email: 'a@corp.example@evil.example', email_verified: true }), refused);
    assert.equal(await logIn({ preferred_username: 'a@corp.example' }), refused);
  });

  test('groups follow the claims; those given by hand, by another provider or by SCIM stay', async () => {
    await using it = await open({ createUsers: true, groupsByName: true });
    const { world, root, provider, id, change } = it;
    const admin = world.client(root);
    const ids: Record<string, string> = {};
    for (const name of ['engineering', 'oncall', 'hand', 'kept', 'staff']) {
      ids[name] = (await admin.call(routes.createGroup, { body: { name } })).id;
    }
    await change({ groupMapping: [{ claim: 'CN=Staff,DC=corp', groupId: 'staff' }] });
    const { db } = world.services.store;
    await db
      .insertInto('scim_client')
      .values({ id: 'c', name: 'c', token_hash: 'h', created_at: 1, last_used_at: null })
      .execute();
    await db
      .insertInto('scim_group')
      .values({ group_id: ids['kept'], client_id: 'c', display_name: 'kept', external_id: null, modified_at: 1 })
      .execute();
    const groupsAfter = async (groups: unknown, subject = 's-1', by = { provider, id }): Promise<string[]> => {
      by.provider.accounts.set(subject, { preferred_username: 'alice', groups });
      by.provider.user = subject;
      const browser = new Browser(world);
      assert.equal(await browser.logIn(by.id), '/');
      const user = (await whoAmI(world, browser))!;
      const model = world.services.directory.model.users.get(user['id'] as string)!;
      assert.deepEqual(new Set(model.groups), new Set(user['groups'] as string[]), 'the policy has heard of it');
      return Object.keys(ids)
        .filter((name) => (user['groups'] as string[]).includes(ids[name]))
        .sort();
    };
    assert.deepEqual(await groupsAfter(['engineering', 'CN=Staff,DC=corp', 'everyone', 'kept', 'unknown', 7, null]), [
      'engineering',
      'staff',
    ]);
    const [alice] = (await admin.call(routes.listUsers, { query: { limit: 100, search: 'alice' } })).items;
    await admin.call(routes.addGroupMember, { params: { groupId: 'hand', userId: alice.id } });
    await world.services.store.write(administrator, async ({ db: writing, changed }) => {
      await writing.insertInto('group_member').values({ group_id: ids['kept'], user_id: alice.id }).execute();
      changed('user', alice.id);
    });
    assert.deepEqual(await groupsAfter('oncall'), ['hand', 'kept', 'oncall'], 'one group comes as a text');
    // Claimed while it was there already: not the provider's to take away.
    assert.deepEqual(await groupsAfter(['hand', 'oncall']), ['hand', 'kept', 'oncall']);
    assert.deepEqual(await groupsAfter([]), ['hand', 'kept']);
    // Taken out and given again by hand.
    assert.deepEqual(await groupsAfter(['oncall', 'engineering']), ['engineering', 'hand', 'kept', 'oncall']);
    await admin.call(routes.removeGroupMember, { params: { groupId: 'oncall', userId: alice.id } });
    await admin.call(routes.addGroupMember, { params: { groupId: 'oncall', userId: alice.id } });
    assert.deepEqual(await groupsAfter(undefined), ['hand', 'kept', 'oncall']);
    await admin.call(routes.removeGroupMember, { params: { groupId: 'oncall', userId: alice.id } });
    // A group that SCIM took over meanwhile.
    await groupsAfter(['engineering']);
    await db
      .insertInto('scim_group')
      .values({ group_id: ids['engineering'], client_id: 'c', display_name: 'e', external_id: null, modified_at: 1 })
      .execute();
    assert.deepEqual(await groupsAfter([]), ['engineering', 'hand', 'kept']);
    await db.deleteFrom('scim_group').where('group_id', '=', ids['engineering']).execute();
    assert.deepEqual(await groupsAfter([]), ['engineering', 'hand', 'kept'], 'it is nobody else’s claim any more');
    // What it takes from nobody: thousands of groups.
    const many = [...Array.from({ length: 500 }, (_, i) => `g${i}`), 'staff'];
    assert.deepEqual(await groupsAfter(many), ['engineering', 'hand', 'kept']);

    // Two providers that say the same: it ends when neither does.
    let other = '';
    await using second = await startProvider(async (issuer) => {
      other = await addProvider(world, root, { name: 'Second', issuer, linkByEmail: true, groupsByName: true });
      return [{ id: 'sallyport', redirectUris: [`${SERVICE}/login/oidc/${other}/callback`] }];
    });
    await db
      .insertInto('external_identity')
      .values({ provider_id: other, subject: 'there', user_id: alice.id, created_at: 1, last_login_at: 1 })
      .execute();
    const by = { provider: second, id: other };
    assert.deepEqual(await groupsAfter(['oncall']), ['engineering', 'hand', 'kept', 'oncall']);
    assert.deepEqual(await groupsAfter(['oncall'], 'there', by), ['engineering', 'hand', 'kept', 'oncall']);
    assert.deepEqual(await groupsAfter([]), ['engineering', 'hand', 'kept', 'oncall']);
    assert.deepEqual(await groupsAfter([], 'there', by), ['engineering', 'hand', 'kept']);
    const audit = await world.audit();
    assert.ok(audit.some(({ action, actor }) => action === 'user.update' && actor.name === 'Company'));
  });

  test('claims give no access that a policy test forbids; the login comes in without those groups', async () => {
    await using it = await open({ createUsers: true, groupsByName: true });
    const { world, root, provider, id } = it;
    const admin = world.client(root);
    for (const name of ['dba', 'staff']) await admin.call(routes.createGroup, { body: { name } });
    const call = async (path: string, body: object): Promise<void> => {
      const answer = await world.call(root, 'POST', path, body);
      assert.equal(answer.status, 201, answer.text);
    };
    await call('/resources', { name: 'db', prefixes: ['10.5.0.0/24'] });
    await call('/rules', { name: 'dba-db', groups: ['dba'], resources: ['db'] });
    const logIn = async (groups: readonly string[]): Promise<string[]> => {
      provider.accounts.set('s-1', { preferred_username: 'alice', groups });
      provider.user = 's-1';
      const browser = new Browser(world);
      assert.equal(await browser.logIn(id), '/');
      const user = (await whoAmI(world, browser))!;
      const names = (await admin.call(routes.listGroups, { query: { limit: 100 } })).items
        .filter((group) => (user['groups'] as string[]).includes(group.id))
        .map(({ name }) => name);
      return names.filter((name) => name !== 'everyone');
    };
    assert.deepEqual(await logIn(['staff']), ['staff']);
    const test = { name: 'not alice', user: 'alice', destination: '10.5.0.1', port: 5432, expect: 'deny' };
    await call('/policy-tests', test);
    assert.deepEqual(await logIn(['dba', 'staff']), ['staff']);
    // Who leaves at the provider leaves here, though nothing is joined.
    assert.deepEqual(await logIn(['dba']), []);
    assert.deepEqual(await logIn(['staff']), ['staff']);
    const tests = await admin.call(accessRoutes.getPolicyTest, { params: { policyTestId: 'not alice' } });
    await admin.call(accessRoutes.deletePolicyTest, {
      params: { policyTestId: 'not alice' },
      ifMatch: tests.version,
    });
    assert.deepEqual(await logIn(['dba', 'staff']), ['dba', 'staff']);
  });

  test('who is disabled or expired stays out; so does everybody where the provider is switched off', async () => {
    await using it = await open({ createUsers: true });
    const { world, root, provider, id, change } = it;
    provider.accounts.set('s-1', { preferred_username: 'alice' });
    provider.user = 's-1';
    const browser = new Browser(world);
    assert.equal(await browser.logIn(id), '/');
    const { id: userId } = (await whoAmI(world, browser)) as { id: string };
    const set = async (body: object): Promise<void> => {
      const { version } = (await world.call(root, 'GET', `/users/${userId}`)).body as { version: number };
      assert.equal((await world.call(root, 'PATCH', `/users/${userId}`, body, version)).status, 200);
    };
    await set({ disabled: true });
    assert.equal(await whoAmI(world, browser), undefined);
    assert.equal(await browser.logIn(id), '/login?problem=disabled');
    await set({ disabled: false, expiresAt: new Date(world.now - 1000).toISOString().replace(/\.\d+/, '') });
    assert.equal(await browser.logIn(id), '/login?problem=disabled');
    await set({ expiresAt: null });
    assert.equal(await browser.logIn(id), '/');

    // Switched off between the two halves of a login.
    const late = new Browser(world);
    const callback = await late.upToCallback(id);
    await change({ enabled: false });
    assert.equal(
      (await late.go(callback.href, (url) => url.pathname === '/login')).url.search,
      '?problem=providerDisabled',
    );
    assert.equal(await browser.logIn(id), '/login?problem=providerDisabled');
    assert.equal(await browser.logIn('nobody'), '/login?problem=providerDisabled');
    assert.equal(await browser.logIn('%00'), '/login?problem=providerDisabled');
    assert.equal(await whoAmI(world, browser), undefined, 'its sessions are over');
    await change({ enabled: true });
    assert.equal(await browser.logIn(id), '/');

    const { version } = (await world.call(root, 'GET', `/identity-providers/${id}`)).body as { version: number };
    assert.equal((await world.call(root, 'DELETE', `/identity-providers/${id}`, undefined, version)).status, 204);
    assert.equal(await whoAmI(world, browser), undefined, 'its sessions end with it');
    assert.equal((await world.call(root, 'GET', `/users/${userId}`)).status, 200, 'its users stay');
    assert.equal(await browser.logIn(id), '/login?problem=providerDisabled');
  });

  test('several providers are several worlds', async () => {
    await using it = await open({ createUsers: true });
    const { world, root, provider, id } = it;
    let other = '';
    await using second = await startProvider(async (issuer) => {
      other = await addProvider(world, root, { name: 'Second', issuer, createUsers: true });
      return [{ id: 'sallyport', redirectUris: [`${SERVICE}/login/oidc/${other}/callback`] }];
    });
    for (const one of [provider, second]) {
      one.accounts.set('the-same', { preferred_username: 'alice' });
      one.user = 'the-same';
    }
    const [a, b] = [new Browser(world), new Browser(world)];
    assert.equal(await a.logIn(id), '/');
    assert.equal(await b.logIn(other), '/');
    const [one, two] = [await whoAmI(world, a), await whoAmI(world, b)];
    assert.deepEqual([one?.['name'], two?.['name']], ['alice', 'alice-2']);
    const { body } = await world.call(undefined, 'GET', '/login/methods');
    assert.deepEqual(body['providers'], [
      { id, name: 'Company' },
      { id: other, name: 'Second' },
    ]);
  });
});

async function optionsOf({ dialect, create }: Databases): Promise<{ url?: string }> {
  return dialect === 'sqlite' ? {} : { url: await create() };
}
