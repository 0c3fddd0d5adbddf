import assert from 'node:assert/strict';
import { test } from 'node:test';
import { accessWorld, newPublicKey, type AccessWorld } from './access-world.ts';

async function office(): Promise<AccessWorld> {
  const world = await accessWorld();
  await world.addGroup('staff');
  await world.addGroup('dba');
  await world.addUser('alice', { groups: ['staff', 'dba'] });
  await world.addUser('bob', { groups: ['staff'] });
  await world.addGateway('berlin');
  await world.addGateway('oslo');
  const post = async (path: string, body: object): Promise<void> => {
    const answer = await world.call('root', 'POST', path, body);
    assert.equal(answer.status, 201, answer.text);
  };
  await post('/resources', {
    name: 'db',
    prefixes: ['10.5.0.0/24', 'fd05::/64'],
    services: [{ protocol: 'tcp', ports: ['5432'] }],
  });
  await post('/resources', { name: 'wiki', kind: 'name', domain: 'Wiki.Example.org' });
  await post('/rules', { name: 'dba-db', groups: ['dba'], resources: ['db'], gateways: ['berlin'] });
  await post('/policy-tests', {
    name: 'alice uses db',
    user: 'alice',
    destination: '10.5.0.7',
    port: 5432,
    expect: 'allow',
  });
  await post('/policy-tests', {
    name: 'bob does not',
    user: 'bob',
    destination: '10.5.0.7',
    port: 5432,
    expect: 'deny',
  });
  return world;
}

test('resources are kept in canonical form, and faults name the remedy', async () => {
  await using world = await accessWorld();
  const create = (body: object) => world.call('root', 'POST', '/resources', { name: 'r', ...body });
  for (const [body, at, message] of [
    [{ prefixes: ['10.1.2.3/8'] }, '/body/prefixes/0', /write 10\.0\.0\.0\/8, or 10\.1\.2\.3 for that one address/],
    [{ prefixes: ['10.0.0.0/8', 'fd00::1/8'] }, '/body/prefixes/1', /write fd00::\/8, or fd00::1/],
    [{ prefixes: ['0.0.0.0/0'] }, '/body/prefixes/0', /kind internet/],
    [{ prefixes: ['::/0'] }, '/body/prefixes/0', /kind internet/],
    [{ prefixes: ['128.0.0.0/1'] }, '/body/prefixes/0', /kind internet/],
    [{ prefixes: ['127.0.0.1'] }, '/body/prefixes/0', /loopback/],
    [{ prefixes: ['fe80::1'] }, '/body/prefixes/0', /link-local/],
    [{ prefixes: ['169.254.169.254'] }, '/body/prefixes/0', /link-local/],
    [{ prefixes: ['169.0.0.0/8'] }, '/body/prefixes/0', /link-local/],
    [{ prefixes: ['::ffff:10.0.0.1'] }, '/body/prefixes/0', /IPv4 prefix/],
    [{ prefixes: [] }, '/body/prefixes', /needs addresses/],
    [{ prefixes: ['hello'] }, '/body/prefixes/0', /./],
    [{ kind: 'name', domain: '10.0.0.1' }, '/body/domain', /./],
    [{ kind: 'name' }, '/body/domain', /DNS name/],
    [{ kind: 'internet', prefixes: ['10.0.0.0/8'] }, '/body/prefixes', /kind network/],
    [
      { prefixes: ['10.0.0.0/8'], services: [{ protocol: 'any', ports: ['80'] }] },
      '/body/services/0/ports',
      /tcp or udp/,
    ],
    [{ prefixes: ['10.0.0.0/8'], services: [{ protocol: 'tcp', ports: ['90-80'] }] }, '/body/services/0/ports/0', /./],
  ] as const) {
    const answer = await create(body);
    assert.equal(answer.status, 400, `${JSON.stringify(body)} ${answer.text}`);
    assert.equal(answer.body.faults[0].at, at, answer.text);
    assert.match(answer.body.faults[0].message, message);
  }
  const created = await create({ prefixes: ['10.0.0.7', '2001:DB8:0::/48', 'fc00::/7', '10.0.0.7/32'] });
  assert.equal(created.status, 201, created.text);
  assert.deepEqual(created.body.prefixes, ['10.0.0.7/32', '2001:db8::/48', 'fc00::/7']);
  assert.equal((await create({ prefixes: ['10.0.0.8'] })).body.code, 'nameTaken');
  // A change is checked as a whole.
  const changed = await world.call('root', 'PATCH', '/resources/r', { kind: 'name', domain: 'a.example' }, 1);
  assert.equal(changed.body.faults[0].at, '/body/prefixes');
  const turned = await world.call(
    'root',
    'PATCH',
    '/resources/r',
    { kind: 'name', domain: 'A.example', prefixes: [] },
    1,
  );
  assert.deepEqual([turned.status, turned.body.domain, turned.body.version], [200, 'a.example', 2]);
  assert.deepEqual(await world.actions(), ['resource.create', 'resource.update']);
});

