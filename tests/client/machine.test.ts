import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clientConfiguration, type ClientConfiguration } from '@sallyport/api';
import { viewOf, type ServiceConfiguration } from '@sallyport/client';
import { account, cafe, configuration, gateway, homeNetwork, nowhere, settings, World } from './fixtures.ts';

function connectedWorld(): World {
  const world = new World();
  world.send({ kind: 'network', network: homeNetwork });
  world.run(1000);
  world.send({ kind: 'connect', target: null, via: null });
  world.run(20_000, () => world.connected());
  assert.equal(world.state.phase, 'connected');
  return world;
}

const without =
  (...gone: string[]) =>
  (path: string) =>
    !gone.some((part) => path.includes(part));

describe('connecting', () => {
  it('takes one round trip of the tunnel, with a configuration that is there', () => {
    const world = new World();
    world.send({ kind: 'network', network: homeNetwork });
    world.run(1000);
    world.send({ kind: 'connect', target: null, via: null });
    const took = world.run(20_000, () => world.connected());
    assert.ok(took < 100, `${String(took)} ms`);
    assert.deepEqual(world.phases, ['disconnected', 'connecting', 'connected']);
    assert.deepEqual(world.peers(), ['gw_1 wireguard 4 *']);
  });

  it('asks the control plane first where there is no configuration', () => {
    const world = new World();
    world.send({ kind: 'network', network: homeNetwork });
    world.send({ kind: 'connect', target: null, via: null });
    assert.equal(world.state.desired.tunnels.length, 0);
    assert.notEqual(world.state.desired.firewall, 'open');
    world.run(20_000, () => world.connected());
    assert.equal(world.state.phase, 'connected');
  });

  it('climbs the ladder, and begins next time where it got to', () => {
    const world = new World();
    world.answers = without('wireguard', 'amneziawg');
    world.send({ kind: 'network', network: homeNetwork });
    world.run(1000);
    world.send({ kind: 'connect', target: null, via: null });
    const took = world.run(20_000, () => world.connected());
    assert.ok(took > 2900 && took < 3300, `${String(took)} ms`);
    assert.deepEqual(world.peers(), ['gw_1 tls 4 *']);
    world.send({ kind: 'disconnect' });
    world.run(100);
    assert.equal(world.state.desired.firewall, 'open');
    world.send({ kind: 'connect', target: null, via: null });
    assert.ok(world.run(20_000, () => world.connected()) < 200);
    assert.deepEqual(world.peers(), ['gw_1 tls 4 *']);
  });

  it('goes to the next gateway, then blocks, and tries again with growing pauses for as long as it takes', () => {
    const world = new World();
    world.answers = () => false;
    world.send({ kind: 'network', network: homeNetwork });
    world.run(1000);
    world.send({ kind: 'connect', target: 'north', via: null });
    const pauses: number[] = [];
    for (let round = 0; round < 10; round++) {
      world.run(200_000, () => world.state.phase === 'blocked');
      pauses.push((world.state.block?.retryAt ?? 0) - world.now);
      world.run(200_000, () => world.state.phase !== 'blocked');
    }
    assert.deepEqual(pauses.slice(0, 4), [750, 1500, 3000, 6000]);
    assert.equal(Math.max(...pauses), 45_000);
    world.answers = without('gw_1');
    world.run(200_000, () => world.connected());
    assert.deepEqual(world.peers(), ['gw_2 wireguard 4 *']);
  });

  it('says that a network wants a login', () => {
    const world = new World();
    world.control = { kind: 'configurationFailed', reason: 'portal', message: 'redirected' };
    world.send({ kind: 'network', network: homeNetwork });
    world.send({ kind: 'connect', target: null, via: null });
    world.run(300);
    assert.equal(world.state.block?.reason, 'portal');
    assert.notEqual(world.state.desired.firewall, 'open');
  });

  it('waits for a network, and begins the moment that there is one', () => {
    const world = new World();
    world.send({ kind: 'connect', target: null, via: null });
    assert.equal(world.state.block?.reason, 'offline');
    world.run(60_000);
    world.send({ kind: 'network', network: homeNetwork });
    assert.ok(world.run(5000, () => world.connected()) < 250);
  });

  it('refuses a device that may not, and goes on once it may', () => {
    const world = new World();
    const device = { ...configuration().device, standing: 'awaitingApproval', message: 'wait' } as const;
    world.control = { kind: 'configuration', configuration: configuration({ device }) };
    world.send({ kind: 'network', network: homeNetwork });
    world.send({ kind: 'connect', target: null, via: null });
    world.run(500);
    assert.deepEqual([world.state.phase, world.state.block?.reason, world.state.block?.message], ['blocked', 'refused', 'wait']); // prettier-ignore
    world.control = { kind: 'configuration', configuration: configuration() };
    world.run(400_000, () => world.connected());
    assert.equal(world.state.phase, 'connected');
  });

  it('goes on after a crash with what was wanted', () => {
    const world = new World({ account, configuration: configuration(), intent: { target: 'south', via: null } });
    world.check = ({ desired }) => {
      assert.notEqual(desired.firewall, 'open');
    };
    world.send({ kind: 'network', network: homeNetwork });
    assert.ok(world.run(5000, () => world.connected()) < 250);
    assert.deepEqual(world.peers(), ['gw_3 wireguard 4 *']);
  });
});

