import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { hashToken } from '../../packages/control/src/auth/tokens.ts';
import { ControlNode, eventually, openWorld, SimulatedGateway, type Answer } from './hub-world.ts';

let world: ReturnType<typeof openWorld>;
let clock: number;
let node: ControlNode;
let gateway: SimulatedGateway;

beforeEach(async () => {
  clock = Date.parse('2027-03-10T12:00:00Z');
  world = openWorld(() => clock);
  node = await ControlNode.start(world);
  await node.addPeople(3);
  await node.write(async ({ db, changed }) => {
    await db.updateTable('user').set({ role: 'administrator' }).where('id', '=', 'u0').execute();
    await db
      .insertInto('group')
      .values({
        id: 'g1',
        name: 'staff',
        description: '',
        require_device_approval: 0,
        session_lifetime_seconds: null,
        devices_per_user: null,
        bits_per_second: null,
        traffic_bytes_per_month: null,
        version: 1,
      })
      .execute();
    changed('user', 'u0');
    changed('group', 'g1');
  });
  gateway = SimulatedGateway.create({ name: 'edge' });
});

afterEach(async () => {
  await gateway.disconnect();
  await node.close();
  world.remove();
});

function call(method: string, path: string, body?: unknown, version?: number): Promise<Answer> {
  return node.call('u0', method, path, body, version);
}

async function joined(): Promise<void> {
  const { body, status } = await call('POST', '/gateways/join-tokens', {});
  assert.equal(status, 201);
  assert.equal(body.command, `echo ${body.token} | sudo sallyport gateway join https://vpn.example.org -`);
  await gateway.connect(node.url, body.token);
  await eventually('the first state', () => gateway.state !== undefined);
}

describe('gateways', () => {
  test('join by a token from the API, which lists it without its secret and revokes it', async () => {
    await joined();
    const { body } = await call('GET', '/gateways/join-tokens');
    assert.equal(body.items.length, 1);
    assert.ok(body.items[0].usedAt !== null);
    assert.ok(!JSON.stringify(body).includes('spj_'));
    clock += 1;
    const other = await call('POST', '/gateways/join-tokens', { expiresInSeconds: 60, regionId: 'default' });
    const list = await call('GET', '/gateways/join-tokens?limit=1');
    assert.equal(list.body.items[0].id, other.body.id);
    const next = await call('GET', `/gateways/join-tokens?limit=1&after=${encodeURIComponent(list.body.next ?? '')}`);
    assert.notEqual(next.body.items[0].id, other.body.id);
    assert.equal((await call('DELETE', `/gateways/join-tokens/${other.body.id}`)).status, 204);
    assert.equal((await call('DELETE', `/gateways/join-tokens/${other.body.id}`)).status, 404);
    const late = SimulatedGateway.create();
    await late.connect(node.url, other.body.token);
    assert.equal(late.goodbye?.reason, 'tokenRefused');
    assert.equal((await call('POST', '/gateways/join-tokens', { regionId: 'nowhere' })).status, 400);
  });

  test('are shown with their health, and found by name', async () => {
    await joined();
    gateway.report([], { number: 1 });
    await eventually('the report', async () => {
      await node.hub.flush();
      return gateway.stored.length > 0;
    });
    const { status, body } = await call('GET', '/gateways/edge');
    assert.equal(status, 200);
    assert.equal(body.health, 'healthy');
    assert.equal(body.appliedVersion, gateway.version);
    assert.equal((await call('GET', '/gateways?search=EDG')).body.items.length, 1);
    assert.equal((await call('GET', '/gateways?search=zzz')).body.items.length, 0);
    assert.equal((await call('GET', '/gateways?regionId=default')).body.items[0].id, body.id);
    clock += 16_000;
    assert.equal((await call('GET', `/gateways/${body.id}`)).body.health, 'unreachable');
    assert.equal((await call('GET', '/gateways/none')).status, 404);
  });

  test('are changed by version, and what changed reaches them', async () => {
    await joined();
    const { version } = (await call('GET', '/gateways/edge')).body as { version: number };
    assert.equal((await call('PATCH', '/gateways/edge', { draining: true })).status, 428);
    assert.equal((await call('PATCH', '/gateways/edge', { draining: true }, version + 1)).status, 412);
    const changed = await call('PATCH', '/gateways/edge', { draining: true, name: 'west', country: 'SE' }, version);
    assert.equal(changed.status, 200);
    assert.equal(changed.body.version, version + 1);
    await node.hub.whenApplied();
    assert.equal(gateway.state?.gateway.draining, true);
    assert.equal(gateway.state.gateway.name, 'west');
    for (const body of [{ regionId: 'none' }, { latitude: 1 }, { endpointHost: 'a b' }, { unknown: 1 }])
      assert.equal((await call('PATCH', '/gateways/west', body, version + 1)).status, 400, JSON.stringify(body));
    assert.ok((await node.auditActions()).includes('gateway.update'));
  });

  test('that are removed stop serving; those that a rule names are not removed', async () => {
    await joined();
    await node.write(async ({ db, changed }) => {
      await db
        .updateTable('rule')
        .set({ gateways: JSON.stringify([gateway.id]) })
        .execute();
      changed('rule', 'everyone-internet');
    });
    assert.equal((await call('DELETE', '/gateways/edge', undefined, 1)).body.code, 'stillUsed');
    await node.write(async ({ db, changed }) => {
      await db.updateTable('rule').set({ gateways: '[]' }).execute();
      changed('rule', 'everyone-internet');
    });
    assert.equal((await call('DELETE', '/gateways/edge', undefined, 1)).status, 204);
    await eventually('goodbye', () => gateway.goodbye?.reason === 'removed');
    assert.equal((await call('GET', '/gateways')).body.items.length, 0);
  });
});

