/** Gateways that speak the first version of the protocol, whose schema refuses what came later. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { SignedState } from '@sallyport/link';
import { changeBetween, isEmpty, planGateway } from '@sallyport/policy';
import { ControlNode, eventually, openWorld, SimulatedGateway } from './hub-world.ts';

const GATEWAY_KEYS = ['id', 'name', 'pool4', 'pool6', 'address4', 'address6', 'egress', 'draining'];
const DEVICE_KEYS = ['id', 'publicKey', 'ipv4', 'ipv6', 'groups', 'egress', 'bitsPerSecond', 'validUntil'];

let world: ReturnType<typeof openWorld>;
let node: ControlNode;
let gateways: SimulatedGateway[];

beforeEach(async () => {
  world = openWorld(() => Date.parse('2027-03-10T12:00:00Z'));
  node = await ControlNode.start(world);
  gateways = [];
});

afterEach(async () => {
  for (const gateway of gateways) await gateway.disconnect();
  await node.close();
  world.remove();
});

/** What a gateway of version 1 would refuse. */
function isNew({ change }: SignedState): boolean {
  const others = (value: object, known: readonly string[]): boolean => Object.keys(value).some((key) => !known.includes(key)); // prettier-ignore
  return others(change.gateway ?? {}, GATEWAY_KEYS) || change.putDevices.some((device) => others(device, DEVICE_KEYS));
}

async function join(protocolVersion: number): Promise<SimulatedGateway> {
  const gateway = SimulatedGateway.create({ protocolVersion });
  gateways.push(gateway);
  if (protocolVersion === 1) gateway.refuses = isNew;
  await gateway.connect(node.url, await node.joinToken());
  await eventually('the first state', () => gateway.state !== undefined);
  return gateway;
}

const setNetworks = (...prefixes: string[]): Promise<void> =>
  node.write(async ({ db, changed }) => {
    const networks = JSON.stringify(prefixes.map((prefix) => ({ prefix, approved: true })));
    await db.updateTable('device').set({ networks }).where('id', '=', 'd0').execute();
    changed('device', 'd0');
  });

test('an older gateway is sent what it knows, and all of it once it is a newer one', async () => {
  await node.addPeople(2);
  const [old, current] = [await join(1), await join(2)];
  await setNetworks('10.1.0.0/16');
  await eventually('the network', () => current.state?.devices.get('d0')?.networks?.[0] === '10.1.0.0/16');
  assert.deepEqual(current.state?.gateway.connectedNetworks, ['10.1.0.0/16']);
  assert.equal(current.state.gateway.neighbours?.length, 1);
  await node.setUser('u1', { disabled: 1 });
  await eventually('the revocation', () => old.state?.devices.has('d1') === false);
  await node.hub.whenApplied();
  assert.ok(old.state?.devices.has('d0'));
  // What its groups may reach hangs on what is connected: then it gets everything anew.
  const snapshots = (): number => old.received.filter(({ base }) => base === 0).length;
  const before = snapshots();
  await setNetworks('10.1.0.0/16', '10.2.0.0/16');
  await eventually('a snapshot', () => snapshots() > before);
  await node.hub.whenApplied();

  // Whether this control plane remembers the gateway or was started again.
  for (const restart of [false, true]) {
    await old.disconnect();
    Object.assign(old.hello, { protocolVersion: 1 });
    old.refuses = isNew;
    await old.connect(node.url);
    const had = snapshots();
    await setNetworks(`10.${restart ? '3' : '4'}.0.0/16`);
    await eventually('the older state', () => snapshots() > had);
    await node.hub.whenApplied();
    assert.ok(old.state !== undefined && old.state.gateway.connectedNetworks === undefined);
    await old.disconnect();
    if (restart) {
      await node.close();
      node = await ControlNode.start(world);
    }
    Object.assign(old.hello, { protocolVersion: 2 });
    old.refuses = undefined;
    await old.connect(node.url);
    await eventually('what it lacked', () => {
      const wanted = planGateway(node.directory.model, old.id ?? '', world.now());
      return old.state !== undefined && isEmpty(changeBetween(old.state, wanted));
    });
  }
});
