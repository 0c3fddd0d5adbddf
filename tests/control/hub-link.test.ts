import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLinkIdentity, parseJoinToken } from '@sallyport/link';
import { isEmpty, changeBetween, planGateway } from '@sallyport/policy';
import { linkIdentity } from '../../packages/control/src/hub/keys.ts';
import { ControlNode, eventually, openWorld, SimulatedGateway } from './hub-world.ts';

let world: ReturnType<typeof openWorld>;
let clock: number;
let node: ControlNode;
let gateways: SimulatedGateway[];

beforeEach(async () => {
  clock = Date.parse('2027-03-10T12:00:00Z');
  world = openWorld(() => clock);
  node = await ControlNode.start(world);
  gateways = [];
});

afterEach(async () => {
  for (const gateway of gateways) await gateway.disconnect();
  await node.close();
  world.remove();
});

function newGateway(...args: Parameters<typeof SimulatedGateway.create>): SimulatedGateway {
  const gateway = SimulatedGateway.create(...args);
  gateways.push(gateway);
  return gateway;
}

/** A gateway that has joined and serves its first state. */
async function joined(...args: Parameters<typeof SimulatedGateway.create>): Promise<SimulatedGateway> {
  const gateway = newGateway(...args);
  await gateway.connect(node.url, await node.joinToken());
  await eventually('the first state', () => gateway.state !== undefined);
  await node.hub.whenApplied();
  return gateway;
}

/** What the gateway has is what the organisation as it is now asks for. */
function assertServes(gateway: SimulatedGateway): void {
  assert.ok(gateway.state !== undefined && gateway.id !== undefined);
  const wanted = planGateway(node.directory.model, gateway.id, clock);
  assert.ok(isEmpty(changeBetween(gateway.state, wanted)), 'the gateway has another state than it should');
}