describe('staying connected', () => {
  it('is at another gateway within 5 s of the death of its own, and keeps the old one until then', () => {
    for (const roundTripMs of [5, 50, 500]) {
      const world = connectedWorld();
      world.roundTripMs = roundTripMs;
      world.run(10_000 + roundTripMs);
      world.answers = without('gw_1');
      let beside = false;
      world.check = () => {
        if (world.peers().join() === 'gw_1 wireguard 4 *,gw_2 wireguard 4') beside = true;
      };
      const took = world.run(20_000, () => world.peers()[0] === 'gw_2 wireguard 4 *' && world.connected());
      assert.ok(took < 5000, `${String(took)} ms`);
      assert.ok(beside);
    }
  });

  it('stays where it is when the gateway is back before another one answers', () => {
    const world = connectedWorld();
    world.answers = () => false;
    world.run(4000);
    assert.equal(world.state.phase, 'reconnecting');
    world.answers = without('gw_2');
    world.run(3000, () => world.connected());
    assert.deepEqual(world.peers(), ['gw_1 wireguard 4 *']);
  });

  it('is back within 2 s in another network, and also where that one blocks UDP', () => {
    const world = connectedWorld();
    world.run(10_000);
    world.answers = () => false;
    world.run(700);
    world.answers = () => true;
    world.send({ kind: 'network', network: cafe });
    assert.equal(world.state.session?.suspectAt, world.now);
    assert.ok(world.run(5000, () => world.state.session?.suspectAt === undefined) < 100);
    world.answers = without('wireguard', 'amneziawg');
    world.send({ kind: 'network', network: homeNetwork });
    world.run(20_000, () => world.connected() && world.state.session?.suspectAt === undefined);
    assert.deepEqual(world.peers(), ['gw_1 tls 4 *']);
  });

  it('asks its gateway at once after a sleep', () => {
    const world = connectedWorld();
    world.now += 3_600_000;
    world.send({ kind: 'resumed' });
    assert.ok(world.state.desired.tunnels[0]?.peers[0]?.establish);
    assert.ok(world.run(5000, () => world.state.session?.suspectAt === undefined) < 100);
    assert.deepEqual(world.peers(), ['gw_1 wireguard 4 *']);
  });

  it('leaves a gateway that drains without letting go of it first', () => {
    const world = connectedWorld();
    world.run(5000);
    world.draining.add('gw_1');
    world.check = (state) => {
      assert.equal(state.phase, 'connected');
      assert.equal(world.peers().filter((peer) => peer.endsWith('*')).length, 1);
    };
    world.run(10_000, () => world.peers()[0] === 'gw_2 wireguard 4 *');
    assert.deepEqual(world.peers(), ['gw_2 wireguard 4 *']);
  });

  it('comes back from TLS once a probe has shown that UDP works, and falls back if it does not hold', () => {
    const world = new World();
    world.answers = without('wireguard', 'amneziawg');
    world.send({ kind: 'network', network: homeNetwork });
    world.run(500);
    world.send({ kind: 'connect', target: null, via: null });
    world.run(20_000, () => world.connected());
    world.run(100_000);
    assert.deepEqual(world.peers(), ['gw_1 tls 4 *']);
    const probes = () => world.actions.filter(({ kind }) => kind === 'probe').length;
    assert.ok(probes() >= 2 && probes() <= 4, String(probes()));
    // Only the probe gets through: the tunnel goes back within seconds.
    world.probeWorks = () => true;
    const before = probes();
    world.run(1_000_000, () => world.peers()[0] === 'gw_1 wireguard 4 *');
    assert.equal(probes() > before, true);
    assert.ok(world.run(20_000, () => world.connected() && world.peers()[0] === 'gw_1 tls 4 *') < 3500);
    // Then it works for a little while.
    world.answers = () => true;
    world.run(2_000_000, () => world.connected() && world.peers()[0] !== 'gw_1 tls 4 *');
    world.run(5000);
    world.answers = without('wireguard', 'amneziawg');
    assert.ok(world.run(20_000, () => world.peers()[0] === 'gw_1 tls 4 *') < 5000);
    world.answers = () => true;
    world.run(2_000_000, () => world.peers()[0] === 'gw_1 wireguard 4 *');
    world.run(120_000);
    assert.deepEqual(world.peers(), ['gw_1 wireguard 4 *']);
    assert.equal(world.state.session?.return, undefined);
  });

  it('leaves a gateway that answers handshakes and carries nothing', () => {
    const world = connectedWorld();
    world.run(5000);
    world.send = ((send) => (event) => {
      if (event.kind !== 'heard' || world.peers()[0] !== 'gw_1 wireguard 4 *') send.call(world, event);
    })(world.send.bind(world));
    world.run(60_000, () => world.peers()[0]?.startsWith('gw_2'));
    assert.equal(world.peers()[0], 'gw_2 wireguard 4 *');
  });
});

