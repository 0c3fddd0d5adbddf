/** What follows from a state: routes, what counts as near, when keys are agreed anew, what people see. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { keyRenewalAt, localNetworksOf, RENEW_KEY_MS, viewOf, type RoutePlan } from '@sallyport/client';
import { configuration, homeNetwork, settings, World } from './fixtures.ts';

const MAIN = 254;
const TUNNEL = 51_921;
const ENTRY = 51_922;

function connected(
  more: Parameters<typeof settings>[0] = {},
  via: string | null = null,
  control = configuration(),
): World {
  const world = new World();
  world.control = { kind: 'configuration', configuration: control };
  world.send({ kind: 'settings', settings: settings(more) });
  world.send({ kind: 'network', network: homeNetwork });
  world.run(1000);
  world.send({ kind: 'connect', target: via === null ? null : 'south', via });
  world.run(20_000, () => world.connected());
  assert.equal(world.state.phase, 'connected');
  return world;
}

function routesOf(world: World): RoutePlan {
  const { routes } = world.state.desired;
  assert.ok(routes !== undefined);
  return routes;
}

/** The table that a packet is looked up in, by the rules in the order in which the kernel asks them. */
function tableFor({ rules }: RoutePlan, to: string | undefined, fwmark?: number): number | undefined {
  const family = to?.includes(':') === true ? 6 : 4;
  const sorted = rules.filter((rule) => rule.family === family).toSorted((a, b) => a.priority - b.priority);
  return sorted.find((rule) => (rule.fwmark === undefined || rule.fwmark === fwmark) && (rule.to === undefined || rule.to === to))?.table; // prettier-ignore
}

describe('routes', () => {
  it('lead everything into the tunnel but what bears our marks, whatever `main` says', () => {
    const routes = routesOf(connected());
    assert.deepEqual(
      [undefined, 0x5a11, 0x5a12, 0x5a13].map((mark) => tableFor(routes, '192.0.2.1/32', mark)),
      [TUNNEL, MAIN, ENTRY, MAIN],
    );
    assert.deepEqual(
      [tableFor(routes, '2001:db8::1/128'), tableFor(routes, '2001:db8::1/128', 0x5a11)],
      [TUNNEL, MAIN],
    );
    assert.equal(tableFor(routes, '192.168.1.0/24'), TUNNEL, 'a local network that is not allowed');
    // Rules that suppress prefix lengths, or that name no table, would let a more specific route of another win.
    for (const rule of routes.rules) assert.deepEqual(Object.keys(rule).sort(), ['family', 'fwmark', 'priority', 'table', 'to']); // prettier-ignore
  });

  it('end in "unreachable" in both families, with a tunnel and without', () => {
    const world = connected();
    const end = (plan: RoutePlan): unknown[] =>
      plan.routes.filter((route) => route.interface === undefined).map(({ table, to, metric }) => [table, to, metric]);
    const expected = [
      [TUNNEL, '0.0.0.0/0', 1_000_000],
      [TUNNEL, '::/0', 1_000_000],
    ];
    assert.deepEqual(end(routesOf(world)), expected);
    world.answers = () => false;
    world.run(200_000, () => world.state.phase === 'blocked');
    assert.deepEqual(end(routesOf(world)), expected);
  });

  it('send what lies near beside the tunnel where that is allowed, but for the service’s own', () => {
    const plan = routesOf(connected({ allowLocalNetwork: true, dnsServers: ['192.168.1.5'] }));
    assert.equal(tableFor(plan, '192.168.1.0/24'), MAIN);
    assert.equal(tableFor(plan, '10.200.0.0/16'), TUNNEL);
    assert.equal(
      tableFor(plan, '192.168.1.5/32'),
      TUNNEL,
      'a name server in the local network is asked through the tunnel',
    );
  });

  it('know both kinds of split tunnelling, at other priorities', () => {
    const networks = ['203.0.113.0/24'];
    const all = routesOf(connected({ split: { mode: 'exclude', networks } }));
    assert.deepEqual([tableFor(all, '203.0.113.0/24'), tableFor(all, '192.0.2.1/32')], [MAIN, TUNNEL]);
    const only = routesOf(connected({ split: { mode: 'include', networks } }));
    assert.deepEqual([tableFor(only, '203.0.113.0/24'), tableFor(only, '192.0.2.1/32')], [TUNNEL, undefined]);
    assert.equal(tableFor(only, '10.200.0.0/16'), TUNNEL);
    // The kernel takes one rule for another of the same priority that says more.
    const last = (plan: RoutePlan): number => Math.max(...plan.rules.map(({ priority }) => priority));
    const whole = all.rules.find(({ to, fwmark }) => to === undefined && fwmark === undefined);
    assert.ok(
      whole !== undefined && !only.rules.some(({ priority }) => priority === whole.priority),
      String(last(only)),
    );
    for (const { priority } of [...all.rules, ...only.rules]) assert.ok(priority >= 5100 && priority <= 5119);
  });

  it('bring the exit’s datagrams, and no others, into the entry’s tunnel', () => {
    const plan = routesOf(connected({}, 'gateway-1'));
    const into = plan.routes.filter(({ table, interface: by }) => table === ENTRY && by !== undefined);
    assert.deepEqual(into.map(({ to }) => to).sort(), ['10.200.0.1/32', '198.51.100.3/32', 'fd00:200:0:0:0:0:0:1/128']);
    assert.ok(into.every(({ interface: by }) => by === 'sallyport-entry'));
  });

  it('forward for approved networks behind this machine alone', () => {
    const advertised = [
      { prefix: '10.50.0.0/24', approved: true },
      { prefix: '10.51.0.0/24', approved: false },
    ];
    const advertise = advertised.map(({ prefix }) => prefix);
    const plan = routesOf(connected({ advertise }, null, configuration({ advertised })));
    assert.deepEqual([tableFor(plan, '10.50.0.0/24'), tableFor(plan, '10.51.0.0/24')], [MAIN, TUNNEL]);
    assert.equal(plan.sysctls['net.ipv4.ip_forward'], '1');
    assert.equal(plan.sysctls['net.ipv6.conf.all.forwarding'], undefined);
    assert.equal(routesOf(connected()).sysctls['net.ipv4.ip_forward'], undefined);
  });
});

