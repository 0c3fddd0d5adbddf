/** The order in which the machine is changed: nothing is open that should not be, in no moment. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Desired, Event, FirewallPolicy, TunnelPlan } from '@sallyport/client';
import { Reconciler, type Parts } from '@sallyport/clientd';

const policy: FirewallPolicy = {
  blocking: true,
  only: undefined,
  tunnels: [],
  tunnelAddresses: [],
  tunnelInterfaces: [],
  endpoints: [],
  dhcp: true,
  localNetworks: undefined,
  dnsByTunnel: true,
  excluded: [],
  splitGroup: undefined,
  connector: [],
  outside: [],
};
const tunnel: TunnelPlan = {
  role: 'only',
  interface: 'sallyport',
  addresses: ['10.77.0.2/32'],
  mtu: 1420,
  mark: 1,
  amneziawg: undefined,
  peers: [],
};
const off: Desired = {
  revision: 1,
  firewall: 'open',
  routes: undefined,
  tunnels: [],
  dns: undefined,
  pingEveryMs: undefined,
  current: undefined,
  currentEntry: undefined,
  mtuSearch: undefined,
};
const on: Desired = {
  ...off,
  revision: 2,
  firewall: policy,
  routes: { rules: [], routes: [], sysctls: {} },
  tunnels: [tunnel],
  dns: { interface: 'sallyport', servers: ['10.77.0.1'], searchDomains: [], all: true },
};

function rig(failing: Set<string> = new Set()): { done: string[]; events: Event[]; reconciler: Reconciler } {
  const done: string[] = [];
  const events: Event[] = [];
  const note =
    (what: string) =>
    (argument?: unknown): Promise<void> => {
      done.push(argument === 'open' ? `${what} open` : what);
      return failing.has(what) ? Promise.reject(new Error(`${what} broke`)) : Promise.resolve();
    };
  const parts: Parts = {
    protect: note('protect'),
    route: note('route'),
    unroute: note('unroute'),
    openTunnel: note('openTunnel'),
    setPeers: note('setPeers'),
    closeTunnels: note('closeTunnels'),
    setNames: note('setNames'),
    restoreNames: note('restoreNames'),
  };
  return { done, events, reconciler: new Reconciler(parts, (event) => events.push(event)) };
}

async function apply(reconciler: Reconciler, desired: Desired): Promise<void> {
  reconciler.want(desired);
  await reconciler.idle();
}

test('tightens before anything else, loosens after everything else', async () => {
  const { done, events, reconciler } = rig();
  await apply(reconciler, on);
  assert.deepEqual(done, ['protect', 'openTunnel', 'route', 'setPeers', 'closeTunnels', 'setNames']);
  done.length = 0;
  await apply(reconciler, { ...off, revision: 3 });
  assert.deepEqual(done, ['restoreNames', 'unroute', 'closeTunnels', 'protect open']);
  assert.deepEqual(events, [
    { kind: 'applied', revision: 2 },
    { kind: 'applied', revision: 3 },
  ]);
});

test('a kill switch that is taken off, or that protects some networks alone, loosens too', async () => {
  for (const looser of [
    { ...policy, blocking: false },
    { ...policy, only: ['10.0.0.0/8'] },
  ]) {
    const { done, reconciler } = rig();
    await apply(reconciler, on);
    done.length = 0;
    await apply(reconciler, { ...on, revision: 3, firewall: looser, dns: undefined });
    assert.deepEqual(done, ['restoreNames', 'protect']);
    done.length = 0;
    await apply(reconciler, { ...on, revision: 4 });
    assert.deepEqual(done, ['protect', 'setNames']);
  }
});

test('does nothing twice, and all again that failed', async () => {
  const failing = new Set(['route']);
  const { done, events, reconciler } = rig(failing);
  await apply(reconciler, on);
  assert.deepEqual(events, [{ kind: 'failed', part: 'routes', attempt: undefined, message: 'route broke' }]);
  assert.ok(!done.includes('setNames'), 'nothing after what failed');
  failing.clear();
  done.length = 0;
  await apply(reconciler, { ...on, revision: 3 });
  assert.deepEqual(done, ['route', 'setPeers', 'closeTunnels', 'setNames']);
  done.length = 0;
  await apply(reconciler, { ...on, revision: 4 });
  assert.deepEqual(done, []);
  reconciler.forgetTunnel('sallyport');
  await apply(reconciler, { ...on, revision: 5 });
  assert.deepEqual(done, ['openTunnel', 'route', 'setPeers']);
});

test('of many that are wanted in a row the last one counts', async () => {
  const { events, reconciler } = rig();
  for (let revision = 1; revision < 20; revision++) reconciler.want({ ...(revision % 2 === 0 ? on : off), revision });
  await reconciler.idle();
  assert.deepEqual(events, [{ kind: 'applied', revision: 19 }]);
});