test('rules name what exists, and what they name stays', async () => {
  await using world = await office();
  const bad = await world.call('root', 'POST', '/rules', {
    name: 'x',
    groups: ['staff', 'nobody'],
    resources: ['nothing'],
    gateways: ['rome'],
  });
  assert.deepEqual(
    bad.body.faults.map(({ at }) => at),
    ['/body/groups/1', '/body/resources/0', '/body/gateways/0'],
  );
  assert.equal((await world.call('root', 'POST', '/rules', { name: 'x', groups: [], resources: ['db'] })).status, 400);
  const used = await world.call('root', 'DELETE', '/resources/db', undefined, 1);
  assert.deepEqual([used.status, used.body.code], [409, 'stillUsed']);
  assert.match(used.body.detail, /dba-db/);
  assert.equal((await world.call('root', 'DELETE', '/resources/wiki', undefined, 1)).status, 204);
  assert.equal((await world.call('bob', 'GET', '/rules')).status, 403);
});

test('a change that breaks a policy test is refused, whatever it changes', async () => {
  await using world = await office();
  const refused = async (method: string, path: string, body?: object, version = 1): Promise<string[]> => {
    const before = await world.call('root', 'GET', '/policy');
    const actions = await world.actions();
    const answer = await world.call('root', method, path, body, version);
    assert.deepEqual([answer.status, answer.body.code], [409, 'policyTestFails'], answer.text);
    // Nothing of it is left, neither here nor in memory nor in the audit log.
    assert.deepEqual((await world.call('root', 'GET', '/policy')).body, before.body);
    assert.deepEqual(await world.actions(), actions);
    return answer.body.tests.map(({ name }) => name);
  };
  assert.deepEqual(await refused('PATCH', '/rules/dba-db', { groups: ['staff'] }), ['bob does not']);
  assert.deepEqual(await refused('PATCH', '/rules/dba-db', { enabled: false }), ['alice uses db']);
  assert.deepEqual(await refused('DELETE', '/rules/dba-db'), ['alice uses db']);
  assert.deepEqual(await refused('POST', '/rules', { name: 'all', groups: ['everyone'], resources: ['db'] }), [
    'bob does not',
  ]);
  assert.deepEqual(await refused('PATCH', '/resources/db', { prefixes: ['10.6.0.0/24'] }), ['alice uses db']);
  assert.deepEqual(await refused('PATCH', '/policy-tests/bob%20does%20not', { expect: 'allow' }), ['bob does not']);
  assert.deepEqual(
    await refused('POST', '/policy-tests', {
      name: 'new',
      user: 'bob',
      destination: '10.5.0.1',
      port: 5432,
      expect: 'allow',
    }),
    ['new'],
  );
  assert.deepEqual(await refused('PUT', '/groups/dba/members/bob'), ['bob does not']);
  assert.deepEqual(await refused('DELETE', '/groups/dba/members/alice'), ['alice uses db']);
  assert.deepEqual(await refused('PATCH', '/users/bob', { groups: ['dba'] }), ['bob does not']);
  assert.ok(world.directory.model.rules.get(idOf(world, 'dba-db'))?.enabled);
  // Without the test, the change goes through.
  assert.equal((await world.call('root', 'DELETE', '/policy-tests/bob%20does%20not', undefined, 1)).status, 204);
  assert.equal((await world.call('root', 'PATCH', '/rules/dba-db', { groups: ['staff', 'dba'] }, 1)).status, 200);
});