describe('what counts as near', () => {
  it('is private and narrow, and never what could be the internet', () => {
    const onLink = ['192.168.1.0/24', '10.0.0.0/8', '198.51.0.0/16', '0.0.0.0/1', '172.16.0.0/16', '172.32.0.0/16', 'fd77:1::/64', 'fd00::/8', '2001:db8:1::/64', 'nonsense', '192.168.1.7/24']; // prettier-ignore
    assert.deepEqual(localNetworksOf(onLink), ['172.16.0.0/16', '192.168.1.0/24', 'fd77:1:0:0:0:0:0:0/64']);
    assert.deepEqual(localNetworksOf(Array.from({ length: 1000 }, (_, index) => `10.${String(index % 256)}.0.0/16`)).length, 64); // prettier-ignore
  });
});

describe('the preshared key', () => {
  it('is agreed at once, every half hour, and after a failure with growing pauses', () => {
    const at = (agreedAt: number | undefined, failures: number, random: number): number =>
      keyRenewalAt({ agreedAt, triedAt: 500, failures }, random);
    assert.equal(at(undefined, 0, 0.5), 500);
    assert.equal(at(1000, 0, 0), 1000 + RENEW_KEY_MS);
    assert.ok(at(1000, 0, 0.99) > 1000 + RENEW_KEY_MS * 0.9);
    assert.ok(at(1000, 0, 0.99) < 1000 + RENEW_KEY_MS);
    const pauses = [1, 2, 3, 20].map((failures) => at(1000, failures, 1) - 500);
    assert.deepEqual(pauses, [2000, 4000, 8000, 300_000]);
  });
});

describe('what people see', () => {
  it('is each step with its time, and the gateway with its address', () => {
    const view = viewOf(connected().state);
    assert.equal(view.state, 'connected');
    assert.deepEqual(view.steps.map(({ name, state }) => `${name} ${state}`), ['configuration done', 'gateway done', 'protection done', 'tunnel done', 'names done', 'ready done']); // prettier-ignore
    assert.equal(view.steps.find(({ name }) => name === 'tunnel')?.detail, 'gateway-1, WireGuard');
    assert.deepEqual(view.hops.map(({ name, endpoint, transport }) => [name, endpoint, transport]), [['gateway-1', '198.51.100.1:51820', 'wireguard']]); // prettier-ignore
    assert.deepEqual([view.message, view.retryAt, view.killSwitch, view.target], ['', null, 'on', 'fastest']);
    const two = viewOf(connected({ lockdown: true }, 'gateway-1').state);
    assert.deepEqual(two.hops.map(({ name }) => name), ['gateway-1', 'gateway-3']); // prettier-ignore
    assert.equal(two.killSwitch, 'lockdown');
  });

  it('is why there is no tunnel, at which step, and when it is tried again', () => {
    const world = new World();
    world.answers = () => false;
    world.send({ kind: 'network', network: homeNetwork });
    world.run(1000);
    world.send({ kind: 'connect', target: 'north', via: null });
    world.run(200_000, () => world.state.phase === 'blocked');
    const view = viewOf(world.state);
    assert.match(view.message, /No gateway answers/);
    assert.ok(view.retryAt !== null && view.retryAt > world.now);
    assert.deepEqual(view.steps.at(-1), { name: 'tunnel', state: 'failed', detail: view.message, milliseconds: null });
  });
});
