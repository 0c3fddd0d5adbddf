/** What Sallyport's own client asks for, and what administrators require of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planGateway } from '@sallyport/policy';
import { accessWorld, newPublicKey, type AccessWorld } from './access-world.ts';
import { onBothDatabases } from './databases.ts';

const AMNEZIAWG = { port: 51821, jc: 4, jmin: 40, jmax: 70, s1: 11, s2: 22, h1: 1001, h2: 1002, h3: 1003, h4: 1004 };
const TLS = { host: '', port: 443, path: '/t/abc', certificateSha256: 'ab'.repeat(32) };

async function addDevice(world: AccessWorld, user: string, name = 'laptop'): Promise<string> {
  const { status, text, body } = await world.call(user, 'POST', '/me/devices', { name, publicKey: newPublicKey() });
  assert.equal(status, 201, text);
  return body.id;
}

onBothDatabases('the client', ({ create }) => {
  test('gets all that it needs to connect', async () => {
    const lookups: string[] = [];
    await using world = await accessWorld({
      url: await create(),
      resolve: (host) => {
        lookups.push(host);
        return host === 'lost.example.org'
          ? Promise.reject(new Error('ENOTFOUND'))
          : Promise.resolve(['192.0.2.7', '2001:db8::7']);
      },
    });
    await world.addUser('alice');
    const key = await world.addGateway('oslo', { transports: { amneziawg: AMNEZIAWG, tls: TLS } });
    await world.addGateway('pisa', {
      endpointHost: '192.0.2.9',
      transports: { amneziawg: null, tls: { ...TLS, host: 'tls.example.org' } },
    });
    await world.addGateway('rome', { endpointHost: 'lost.example.org' });
    await world.addGateway('nowhere', { endpointHost: '' });
    const id = await addDevice(world, 'alice');
    const configuration = await world.configuration('alice', 'laptop');
    assert.deepEqual(await world.configuration('alice', id), configuration);
    assert.deepEqual(configuration.device, {
      id,
      name: 'laptop',
      userName: 'alice',
      ipv4: '100.64.0.2',
      ipv6: 'fd00:5a11::2',
      standing: 'active',
      message: 'May connect.',
    });
    const [oslo, pisa, rome, ...others] = configuration.gateways;
    assert.deepEqual(others, []);
    assert.deepEqual(
      [oslo.name, oslo.regionName, oslo.wireguardPublicKey, oslo.endpointHost, oslo.endpointPort],
      ['oslo', 'Default', key, 'gw.example.org', 51820],
    );
    assert.deepEqual(oslo.endpointAddresses, ['192.0.2.7', '2001:db8::7']);
    assert.deepEqual(oslo.amneziawg, AMNEZIAWG);
    assert.deepEqual(oslo.tls, { ...TLS, host: 'gw.example.org' });
    assert.deepEqual(
      [pisa.endpointAddresses, pisa.amneziawg, pisa.tls?.host],
      [['192.0.2.9'], null, 'tls.example.org'],
    );
    assert.deepEqual([rome.endpointAddresses, rome.tls], [[], null]);
    assert.deepEqual(configuration.tunnel, {
      pool4: '100.64.0.0/16',
      pool6: 'fd00:5a11::/64',
      gateway4: '100.64.0.1',
      gateway6: 'fd00:5a11::1',
      allowedIps: ['0.0.0.0/0', '::/0'],
      dnsServers: ['100.64.0.1', 'fd00:5a11::1'],
      searchDomains: [],
    });
    assert.deepEqual(configuration.requirements, { killSwitch: false, regionIds: [], gatewayIds: [] });
    assert.deepEqual(configuration.controlAddresses, ['127.0.0.1']);
    assert.equal(configuration.refreshSeconds, 60);
    assert.deepEqual(lookups.sort(), ['gw.example.org', 'lost.example.org']);

    // What is read of gateways once for all who ask is read anew when one is changed.
    await world.call('root', 'PATCH', '/gateways/oslo', { endpointPort: 51_999, draining: true }, 1);
    const changed = (await world.configuration('alice', 'laptop')).gateways.find(({ name }) => name === 'oslo');
    assert.deepEqual([changed?.endpointPort, changed?.draining], [51_999, true]);
  });

  test("gets nothing about somebody else's device", async () => {
    await using world = await accessWorld({ url: await create() });
    await world.addUser('alice');
    await world.addUser('bob');
    const id = await addDevice(world, 'alice');
    for (const as of ['bob', 'root']) {
      assert.equal((await world.call(as, 'GET', `/me/devices/${id}/client`)).status, 404);
      assert.equal((await world.call(as, 'PUT', `/me/devices/${id}/advertised`, { prefixes: [] })).status, 404);
    }
    assert.equal((await world.call('', 'GET', `/me/devices/${id}/client`)).status, 401);
  });

  test('is told of a device that may not connect, and why', async () => {
    await using world = await accessWorld({ url: await create() });
    await world.addGroup('careful', { requireDeviceApproval: true });
    await world.addUser('alice', { groups: ['careful'] });
    await addDevice(world, 'alice');
    const { device } = await world.configuration('alice', 'laptop');
    assert.equal(device.standing, 'awaitingApproval');
    assert.match(device.message, /administrator must approve/);
  });

  test('asks the name servers of the settings, or else its gateway, which is always reached', async () => {
    await using world = await accessWorld({ url: await create() });
    await world.addUser('alice');
    await world.addGateway('oslo');
    await addDevice(world, 'alice');
    await world.call('root', 'PATCH', '/settings', { allowedIps: ['10.0.0.0/8', 'fd00:5a11::/48'] }, 1);
    const { tunnel } = await world.configuration('alice', 'laptop');
    assert.deepEqual(tunnel.allowedIps, ['10.0.0.0/8', 'fd00:5a11::/48', '100.64.0.1/32']);
    const { text } = await world.call('alice', 'GET', '/me/devices/laptop/configuration');
    assert.match(text, /^DNS = 100\.64\.0\.1, fd00:5a11::1$/m);
    assert.match(text, /^AllowedIPs = 10\.0\.0\.0\/8, fd00:5a11::\/48, 100\.64\.0\.1\/32$/m);
    const dns = { servers: ['10.0.0.53'], searchDomains: ['corp.example'] };
    assert.equal((await world.call('root', 'PATCH', '/settings', { dns }, 2)).status, 200);
    const after = (await world.configuration('alice', 'laptop')).tunnel;
    assert.deepEqual(
      [after.dnsServers, after.searchDomains, after.allowedIps],
      [['10.0.0.53'], ['corp.example'], ['10.0.0.0/8', 'fd00:5a11::/48']],
    );
  });
});

onBothDatabases('requirements of groups', ({ create }) => {
  test('bind what members are offered and where they are let in', async () => {
    await using world = await accessWorld({ url: await create() });
    await world.call('root', 'POST', '/regions', { id: 'norway', name: 'Norway' });
    await world.call('root', 'POST', '/regions', { id: 'italy', name: 'Italy' });
    await world.addGateway('oslo', { regionId: 'norway' });
    await world.addGateway('pisa', { regionId: 'italy' });
    await world.addGateway('rome', { regionId: 'italy' });
    await world.addUser('bob');
    const created = await world.call('root', 'POST', '/groups', {
      name: 'careful',
      requireKillSwitch: true,
      requireRegionId: 'norway',
    });
    assert.deepEqual([created.status, created.body.requireRegionId], [201, 'norway'], created.text);
    const second = await world.call('root', 'POST', '/groups', { name: 'romans', requireGatewayId: 'rome' });
    assert.equal(second.body.requireGatewayId, 'rome');
    await world.addUser('alice', { groups: [created.body.id] });
    await world.addUser('carol', { groups: [created.body.id, second.body.id] });
    const names = async (user: string): Promise<string[]> => {
      const { gateways, requirements } = await world.configuration(user, 'laptop');
      return [...gateways.map(({ name }) => name).sort(), String(requirements.killSwitch)];
    };
    for (const user of ['alice', 'bob', 'carol']) await addDevice(world, user);
    assert.deepEqual(await names('alice'), ['oslo', 'true']);
    assert.deepEqual(await names('bob'), ['oslo', 'pisa', 'rome', 'false']);
    assert.deepEqual(await names('carol'), ['oslo', 'rome', 'true']);
    const { requirements } = await world.configuration('carol', 'laptop');
    assert.deepEqual([requirements.regionIds, requirements.gatewayIds], [['norway'], ['rome']]);
    // Whoever asks elsewhere by hand isn't let in there.
    assert.equal((await world.call('alice', 'GET', '/me/devices/laptop/configuration?gateway=pisa')).status, 404);
    const admitted = (gateway: string): string[] =>
      [...planGateway(world.directory.model, gateway, world.now).devices.values()]
        .map(({ id }) => world.directory.model.devices.get(id)?.userId ?? '')
        .sort();
    assert.deepEqual(
      [admitted('oslo'), admitted('pisa'), admitted('rome')],
      [['alice', 'bob', 'carol'], ['bob'], ['bob', 'carol']],
    );

    // Taken back, it is as before.
    const changed = await world.call(
      'root',
      'PATCH',
      '/groups/careful',
      { requireRegionId: null, requireKillSwitch: false },
      1,
    );
    assert.equal(changed.status, 200, changed.text);
    assert.deepEqual(await names('alice'), ['oslo', 'pisa', 'rome', 'false']);
    const entries = await world.store.db.selectFrom('audit').selectAll().where('action', '=', 'group.update').execute();
    const kept = entries.map(({ before, after }) =>
      [before, after].map((text) => (JSON.parse(text) as { requireRegionId: unknown }).requireRegionId),
    );
    assert.deepEqual(kept, [['norway', null]]);
  });

  test('name places that there are, which stay while they are named', async () => {
    await using world = await accessWorld({ url: await create() });
    await world.call('root', 'POST', '/regions', { id: 'norway', name: 'Norway' });
    await world.addGateway('oslo');
    for (const [body, at] of [
      [{ requireRegionId: 'atlantis' }, '/body/requireRegionId'],
      [{ requireGatewayId: 'none' }, '/body/requireGatewayId'],
    ] as const) {
      assert.equal((await world.call('root', 'POST', '/groups', { name: 'g', ...body })).body.faults[0].at, at);
      assert.equal((await world.call('root', 'PATCH', '/groups/everyone', body, 1)).body.faults[0].at, at);
    }
    const group = await world.call('root', 'POST', '/groups', {
      name: 'g',
      requireRegionId: 'norway',
      requireGatewayId: 'oslo',
    });
    assert.equal(group.status, 201, group.text);
    const region = await world.call('root', 'DELETE', '/regions/norway', undefined, 1);
    assert.deepEqual([region.body.code, /group g/.test(region.body.detail)], ['stillUsed', true]);
    const gateway = await world.call('root', 'DELETE', '/gateways/oslo', undefined, 1);
    assert.deepEqual([gateway.body.code, /group g/.test(gateway.body.detail)], ['stillUsed', true]);
    assert.equal(
      (await world.call('root', 'PATCH', '/groups/g', { requireRegionId: null, requireGatewayId: null }, 1)).status,
      200,
    );
    assert.equal((await world.call('root', 'DELETE', '/regions/norway', undefined, 1)).status, 204);
    assert.equal((await world.call('root', 'DELETE', '/gateways/oslo', undefined, 1)).status, 204);
  });

  test('break no policy test', async () => {
    await using world = await accessWorld({ url: await create() });
    await world.call('root', 'POST', '/regions', { id: 'norway', name: 'Norway' });
    await world.addUser('alice');
    await world.addGateway('pisa');
    const policyTest = {
      name: 'alice surfs',
      user: 'alice',
      destination: '192.0.2.1',
      port: 443,
      expect: 'allow',
      gateway: 'pisa',
    };
    assert.equal((await world.call('root', 'POST', '/policy-tests', policyTest)).status, 201);
    const refused = await world.call('root', 'PATCH', '/groups/everyone', { requireRegionId: 'norway' }, 1);
    assert.deepEqual([refused.body.code, refused.body.tests[0]?.name], ['policyTestFails', 'alice surfs']);
    assert.equal(world.directory.model.groups.get('everyone')?.requireRegionId, null);
  });
});

onBothDatabases('networks behind devices', ({ create }) => {
  const plan = (world: AccessWorld, device: string) =>
    planGateway(world.directory.model, 'oslo', world.now).devices.get(device)?.networks ?? [];

  test('wait for an administrator, who approves and takes back', async () => {
    await using world = await accessWorld({ url: await create() });
    await world.addUser('alice');
    await world.addGateway('oslo');
    const id = await addDevice(world, 'alice', 'Büro Server');
    const offer = (prefixes: readonly string[]) =>
      world.call('alice', 'PUT', `/me/devices/${id}/advertised`, { prefixes });
    const waiting = async () => (await world.call('root', 'GET', '/devices?networks=waiting')).body.items.length;
    assert.equal(await waiting(), 0);
    const offered = await offer(['10.20.0.0/16', 'FD20:0::/48', '10.20.0.0/16']);
    assert.deepEqual(offered.body.advertised, [
      { prefix: '10.20.0.0/16', approved: false },
      { prefix: 'fd20::/48', approved: false },
    ]);
    assert.equal(await waiting(), 1);
    assert.deepEqual(plan(world, id), []);
    // To say the same again is no change.
    const { length } = await world.actions();
    assert.equal((await offer(['fd20::/48', '10.20.0.0/16'])).status, 200);
    assert.equal((await world.actions()).length, length);

    const approve = (approved: readonly string[], version: number, more: object = {}) =>
      world.call('root', 'PUT', `/devices/${id}/networks`, { approved, ...more }, version);
    assert.equal((await world.call('alice', 'PUT', `/devices/${id}/networks`, { approved: [] }, 2)).status, 403);
    assert.equal((await approve(['10.20.0.0/16'], 1)).body.code, 'versionMismatch');
    const approved = await approve(['10.20.0.0/16'], 2, { createResource: true });
    assert.equal(approved.status, 200, approved.text);
    assert.deepEqual(approved.body.networks, [
      { prefix: '10.20.0.0/16', approved: true },
      { prefix: 'fd20::/48', approved: false },
    ]);
    assert.deepEqual(plan(world, id), ['10.20.0.0/16']);
    const resource = await world.call('root', 'GET', '/resources/b-ro-server');
    assert.deepEqual(resource.body.prefixes, ['10.20.0.0/16'], resource.text);
    assert.equal(await waiting(), 1);
    assert.deepEqual((await world.configuration('alice', id)).advertised, approved.body.networks);

    // What is offered no more is approved no more, and has to be again.
    assert.deepEqual((await offer(['fd20::/48'])).body.advertised, [{ prefix: 'fd20::/48', approved: false }]);
    assert.deepEqual(plan(world, id), []);
    await offer(['10.20.0.0/16', 'fd20::/48']);
    assert.deepEqual(plan(world, id), []);
    assert.equal((await approve(['10.20.0.0/16', 'fd20::/48'], 5)).status, 200);
    assert.equal(await waiting(), 0);
    assert.equal((await world.call('root', 'GET', '/devices?networks=any')).body.items.length, 1);
    assert.deepEqual(plan(world, id), ['10.20.0.0/16', 'fd20::/48']);
    assert.equal((await approve([], 6)).status, 200);
    assert.deepEqual(plan(world, id), []);
    assert.deepEqual(
      (await world.actions()).filter((action) => action.startsWith('device.a')),
      [
        'device.advertise',
        'device.approveNetworks',
        'device.advertise',
        'device.advertise',
        'device.approveNetworks',
        'device.approveNetworks',
      ],
    );
  });

  test('that can be nobody’s are refused', async () => {
    await using world = await accessWorld({ url: await create() });
    await world.addUser('alice');
    await addDevice(world, 'alice');
    for (const prefix of [
      '0.0.0.0/0',
      '::/0',
      '10.20.0.1/16',
      '127.0.0.0/8',
      '224.0.0.0/4',
      'fe80::/64',
      '100.64.9.0/24',
      '100.0.0.0/8',
      'fd00:5a11::/80',
    ]) {
      const { status, body } = await world.call('alice', 'PUT', '/me/devices/laptop/advertised', {
        prefixes: ['10.1.0.0/16', prefix],
      });
      assert.deepEqual([status, body.faults[0]?.at], [400, '/body/prefixes/1'], prefix);
    }
    const many = Array.from({ length: 65 }, (_, i) => `10.${String(i)}.0.0/16`);
    assert.equal((await world.call('alice', 'PUT', '/me/devices/laptop/advertised', { prefixes: many })).status, 400);
  });

  test('are approved where the device offers them and nobody else is there', async () => {
    await using world = await accessWorld({ url: await create() });
    await world.addUser('alice');
    await world.addUser('bob');
    await world.addGateway('oslo', { endpointHost: '172.16.4.4' });
    const ids = [await addDevice(world, 'alice'), await addDevice(world, 'bob')];
    for (const [user, prefixes] of [
      ['alice', ['10.20.0.0/16', '10.30.0.0/16']],
      ['bob', ['10.20.5.0/24', '10.40.0.0/16', '10.40.1.0/24', '172.16.0.0/16']],
    ] as const) {
      assert.equal((await world.call(user, 'PUT', '/me/devices/laptop/advertised', { prefixes })).status, 200);
    }
    const approve = (who: 0 | 1, approved: readonly string[], version = 2) =>
      world.call('root', 'PUT', `/devices/${ids[who]}/networks`, { approved }, version);
    assert.equal((await approve(0, ['10.20.0.0/16'])).status, 200);
    for (const [approved, why] of [
      [['10.99.0.0/16'], /does not offer/],
      [['10.20.5.0/24'], /overlaps 10\.20\.0\.0\/16.*laptop/],
      [['10.40.0.0/16', '10.40.1.0/24'], /approve one of them/],
      [['172.16.0.0/16'], /172\.16\.4\.4.*oslo/],
    ] as const) {
      const { status, body } = await approve(1, approved);
      assert.equal(status, 400, approved.join());
      assert.match(body.faults[0].message, why);
    }
    assert.equal((await approve(1, ['10.40.0.0/16'])).status, 200);
    // What alice only offers, bob may have.
    assert.equal(
      (await world.call('bob', 'PUT', '/me/devices/laptop/advertised', { prefixes: ['10.30.0.0/16'] })).status,
      200,
    );
    assert.equal((await approve(1, ['10.30.0.0/16'], 4)).status, 200);
    const late = await approve(0, ['10.20.0.0/16', '10.30.0.0/16'], 3);
    assert.match(late.body.faults[0].message, /10\.30\.0\.0\/16, which is behind/);
  });

  test('become a resource only by who may make one, under a name that is free', async () => {
    await using world = await accessWorld({ url: await create() });
    await world.addUser('alice');
    const id = await addDevice(world, 'alice');
    await world.call('alice', 'PUT', '/me/devices/laptop/advertised', { prefixes: ['10.20.0.0/16'] });
    const body = { approved: ['10.20.0.0/16'], createResource: true };
    await world.call('root', 'POST', '/resources', { name: 'laptop', prefixes: ['10.1.0.0/16'] });
    assert.equal((await world.call('root', 'PUT', `/devices/${id}/networks`, body, 2)).body.code, 'nameTaken');
    assert.deepEqual((await world.call('root', 'GET', `/devices/${id}`)).body.networks, [
      { prefix: '10.20.0.0/16', approved: false },
    ]);
    const none = { approved: [], createResource: true };
    assert.equal((await world.call('root', 'PUT', `/devices/${id}/networks`, none, 2)).status, 400);
  });
});