describe('joining', () => {
  test('a token lets one gateway join, once, and is never kept itself', async () => {
    const token = await node.joinToken();
    assert.equal(parseJoinToken(token)?.keyHashPrefix, (await linkIdentity(node.store)).keyHash.slice(0, 32));
    const first = newGateway({ name: 'Frank Furt!', region: 'Europe', country: 'de', city: 'Frankfurt' });
    await first.connect(node.url, token);
    assert.ok(first.connected);
    const rows = await node.store.db.selectFrom('gateway').selectAll().execute();
    assert.equal(rows.length, 1);
    assert.equal(rows[0]?.name, 'frank-furt');
    assert.equal(rows[0]?.region_id, 'europe');
    assert.equal(rows[0]?.country, 'DE');
    assert.equal(rows[0]?.link_key_hash, first.identity.keyHash);

    const second = newGateway();
    await second.connect(node.url, token);
    assert.equal(second.goodbye?.reason, 'tokenRefused');
    await eventually('the end of the link', () => !second.connected);
    assert.equal((await node.store.db.selectFrom('gateway').select('id').execute()).length, 1);
    assert.ok((await node.auditActions()).includes('gateway.join'));
    const dump = JSON.stringify([
      await node.store.db.selectFrom('join_token').selectAll().execute(),
      await node.store.db.selectFrom('audit').selectAll().execute(),
    ]);
    assert.ok(!dump.includes(token) && !dump.includes(parseJoinToken(token)!.secret));
  });

  test('the other ways to a gateway are kept as it says them, and go when it has them no more', async () => {
    const tunnel = {
      wireguardPublicKey: `${'A'.repeat(42)}E=`,
      endpointHost: 'gateway.example.org',
      endpointPort: 51_820,
    };
    const amneziawg = {
      port: 51_821,
      jc: 4,
      jmin: 40,
      jmax: 70,
      s1: 11,
      s2: 22,
      h1: 1,
      h2: 2,
      h3: 3,
      h4: 4_294_967_295,
    };
    const tls = { host: '', port: 443, path: '/t/abc', certificateSha256: 'ab'.repeat(32) };
    const kept = async (): Promise<unknown> => {
      const row = await node.store.db.selectFrom('gateway').select('transports').executeTakeFirstOrThrow();
      return JSON.parse(row.transports);
    };
    const gateway = await joined({ tunnel: { ...tunnel, amneziawg, tls } });
    assert.deepEqual(await kept(), { amneziawg, tls, openvpn: null });
    const says = async (offers: object): Promise<void> => {
      await gateway.disconnect();
      Object.assign(gateway.hello, { tunnel: { ...tunnel, ...offers } });
      await gateway.connect(node.url);
      assert.ok(gateway.connected);
    };
    await says({ amneziawg, tls: { ...tls, host: 'tls.example.org' } });
    assert.deepEqual(await kept(), { amneziawg, tls: { ...tls, host: 'tls.example.org' }, openvpn: null });
    // It gets to clients: nothing that is no host.
    await says({ amneziawg, tls: { ...tls, host: 'tls.example.org\nPostUp = x' } });
    assert.deepEqual(await kept(), { amneziawg, tls: null, openvpn: null });
    await says({});
    assert.deepEqual(await kept(), { amneziawg: null, tls: null, openvpn: null });
    const before = (await node.auditActions()).length;
    await says({});
    assert.equal((await node.auditActions()).length, before);
  });

  test('what the settings say of names reaches gateways', async () => {
    const gateway = await joined();
    assert.deepEqual(gateway.state?.gateway.names?.blocked, []);
    await node.write(async ({ db, changed }) => {
      const { value } = await db.selectFrom('settings').select('value').executeTakeFirstOrThrow();
      const settings = JSON.parse(value) as { dns: object };
      settings.dns = { ...settings.dns, blocked: ['ads.example'] };
      await db
        .updateTable('settings')
        .set({ value: JSON.stringify(settings) })
        .execute();
      changed('settings', 'settings');
    });
    await eventually('the names', () => gateway.state?.gateway.names?.blocked[0] === 'ads.example');
    assertServes(gateway);
  });

  test('a wrong, an expired and a revoked token are refused', async () => {
    const refused = async (token: string): Promise<void> => {
      const gateway = newGateway();
      await gateway.connect(node.url, token);
      assert.equal(gateway.goodbye?.reason, 'tokenRefused');
    };
    await refused(`spj_${'A'.repeat(32)}.${'0'.repeat(32)}`);
    await refused('spj_');
    const expired = await node.joinToken(60);
    clock += 60_000;
    await refused(expired);
    const revoked = await node.joinToken();
    await node.write(async ({ db }) => {
      await db.deleteFrom('join_token').execute();
    });
    await refused(revoked);
    assert.equal((await node.store.db.selectFrom('gateway').select('id').execute()).length, 0);
  });

  test('of many that bring one token at once, one joins', async () => {
    const token = await node.joinToken();
    const all = Array.from({ length: 8 }, () => newGateway());
    await Promise.all(all.map((gateway) => gateway.connect(node.url, token)));
    assert.equal(all.filter(({ goodbye }) => goodbye === undefined).length, 1);
    assert.equal(all.filter(({ goodbye }) => goodbye?.reason === 'tokenRefused').length, 7);
  });

  test('gateways of one name get names of their own; the region of the token counts', async () => {
    await node.write(async ({ db, changed }) => {
      await db.insertInto('region').values({ id: 'oslo', name: 'Oslo', version: 1 }).execute();
      changed('region', 'oslo');
    });
    for (let i = 0; i < 3; i++) {
      const gateway = newGateway({ name: 'edge', region: 'elsewhere' });
      await gateway.connect(node.url, await node.joinToken(3600, 'oslo'));
    }
    const rows = await node.store.db.selectFrom('gateway').select(['name', 'region_id']).orderBy('name').execute();
    assert.deepEqual(
      rows.map((row) => [row.name, row.region_id]),
      [
        ['edge', 'oslo'],
        ['edge-2', 'oslo'],
        ['edge-3', 'oslo'],
      ],
    );
  });

  test('what would not be safe in the configuration of a device is refused, and uses no token up', async () => {
    const token = await node.joinToken();
    const key = Buffer.alloc(32, 1).toString('base64');
    for (const tunnel of [
      { wireguardPublicKey: key, endpointHost: 'x\nPostUp = reboot', endpointPort: 1 },
      { wireguardPublicKey: `${'!'.repeat(43)}=`, endpointHost: 'a.example', endpointPort: 1 },
    ]) {
      const gateway = newGateway({ tunnel });
      await gateway.connect(node.url, token);
      assert.equal(gateway.goodbye?.reason, 'retry');
    }
    const good = newGateway();
    await good.connect(node.url, token);
    assert.ok(good.connected);
  });
});

