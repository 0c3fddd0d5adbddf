/** Random firewall plans and packets over a small world, so that packets meet the edges of what is granted. */
import {
  formatAddress,
  parseAddress,
  parsePrefix,
  type Destination,
  type FirewallDevice,
  type FirewallPlan,
  type FirstPacket,
  type Grant,
  type GroupPlan,
  type Protocol,
} from '@sallyport/policy';
import type { SeededRandom } from '../../packages/testkit/src/seeded-random.ts';

const PREFIXES = [
  ...['0.0.0.0/0', '10.0.0.0/8', '10.1.0.0/16', '10.1.2.0/24', '10.1.2.3/32', '10.1.2.0/30', '10.64.0.0/29'],
  ...['192.168.0.0/16', '8.8.8.0/24', '8.8.8.8/32', '198.51.100.7/32', '128.0.0.0/1', '100.64.0.0/10', '10.64.0.1/32'],
  ...['::/0', 'fd00::/8', 'fd00:1::/32', 'fd00:1::/64', 'fd00:1::3/128', 'fd5a::/120', '2001:db8::/32'],
  ...['2606:4700::/32', '2606:4700::1111/128', '2001:db8::7/128', '2002::/16', '64:ff9b::/96', 'fd5a::1/128'],
];
const NAMES = ['db.example', 'web.example', 'gone.example'];
/** That may lie behind a device; none meets another. */
const NETWORKS = ['10.1.2.0/24', '8.8.8.0/24', '203.0.113.0/24', '192.168.7.9/32', 'fd00:1::/64', '2606:4700::/32'];
const NEIGHBOURS = [
  { gatewayId: 'w1', host: '192.168.1.1', port: 51_820 },
  { gatewayId: 'w2', host: 'web.example', port: 443 },
  { gatewayId: 'w3', host: '2001:db8::99', port: 443 },
  { gatewayId: 'w4', host: '198.51.100.7', port: 53 },
  { gatewayId: 'w5', host: 'gone.example', port: 53 },
  { gatewayId: 'w6', host: '8.8.8.8', port: 53 },
  { gatewayId: 'w7', host: '192.168.1.1', port: 443 },
  { gatewayId: 'w8', host: '10.1.2.3', port: 5432 },
];
const PORTS = [1, 22, 53, 80, 443, 5432, 8443, 51_820, 65_535];
/** What the rig in tests/netns has beside the tunnel's addresses. */
export const OWN = ['198.51.100.7', '2001:db8::7', '198.51.100.8', '2001:db8::8', '198.51.100.9', '2001:db8::9'];

export function randomPlan(random: SeededRandom): FirewallPlan {
  const groups = Array.from({ length: random.below(5) }, (_, i) => randomGroup(random, `g${String(i)}`));
  return {
    interfaceName: 'spt0',
    gateway: {
      pool4: '10.64.0.0/10',
      pool6: 'fd5a::/48',
      address4: '10.64.0.1',
      address6: 'fd5a::1',
      egress: random.chance(0.3) ? { ipv4: '198.51.100.9', ipv6: '2001:db8::9' } : {},
    },
    ownAddresses: random.chance(0.8) ? OWN : ['9.9.9.9', '2620:fe::fe', ...OWN],
    localTcpPorts: random.chance(0.5) ? [8443] : [],
    tunnelPorts: random.pick([undefined, { udp: [53, 443], tcp: [53] }, { udp: [51_820], tcp: [] }]),
    neighbours: random.chance(0.3) ? undefined : NEIGHBOURS.filter(() => random.chance(0.5)),
    connectedNetworks: randomConnected(random),
    groups,
    devices: withNetworks(
      random,
      Array.from({ length: random.below(6) }, (_, i) => randomDevice(random, i)),
    ),
    names: { 'db.example': ['10.1.2.3', 'fd00:1::3'], 'web.example': ['8.8.8.8', '2606:4700::1111', '10.64.0.3'] },
  };
}

/** Of those that may lie behind a device here, and of wider and narrower ones. */
function randomConnected(random: SeededRandom): string[] | undefined {
  if (random.chance(0.4)) return undefined;
  return [...NETWORKS, '10.1.0.0/16', '10.1.2.3/32', 'fd00:1::3/128'].filter(() => random.chance(0.3));
}

/** Gives some of the networks to some of the devices. */
function withNetworks(random: SeededRandom, devices: readonly FirewallDevice[]): FirewallDevice[] {
  const of = new Map<number, string[]>();
  for (const network of NETWORKS.filter(() => random.chance(0.3))) {
    const at = random.below(Math.max(1, devices.length));
    of.set(at, [...(of.get(at) ?? []), network]);
  }
  return devices.map(({ networks: _, ...device }, i) => {
    const networks = of.get(i);
    return networks === undefined ? device : { ...device, networks };
  });
}

export function randomDevice(random: SeededRandom, index: number): FirewallDevice {
  const egress = random.pick([
    undefined,
    undefined,
    { ipv4: '198.51.100.8' },
    { ipv4: '198.51.100.8', ipv6: '2001:db8::8' },
  ]);
  return {
    id: `device${String(index)}-${String(random.below(2))}`,
    ipv4: `10.64.0.${String(index + 2)}`,
    ipv6: `fd5a::${String(index + 2)}`,
    groups: ['g0', 'g1', 'g2', 'g3', 'g4'].filter(() => random.chance(0.4)),
    egress,
    // Far above what a test sends.
    bitsPerSecond: random.chance(0.3) ? random.pick([1e9, 2e9]) : undefined,
  };
}

