/**
 * Nothing leaves the client but to the gateways, in any state. Each state is entered twice: with the kill switch, when
 * nothing may leak, and without, when the same capture has to catch something.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { ClientStatus } from '@sallyport/client';
import { until, upTo } from '@sallyport/netlab';
import { startTraffic, type Traffic } from '../../demo/scenarios/client/background.ts';
import { leaksDuring, type Leaked, type Leaks } from '../../demo/scenarios/client/outer-capture.ts';
import {
  ACCESS,
  GATEWAYS,
  goTo,
  offerIpv6,
  seenFrom,
  WEB,
  type GatewayName,
} from '../../demo/scenarios/client/world.ts';
import { ClientRig, GATEWAY_NAMES } from './client/rig.ts';

const A_WHILE_MS = 700;
/** Without protection it leaks at once: several rounds of the traffic. */
const A_MOMENT_MS = 250;

describe('nothing leaks', () => {
  let rig: ClientRig;
  let traffic: Traffic;

  before(async () => {
    rig = await ClientRig.start();
    traffic = await startTraffic(rig.world);
  });
  after(async () => {
    await rig.close();
  });

  let whileMs = A_WHILE_MS;
  const aWhile = (): Promise<void> => delay(whileMs);

  /** Lets time pass, then a daemon that is killed, then one that is started again. */
  async function aWhileAndCrash(): Promise<void> {
    await aWhile();
    await rig.machine.killDaemon();
    await aWhile();
    await rig.machine.startDaemon();
    await aWhile();
  }

  interface State {
    /** Brings the client there; not watched. */
    readonly enter: () => Promise<unknown>;
    /** What happens while the capture runs. */
    readonly during: () => Promise<unknown>;
    /** Puts the world right again. */
    readonly leave?: () => Promise<unknown>;
    /** Whose endpoints may be spoken to; all by default. */
    readonly gateways?: () => Promise<readonly GatewayName[]>;
    /** What counts; all by default. */
    readonly counted?: (leaks: Leaks) => Leaked;
    /** Whether the capture saw without protection what this is about; any leak by default. */
    readonly seen?: (leaks: Leaked) => boolean;
  }

  /** Or else the kernel goes on, by timers of its own, to ask for neighbours that it was to reach without protection. */
  const forgetNeighbours = (): Promise<unknown> => rig.world.client.ip('neigh', 'flush', 'all');

  async function leaksIn(state: State, protection: 'on' | 'off'): Promise<Leaks> {
    whileMs = protection === 'on' ? A_WHILE_MS : A_MOMENT_MS;
    await rig.set({ killSwitch: protection === 'on' });
    await state.enter();
    try {
      const gateways = await state.gateways?.();
      await forgetNeighbours();
      return await leaksDuring(rig.world, state.during, gateways);
    } finally {
      whileMs = A_WHILE_MS;
      await state.leave?.();
      await rig.disconnect();
    }
  }

  async function assertTight(state: State): Promise<void> {
    const { counted = (leaks: Leaks): Leaked => leaks, seen = ({ leaked }: Leaked): boolean => leaked > 0 } = state;
    const tight = counted(await leaksIn(state, 'on'));
    assert.deepEqual(tight.kinds, {});
    // A moment may pass in which no program has the processor to leak.
    const open = await upTo(5, async () => counted(await leaksIn(state, 'off')), seen);
    assert.ok(seen(open), `without protection the capture sees it: ${JSON.stringify(open)}`);
  }

  const connect = (): Promise<unknown> => rig.connect('near');

  test('locked down: before the first connection, after a disconnect, and with the daemon killed', async () => {
    await rig.set({ lockdown: true });
    const before = await leaksDuring(rig.world, aWhileAndCrash, []);
    await rig.connect('near');
    const after = await leaksDuring(rig.world, async () => {
      await rig.disconnect();
      await aWhileAndCrash();
    });
    await rig.set({ lockdown: false });
    const isMuch = ({ leaked }: Leaks): boolean => leaked > 20;
    const open = await upTo(5, () => leaksDuring(rig.world, aWhile), isMuch);
    assert.deepEqual([before.kinds, after.kinds], [{}, {}]);
    assert.ok(isMuch(open), JSON.stringify(open));
  });

  test('while it connects, from the first packet of the tunnel on', async () => {
    await assertTight({
      enter: () => Promise.resolve(),
      during: async () => {
        await rig.connect('near');
        await aWhile();
      },
      counted: ({ besideTunnel }) => besideTunnel,
    });
  });

  test('while it tries to connect and nobody answers, and the daemon is killed', async () => {
    await assertTight({
      enter: async () => {
        await rig.silence(GATEWAY_NAMES);
        await rig.try('near');
        await rig.until('the attempt', ({ steps }) => steps.some(({ name, state }) => name === 'tunnel' && state === 'running')); // prettier-ignore
      },
      during: aWhileAndCrash,
      leave: () => rig.silence([]),
    });
  });

  test('connected: programs bound to the outer interface, name servers that the network handed out, the neighbours', async () => {
    // This one alone: where it is late, no other is tried.
    await assertTight({
      enter: () => rig.connect('gatewayb'),
      during: () => delay(2 * whileMs),
      gateways: () => Promise.resolve(['gatewayB']),
    });
  });

  test('connected, and the daemon is killed and comes back', async () => {
    await assertTight({
      enter: connect,
      during: async () => {
        await aWhileAndCrash();
        await rig.connected();
        assert.match((await seenFrom(rig.world.client)) ?? '', /^198\.51\.100\./);
      },
    });
  });

  test('it changes to another network, and the daemon is killed on the way', async () => {
    await assertTight({
      enter: connect,
      during: async () => {
        await goTo(rig.world, 'cafe');
        await aWhile();
        await rig.connected();
        await goTo(rig.world, 'home');
        await aWhileAndCrash();
      },
    });
  });

  test('its gateway dies and another takes over', async () => {
    let dead: Exclude<GatewayName, 'gatewayA'> | undefined;
    let tookOver = false;
    await assertTight({
      enter: connect,
      during: async () => {
        const exit = await rig.exit();
        assert.notEqual(exit, 'gatewayA');
        if (exit !== 'gatewayA') dead = exit;
        await rig.service.kill(dead ?? 'gatewayB');
        const left = (status: ClientStatus): boolean => status.state === 'connected' && status.hops[0]?.name !== dead?.toLowerCase(); // prettier-ignore
        // Once is enough: without protection it leaks before.
        if (tookOver) {
          await rig.until('the silence', (status) => status.state === 'reconnecting' || left(status));
          return;
        }
        await rig.until('another gateway', left);
        tookOver = true;
      },
      leave: () => rig.service.runAgain(dead ?? 'gatewayB'),
    });
  });

  test('every gateway falls silent, it is blocked, and the daemon is killed', async () => {
    let killed = false;
    await assertTight({
      enter: async () => {
        // This one alone: it is known sooner that there is none.
        await rig.connect('gatewayb');
        await rig.silence(GATEWAY_NAMES);
      },
      during: async () => {
        await rig.until('the silence', ({ state }) => state === 'reconnecting' || state === 'blocked');
        await aWhile();
        // Once is enough: without protection it leaks before.
        if (killed) return;
        killed = true;
        await rig.until('the block', ({ state }) => state === 'blocked');
        await aWhileAndCrash();
        await rig.silence([]);
        // By itself it comes back too, when its pause is over (`netns/client-networks`).
        await rig.connect('gatewayb');
      },
      leave: () => rig.silence([]),
    });
  });

  test('IPv6 appears on the outer network', async () => {
    await assertTight({
      enter: connect,
      during: async () => {
        await offerIpv6(rig.world, true);
        await delay(2 * whileMs);
      },
      leave: () => offerIpv6(rig.world, false),
      seen: ({ kinds }) => (kinds[`udp 9 to ${WEB.ipv6}`] ?? 0) > 0,
    });
  });

  test('a rogue DHCP server slips in more specific routes (TunnelVision)', async () => {
    const { client } = rig.world;
    const rogue = ['0.0.0.0/1', '128.0.0.0/1', `${WEB.ipv4}/32`, '203.0.113.0/24', `${GATEWAYS.gatewayA.ipv4}/32`];
    const { device, router } = ACCESS.home;
    const attack = async (): Promise<void> => {
      for (const prefix of rogue) await client.route(prefix, 'via', router, 'dev', device);
      await aWhile();
      // What isn't bound to the outer interface goes through the tunnel as before.
      assert.match((await seenFrom(client)) ?? '', /^198\.51\.100\./);
    };
    const end = async (): Promise<void> => {
      for (const prefix of rogue) await client.ip('route', 'del', prefix);
    };
    await assertTight({ enter: connect, during: attack, leave: end });
    // The kill switch is not what the routes hold by: without it, only what was bound got out.
    await rig.set({ killSwitch: false });
    await connect();
    await traffic.stop();
    // What the kernel still says for its connections would be seen.
    await client.run(['ss', '-HK', 'dst', WEB.ipv4], { allowFailure: true });
    // Nor does it go on to ask for one whom the traffic's last packet was for.
    await until('an end of asking', async () => !/INCOMPLETE|PROBE/.test(await client.ip('neigh', 'show')));
    await forgetNeighbours();
    const asked = await leaksDuring(rig.world, async () => {
      await attack();
      await client.run(['ping', '-c', '3', '-i', '0.1', '-W', '1', WEB.ipv4], { allowFailure: true });
    });
    assert.deepEqual(asked.kinds, {});
    // And a client that routes as others do, by more specific routes in the main table, falls for it.
    await client.ip('rule', 'add', 'priority', '100', 'lookup', 'main');
    const naive = await leaksDuring(rig.world, async () => {
      await seenFrom(client, WEB.ipv4, 1);
    });
    await client.ip('rule', 'del', 'priority', '100');
    await end();
    assert.ok(naive.leaked > 0, 'the attack is one');
    traffic = await startTraffic(rig.world);
    await rig.set({ killSwitch: true });
    await rig.disconnect();
  });

  test('all of it was tried, all the time', async () => {
    const tried = await traffic.stop();
    for (const kind of [
      'udp',
      'udp6',
      'dns',
      'bound',
      'endpoint',
      'multicast',
      'source',
      'tcp',
      'tcp6',
      'dns tcp',
      'ping',
      'stream',
    ])
      // prettier-ignore
      assert.ok((tried[kind] ?? 0) > 0, kind);
  });
});