describe('knowing a gateway', () => {
  test('a key that is known needs no token; one that is not known is told so', async () => {
    const gateway = await joined();
    await gateway.disconnect();
    await gateway.connect(node.url);
    assert.ok(gateway.connected);
    const stranger = newGateway();
    await stranger.connect(node.url);
    assert.equal(stranger.goodbye?.reason, 'unknownGateway');
  });

  test('a gateway that connects twice is served where it connected last', async () => {
    const gateway = await joined();
    const again = new SimulatedGateway(gateway.identity, gateway.hello);
    gateways.push(again);
    again.version = gateway.version;
    again.state = gateway.state;
    await again.connect(node.url);
    await eventually('the first link is ended', () => !gateway.connected);
    assert.equal(gateway.goodbye?.reason, 'replaced');
    await node.addPeople(1);
    await node.hub.whenApplied();
    assertServes(again);
  });

  test('one that is removed is told so at once, and is a stranger from then on', async () => {
    const gateway = await joined();
    await node.write(async ({ db, changed }) => {
      await db.deleteFrom('gateway').where('id', '=', gateway.id!).execute();
      changed('gateway', gateway.id!);
    });
    await eventually('goodbye', () => gateway.goodbye !== undefined);
    assert.equal(gateway.goodbye?.reason, 'removed');
    await eventually('the end of the link', () => !gateway.connected);
    await gateway.connect(node.url);
    assert.equal(gateway.goodbye?.reason, 'unknownGateway');
  });

  test('new addresses and a new endpoint that it tells of are taken, and audited', async () => {
    const gateway = await joined();
    await gateway.disconnect();
    const moved = new SimulatedGateway(gateway.identity, {
      tunnel: { ...gateway.hello.tunnel!, endpointHost: '198.51.100.7', endpointPort: 443 },
      addresses: ['198.51.100.7', 'no address'],
    });
    gateways.push(moved);
    await moved.connect(node.url);
    const row = await node.store.db.selectFrom('gateway').selectAll().executeTakeFirstOrThrow();
    assert.deepEqual([row.endpoint_host, row.endpoint_port, row.addresses], ['198.51.100.7', 443, '["198.51.100.7"]']);
    assert.ok((await node.auditActions()).includes('gateway.announce'));
  });

  test('those who never say who they are do not keep others out', async () => {
    const gateway = await joined();
    await gateway.disconnect();
    const port = Number(new URL(node.url).port);
    const idle = Array.from({ length: 300 }, () => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.resume();
      socket.write(
        'GET /api/v1/gateway-link HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: sallyport-gateway/1\r\n\r\n',
      );
      return socket;
    });
    await eventually('most are turned away', () => idle.filter(({ closed }) => closed).length >= 300 - 128);
    await gateway.connect(node.url);
    assert.ok(gateway.connected);
    for (const socket of idle) socket.destroy();
  });
});

describe('desired state', () => {
  test('a snapshot comes first, then deltas, each from the version before', async () => {
    await node.addPeople(3);
    const gateway = await joined();
    assert.equal(gateway.state?.devices.size, 3);
    assert.deepEqual(
      gateway.received.map(({ base }) => base),
      [0],
    );
    await node.setUser('u1', { disabled: 1 });
    await node.hub.whenApplied();
    assert.equal(gateway.state.devices.has('d1'), false);
    await node.setUser('u1', { disabled: 0 });
    await node.hub.whenApplied();
    assert.deepEqual(
      gateway.received.map(({ base, version }) => version - base),
      [gateway.received[0].version, 1, 1],
    );
    assertServes(gateway);
  });

  test('who comes back gets what was missed, and no snapshot', async () => {
    await node.addPeople(3);
    const gateway = await joined();
    await gateway.disconnect();
    await eventually('its end to be heard', () => node.hub.connectedGateways === 0);
    await node.setUser('u0', { disabled: 1 });
    await node.addPeople(1, 3);
    const version = gateway.version;
    gateway.received.length = 0;
    await gateway.connect(node.url);
    await eventually('what was missed', () => gateway.received.length > 0);
    await node.hub.whenApplied();
    assert.deepEqual(gateway.received, [{ version: version + 1, base: version }]);
    assertServes(gateway);
  });

  test('what was under way when the link broke is not lost', async () => {
    await node.addPeople(3);
    const gateway = await joined();
    gateway.acknowledges = false;
    gateway.refuses = () => true;
    const version = gateway.version;
    await node.setUser('u0', { disabled: 1 });
    await eventually('it is sent', () => gateway.received.length > 1);
    await gateway.disconnect();
    gateway.refuses = undefined;
    gateway.acknowledges = true;
    gateway.received.length = 0;
    await gateway.connect(node.url);
    await eventually('it comes again', () => gateway.received.length > 0);
    await node.hub.whenApplied();
    assert.ok(gateway.version > version);
    assertServes(gateway);
  });

  test('one that can not use a state asks, and gets a snapshot', async () => {
    await node.addPeople(3);
    const gateway = await joined();
    clock += 60_000;
    let refused = 0;
    gateway.refuses = () => refused++ === 0;
    await node.setUser('u0', { disabled: 1 });
    await node.hub.whenApplied();
    assert.equal(gateway.received.at(-1)?.base, 0);
    assertServes(gateway);
  });

  test('one that asks again and again is not sent snapshots again and again', async () => {
    const gateway = await joined();
    clock += 60_000;
    gateway.received.length = 0;
    for (let i = 0; i < 100; i++) gateway.link?.send({ kind: 'resync', reason: 'again' });
    await sleep(300);
    assert.ok(gateway.received.length <= 2, `${String(gateway.received.length)} snapshots`);
  });

  test('one that acknowledges nothing has few states under way, and the rest as one', async () => {
    await node.addPeople(30);
    const gateway = await joined();
    gateway.acknowledges = false;
    const before = gateway.received.length;
    for (let i = 0; i < 20; i++) {
      await node.setUser(`u${String(i)}`, { disabled: 1 });
      await sleep(15);
    }
    await eventually('four states', () => gateway.received.length - before >= 4);
    await sleep(100);
    assert.equal(gateway.received.length - before, 4);
    gateway.acknowledges = true;
    gateway.link?.send({ kind: 'acknowledge', version: gateway.version });
    await node.hub.whenApplied();
    assert.equal(gateway.received.length - before, 5);
    assertServes(gateway);
  });

  test('changes that come together are sent as one', async (t) => {
    await node.addPeople(200);
    const gateway = await joined();
    const before = gateway.received.length;
    t.mock.timers.enable({ apis: ['setTimeout'] });
    await Promise.all(Array.from({ length: 50 }, (_, i) => node.setUser(`u${String(i)}`, { disabled: 1 })));
    t.mock.timers.tick(10);
    t.mock.timers.reset();
    await node.hub.whenApplied();
    assertServes(gateway);
    assert.equal(gateway.received.length - before, 1);
  });

  test('a device whose time is over is taken away although nothing changes', async () => {
    await node.addPeople(2);
    await node.write(async ({ db, changed }) => {
      await db
        .updateTable('device')
        .set({ expires_at: clock + 200 })
        .where('id', '=', 'd1')
        .execute();
      changed('device', 'd1');
    });
    const gateway = await joined();
    assert.equal(gateway.state?.devices.get('d1')?.validUntil, clock + 200);
    clock += 200;
    await eventually('the device is gone', () => gateway.state?.devices.has('d1') === false);
  });

  test('draining reaches the gateway, whose devices stay', async () => {
    await node.addPeople(2);
    const gateway = await joined();
    await node.write(async ({ db, changed }) => {
      await db.updateTable('gateway').set({ draining: 1 }).execute();
      changed('gateway', gateway.id!);
    });
    await node.hub.whenApplied();
    assert.equal(gateway.state?.gateway.draining, true);
    assert.equal(gateway.state.devices.size, 2);
  });
});

