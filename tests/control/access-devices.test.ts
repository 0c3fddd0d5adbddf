import assert from 'node:assert/strict';
import { test } from 'node:test';
import { accessWorld, newPublicKey } from './access-world.ts';

test('a user adds, renames, configures and removes a device', async () => {
  await using world = await accessWorld();
  await world.addUser('alice');
  const gatewayKey = await world.addGateway('oslo');
  const publicKey = newPublicKey();
  const added = await world.call('alice', 'POST', '/me/devices', { name: 'my laptop', publicKey });
  assert.equal(added.status, 201, added.text);
  assert.deepEqual(
    [added.body.userName, added.body.standing, added.body.ipv4, added.body.ipv6, added.headers.get('etag')],
    ['alice', 'active', '100.64.0.2', 'fd00:5a11::2', '"1"'],
  );
  assert.equal(world.directory.model.devices.get(added.body.id)?.publicKey, publicKey);

  const renamed = await world.call('alice', 'PATCH', '/me/devices/my%20laptop', { name: 'old' }, 1);
  assert.deepEqual([renamed.status, renamed.body.name, renamed.body.version], [200, 'old', 2]);
  assert.equal((await world.call('alice', 'PATCH', '/me/devices/old', { name: 'x' }, 1)).body.code, 'versionMismatch');

  const configuration = await world.call('alice', 'GET', '/me/devices/old/configuration');
  assert.match(configuration.headers.get('content-type') ?? '', /^text\/plain/);
  assert.equal(
    configuration.text,
    `# old of alice, through oslo
[Interface]
# Put the private key here that belongs to the public key
# ${publicKey}
# PrivateKey = 
Address = 100.64.0.2/32, fd00:5a11::2/128
DNS = 100.64.0.1, fd00:5a11::1

[Peer]
PublicKey = ${gatewayKey}
Endpoint = gw.example.org:51820
AllowedIPs = 0.0.0.0/0, ::/0
PersistentKeepalive = 25
`,
  );
  assert.equal((await world.call('alice', 'DELETE', '/me/devices/old', undefined, 2)).status, 204);
  assert.equal((await world.call('alice', 'GET', '/me/devices/old')).body.code, 'notFound');
  assert.equal(world.directory.model.devices.size, 0);
  assert.deepEqual(await world.actions(), ['device.create', 'device.update', 'device.delete']);
  const audit = await world.store.db
    .selectFrom('audit')
    .selectAll()
    .where('action', '=', 'device.update')
    .executeTakeFirstOrThrow();
  assert.deepEqual(
    [audit.before, audit.after].map((text) => (JSON.parse(text) as { name: string }).name),
    ['my laptop', 'old'],
  );
});

test("nobody sees or touches another user's device by the routes for one's own", async () => {
  await using world = await accessWorld();
  await world.addUser('alice');
  await world.addUser('bob');
  const { body } = await world.call('alice', 'POST', '/me/devices', { name: 'laptop', publicKey: newPublicKey() });
  for (const reference of [body.id, 'laptop']) {
    assert.equal((await world.call('bob', 'GET', `/me/devices/${reference}`)).status, 404);
    assert.equal((await world.call('bob', 'PATCH', `/me/devices/${reference}`, { name: 'x' }, 1)).status, 404);
    assert.equal((await world.call('bob', 'DELETE', `/me/devices/${reference}`, undefined, 1)).status, 404);
    assert.equal((await world.call('bob', 'GET', `/me/devices/${reference}/configuration`)).status, 404);
  }
  assert.deepEqual((await world.call('bob', 'GET', '/me/devices')).body, { items: [], next: null });
  assert.equal((await world.call('bob', 'GET', '/devices')).status, 403);
  assert.equal((await world.call('', 'GET', '/me/devices')).status, 401);
  // The root user has none either.
  assert.deepEqual((await world.call('root', 'GET', '/me/devices')).body.items, []);
  assert.equal((await world.call('root', 'GET', '/devices')).body.items.length, 1);
});

