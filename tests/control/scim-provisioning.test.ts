/** What SCIM clients do to users and groups here, and what is left to people. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { routes } from '@sallyport/api';
import { openHub } from '../../packages/control/src/hub/hub.ts';
import { addJoinToken } from '../../packages/control/src/routes/join-tokens.ts';
import { SYSTEM } from '../../packages/control/src/store/store.ts';
import { PASSWORD } from './api-world.ts';
import { onBothDatabases } from './databases.ts';
import { eventually, SimulatedGateway } from './hub-world.ts';
import { GROUP_URN, scimWorld, USER_URN, type ScimWorld } from './scim-world.ts';

/** A change by hand, of the version that there is. */
async function change(world: ScimWorld, path: string, body: object) {
  const { body: now } = await world.call(world.root, 'GET', path);
  return world.call(world.root, 'PATCH', path, body, now['version'] as number);
}

onBothDatabases('SCIM provisioning', ({ create }) => {
  test('makes clients, shows a token once, and takes it away', async () => {
    await using world = await scimWorld(await create());
    const { body } = await world.call(world.root, 'POST', '/scim-clients', { name: 'Company' });
    const token = body['token'] as string;
    assert.match(token, /^spm_[\w-]{43}$/);
    assert.equal(body['url'], 'https://vpn.example.org/scim/v2');
    assert.equal(
      (await world.call(world.root, 'POST', '/scim-clients', { name: 'Company' })).body['code'],
      'nameTaken',
    );
    const list = async () => (await world.client(world.root).call(routes.listScimClients, {})).items;
    assert.deepEqual(
      (await list()).map(({ name, userCount, lastUsedAt }) => [name, userCount, lastUsedAt]),
      [['Company', 0, null]],
    );
    const users = (): Promise<{ status: number }> => world.send('GET', '/scim/v2/Users', { token });
    assert.equal((await users()).status, 200);
    const first = (await list())[0].lastUsedAt;
    world.now += 59_000;
    await users();
    assert.equal((await list())[0].lastUsedAt, first);
    world.now += 1000;
    await users();
    assert.equal(Date.parse((await list())[0].lastUsedAt!), world.now);
    const everything = JSON.stringify([
      await world.services.store.db.selectFrom('scim_client').selectAll().execute(),
      await world.audit(),
      world.logged,
    ]);
    assert.ok(!everything.includes(token));
    assert.equal((await world.call(world.root, 'DELETE', `/scim-clients/${String(body['id'])}`)).status, 204);
    assert.equal((await users()).status, 401);
    assert.deepEqual(
      (await world.audit()).map(({ action }) => action).filter((action) => action.startsWith('scim')),
      ['scimClient.create', 'scimClient.delete'],
    );
    const user = await world.addUser('eve');
    for (const [method, path] of [
      ['GET', '/scim-clients'],
      ['POST', '/scim-clients'],
      ['DELETE', '/scim-clients/x'],
    ]) {
      assert.equal((await world.call(user, method, path, method === 'POST' ? { name: 'x' } : undefined)).status, 403);
    }
  });

  test('cuts a deactivated user off at once, at the gateways too', async (t) => {
    await using world = await scimWorld(await create());
    const hub = await openHub({ services: world.services });
    world.server.on('upgrade', (request, socket, head) => hub.handleUpgrade(request, socket, head));
    const gateway = SimulatedGateway.create();
    try {
      const { token } = await addJoinToken(world.services, SYSTEM, { expiresInSeconds: 600 });
      await gateway.connect(`http://127.0.0.1:${world.port}`, token);
      const client = await world.addClient('Company');
      const { id } = await client.addUser('ada@example.com');
      const { token: invitation } = await world
        .client(world.root)
        .call(routes.createInvitation, { body: { userId: id } });
      await world.client().call(routes.acceptInvitation, { body: { token: invitation, password: PASSWORD } });
      const device = await world.addDevice(id);
      const has = (): boolean => gateway.state?.devices.has(device) === true;
      await eventually('the gateway admits the device', has);
      for (const request of [
        () => client.patch(`/Users/${id}`, { op: 'replace', path: 'active', value: false }),
        () => client.send('PUT', `/Users/${id}`, { schemas: [USER_URN], userName: 'ada@example.com', active: false }),
        () => client.send('DELETE', `/Users/${id}`),
      ]) {
        const session = await world.logIn('ada');
        const start = performance.now();
        const { status } = await request();
        assert.ok(status === 200 || status === 204);
        await eventually('the gateway has dropped the device', () => !has());
        const took = performance.now() - start;
        t.diagnostic(`${took.toFixed(0)} ms`);
        // Some ten milliseconds on a machine that does nothing else.
        assert.ok(took < 10_000);
        assert.equal((await world.call(session, 'GET', '/me')).status, 401);
        if (status === 204) break;
        await client.patch(`/Users/${id}`, { op: 'replace', path: 'active', value: true });
        await eventually('the gateway admits the device', has);
        // The session ended for good.
        assert.equal((await world.call(session, 'GET', '/me')).status, 401);
      }
      assert.deepEqual(await world.services.store.db.selectFrom('device').selectAll().execute(), []);
    } finally {
      await gateway.disconnect();
      await hub.close();
    }
  });

  test('keeps clients apart', async () => {
    await using world = await scimWorld(await create());
    const [one, other] = [await world.addClient('One'), await world.addClient('Other')];
    const ada = await one.addUser('ada', { externalId: 'e' });
    const group = await one.addGroup('G', [ada.id]);
    // The same names, which are others' here.
    const bob = await other.addUser('ada', { externalId: 'e' });
    const second = await other.addGroup('G', [bob.id]);
    assert.deepEqual(
      [ada.id, bob.id].map((id) => world.services.directory.model.users.get(id)?.name),
      ['ada', 'ada-2'],
    );
    for (const [method, path, body] of [
      ['GET', `/Users/${ada.id}`],
      ['DELETE', `/Users/${ada.id}`],
      ['PUT', `/Users/${ada.id}`, { schemas: [USER_URN], userName: 'eve' }],
      ['GET', `/Groups/${group.id}`],
      ['DELETE', `/Groups/${group.id}`],
      ['PUT', `/Groups/${group.id}`, { schemas: [GROUP_URN], displayName: 'eve' }],
      ['GET', '/Groups/everyone'],
    ] as const) {
      assert.equal((await other.send(method, path, body)).status, 404, method + path);
    }
    const operation = { op: 'add', path: 'members', value: [{ value: ada.id }] };
    assert.equal((await other.patch(`/Groups/${group.id}`, operation)).status, 404);
    const root = (await world.call(world.root, 'GET', '/users/root')).body['id'] as string;
    for (const value of [ada.id, root, second.id, 'nobody']) {
      const taken = await other.patch(`/Groups/${second.id}`, { ...operation, value: [{ value }] });
      assert.deepEqual([taken.status, taken.body.scimType], [400, 'invalidValue']);
    }
    assert.equal((await other.send('GET', `/Users/${root}`)).status, 404);
    const { body } = await other.send('GET', '/Users');
    assert.deepEqual([body.totalResults, body.Resources[0].id], [1, bob.id]);
    assert.deepEqual(body.Resources[0].groups, [
      { value: second.id, $ref: `https://vpn.example.org/scim/v2/Groups/${second.id}`, display: 'G', type: 'direct' },
    ]);
  });

  test('takes nobody over who is here already', async () => {
    await using world = await scimWorld(await create());
    const admin = world.client(world.root);
    await admin.call(routes.createUser, { body: { name: 'ada', email: 'ada@example.com', role: 'administrator' } });
    await admin.call(routes.createGroup, { body: { name: 'engineers' } });
    const client = await world.addClient('Company');
    const names = async (...userNames: string[]): Promise<unknown[]> => {
      const found: unknown[] = [];
      for (const userName of userNames) {
        const { id } = await client.addUser(userName, { emails: [{ value: 'ada@example.com' }] });
        found.push((await world.call(world.root, 'GET', `/users/${id}`)).body['name']);
      }
      return found;
    };
    assert.deepEqual(await names('ada@example.com', 'ADA@other.example', 'Ada L', '日本', '***', 'x'.repeat(200)), [
      'ada-2',
      'ada-3',
      'ada-l',
      'user',
      'user-2',
      'x'.repeat(56),
    ]);
    const group = await client.addGroup('Engineers!');
    const everyone = await client.addGroup('Everyone');
    assert.deepEqual(
      [group, everyone].map(({ id }) => world.services.directory.model.groups.get(id)?.name),
      ['engineers-2', 'everyone-2'],
    );
  });

  test('never touches administrators, nor roles', async () => {
    await using world = await scimWorld(await create());
    const client = await world.addClient('Company');
    const { id } = await client.addUser('ada', { roles: [{ value: 'administrator' }], userType: 'administrator' });
    assert.equal((await world.call(world.root, 'GET', `/users/${id}`)).body['role'], 'user');
    const off = { op: 'replace', path: 'active', value: false };
    assert.equal((await change(world, `/users/${id}`, { role: 'administrator' })).status, 200);
    for (const answer of [
      await client.patch(`/Users/${id}`, off),
      await client.send('PUT', `/Users/${id}`, { schemas: [USER_URN], userName: 'ada', active: false }),
      await client.send('DELETE', `/Users/${id}`),
    ]) {
      assert.deepEqual([answer.status, answer.body.scimType], [403, 'mutability'], answer.text);
    }
    assert.equal((await client.patch(`/Users/${id}`, { op: 'add', path: 'title', value: 'T' })).status, 200);
    // By another name they could not log in.
    const renamed = await client.patch(`/Users/${id}`, { op: 'replace', path: 'userName', value: 'eve' });
    assert.deepEqual([renamed.status, renamed.body.userName], [200, 'eve']);
    assert.equal((await world.call(world.root, 'GET', `/users/${id}`)).body['name'], 'ada');
    assert.equal((await change(world, `/users/${id}`, { role: 'auditor' })).status, 200);
    assert.equal((await client.patch(`/Users/${id}`, off)).status, 200);
    assert.equal((await client.send('DELETE', `/Users/${id}`)).status, 204);
  });

  test('leaves to people what no client keeps', async () => {
    await using world = await scimWorld(await create());
    const client = await world.addClient('Company');
    const { id } = await client.addUser('ada@example.com');
    const group = await client.addGroup('Kept', [id]);
    const own = (await world.call(world.root, 'POST', '/groups', { name: 'own' })).body['id'] as string;
    const path = `/users/${id}`;
    for (const kept of [{ name: 'x' }, { displayName: 'x' }, { email: 'x@example.com' }, { groups: [] }]) {
      const { status, body } = await change(world, path, kept);
      assert.deepEqual([status, body['code']], [409, 'conflict'], JSON.stringify(kept));
      assert.match(String(body['detail']), /Company \(SCIM\)/);
    }
    for (const free of [
      { devicesPerUser: 3, groups: [group.id, own] },
      { groups: [own, group.id], expiresAt: null },
    ]) {
      assert.equal((await change(world, path, free)).status, 200);
    }
    const { body: eve } = await world.call(world.root, 'POST', '/users', { name: 'eve' });
    for (const answer of [
      await change(world, `/groups/${group.id}`, { name: 'other' }),
      await world.call(world.root, 'PUT', `/groups/${group.id}/members/${String(eve['id'])}`),
      await world.call(world.root, 'DELETE', `/groups/${group.id}/members/${id}`),
      await world.call(world.root, 'POST', '/users', { name: 'mallory', groups: [group.id] }),
    ]) {
      assert.deepEqual([answer.status, answer.body['code']], [409, 'conflict'], answer.text);
    }
    assert.equal((await change(world, `/groups/${group.id}`, { requireDeviceApproval: true })).status, 200);

    // Disabling by hand is always possible, and outlasts what the client says; enabling is not, while it says no.
    const disabled = async (): Promise<unknown> => (await world.call(world.root, 'GET', path)).body['disabled'];
    const active = (value: boolean) => client.patch(`/Users/${id}`, { op: 'replace', path: 'active', value });
    assert.equal((await change(world, path, { disabled: true })).status, 200);
    assert.equal((await active(true)).body.active, true);
    assert.equal(await disabled(), true);
    await active(false);
    assert.equal((await change(world, path, { disabled: false })).body['code'], 'conflict');
    await active(true);
    assert.equal(await disabled(), true);
    assert.equal((await change(world, path, { disabled: false })).status, 200);
    await active(false);
    assert.equal(await disabled(), true);
    await active(true);
    assert.equal(await disabled(), false);

    // Nor do users change it themselves.
    const { token } = await world.client(world.root).call(routes.createInvitation, { body: { userId: id } });
    await world.client().call(routes.acceptInvitation, { body: { token, password: PASSWORD } });
    const session = await world.logIn('ada');
    assert.equal((await world.call(session, 'PATCH', '/me', { displayName: 'Queen' })).body['code'], 'conflict');

    // Without the client everything is kept here.
    await active(false);
    assert.equal((await world.call(world.root, 'DELETE', `/scim-clients/${client.id}`)).status, 204);
    assert.equal((await world.call(world.root, 'GET', path)).body['managedBy'], null);
    for (const now of [{ disabled: false }, { name: 'ada-l', email: 'a@example.com' }, { groups: [] }]) {
      assert.equal((await change(world, path, now)).status, 200, JSON.stringify(now));
    }
    assert.deepEqual(await world.services.store.db.selectFrom('scim_user').selectAll().execute(), []);
  });

  test('heeds rules and policy tests', async () => {
    await using world = await scimWorld(await create());
    const client = await world.addClient('Company');
    const [ada, bob] = [await client.addUser('ada'), await client.addUser('bob')];
    const group = await client.addGroup('Servers', [ada.id]);
    const admin = world.client(world.root);
    await admin.call(routes.createResource, { body: { name: 'srv', kind: 'network', prefixes: ['10.20.0.0/16'] } });
    await admin.call(routes.createRule, { body: { name: 'servers', groups: ['servers'], resources: ['srv'] } });
    const policyTest = (name: string, user: string, expect: 'allow' | 'deny') =>
      admin.call(routes.createPolicyTest, {
        body: { name, user, destination: '10.20.0.1', protocol: 'tcp', port: 22, expect },
      });
    await policyTest('bob is kept out', 'bob', 'deny');
    await policyTest('ada gets in', 'ada', 'allow');
    const members = (op: string, ...values: string[]) =>
      client.patch(`/Groups/${group.id}`, { op, path: 'members', value: values.map((value) => ({ value })) });
    const refused = await members('add', bob.id);
    assert.equal(refused.status, 409);
    assert.match(refused.body.detail, /bob is kept out/);
    assert.equal(world.services.directory.model.users.get(bob.id)?.groups.size, 0);
    // Who leaves at the identity provider leaves here.
    assert.equal((await members('remove', ada.id)).status, 204);
    assert.equal(world.services.directory.model.users.get(ada.id)?.groups.size, 0);
    const used = await client.send('DELETE', `/Groups/${group.id}`);
    assert.equal(used.status, 409);
    assert.match(used.body.detail, /the rule servers/);
    const rule = (await world.call(world.root, 'GET', '/rules/servers')).body;
    await world.call(world.root, 'DELETE', '/rules/servers', undefined, rule['version'] as number);
    assert.equal((await client.send('DELETE', `/Groups/${group.id}`)).status, 204);
    assert.equal((await client.send('GET', `/Groups/${group.id}`)).status, 404);
  });

  test('audits what clients do', async () => {
    await using world = await scimWorld(await create());
    const client = await world.addClient('Company');
    const { id } = await client.addUser('ada', { phoneNumbers: [{ value: '+1 555 0100' }] });
    await client.patch(`/Users/${id}`, { op: 'replace', path: 'displayName', value: 'Ada' });
    const group = await client.addGroup('G', [id]);
    await client.patch(`/Groups/${group.id}`, { op: 'remove', path: 'members' });
    await client.send('DELETE', `/Groups/${group.id}`);
    await client.send('DELETE', `/Users/${id}`);
    const entries = (await world.audit()).filter(({ actor }) => actor.name === 'Company');
    assert.deepEqual(
      entries.map(({ action, target, actor }) => [action, target, actor.kind]),
      [
        ['user.create', 'ada', 'token'],
        ['user.update', 'ada', 'token'],
        ['group.create', 'g', 'token'],
        ['group.update', 'g', 'token'],
        ['group.delete', 'g', 'token'],
        ['user.delete', 'ada', 'token'],
      ],
    );
    for (const { all } of entries) {
      assert.match(all, /\\"via\\":\\"scim\\"/);
      assert.ok(all.includes(client.id));
      // What has no effect here is the client's alone.
      assert.ok(!all.includes('555 0100') && !all.includes(client.token));
    }
    assert.match(entries[3].all, /membersRemoved\\":\[\\"ada/);
  });
});