test('a test that fails already does not stand in the way of other changes', async () => {
  await using world = await office();
  // Broken where no policy was asked: as if restored so.
  await world.store.db.deleteFrom('group_member').where('user_id', '=', 'alice').execute();
  await world.store.write(
    { actor: { kind: 'system', id: null, name: 'x' }, via: 'system', address: null },
    (writing) => {
      writing.changed('user', 'alice');
      return Promise.resolve();
    },
  );
  const other = await world.call('root', 'POST', '/rules', { name: 'wiki', groups: ['staff'], resources: ['wiki'] });
  assert.equal(other.status, 201, other.text);
});

test('policy tests ask for something that can be answered', async () => {
  await using world = await office();
  const create = async (body: object): Promise<string> => {
    const answer = await world.call('root', 'POST', '/policy-tests', {
      name: 't',
      user: 'bob',
      destination: '10.0.0.1',
      port: 1,
      expect: 'deny',
      ...body,
    });
    return answer.status === 400 ? answer.body.faults[0].at : String(answer.status);
  };
  assert.equal(await create({ user: 'eve' }), '/body/user');
  assert.equal(await create({ destination: 'nowhere.example' }), '/body/destination');
  assert.equal(await create({ gateway: 'rome' }), '/body/gateway');
  assert.equal(await create({ port: null }), '/body/port');
  assert.equal(await create({ protocol: 'icmp' }), '/body/port');
  assert.equal(await create({ destination: 'WIKI.example.org', protocol: 'icmp', port: null }), '201');
});

test('the policy is one document that can be put back', async () => {
  await using world = await office();
  const shown = await world.call('root', 'GET', '/policy');
  assert.equal(shown.headers.get('etag'), `"${String(shown.body.version)}"`);
  assert.deepEqual(shown.body.rules, [
    { name: 'dba-db', enabled: true, groups: ['dba'], resources: ['db'], gateways: ['berlin'] },
    { name: 'everyone-internet', enabled: true, groups: ['everyone'], resources: ['internet'], gateways: [] },
  ]);
  const id = idOf(world, 'dba-db');
  const actions = await world.actions();
  const same = await world.call('root', 'PUT', '/policy', shown.body, shown.body.version);
  assert.equal(same.status, 200, same.text);
  assert.deepEqual(same.body, shown.body);
  // Nothing changed, so nothing is in the audit log.
  assert.deepEqual(await world.actions(), actions);

  const next = {
    resources: [
      ...shown.body.resources.filter(({ name }) => name !== 'wiki'),
      { name: 'printer', kind: 'network', prefixes: ['10.7.0.1'] },
    ],
    rules: [...shown.body.rules, { name: 'print', groups: ['everyone'], resources: ['printer'] }],
    tests: shown.body.tests,
  };
  const replaced = await world.call('root', 'PUT', '/policy', next, shown.body.version);
  assert.equal(replaced.status, 200, replaced.text);
  assert.deepEqual(
    replaced.body.resources.map(({ name }) => name),
    ['db', 'internet', 'printer'],
  );
  assert.equal(idOf(world, 'dba-db'), id);
  assert.deepEqual((await world.actions()).slice(actions.length).sort(), [
    'resource.create',
    'resource.delete',
    'rule.create',
  ]);
  // The old version is gone.
  assert.equal((await world.call('root', 'PUT', '/policy', next, shown.body.version)).body.code, 'versionMismatch');

  const faulty = await world.call(
    'root',
    'PUT',
    '/policy',
    {
      ...next,
      rules: [
        { name: 'a', groups: ['gone'], resources: ['db'] },
        { name: 'a', groups: ['dba'], resources: ['db'] },
      ],
    },
    replaced.body.version,
  );
  assert.deepEqual(
    faulty.body.faults.map(({ at }) => at),
    ['/body/rules/0/groups/0', '/body/rules/1/name'],
  );
  assert.deepEqual((await world.call('root', 'GET', '/policy')).body, replaced.body);
});