it("takes the control plane's answer as the contract has it, and gives it back as that", () => {
  const given: ServiceConfiguration = configuration();
  const taken: ClientConfiguration = given;
  assert.equal(clientConfiguration.shape.refreshSeconds.safeParse(taken.refreshSeconds).success, true);
});

describe('two hops', () => {
  function two(): World {
    const world = new World();
    world.send({ kind: 'network', network: homeNetwork });
    world.run(1000);
    world.send({ kind: 'connect', target: 'south', via: 'gateway-1' });
    world.run(20_000, () => world.connected());
    return world;
  }

  it('enters at one and leaves at the other; outside only the entry is spoken to', () => {
    const world = two();
    assert.deepEqual(world.peers(), ['gw_1 wireguard 4 *', 'gw_3 wireguard 4 *']);
    const { firewall, tunnels } = world.state.desired;
    assert.ok(firewall !== 'open');
    const udp = firewall.endpoints.filter(({ protocol }) => protocol === 'udp');
    assert.deepEqual(
      udp.map(({ address, mark, interface: by }) => `${address} ${mark.toString(16)} ${by ?? 'any'}`),
      [
        '198.51.100.1 5a11 any',
        '10.200.0.1 5a12 sallyport-entry',
        'fd00:200::1 5a12 sallyport-entry',
        '198.51.100.3 5a12 sallyport-entry',
      ],
    );
    const [entry, exit] = tunnels;
    assert.equal((entry?.mtu ?? 0) - (exit?.mtu ?? 0), 80);
    assert.deepEqual(entry?.peers[0]?.allowedIps, ['198.51.100.3/32', '10.200.0.1/32', 'fd00:200::1/128']);
  });

  it('climbs the ladder at the entry alone, and finds another one where the entry dies', () => {
    const world = two();
    world.answers = without('gw_1 wireguard', 'gw_1 amneziawg');
    world.run(60_000, () => world.connected() && world.peers()[0] === 'gw_1 tls 4 *');
    assert.deepEqual(world.peers(), ['gw_1 tls 4 *', 'gw_3 wireguard 4 *']);
  });

  it('goes to another exit where the exit dies, by the same entry', () => {
    const world = new World();
    world.control = { kind: 'configuration', configuration: configuration({ gateways: [1, 2, 3, 4].map((n) => gateway(n, n > 2 ? 'south' : 'north')) }) }; // prettier-ignore
    world.send({ kind: 'network', network: homeNetwork });
    world.run(1000);
    world.send({ kind: 'connect', target: 'south', via: 'gateway-1' });
    world.run(20_000, () => world.connected());
    const entry = world.state.session?.entry?.attempt;
    world.answers = without('gw_3');
    const took = world.run(20_000, () => world.connected() && world.peers()[1]?.startsWith('gw_4'));
    assert.ok(took < 5000, String(took));
    assert.equal(world.state.session?.entry?.attempt, entry);
  });
});