test('regions are created, renamed, and removed once no gateway is in them', async () => {
  assert.equal((await call('POST', '/regions', { id: 'oslo', name: 'Oslo' })).status, 201);
  assert.equal((await call('POST', '/regions', { id: 'oslo', name: 'Oslo 2' })).body.code, 'nameTaken');
  assert.equal((await call('POST', '/regions', { id: 'oslo-2', name: 'Oslo' })).body.code, 'nameTaken');
  assert.equal((await call('PATCH', '/regions/oslo', { name: 'Oslo, Norway' }, 1)).body.version, 2);
  assert.deepEqual(
    (await call('GET', '/regions')).body.items.map(({ id }) => id),
    ['default', 'oslo'],
  );
  await joined();
  assert.equal((await call('PATCH', '/gateways/edge', { regionId: 'oslo' }, 1)).status, 200);
  assert.equal((await call('DELETE', '/regions/oslo', undefined, 2)).body.code, 'stillUsed');
  assert.equal((await call('PATCH', '/gateways/edge', { regionId: 'default' }, 2)).status, 200);
  assert.equal((await call('DELETE', '/regions/oslo', undefined, 2)).status, 204);
});

describe('egress addresses', () => {
  const entry = (groupId: string | null, ipv4: string | null, ipv6: string | null = null) => ({ groupId, ipv4, ipv6 });

  test('are the gateway’s own; groups are given by name or id', async () => {
    await joined();
    const set = (egress: unknown) => call('PATCH', '/gateways/edge', { egress }, 1);
    assert.equal((await set([entry('staff', '203.0.113.9')])).status, 400);
    assert.equal((await set([entry('nobody', '192.0.2.1')])).status, 400);
    assert.equal((await set([entry('staff', '192.0.2.1'), entry('g1', null)])).status, 400);
    const done = await set([entry('staff', '192.0.2.1', '2001:DB8:0::1'), entry(null, null)]);
    assert.equal(done.status, 200);
    assert.deepEqual(done.body.egress[0], entry('g1', '192.0.2.1', '2001:db8::1'));
  });

  test('are exported as JSON, as text, and by a link that is good for nothing else', async () => {
    await joined();
    await call('PATCH', '/gateways/edge', { egress: [entry('staff', '192.0.2.1', '2001:db8::1')] }, 1);
    const all = await call('GET', '/egress');
    assert.deepEqual(
      all.body.items.map((item) => [item.groupName, item.ipv4, item.ipv6]),
      [
        ['staff', '192.0.2.1', '2001:db8::1'],
        [null, null, null],
      ],
    );
    assert.equal((await call('GET', '/egress.txt')).text, '192.0.2.1\n2001:db8::1\n');
    assert.equal((await call('GET', '/egress.txt?group=everyone')).text, '');
    assert.equal((await call('GET', '/egress.txt?group=staff&gateway=edge')).text, '192.0.2.1\n2001:db8::1\n');
    assert.equal((await call('GET', '/egress.txt?gateway=none')).status, 404);

    const link = await call('POST', '/egress/links', { name: 'head office' });
    assert.equal(link.status, 201);
    const path = new URL(link.body.url).pathname.replace('/api/v1', '');
    assert.equal((await node.call('', 'GET', `${path}?group=staff`)).text, '192.0.2.1\n2001:db8::1\n');
    assert.equal((await node.call('', 'GET', `/egress/lists/spe_${'A'.repeat(43)}`)).status, 404);
    const row = await node.store.db.selectFrom('api_token').selectAll().executeTakeFirstOrThrow();
    assert.notEqual(row.token_hash, hashToken(path.split('/').at(-1)!));
    const list = await call('GET', '/egress/links');
    assert.ok(list.body.items[0].lastUsedAt !== null);
    // It ends with what its user may do.
    await node.setUser('u0', { disabled: 1 });
    assert.equal((await node.call('', 'GET', path)).status, 404);
    await node.setUser('u0', { disabled: 0 });
    assert.equal((await call('DELETE', `/egress/links/${link.body.id}`)).status, 204);
    assert.equal((await node.call('', 'GET', path)).status, 404);
  });
});