test('a policy is tried out without a trace', async () => {
  await using world = await office();
  const { body: shown } = await world.call('root', 'GET', '/policy');
  const actions = await world.actions();
  const rules = shown.rules.map((rule) => (rule.name === 'dba-db' ? { ...rule, groups: ['staff'] } : rule));
  const checked = await world.call('root', 'POST', '/policy/check', { rules });
  assert.equal(checked.status, 200, checked.text);
  assert.deepEqual(
    checked.body.failingTests.map(({ name, expected }) => [name, expected]),
    [['bob does not', 'deny']],
  );
  assert.deepEqual(checked.body.differences, [
    { userName: 'bob', resourceName: 'db', change: 'gains', gateways: ['berlin'] },
  ]);
  assert.deepEqual((await world.call('root', 'GET', '/policy')).body, shown);
  assert.deepEqual(await world.actions(), actions);
  // A resource that rules use can't be left out alone.
  const missing = await world.call('root', 'POST', '/policy/check', { resources: [] });
  assert.equal(missing.status, 400);
});

test('what no packet filter could hold is refused before a gateway is told', async () => {
  await using world = await office();
  const prefixes = Array.from({ length: 1000 }, (_, i) => `10.${String(i >> 8)}.${String(i & 255)}.0/32`);
  const ports = Array.from({ length: 100 }, (_, i) => String(2 * i + 1));
  // A thousand addresses by a hundred ports, three times.
  const services = ['1', '2', '3'].map((digit) => ({
    protocol: 'tcp',
    ports: ports.map((port) => `${digit}${port.padStart(4, '0')}`),
  }));
  const created = await world.call('root', 'POST', '/resources', { name: 'much', prefixes, services });
  assert.equal(created.status, 201, created.text);
  const rule = { name: 'too-much', groups: ['staff'], resources: ['much'] };
  const refused = await world.call('root', 'POST', '/rules', rule);
  assert.equal(refused.body.code, 'limitReached', refused.text);
  assert.match(refused.text, /What the group \\"staff\\" may reach needs more than 200000 entries/);
  const { rules } = (await world.call('root', 'GET', '/policy')).body;
  const check = await world.call('root', 'POST', '/policy/check', { rules: [...rules, rule] });
  assert.equal(check.body.code, 'limitReached', check.text);
  const less = await world.call('root', 'PATCH', '/resources/much', { services: services.slice(0, 1) }, 1);
  assert.equal(less.status, 200, less.text);
  assert.equal((await world.call('root', 'POST', '/rules', rule)).status, 201);
  const more = await world.call('root', 'PATCH', '/resources/much', { services }, 2);
  assert.equal(more.body.code, 'limitReached', more.text);
});

test('a name that a policy test is about stays that of a resource, so that the policy can be put back as it is shown', async () => {
  await using world = await office();
  const about = { name: 'bob and wiki', user: 'bob', destination: 'wiki.example.org', port: 443, expect: 'deny' };
  const created = await world.call('root', 'POST', '/policy-tests', about);
  assert.equal(created.status, 201, created.text);
  for (const [method, body] of [
    ['PATCH', { domain: 'wiki2.example.org' }],
    ['DELETE', undefined],
  ] as const) {
    const answer = await world.call('root', method, '/resources/wiki', body, 1);
    assert.equal(answer.body.code, 'policyTestFails', answer.text);
    assert.match(answer.text, /wiki\.example\.org is neither an address nor the DNS name/);
  }
  const { version, ...shown } = (await world.call('root', 'GET', '/policy')).body;
  assert.equal((await world.call('root', 'PUT', '/policy', shown, version)).status, 200);
});