describe('what an administrator requires', () => {
  it('holds the kill switch on, and the gateway', () => {
    const world = new World();
    const requirements = { killSwitch: true, regionIds: ['south'], gatewayIds: [] };
    world.control = { kind: 'configuration', configuration: configuration({ requirements }) };
    world.send({ kind: 'settings', settings: settings({ killSwitch: false }) });
    world.send({ kind: 'network', network: homeNetwork });
    world.run(1000);
    world.send({ kind: 'connect', target: null, via: null });
    world.run(2000, () => world.connected());
    assert.deepEqual(world.peers(), ['gw_3 wireguard 4 *']);
    const blocking = (): boolean => world.state.desired.firewall !== 'open' && world.state.desired.firewall.blocking;
    assert.ok(blocking());
    world.send({ kind: 'connect', target: 'gateway-1', via: null });
    world.run(10);
    assert.equal(world.state.block?.reason, 'noGateway');
    assert.ok(blocking());
  });

  it('takes a session from a gateway that may not be used any more', () => {
    const world = connectedWorld();
    const requirements = { killSwitch: false, regionIds: [], gatewayIds: ['gw_2'] };
    world.control = { kind: 'configuration', configuration: configuration({ requirements }) };
    world.run(400_000, () => world.peers()[0]?.startsWith('gw_2'));
    world.run(1000, () => world.connected());
    assert.deepEqual(world.peers(), ['gw_2 wireguard 4 *']);
  });
});

it('leaves the network alone where it is offline and nobody wants a tunnel', () => {
  const world = new World();
  world.send({ kind: 'network', network: nowhere });
  world.run(3_600_000);
  assert.equal(world.state.desired.firewall, 'open');
  assert.equal(world.actions.length, 0);
});

describe('what others say', () => {
  it('an ended login keeps nobody from connecting who has a configuration, and is told', () => {
    const refusal = { kind: 'configurationFailed', reason: 'loginEnded', message: 'log in again' } as const;
    // The answer may be there before the handshake, or after it.
    for (const roundTripMs of [1, 50, 2000]) {
      const world = new World({ account, configuration: configuration() });
      world.control = refusal;
      world.send({ kind: 'network', network: homeNetwork });
      world.roundTripMs = roundTripMs;
      world.send({ kind: 'connect', target: null, via: null });
      world.run(60_000, () => world.connected() && world.state.refusal !== undefined);
      assert.deepEqual([world.state.phase, viewOf(world.state).message], ['connected', 'log in again']);
      world.answers = () => false;
      world.run(200_000, () => world.state.phase === 'blocked');
      assert.match(viewOf(world.state).message, /No gateway answers.*\. log in again/);
      world.control = { kind: 'configuration', configuration: configuration() };
      world.answers = () => true;
      world.run(400_000, () => world.connected() && world.state.refusal === undefined);
      assert.equal(viewOf(world.state).message, '');
    }
    const stranger = new World();
    stranger.control = refusal;
    stranger.send({ kind: 'network', network: homeNetwork });
    stranger.send({ kind: 'connect', target: null, via: null });
    stranger.run(1000);
    assert.deepEqual([stranger.state.block?.reason, viewOf(stranger.state).message], ['refused', 'log in again']);
  });

  it('name servers and domains are what they should be, or are not taken', () => {
    const plain = configuration();
    const dns = (dnsServers: string[], searchDomains: string[]): unknown => {
      const world = new World();
      world.control = { kind: 'configuration', configuration: { ...plain, tunnel: { ...plain.tunnel, dnsServers, searchDomains } } }; // prettier-ignore
      world.send({ kind: 'network', network: homeNetwork });
      world.send({ kind: 'connect', target: null, via: null });
      world.run(20_000, () => world.connected());
      const { servers, searchDomains: domains } = world.state.desired.dns ?? {};
      return [servers, domains];
    };
    const bad = ['10.0.0.1\nnameserver 192.0.2.1', '--flag', 'name.example', '', 'fe80::1%eth0'];
    assert.deepEqual(dns([...bad, '10.0.0.53'], ['corp.example', 'a b', 'x\noptions debug', '~.', '-x', 'example.']), [['10.0.0.53'], ['corp.example', 'example.']]); // prettier-ignore
    assert.deepEqual(dns(bad, []), [['10.200.0.1', 'fd00:200::1'], []]);
    const many = Array.from({ length: 100 }, (_, index) => `10.0.0.${String(index)}`);
    assert.deepEqual(
      dns(
        many,
        many.map(() => 'd'.repeat(64)),
      ),
      [many.slice(0, 8), []],
    );
  });

  it('a kill switch that is demanded is for everything', () => {
    const world = new World();
    const requirements = { killSwitch: true, regionIds: [], gatewayIds: [] };
    world.control = { kind: 'configuration', configuration: configuration({ requirements }) };
    world.send({ kind: 'settings', settings: settings({ split: { mode: 'include', networks: ['203.0.113.0/24'] } }) });
    world.send({ kind: 'network', network: homeNetwork });
    world.send({ kind: 'connect', target: null, via: null });
    world.run(20_000, () => world.connected());
    const { firewall } = world.state.desired;
    assert.ok(firewall !== 'open' && firewall.blocking && firewall.only === undefined);
  });

  it('nor does it let more than private networks and no program go beside the tunnel', () => {
    const world = new World();
    const requirements = { killSwitch: true, regionIds: [], gatewayIds: [] };
    const networks = ['0.0.0.0/1', '10.20.0.0/16', '::/0', 'fd20::/48', '203.0.113.0/24'];
    world.send({ kind: 'settings', settings: settings({ split: { mode: 'exclude', networks } }) });
    world.send({ kind: 'splitGroup', group: { path: 'sallyport/outside', level: 2 } });
    world.send({ kind: 'network', network: homeNetwork });
    world.send({ kind: 'connect', target: null, via: null });
    world.run(20_000, () => world.connected());
    const beside = (): unknown => {
      const { firewall } = world.state.desired;
      return firewall === 'open' ? 'open' : [firewall.excluded, firewall.splitGroup?.path];
    };
    assert.deepEqual(beside(), [networks, 'sallyport/outside']);
    world.control = { kind: 'configuration', configuration: configuration({ requirements }) };
    world.run(3_600_000, () => world.state.configuration?.requirements.killSwitch === true);
    assert.deepEqual(beside(), [['10.20.0.0/16', 'fd20::/48'], undefined]);
  });

  it('an entry that is set can be left out for once', () => {
    const world = new World();
    world.send({ kind: 'settings', settings: settings({ via: 'gateway-1', target: 'south' }) });
    world.send({ kind: 'network', network: homeNetwork });
    world.send({ kind: 'connect', target: null, via: 'none' });
    world.run(20_000, () => world.connected());
    assert.deepEqual([world.state.intent?.via, world.peers()], [null, ['gw_3 wireguard 4 *']]);
    world.send({ kind: 'connect', target: null, via: null });
    assert.equal(world.state.intent?.via, 'gateway-1');
  });

  it('that the packet filter could not be changed is said as what it is', () => {
    const world = new World();
    world.send({ kind: 'network', network: homeNetwork });
    world.send({ kind: 'connect', target: null, via: null });
    world.send({ kind: 'failed', part: 'firewall', attempt: undefined, message: 'no nft' });
    assert.deepEqual([world.state.phase, world.state.block?.message], ['blocked', 'Everything may pass: the packet filter could not be changed. no nft']); // prettier-ignore
  });
});