export function randomGroup(random: SeededRandom, id: string): GroupPlan {
  return {
    id,
    grants: Array.from({ length: random.below(7) }, (_, i) => randomGrant(random, `${id}-rule${String(i)}`)),
  };
}

function randomGrant(random: SeededRandom, rule: string): Grant {
  const destination: Destination = random.chance(0.15)
    ? { kind: 'internet' }
    : random.chance(0.15)
      ? { kind: 'name', name: random.pick(NAMES) }
      : { kind: 'network', prefix: random.pick(PREFIXES) };
  const protocol = random.pick<Protocol>(['any', 'tcp', 'tcp', 'udp', 'icmp']);
  const ports = Array.from({ length: random.below(3) }, () => {
    const [a, b] = [random.pick(PORTS), random.pick(PORTS)];
    return { from: Math.min(a, b), to: Math.max(a, b) };
  });
  return { rule, destination, protocol, ports };
}

/** A packet that begins a flow. Its addresses are those that the plan speaks of, or next to them. */
export function randomPacket(random: SeededRandom, plan: FirewallPlan): FirstPacket {
  const family = random.pick([4, 6] as const);
  const protocol = random.pick([6, 6, 17, family === 4 ? 1 : 58, 99]);
  const device = plan.devices.length > 0 ? random.pick(plan.devices) : undefined;
  const stranger = family === 4 ? '10.64.0.77' : 'fd5a::77';
  const behind = device?.networks?.find((network) => network.includes(':') === (family === 6));
  const own = family === 4 ? device?.ipv4 : device?.ipv6;
  const source =
    own === undefined || random.chance(0.05)
      ? stranger
      : behind !== undefined && random.chance(0.2)
        ? behind.replace(/\/.*/, '')
        : own;
  return {
    fromTunnel: true,
    source,
    destination: randomDestination(random, family),
    protocol,
    port: protocol === 6 || protocol === 17 ? clampPort(random.pick(PORTS) + random.below(3) - 1) : 0,
  };
}

function clampPort(port: number): number {
  return Math.min(Math.max(port, 1), 65_535);
}

function randomDestination(random: SeededRandom, family: 4 | 6): string {
  const others =
    family === 4
      ? ['10.64.0.1', '10.64.0.3', OWN[0], '9.9.9.9', '192.168.1.1', '192.168.7.9', '203.0.113.5', '8.8.8.8']
      : ['fd5a::1', 'fd5a::3', OWN[1], '2620:fe::fe', '2001:db8::99', '2606:4700::1111'];
  if (random.chance(0.4)) return random.pick(others);
  const prefix = parsePrefix(random.pick(PREFIXES.filter((text) => text.includes(':') === (family === 6))))!;
  const bits = family === 4 ? 32 : 128;
  const size = 1n << BigInt(bits - prefix.length);
  // The first and the last address of a prefix, and those just outside.
  const value = random.pick([prefix.value, prefix.value + size - 1n, prefix.value - 1n, prefix.value + size]);
  return formatAddress({ family, value: BigInt.asUintN(bits, value) });
}

/** Whether the kernel passes a packet on to it, or takes it for its own addresses. */
export function isRoutable(address: string): boolean {
  // The pools' broadcast and anycast addresses.
  if (['10.64.0.0', '10.127.255.255', 'fd5a::'].includes(address)) return false;
  const { family, value } = parseAddress(address)!;
  if (family === 4) return value >> 24n !== 0n && value >> 24n !== 127n && value >> 24n < 224n && value >> 24n !== 169n;
  return value >> 120n !== 0xffn && value >> 118n !== 0x3fan && value >> 64n !== 0n && value >> 32n !== 0n;
}

/** A plan that differs from another in some things. */
export function changedPlan(random: SeededRandom, plan: FirewallPlan): FirewallPlan {
  const change = random.below(10);
  const at = random.below(Math.max(1, plan.devices.length));
  switch (change) {
    case 0:
      return { ...plan, devices: plan.devices.filter((_, i) => i !== at) };
    case 1: {
      const free = [0, 1, 2, 3, 4, 5, 6].find(
        (i) => !plan.devices.some(({ ipv4 }) => ipv4 === `10.64.0.${String(i + 2)}`),
      );
      return free === undefined ? plan : { ...plan, devices: [...plan.devices, randomDevice(random, free)] };
    }
    case 2:
      return {
        ...plan,
        devices: plan.devices.map((d, i) => (i === at ? randomDevice(random, Number(d.ipv4.split('.')[3]) - 2) : d)),
      };
    case 3:
      return { ...plan, groups: plan.groups.filter(() => random.chance(0.7)) };
    case 4:
      return { ...plan, groups: plan.groups.map((g) => (random.chance(0.5) ? randomGroup(random, g.id) : g)) };
    case 5: {
      const ids = ['g0', 'g1', 'g2', 'g3', 'g4'].filter((id) => !plan.groups.some((g) => g.id === id));
      return ids.length === 0 ? plan : { ...plan, groups: [...plan.groups, randomGroup(random, random.pick(ids))] };
    }
    case 6:
      return { ...plan, ownAddresses: random.chance(0.5) ? OWN : ['9.9.9.9', ...OWN] };
    case 7:
      return { ...plan, devices: withNetworks(random, plan.devices) };
    case 8:
      return { ...plan, connectedNetworks: randomConnected(random) };
    default: {
      const { names, gateway, localTcpPorts, tunnelPorts, neighbours } = randomPlan(random);
      const opened = random.chance(0.5) ? { tunnelPorts } : { neighbours };
      return { ...plan, names: random.chance(0.5) ? names : {}, gateway, localTcpPorts, ...opened };
    }
  }
}