test('only a key that some device can have is taken, and only once', async () => {
  await using world = await accessWorld();
  await world.addUser('alice');
  await world.addUser('bob');
  const gatewayKey = await world.addGateway('oslo');
  const add = (as: string, publicKey: string, more: object = {}) =>
    world.call(as, 'POST', '/me/devices', { name: `d ${publicKey.slice(0, 8)}`, publicKey, ...more });
  const encode = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
  const hex = (text: string): string => Buffer.from(text, 'hex').toString('base64');
  for (const bad of [
    encode(new Uint8Array(32)),
    encode(Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 1 : 0))),
    hex('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800'),
    hex('5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157'),
    hex('ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'),
    hex('edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f'),
    hex('09000000000000000000000000000000000000000000000000000000000000ff'),
    encode(new Uint8Array(31).fill(7)),
    encode(new Uint8Array(33).fill(7)),
    `${newPublicKey().slice(0, 42)}B=`,
    'hello',
    '',
  ]) {
    const answer = await add('alice', bad);
    assert.equal(answer.status, 400, `${bad}: ${answer.text}`);
    assert.equal(answer.body.faults[0].at, '/body/publicKey');
  }
  const key = newPublicKey();
  const withPrivate = await add('alice', key, { privateKey: newPublicKey() });
  assert.equal(withPrivate.status, 400);
  assert.equal(withPrivate.body.faults[0].at, '/body/privateKey');
  assert.equal((await add('alice', key)).status, 201);
  assert.equal((await add('bob', key)).body.code, 'conflict');
  assert.equal((await add('bob', gatewayKey)).body.code, 'conflict');
  assert.equal(
    (await world.call('alice', 'POST', '/me/devices', { name: `d ${key.slice(0, 8)}`, publicKey: newPublicKey() })).body
      .code,
    'nameTaken',
  );
});

test('a limit of devices holds, and the devices of a group that asks for approval wait', async () => {
  await using world = await accessWorld();
  await world.addGroup('careful', { requireDeviceApproval: true });
  await world.addUser('alice', { devicesPerUser: 2 });
  await world.addUser('bob', { groups: ['careful'] });
  const add = (as: string, name: string) => world.call(as, 'POST', '/me/devices', { name, publicKey: newPublicKey() });
  assert.equal((await add('alice', 'a')).status, 201);
  assert.equal((await add('alice', 'b')).status, 201);
  const third = await add('alice', 'c');
  assert.deepEqual([third.status, third.body.code], [409, 'limitReached']);
  assert.equal(
    (await world.call('root', 'POST', '/devices', { user: 'alice', name: 'c', publicKey: newPublicKey() })).body.code,
    'limitReached',
  );

  const waiting = (await add('bob', 'phone')).body;
  assert.deepEqual([waiting.standing, waiting.approved], ['awaitingApproval', false]);
  assert.match(waiting.message, /administrator must approve/);
  const listed = await world.call('root', 'GET', '/devices?approved=false');
  assert.deepEqual(
    listed.body.items.map(({ id }) => id),
    [waiting.id],
  );
  // Its user can't approve it.
  assert.equal((await world.call('bob', 'PATCH', `/me/devices/${waiting.id}`, { approved: true }, 1)).status, 400);
  assert.equal((await world.call('bob', 'PATCH', `/devices/${waiting.id}`, { approved: true }, 1)).status, 403);
  const approved = await world.call(
    'root',
    'PATCH',
    `/devices/${waiting.id}`,
    { approved: true, expiresAt: new Date(world.now + 5000).toISOString(), bitsPerSecond: 64_000 },
    1,
  );
  assert.deepEqual([approved.body.standing, approved.body.bitsPerSecond], ['active', 64_000]);
  world.now += 5000;
  assert.equal((await world.call('bob', 'GET', '/me/devices/phone')).body.standing, 'deviceExpired');
  // What an administrator adds is approved.
  const byRoot = await world.call('root', 'POST', '/devices', {
    user: 'bob',
    name: 'tablet',
    publicKey: newPublicKey(),
  });
  assert.deepEqual([byRoot.status, byRoot.body.standing], [201, 'active']);
});