test('access is explained by the rule that decides', async () => {
  await using world = await office();
  await world.call('alice', 'POST', '/me/devices', { name: 'laptop', publicKey: newPublicKey() });
  const explain = (query: string) => world.call('root', 'GET', `/access/explain?${query}`);
  const yes = await explain('user=alice&destination=10.5.0.1&port=5432');
  assert.deepEqual(
    [yes.status, yes.body.verdict, yes.body.ruleName, yes.body.resourceName, yes.body.groupName, yes.body.gateways],
    [200, 'allow', 'dba-db', 'db', 'dba', ['berlin']],
  );
  assert.equal((await explain('user=bob&destination=10.5.0.1&port=5432')).body.reason, 'noRule');
  assert.equal((await explain('user=alice&destination=10.5.0.1&port=5432&gateway=oslo')).body.reason, 'otherGateway');
  assert.equal(
    (await explain('user=alice&destination=9.9.9.9&port=53&protocol=udp')).body.ruleName,
    'everyone-internet',
  );
  assert.equal((await explain('user=alice&destination=10.5.0.1')).body.faults[0].at, '/query/port');
  for (const mapped of ['::ffff:10.5.0.1', '0:0:0:0:0:FFFF:0a05:0001']) {
    const { faults } = (await explain(`user=alice&destination=${mapped}&port=5432`)).body;
    assert.deepEqual([faults[0].at, faults[0].message], ['/query/destination', 'write it as the IPv4 address that it stands for: 10.5.0.1']); // prettier-ignore
  }
  assert.equal((await explain('user=eve&destination=10.5.0.1&port=1')).status, 404);
  const who = await world.call('root', 'GET', '/access/who-can-reach?destination=9.9.9.9&port=443&limit=2');
  assert.deepEqual(
    who.body.items.map(({ userName }) => userName),
    ['alice', 'bob'],
  );
  const rest = await world.call(
    'root',
    'GET',
    `/access/who-can-reach?destination=9.9.9.9&port=443&limit=2&after=${String(who.body.next)}`,
  );
  assert.deepEqual([rest.body.items.map(({ userName }) => userName), rest.body.next], [['root'], null]);
  const db = await world.call('root', 'GET', '/access/who-can-reach?destination=10.5.0.1&port=5432');
  assert.deepEqual(
    db.body.items.map(({ userName, ruleName }) => [userName, ruleName]),
    [['alice', 'dba-db']],
  );
});

test('settings change in part, and count at once', async () => {
  await using world = await accessWorld();
  const before = (await world.call('root', 'GET', '/settings')).body;
  const changed = await world.call(
    'root',
    'PATCH',
    '/settings',
    { dns: { servers: ['10.0.0.53', 'FD00::53'] }, auditAddresses: true, allowedIps: ['10.0.0.0/8'] },
    before.version,
  );
  assert.equal(changed.status, 200, changed.text);
  assert.deepEqual(changed.body, {
    ...before,
    dns: {
      servers: ['10.0.0.53', 'fd00::53'],
      searchDomains: [],
      upstreams: [],
      blockLists: [],
      blocked: [],
      hosts: [],
      domains: [],
    },
    auditAddresses: true,
    allowedIps: ['10.0.0.0/8'],
    version: before.version + 1,
  });
  assert.deepEqual(world.directory.settings, changed.body);
  const bad = await world.call('root', 'PATCH', '/settings', { allowedIps: ['10.0.0.1/8'] }, 2);
  assert.equal(bad.body.faults[0].at, '/body/allowedIps/0');
  const { version } = changed.body;
  for (const allowedIps of [['0.0.0.0/0'], ['::/0', '10.0.0.0/8'], ['0.0.0.0/1', '128.0.0.0/1', 'fc00::/7']]) {
    const half = await world.call('root', 'PATCH', '/settings', { allowedIps }, version);
    assert.match(half.body.faults[0].message, /past it: add (::\/0|0\.0\.0\.0\/0)$/, allowedIps.join());
  }
  const both = await world.call('root', 'PATCH', '/settings', { allowedIps: ['0.0.0.0/0', '2000::/3'] }, version);
  assert.equal(both.status, 200, both.text);
  assert.equal((await world.call('root', 'PATCH', '/settings', { auditAddresses: false })).status, 428);
});

function idOf(world: AccessWorld, rule: string): string {
  return [...world.directory.model.rules.values()].find(({ name }) => name === rule)?.id ?? '';
}