describe('a network that lets no large datagram through', () => {
  const tell = (world: World): void => {
    world.send({ kind: 'narrow', attempt: world.state.desired.current ?? 0 });
  };

  it('is gone through over TLS, and stays so until there is another one', () => {
    const world = connectedWorld();
    world.probeWorks = () => true;
    tell(world);
    assert.notEqual(world.state.desired.firewall, 'open');
    world.run(5000, () => world.connected());
    assert.deepEqual(world.peers(), ['gw_1 tls 4 *']);
    world.run(700_000);
    assert.deepEqual(world.peers(), ['gw_1 tls 4 *'], 'it does not go back to what does not fit');
    world.send({ kind: 'network', network: cafe });
    world.run(700_000);
    assert.deepEqual(world.peers(), ['gw_1 wireguard 4 *']);
  });

  it('is borne where TLS is not to be had, or not wanted', () => {
    const world = connectedWorld();
    world.answers = without('tls');
    tell(world);
    world.run(60_000, () => world.connected());
    assert.deepEqual(world.peers(), ['gw_1 wireguard 4 *']);
    tell(world);
    assert.equal(world.state.phase, 'connected');
    const wanted = connectedWorld();
    wanted.send({ kind: 'settings', settings: settings({ transport: 'wireguard' }) });
    tell(wanted);
    assert.equal(wanted.state.phase, 'connected');
  });
});

it('tries again the moment that the machine wakes up', () => {
  const world = new World();
  world.answers = () => false;
  world.send({ kind: 'network', network: homeNetwork });
  world.run(1000);
  world.send({ kind: 'connect', target: null, via: null });
  for (let round = 0; round < 8; round++) {
    world.run(200_000, () => world.state.phase === 'blocked');
    if (round < 7) world.run(200_000, () => world.state.phase !== 'blocked');
  }
  world.answers = () => true;
  world.send({ kind: 'resumed' });
  assert.ok(world.run(60_000, () => world.connected()) < 300);
});