test('an address stays with its key, and otherwise changes hands as late as can be', async () => {
  // Numbers 2 to 6.
  await using world = await accessWorld({ pool4: '10.9.0.0/29', pool6: 'fd09::/64' });
  const keys = Array.from({ length: 7 }, newPublicKey);
  const add = (n: number) => world.call('root', 'POST', '/me/devices', { name: `d${String(n)}`, publicKey: keys[n] });
  const remove = async (n: number): Promise<void> => {
    world.now += 1000;
    assert.equal((await world.call('root', 'DELETE', `/me/devices/d${String(n)}`, undefined, 1)).status, 204);
  };
  const address = async (n: number): Promise<string> => (await add(n)).body.ipv4;
  assert.equal(await address(0), '10.9.0.2');
  assert.equal(await address(1), '10.9.0.3');
  await remove(1);
  await remove(0);
  // Fresh ones first, though others are free.
  assert.equal(await address(2), '10.9.0.4');
  // The key comes back.
  assert.equal(await address(0), '10.9.0.2');
  assert.equal(await address(3), '10.9.0.5');
  assert.equal(await address(4), '10.9.0.6');
  await remove(3);
  // Now the one that is free the longest: 3, then 5.
  assert.equal(await address(5), '10.9.0.3');
  assert.equal(await address(6), '10.9.0.5');
  const full = await add(1);
  assert.deepEqual([full.status, full.body.code], [409, 'limitReached']);
  assert.match(full.body.detail, /10\.9\.0\.0\/29/);
  const devices = [...world.directory.model.devices.values()];
  assert.equal(new Set(devices.map(({ ipv4 }) => ipv4)).size, 5);
  for (const device of devices) assert.equal(device.ipv4.split('.').at(-1), device.ipv6.split(':').at(-1));
});

test('many at once get an address each', async () => {
  await using world = await accessWorld();
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, i) =>
      world.call('root', 'POST', '/me/devices', { name: `d${String(i)}`, publicKey: newPublicKey() }),
    ),
  );
  assert.ok(answers.every(({ status }) => status === 201));
  assert.equal(new Set(answers.map(({ body }) => body.ipv4)).size, 40);
  // Pages hold each device once.
  const seen: string[] = [];
  let next: string | null = '';
  while (next !== null) {
    const after: string = next === '' ? '' : `&after=${next}`;
    const page = await world.call('root', 'GET', `/devices?limit=7${after}`);
    seen.push(...page.body.items.map(({ id }) => id));
    next = page.body.next;
  }
  assert.equal(seen.length, 40);
  assert.equal(new Set(seen).size, 40);
  const searched = await world.call('root', 'GET', '/devices?search=D3');
  assert.equal(searched.body.items.length, 11);
  assert.equal((await world.call('root', 'GET', '/devices?search=%25')).body.items.length, 0);
});

test('a configuration is for a gateway that the user may use', async () => {
  await using world = await accessWorld();
  await world.addGroup('staff');
  await world.addUser('alice');
  await world.call('alice', 'POST', '/me/devices', { name: 'laptop', publicKey: newPublicKey() });
  const path = '/me/devices/laptop/configuration';
  assert.equal((await world.call('alice', 'GET', path)).body.code, 'conflict');
  await world.addGateway('b-six', { endpointHost: '2001:db8::5' });
  await world.addGateway('a-draining', { draining: true });
  await world.addGateway('c-evil', { endpointHost: 'x\nPostUp = id' });
  assert.match((await world.call('alice', 'GET', path)).text, /\nEndpoint = \[2001:db8::5\]:51820\n/);
  assert.match((await world.call('alice', 'GET', `${path}?gateway=a-draining`)).text, /through a-draining/);
  const evil = await world.call('alice', 'GET', `${path}?gateway=c-evil`);
  assert.deepEqual([evil.status, evil.body.code], [409, 'conflict']);
  // With the only rule for another group, no gateway is for alice.
  const rule = await world.call('root', 'PATCH', '/rules/everyone-internet', { groups: ['staff'] }, 1);
  assert.equal(rule.status, 200, rule.text);
  assert.equal((await world.call('alice', 'GET', `${path}?gateway=b-six`)).status, 404);
  assert.equal((await world.call('alice', 'GET', path)).body.code, 'conflict');
});
