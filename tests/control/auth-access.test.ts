/** What users, tokens and invitations may do, and what nobody may. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { PERMISSIONS, routes, type Permission } from '@sallyport/api';
import { apiWorld, codeOf, PASSWORD } from './api-world.ts';

type World = Awaited<ReturnType<typeof apiWorld>>;
const hour = 3_600_000;

const versionOf = async (world: World, user: string): Promise<number> =>
  (await world.client(world.root).call(routes.getUser, { params: { userId: user } })).version;

describe('API tokens', () => {
  test('may what they were given, and never more than their user may now', async () => {
    await using world = await apiWorld();
    const admin = await world.addUser('admin', 'administrator');
    const token = await world.addToken(admin, ['users:read', 'groups:write', 'self']);
    const permissions = async () => (await world.client(token).call(routes.getMe, {})).permissions;
    assert.deepEqual(await permissions(), ['users:read', 'groups:write']);
    const change = async (role: 'auditor' | 'user') =>
      world.client(world.root).call(routes.updateUser, {
        params: { userId: 'admin' },
        body: { role },
        ifMatch: await versionOf(world, 'admin'),
      });
    await change('auditor');
    assert.deepEqual(await permissions(), ['users:read']);
    await change('user');
    assert.deepEqual(await permissions(), []);
    assert.equal((await world.call(token, 'GET', '/users')).status, 403);
  });

  test('make no tokens that may more, and take away no tokens of who may more', async () => {
    await using world = await apiWorld();
    const narrow = await world.addToken(world.root, ['tokens:write', 'users:read']);
    const client = world.client(narrow);
    const make = (permissions: Permission[]) =>
      codeOf(client.call(routes.createToken, { body: { name: 'x', permissions } }));
    assert.equal(await make(['users:read']), 'ok');
    assert.equal(await make(['users:read', 'users:write']), 'forbidden');
    const { items } = await world.client(world.root).call(routes.listTokens, {});
    for (const { id } of items)
      assert.equal(await codeOf(client.call(routes.deleteToken, { params: { tokenId: id } })), 'forbidden');
    for (const { id } of items) await world.client(world.root).call(routes.deleteToken, { params: { tokenId: id } });
    assert.equal((await world.call(narrow, 'GET', '/users')).status, 401);
  });

  test('make nothing that outlives them', async () => {
    await using world = await apiWorld();
    const root = world.client(world.root);
    const end = new Date(world.now + hour).toISOString();
    const { token: short } = await root.call(routes.createToken, {
      body: { name: 'short', permissions: ['tokens:write', 'gateways:read'], expiresAt: end },
    });
    const make = (expiresAt?: string) =>
      world
        .client(short)
        .call(routes.createToken, { body: { name: 'child', permissions: ['gateways:read'], expiresAt } });
    assert.equal(await codeOf(make(new Date(world.now + hour + 1).toISOString())), 'invalidRequest');
    const child = await make();
    assert.equal(child.expiresAt, end);
    const { url } = await world.client(short).call(routes.createEgressLink, { body: { name: 'firewall' } });
    const { url: lasting } = await root.call(routes.createEgressLink, { body: { name: 'firewall' } });
    const read = async (link: string) => (await world.send('GET', new URL(link).pathname)).status;
    assert.deepEqual([await read(url), await read(lasting)], [200, 200]);
    world.now += hour;
    assert.equal((await world.call(child.token, 'GET', '/gateways')).status, 401);
    assert.deepEqual([await read(url), await read(lasting)], [404, 200]);
  });

  test('are a hundred for each user, with the links to egress addresses', async () => {
    await using world = await apiWorld();
    const client = world.client(world.root);
    const link = (i: number) => client.call(routes.createEgressLink, { body: { name: `firewall ${String(i)}` } });
    for (let i = 0; i < 100; i++) await link(i);
    assert.equal(await codeOf(link(100)), 'limitReached');
    const token = { name: 'one more', permissions: ['metrics:read' as const] };
    assert.equal(await codeOf(client.call(routes.createToken, { body: token })), 'limitReached');
    const [first] = (await client.call(routes.listEgressLinks)).items;
    await client.call(routes.revokeEgressLink, { params: { linkId: first.id } });
    await client.call(routes.createToken, { body: token });
  });

  test('come in pages whatever they are called', async () => {
    await using world = await apiWorld();
    const root = world.client(world.root);
    for (const letter of ['a', '"', 'ж', '漢']) {
      const body = { name: letter.repeat(100), permissions: ['metrics:read' as const] };
      await root.call(routes.createToken, { body });
    }
    const names: string[] = [];
    for await (const { name } of root.list(routes.listTokens, { query: { limit: 1 } })) names.push(name.charAt(0));
    assert.deepEqual(names, ['"', 'a', 'ж', '漢']);
  });

  test('without `self` may nothing of their user', async () => {
    await using world = await apiWorld();
    const token = await world.addToken(world.root, [...PERMISSIONS]);
    for (const [method, path, body] of [
      ['GET', '/me', undefined],
      ['PATCH', '/me', {}],
      ['POST', '/me/password', { currentPassword: PASSWORD, newPassword: 'a new password' }],
      ['POST', '/me/devices', {}],
    ] as const) {
      assert.equal((await world.call(token, method, path, body)).status, 403, path);
    }
  });

  test('end with their time and with their user; the time of use is kept', async () => {
    await using world = await apiWorld();
    const admin = await world.addUser('admin', 'administrator');
    const expiresAt = new Date(world.now + hour).toISOString();
    const { token, id } = await world
      .client(admin)
      .call(routes.createToken, { body: { name: 'ci', permissions: ['tokens:read'], expiresAt } });
    const works = async () => (await world.call(token, 'GET', '/tokens')).status;
    assert.equal(await works(), 200);
    const seen = async () =>
      (await world.client(world.root).call(routes.listTokens, {})).items.find((t) => t.id === id)!.lastUsedAt;
    const first = await seen();
    assert.equal(first, new Date(world.now).toISOString());
    world.now += 10_000;
    await works();
    assert.equal(await seen(), first, 'written once a minute at most');
    world.now += 60_000;
    await works();
    assert.notEqual(await seen(), first);
    await world.call(world.root, 'PATCH', '/users/admin', { disabled: true }, 1);
    assert.equal(await works(), 401);
    await world.call(world.root, 'PATCH', '/users/admin', { disabled: false }, 2);
    assert.equal(await works(), 200);
    world.now += hour;
    assert.equal(await works(), 401);
    await world.client(world.root).call(routes.stepUp, { body: { password: PASSWORD } });
    const past = new Date(world.now - 1).toISOString();
    const body = { name: 'late', permissions: ['self' as const], expiresAt: past };
    assert.equal(await codeOf(world.client(world.root).call(routes.createToken, { body })), 'invalidRequest');
    await world.call(world.root, 'DELETE', '/users/admin', undefined, 3);
    const rows = await world.services.store.db.selectFrom('api_token').selectAll().execute();
    assert.deepEqual(rows, []);
  });

  test('are kept as hashes, and are nowhere else', async () => {
    await using world = await apiWorld();
    const token = await world.addToken(world.root, ['users:read']);
    assert.match(token, /^spt_[\w-]{43}$/);
    const rows = await world.services.store.db.selectFrom('api_token').selectAll().execute();
    assert.ok(!JSON.stringify(rows).includes(token.slice(4)));
    assert.ok(!JSON.stringify(await world.audit()).includes(token.slice(4)));
    assert.ok(!world.logged.join().includes(token.slice(4)));
  });
});

describe('a token that may only write users', () => {
  test('does not become an administrator', async () => {
    await using world = await apiWorld();
    await world.addUser('auditor', 'auditor');
    await world.addUser('alice');
    const client = world.client(await world.addToken(world.root, ['users:write', 'users:read']));
    const update = (userId: string, body: object) =>
      codeOf(client.call(routes.updateUser, { params: { userId }, body, ifMatch: 1 }));
    const invite = (userId: string) => codeOf(client.call(routes.createInvitation, { body: { userId } }));
    assert.equal(
      await codeOf(client.call(routes.createUser, { body: { name: 'eve', role: 'administrator' } })),
      'forbidden',
    );
    assert.equal(await codeOf(client.call(routes.createUser, { body: { name: 'eve', role: 'auditor' } })), 'forbidden');
    assert.equal(await update('alice', { role: 'administrator' }), 'forbidden');
    assert.equal(await update('auditor', { disabled: true }), 'forbidden');
    assert.equal(await invite('root'), 'forbidden');
    assert.equal(await invite('auditor'), 'forbidden');
    assert.equal(await codeOf(client.call(routes.endUserSessions, { params: { userId: 'root' } })), 'forbidden');
    assert.equal(
      await codeOf(client.call(routes.deleteUser, { params: { userId: 'auditor' }, ifMatch: 1 })),
      'forbidden',
    );
    // Groups open networks.
    await world.client(world.root).call(routes.createGroup, { body: { name: 'engineering' } });
    assert.equal(await update('alice', { groups: ['engineering'] }), 'forbidden');
    assert.equal(
      await codeOf(client.call(routes.createUser, { body: { name: 'eve', groups: ['engineering'] } })),
      'forbidden',
    );
    assert.equal(await codeOf(client.call(routes.createUser, { body: { name: 'bob' } })), 'ok');
    assert.equal(await invite('bob'), 'ok');
    assert.equal(await update('alice', { displayName: 'Alice' }), 'ok');
  });
});

describe('the last administrator', () => {
  test('is neither removed, disabled, demoted nor given an end', async () => {
    await using world = await apiWorld();
    const second = await world.addUser('second', 'administrator');
    const client = world.client(second);
    const expiresAt = new Date(world.now + hour).toISOString();
    const update = async (userId: string, body: object, as = client) =>
      codeOf(as.call(routes.updateUser, { params: { userId }, body, ifMatch: await versionOf(world, userId) }));
    // While there are two, one can go. The other then can't, whoever asks.
    assert.equal(await update('second', { disabled: true }, world.client(world.root)), 'ok');
    const { token } = await world.client(world.root).call(routes.createToken, {
      body: { name: 'all', permissions: [...PERMISSIONS, 'self'] },
    });
    for (const body of [{ disabled: true }, { role: 'user' }]) {
      assert.equal(await update('root', body, world.client(token)), 'forbidden', 'on oneself');
    }
    assert.equal(await update('root', { expiresAt }, world.client(token)), 'lastAdministrator');

    assert.equal(await update('second', { disabled: false }, world.client(world.root)), 'ok');
    const again = world.client(await world.logIn('second'));
    // An administrator who has no password yet, or one with an end, is none to rely on.
    await world.client(world.root).call(routes.createUser, { body: { name: 'invited', role: 'administrator' } });
    assert.equal(
      await update('second', { expiresAt: new Date(world.now + 24 * hour).toISOString() }, world.client(world.root)),
      'ok',
    );
    for (const body of [{ disabled: true }, { role: 'user' }, { role: 'auditor' }, { expiresAt }]) {
      assert.equal(await update('root', body, again), 'lastAdministrator', JSON.stringify(body));
    }
    const ifMatch = await versionOf(world, 'root');
    assert.equal(
      await codeOf(again.call(routes.deleteUser, { params: { userId: 'root' }, ifMatch })),
      'lastAdministrator',
    );
    const { disabled, role } = await world.client(world.root).call(routes.getUser, { params: { userId: 'root' } });
    assert.deepEqual([disabled, role], [false, 'administrator']);
  });

  test('two who remove each other at once do not both succeed', async () => {
    await using world = await apiWorld();
    const second = await world.addUser('second', 'administrator');
    const results = await Promise.all([
      codeOf(world.client(second).call(routes.deleteUser, { params: { userId: 'root' }, ifMatch: 1 })),
      codeOf(world.client(world.root).call(routes.deleteUser, { params: { userId: 'second' }, ifMatch: 1 })),
    ]);
    assert.equal(results.filter((result) => result === 'ok').length, 1, results.join());
  });
});

describe('users', () => {
  test('change nothing of their own role and account', async () => {
    await using world = await apiWorld();
    const alice = await world.addUser('alice');
    assert.equal((await world.call(alice, 'PATCH', '/me', { role: 'administrator' })).status, 400);
    assert.equal((await world.call(alice, 'PATCH', '/users/alice', { role: 'administrator' }, 1)).status, 403);
    // By a mail address a provider's login may find its user.
    assert.equal((await world.call(alice, 'PATCH', '/me', { email: 'bob@example.org' })).status, 403);
    const { body } = await world.call(alice, 'PATCH', '/me', { displayName: 'Alice Äsh 😀' });
    assert.equal(body['displayName'], 'Alice Äsh 😀');
    await world.addUser('second', 'administrator');
    const root = world.client(world.root);
    const change = (patch: object) =>
      codeOf(root.call(routes.updateUser, { params: { userId: 'root' }, body: patch, ifMatch: 1 }));
    assert.equal(await change({ role: 'user' }), 'forbidden');
    assert.equal(await change({ disabled: true }), 'forbidden');
    assert.equal(await codeOf(root.call(routes.deleteUser, { params: { userId: 'root' }, ifMatch: 1 })), 'forbidden');
    assert.equal(await change({ displayName: 'Root' }), 'ok');
  });

  test('have names in Unicode that no one reads as others', async () => {
    await using world = await apiWorld();
    const make = (body: object) => world.call(world.root, 'POST', '/users', body);
    assert.equal((await make({ name: 'zoe', displayName: '佐藤 Zoë ‍👩‍💻' })).status, 201);
    for (const displayName of ['a\u202eb', 'a\nb', 'a\u2066b', '\u0000']) {
      assert.equal((await make({ name: 'x', displayName })).status, 400, JSON.stringify(displayName));
    }
    for (const name of ['аlice', 'Alice', 'a b', '-a', 'a-', '', 'a'.repeat(64), '../x', 'ａ']) {
      assert.equal((await make({ name })).status, 400, name);
    }
    assert.equal((await make({ name: 'zoe' })).body['code'], 'nameTaken');
    const found = await world.call(world.root, 'GET', `/users?search=${encodeURIComponent('佐藤')}`);
    assert.equal((found.body['items'] as unknown[]).length, 1);
    assert.equal(((await world.call(world.root, 'GET', '/users?search=%25')).body['items'] as unknown[]).length, 0);
  });

  test('come in pages, each once, though some are added meanwhile', async () => {
    await using world = await apiWorld();
    const root = world.client(world.root);
    for (let i = 0; i < 25; i++)
      await root.call(routes.createUser, { body: { name: `user-${String(i).padStart(2, '0')}` } });
    const names: string[] = [];
    for await (const { name } of root.list(routes.listUsers, { query: { limit: 4 } })) {
      names.push(name);
      if (name === 'user-10') await root.call(routes.createUser, { body: { name: 'a-new-one' } });
    }
    assert.equal(names.length, 26);
    assert.equal(new Set(names).size, 26);
    assert.deepEqual(names, [...names].sort());
    for (const after of ['nonsense', 'W10', Buffer.from('["a","b\\u0000"]').toString('base64url')]) {
      assert.equal(await codeOf(root.call(routes.listUsers, { query: { after } })), 'invalidRequest', after);
    }
  });

  test('go with all that is theirs, and are cut off', async () => {
    await using world = await apiWorld();
    const alice = await world.addUser('alice');
    const publicKey = Buffer.alloc(32, 9).toString('base64');
    const device = await world.call(alice, 'POST', '/me/devices', { name: 'laptop', publicKey });
    assert.equal(device.status, 201, device.text);
    await world.client(world.root).call(routes.createInvitation, { body: { userId: 'alice' } });
    const heard: string[] = [];
    world.services.store.onChange((changes) => void heard.push(...changes.map(({ kind }) => kind)));
    assert.equal((await world.call(world.root, 'DELETE', '/users/alice', undefined, 1)).status, 204);
    assert.equal((await world.call(alice, 'GET', '/me')).status, 401);
    assert.ok(heard.includes('device') && heard.includes('user'));
    assert.equal(world.services.directory.model.devices.size, 0);
    const { db } = world.services.store;
    for (const table of ['device', 'invitation', 'known_client', 'session'] as const) {
      const rows = await db.selectFrom(table).select('user_id').execute();
      assert.equal(rows.filter(({ user_id: id }) => id === device.body['userId']).length, 0, table);
    }
    const address = await db.selectFrom('address').selectAll().executeTakeFirstOrThrow();
    assert.equal(address.released_at, world.now);
    const entry = (await world.audit()).at(-1)!;
    assert.equal(entry.action, 'user.delete');
    assert.match(entry.all, /laptop/);
  });

  test('see where they stand with their limits', async () => {
    await using world = await apiWorld();
    await world.call(world.root, 'PATCH', '/groups/everyone', { devicesPerUser: 1, sessionLifetimeSeconds: 3600 }, 1);
    const alice = await world.addUser('alice');
    const publicKey = Buffer.alloc(32, 9).toString('base64');
    await world.call(alice, 'POST', '/me/devices', { name: 'laptop', publicKey });
    const { standing } = await world.client(alice).call(routes.getMe, {});
    assert.deepEqual(standing.devices, { used: 1, allowed: 1 });
    assert.equal(standing.trafficBytesThisMonth.resetsAt, '2027-02-01T00:00:00.000Z');
    assert.equal(standing.loginAgainBefore, new Date(world.now + hour).toISOString());
    assert.match(standing.messages.join(), /as many devices as you may/);
    world.now += 2 * hour;
    assert.match((await world.client(alice).call(routes.getMe, {})).standing.messages.join(), /log in again/);
  });
});

describe('groups', () => {
  test('take users in and let them go; nobody leaves everyone', async () => {
    await using world = await apiWorld();
    await world.addUser('alice');
    const root = world.client(world.root);
    const group = await root.call(routes.createGroup, { body: { name: 'engineering' } });
    const member = { params: { groupId: 'engineering', userId: 'alice' } };
    await root.call(routes.addGroupMember, member);
    await root.call(routes.addGroupMember, member);
    assert.deepEqual((await root.call(routes.getUser, { params: { userId: 'alice' } })).groups, [group.id]);
    assert.equal((await root.call(routes.getGroup, { params: { groupId: 'engineering' } })).memberCount, 1);
    const inModel = () =>
      [...world.services.directory.model.users.values()].find(({ name }) => name === 'alice')!.groups;
    assert.ok(inModel().has(group.id));
    const { items } = await root.call(routes.listGroupMembers, { params: { groupId: 'everyone' } });
    assert.deepEqual(
      items.map(({ name }) => name),
      ['alice', 'root'],
    );
    await root.call(routes.removeGroupMember, member);
    assert.ok(!inModel().has(group.id));
    assert.equal(await codeOf(root.call(routes.removeGroupMember, member)), 'notFound');

    const everyone = { params: { groupId: 'everyone', userId: 'alice' } };
    assert.equal(await codeOf(root.call(routes.addGroupMember, everyone)), 'conflict');
    assert.equal(await codeOf(root.call(routes.removeGroupMember, everyone)), 'conflict');
    const ofAll = { params: { groupId: 'everyone' }, ifMatch: 1 };
    assert.equal(await codeOf(root.call(routes.deleteGroup, ofAll)), 'conflict');
    assert.equal(await codeOf(root.call(routes.updateGroup, { ...ofAll, body: { name: 'all' } })), 'conflict');
    assert.equal(
      await codeOf(root.call(routes.createUser, { body: { name: 'x', groups: ['everyone', 'no'] } })),
      'invalidRequest',
    );
  });

  test('that a rule uses stay', async () => {
    await using world = await apiWorld();
    const root = world.client(world.root);
    const group = await root.call(routes.createGroup, { body: { name: 'engineering' } });
    const rule = await world.call(world.root, 'POST', '/rules', {
      name: 'r',
      groups: [group.id],
      resources: ['internet'],
    });
    assert.equal(rule.status, 201, rule.text);
    const remove = () => codeOf(root.call(routes.deleteGroup, { params: { groupId: group.id }, ifMatch: 1 }));
    assert.equal(await remove(), 'stillUsed');
    await world.call(world.root, 'DELETE', `/rules/${String(rule.body['id'])}`, undefined, 1);
    assert.equal(await remove(), 'ok');
  });
});

describe('invitations', () => {
  test('are good once, for their time, until revoked', async () => {
    await using world = await apiWorld();
    const root = world.client(world.root);
    await root.call(routes.createUser, { body: { name: 'alice' } });
    const invite = (expiresInSeconds = 3600) =>
      root.call(routes.createInvitation, { body: { userId: 'alice', expiresInSeconds } });
    const accept = (token: string, password = PASSWORD) =>
      codeOf(world.client().call(routes.acceptInvitation, { body: { token, password } }));
    const first = await invite();
    assert.equal(first.url, `https://vpn.example.org/invitation#${first.token}`);
    assert.equal(await accept(first.token, 'short'), 'invalidRequest');
    const results = await Promise.all(Array.from({ length: 5 }, () => accept(first.token)));
    assert.deepEqual(results.sort(), ['gone', 'gone', 'gone', 'gone', 'ok']);
    const late = await invite();
    world.now += 3_601_000;
    assert.equal(await accept(late.token), 'gone');
    Object.assign(world, { root: await world.logIn('root') });
    const revoked = await invite();
    assert.equal((await root.call(routes.listInvitations, {})).items.length, 1);
    await root.call(routes.deleteInvitation, { params: { invitationId: revoked.id } });
    assert.equal(await accept(revoked.token), 'gone');
    assert.equal((await root.call(routes.listInvitations, {})).items.length, 0);
    assert.equal(await accept(`spi_${'A'.repeat(43)}`), 'gone');
    const rows = JSON.stringify(await world.services.store.db.selectFrom('invitation').selectAll().execute());
    assert.ok(!rows.includes(first.token.slice(4)));
  });

  test('put whoever knew the old password out', async () => {
    await using world = await apiWorld();
    const thief = await world.addUser('alice');
    const [first, second] = [
      await world.client(world.root).call(routes.createInvitation, { body: { userId: 'alice' } }),
      await world.client(world.root).call(routes.createInvitation, { body: { userId: 'alice' } }),
    ];
    await world
      .client()
      .call(routes.acceptInvitation, { body: { token: second.token, password: 'quite another one' } });
    assert.equal((await world.call(thief, 'GET', '/me')).status, 401);
    assert.equal(await codeOf(world.logIn('alice')), 'loginFailed');
    const again = { token: first.token, password: 'and another one' };
    assert.equal(
      await codeOf(world.client().call(routes.acceptInvitation, { body: again })),
      'gone',
      'the others go with it',
    );
    const marks = await world.services.store.db.selectFrom('known_client').selectAll().execute();
    assert.equal(marks.length, 1, "the administrator's alone");
  });

  test('end when their user becomes one whom who invited may not invite', async () => {
    await using world = await apiWorld();
    await world.addUser('alice');
    const narrow = world.client(await world.addToken(world.root, ['users:write', 'users:read']));
    const { token } = await narrow.call(routes.createInvitation, { body: { userId: 'alice' } });
    const root = world.client(world.root);
    const promote = { params: { userId: 'alice' }, body: { role: 'administrator' as const } };
    await root.call(routes.updateUser, { ...promote, ifMatch: await versionOf(world, 'alice') });
    const accept = { body: { token, password: 'chosen by somebody else' } };
    assert.equal(await codeOf(world.client().call(routes.acceptInvitation, accept)), 'gone');
    await world.logIn('alice');
  });

  test('end when their user is disabled', async () => {
    await using world = await apiWorld();
    await world.client(world.root).call(routes.createUser, { body: { name: 'alice' } });
    const { token } = await world.client(world.root).call(routes.createInvitation, { body: { userId: 'alice' } });
    await world.call(world.root, 'PATCH', '/users/alice', { disabled: true }, 1);
    assert.equal(
      await codeOf(world.client().call(routes.acceptInvitation, { body: { token, password: PASSWORD } })),
      'gone',
    );
    assert.equal(
      await codeOf(world.client(world.root).call(routes.createInvitation, { body: { userId: 'alice' } })),
      'conflict',
    );
  });
});

describe('the audit log', () => {
  test('is listed, searched, exported and verified', async () => {
    await using world = await apiWorld();
    await world.addUser('alice');
    const root = world.client(world.root);
    const all = [];
    for await (const entry of root.list(routes.listAudit, { query: { limit: 2 } })) all.push(entry);
    assert.deepEqual(
      all.map(({ number }) => number),
      Array.from({ length: all.length }, (_, i) => all.length - i),
    );
    const actions = async (query: object) =>
      (await root.call(routes.listAudit, { query })).items.map(({ action }) => action);
    assert.deepEqual(await actions({ action: 'user' }), ['user.create', 'user.create']);
    assert.deepEqual(await actions({ action: 'login', target: 'alice' }), ['login.succeed']);
    assert.deepEqual(await actions({ actor: 'alice' }), ['login.succeed', 'invitation.accept']);
    assert.deepEqual(await actions({ actor: 'al%' }), []);
    assert.deepEqual(await actions({ from: new Date(world.now + 1).toISOString() }), []);
    assert.equal((await actions({ until: new Date(world.now + 1).toISOString() })).length, all.length);
    const text = await root.call(routes.exportAudit, {});
    const lines = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as { number: number });
    assert.deepEqual(
      lines.map(({ number }) => number),
      Array.from({ length: all.length }, (_, i) => i + 1),
    );
    assert.equal(await root.call(routes.exportAudit, { query: { from: new Date(world.now + 1).toISOString() } }), '');
    assert.equal((await root.call(routes.verifyAudit, {})).valid, true);
    await world.services.store.db.updateTable('audit').set({ action: 'nothing' }).where('number', '=', 2).execute();
    const broken = await root.call(routes.verifyAudit, {});
    assert.deepEqual([broken.valid, broken.firstFault!.number], [false, 2]);
  });
});
