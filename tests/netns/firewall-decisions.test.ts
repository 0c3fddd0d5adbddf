/** The kernel decides as the reference model does, and gets from any ruleset to any other. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, test } from 'node:test';
import { judge, type FirewallPlan, type FirstPacket } from '@sallyport/policy';
import { withSeed, type SeededRandom } from '../../packages/testkit/src/seeded-random.ts';
import { changedPlan, isRoutable, OWN, randomPacket, randomPlan } from '../policy/random-plans.ts';
import { FirewallRig, nftProgram, packetOf, RST, SYN, TCP, UDP, type Seen } from './firewall-rig.ts';

const rig = new FirewallRig();
after(() => rig.close());

/** What reached this machine itself, by the source port that each packet has for itself. */
const WATCH = `table inet watch
delete table inet watch
table inet watch {
  set arrived { type inet_service; flags dynamic; size 65535; }
  chain input { type filter hook input priority 10; iifname "spt0" meta l4proto { tcp, udp } add @arrived { th sport }; }
}`;

function isLocal(packet: FirstPacket): boolean {
  return ['10.64.0.1', 'fd5a::1', ...OWN].includes(packet.destination);
}

function arrived(): Set<number> {
  const { nftables } = JSON.parse(nftProgram('-j', 'list', 'set', 'inet', 'watch', 'arrived')) as {
    nftables: { set?: { elem?: (number | { elem: { val: number } })[] } }[];
  };
  const elements = nftables.flatMap(({ set }) => set?.elem ?? []);
  return new Set(elements.map((element) => (typeof element === 'number' ? element : element.elem.val)));
}

let nextPort = 10_000;

function sendAll(random: SeededRandom, plan: FirewallPlan, count: number): Map<string, number> {
  const kinds = new Map<string, number>();
  nftProgram('-f', watchFile());
  execFileSync('conntrack', ['-F'], { stdio: 'ignore' });
  const withoutPorts = new Set<string>();
  const sent: { packet: FirstPacket; port: number; seen: readonly Seen[] }[] = [];
  while (sent.length < count) {
    const packet = randomPacket(random, plan);
    if (!isRoutable(packet.destination) || packet.destination === packet.source) continue;
    // Without ports to tell flows apart, address translation can serve one device at a destination.
    if (packet.protocol === 99 && withoutPorts.has(packet.destination)) continue;
    withoutPorts.add(packet.destination);
    const port = nextPort++;
    if (nextPort > 60_000) nextPort = 10_000;
    const bytes = packetOf(
      { ...packet, sourcePort: port, destinationPort: packet.port },
      packet.protocol === TCP ? { flags: SYN } : {},
    );
    sent.push({ packet, port, seen: rig.exchange('tunnel', bytes) });
  }
  const local = arrived();
  for (const { packet, port, seen } of sent) {
    const { allowed, reason } = judge(plan, packet);
    // The plan calls an address this machine's that isn't.
    if (reason === 'thisGateway' && !isLocal(packet)) continue;
    const hasPorts = packet.protocol === TCP || packet.protocol === UDP;
    let passed: boolean;
    if (!isLocal(packet)) passed = seen.some((one) => one.protocol === packet.protocol && sameFlow(one, packet, port));
    else if (hasPorts) passed = local.has(port);
    else if (packet.protocol === 99) continue;
    else
      passed = seen.some(
        (one) => one.from === 'tunnel' && [0, 129].includes(one.upper[0]) && one.protocol === packet.protocol,
      );
    const where = JSON.stringify({ packet, reason, plan });
    assert.equal(passed, allowed, where);
    // Nothing routes the networks behind devices to the tunnel here.
    const comesBack = /^(10\.64\.|fd5a:)/.test(packet.source);
    if (!allowed && packet.protocol === TCP && comesBack)
      assert.ok(
        seen.some((one) => one.from === 'tunnel' && one.protocol === TCP && (one.upper[13] & RST) !== 0),
        `no reset: ${where}`,
      );
    const kind = `${packet.destination.includes(':') ? 6 : 4} ${isLocal(packet) ? 'local' : 'forward'} ${String(allowed)}`;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  return kinds;
}

/** Whether a packet that left is the one that was sent: by its destination and what it carries. */
function sameFlow(seen: Seen, packet: FirstPacket, port: number): boolean {
  if (packet.protocol === TCP) return (seen.upper[13] & RST) === 0 && seen.destinationPort === packet.port;
  if (packet.protocol === UDP) return seen.destinationPort === packet.port && seen.upper.length === 16;
  if (packet.protocol === 99) return true;
  return [8, 128].includes(seen.upper[0]) && port > 0;
}

let watch: string | undefined;
function watchFile(): string {
  watch ??= rig.file('watch.nft', WATCH);
  return watch;
}

test('packets that begin flows pass or not as the model says, whatever the plan', () => {
  const total = new Map<string, number>();
  withSeed((random) => {
    for (let i = 0; i < 60; i++) {
      const plan = randomPlan(random);
      rig.generation = 1000 + 1000 * i;
      rig.apply(plan, true);
      for (const [kind, count] of sendAll(random, plan, 50)) total.set(kind, (total.get(kind) ?? 0) + count);
    }
  });
  // Each kind of case came up.
  for (const kind of [4, 6].flatMap((f) =>
    ['local', 'forward'].flatMap((l) => ['true', 'false'].map((a) => `${String(f)} ${l} ${a}`)),
  ))
    assert.ok((total.get(kind) ?? 0) >= 10, `${kind}: ${JSON.stringify([...total])}`);
});

test('step by step leads to what is made anew, and decides as the model says', () => {
  const { withoutNft } = rig;
  withSeed((random) => {
    let plan = randomPlan(random);
    rig.apply(plan, true);
    for (let round = 0; round < 40; round++) {
      for (let step = 0; step <= random.below(5); step++) {
        plan = changedPlan(random, plan);
        rig.apply(plan);
      }
      const stepwise = rig.listing();
      sendAll(random, plan, 10);
      rig.apply(plan, true);
      assert.deepEqual(stepwise, rig.listing(), JSON.stringify(plan));
    }
  });
  assert.ok(rig.withoutNft - withoutNft > 40, `${String(rig.withoutNft - withoutNft)} transactions without nft`);
});

test('a large set is made anew rather than emptied one by one', () => {
  const base = randomPlanWith(2000);
  rig.apply(base, true);
  const { transactions } = rig.apply(randomPlanWith(1000));
  assert.ok(transactions[0].length < 20);
  const stepwise = rig.listing();
  rig.apply(randomPlanWith(1000), true);
  assert.deepEqual(stepwise, rig.listing());
});

function randomPlanWith(grants: number): FirewallPlan {
  return {
    interfaceName: 'spt0',
    gateway: { pool4: '10.64.0.0/10', pool6: 'fd5a::/48', address4: '10.64.0.1', address6: 'fd5a::1', egress: {} },
    ownAddresses: [],
    localTcpPorts: [],
    names: {},
    devices: [{ id: 'a', ipv4: '10.64.0.2', ipv6: 'fd5a::2', groups: ['g'] }],
    groups: [
      {
        id: 'g',
        grants: Array.from({ length: grants }, (_, i) => ({
          rule: `r${String(i)}`,
          destination: { kind: 'network', prefix: `10.${String(i >> 8)}.${String(i & 255)}.0/25` },
          protocol: 'tcp',
          ports: [],
        })),
      },
    ],
  };
}