describe('a control plane that is started again', () => {
  async function restart(): Promise<void> {
    await node.close();
    node = await ControlNode.start(world);
  }

  test('sends nothing to a gateway that has what it should', async () => {
    await node.addPeople(3);
    const gateway = await joined();
    await restart();
    await eventually('the end of the link', () => !gateway.connected);
    assert.equal(gateway.goodbye?.reason, 'retry');
    gateway.received.length = 0;
    await gateway.connect(node.url);
    await node.hub.whenApplied();
    assert.deepEqual(gateway.received, []);
    const version = gateway.version;
    await node.setUser('u0', { disabled: 1 });
    await node.hub.whenApplied();
    assert.deepEqual(gateway.received, [{ version: version + 1, base: version }]);
    assertServes(gateway);
  });

  test('sends a snapshot with a higher version where something has changed', async () => {
    await node.addPeople(3);
    const gateway = await joined();
    await gateway.disconnect();
    await restart();
    await node.setUser('u0', { disabled: 1 });
    await node.hub.whenApplied();
    const version = gateway.version;
    gateway.received.length = 0;
    await gateway.connect(node.url);
    await eventually('the snapshot', () => gateway.received.length > 0);
    assert.equal(gateway.received[0]?.base, 0);
    assert.ok(gateway.version > version);
    assertServes(gateway);
  });

  test('goes on above the versions that a gateway has, whatever its own database says', async () => {
    await node.addPeople(3);
    const gateway = await joined();
    await gateway.disconnect();
    await restart();
    // As if the database had been restored, and the gateway had been somewhere else meanwhile.
    gateway.version = 5000;
    await gateway.connect(node.url);
    await eventually('the snapshot', () => gateway.version > 5000);
    assert.equal(gateway.received.at(-1)?.base, 0);
    await node.hub.whenApplied();
    assertServes(gateway);
  });

  test('a gateway that lost its state gets a snapshot', async () => {
    await node.addPeople(3);
    const gateway = await joined();
    await gateway.disconnect();
    const before = gateway.version;
    gateway.version = 0;
    gateway.state = undefined;
    await gateway.connect(node.url);
    await eventually('the snapshot', () => gateway.version > 0);
    assert.ok(gateway.version > before);
    assertServes(gateway);
  });

  test('the key of the link and the key of states stay', async () => {
    const before = (await linkIdentity(node.store)).keyHash;
    await restart();
    assert.equal((await linkIdentity(node.store)).keyHash, before);
    assert.notEqual(createLinkIdentity('another').keyHash, before);
  });
});