test('usage is shown by day: of all, of a user, of a device, of the caller', async () => {
  await joined();
  gateway.report(
    ['d0', 'd1'].map((id) => ({ id, sentBytes: 10, receivedBytes: 20, lastHandshakeAt: clock })),
    { number: 1 },
  );
  await eventually('the report', async () => {
    await node.hub.flush();
    return gateway.stored.length > 0;
  });
  const day = (sentBytes: number, receivedBytes: number) => [{ day: '2027-03-10', sentBytes, receivedBytes }];
  assert.deepEqual((await call('GET', '/usage')).body.items, day(20, 40));
  assert.deepEqual((await call('GET', '/users/u1/usage')).body.items, day(10, 20));
  assert.deepEqual((await call('GET', '/devices/d0/usage')).body.items, day(10, 20));
  assert.deepEqual((await node.call('u2', 'GET', '/me/usage')).body.items, []);
  assert.deepEqual((await node.call('u1', 'GET', '/me/usage?from=2027-03-11')).body.items, []);
  assert.deepEqual((await node.call('u1', 'GET', '/me/usage?to=2027-03-10')).body.items, day(10, 20));
  assert.equal((await call('GET', '/usage?from=yesterday')).status, 400);
});

test('a user sees the gateways that they may use, and which one is best', async () => {
  await joined();
  const offered = async () => (await node.call('u1', 'GET', '/me/gateways')).body.items;
  assert.deepEqual((await offered()).map(({ name, recommended }) => [name, recommended]), [['edge', true]]); // prettier-ignore
  await call('PATCH', '/gateways/edge', { draining: true }, 1);
  assert.deepEqual((await offered()).map(({ name, recommended }) => [name, recommended]), [['edge', false]]); // prettier-ignore
  await node.write(async ({ db, changed }) => {
    await db.updateTable('rule').set({ groups: '["g1"]' }).execute();
    changed('rule', 'everyone-internet');
  });
  assert.deepEqual(await offered(), []);
  assert.equal((await node.call('u1', 'GET', '/me/gateways?latitude=1')).status, 400);
});

test('who is no administrator can do nothing of this but see their own', async () => {
  for (const [method, path, body] of [
    ['GET', '/gateways'],
    ['GET', '/gateways/edge'],
    ['PATCH', '/gateways/edge', { draining: true }],
    ['DELETE', '/gateways/edge'],
    ['POST', '/gateways/join-tokens', {}],
    ['GET', '/gateways/join-tokens'],
    ['POST', '/regions', { id: 'x', name: 'x' }],
    ['GET', '/egress'],
    ['GET', '/egress.txt'],
    ['POST', '/egress/links', { name: 'x' }],
    ['GET', '/usage'],
    ['GET', '/users/u0/usage'],
    ['GET', '/devices/d0/usage'],
  ] as const) {
    assert.equal((await node.call('u1', method, path, body, 1)).status, 403, `${method} ${path}`);
    assert.equal((await node.call('', method, path, body, 1)).status, 401, `${method} ${path}`);
  }
});
