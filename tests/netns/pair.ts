import assert from 'node:assert/strict';
import {
  generateKeys,
  iperf,
  ping,
  pingSteadily,
  sallyportDevice,
  until,
  wire,
  wireguardGo,
  WireGuardDevice,
  withLaboratory,
  type IperfOptions,
  type IperfResult,
  type IperfRoute,
  type Laboratory,
  type NetworkNamespace,
  type Program,
  type WireGuardConfiguration,
  type WireGuardKeys,
} from '@sallyport/netlab';

export type Family = 'ipv4' | 'ipv6';
export const families: readonly Family[] = ['ipv4', 'ipv6'];

/** Our device and wireguard-go; host a pings first, so it is the initiator of the handshake. */
export const roles = [
  { name: 'our device initiates, wireguard-go responds', a: sallyportDevice, b: wireguardGo },
  { name: 'wireguard-go initiates, our device responds', a: wireguardGo, b: sallyportDevice },
  { name: 'our device on both sides', a: sallyportDevice, b: sallyportDevice },
];

/** A host with a WireGuard device. */
export interface Host {
  readonly namespace: NetworkNamespace;
  readonly device: WireGuardDevice;
  readonly keys: WireGuardKeys;
  /** Its addresses on the wire. */
  readonly outer: Readonly<Record<Family, string>>;
  /** Its addresses in the tunnel. */
  readonly inner: Readonly<Record<Family, string>>;
  readonly listenPort: number;
}

/** Two hosts with a router between them. */
export interface Pair {
  readonly laboratory: Laboratory;
  readonly a: Host;
  readonly b: Host;
  readonly router: NetworkNamespace;
}

export interface PairOptions {
  /** The family in which the hosts speak; default IPv4. */
  readonly outer?: Family;
  readonly presharedKey?: string;
  readonly mtu?: number;
  /** Of the wire between the router and `b`. */
  readonly wireMtu?: number;
}

/** The interface of each host that leads to the router. */
export const uplink = 'uplink';

/** The router's interface that leads to the host of this name. */
export type RouterSide = 'to-a' | 'to-b';

/** Builds two hosts whose devices know each other, hands them to `use` and removes everything. */
export function withPair(
  programs: { readonly a: Program; readonly b: Program },
  options: PairOptions,
  use: (pair: Pair) => Promise<void>,
): Promise<void> {
  return withLaboratory(async (laboratory) => {
    const router = await laboratory.namespace('router');
    await router.forward();
    const a = await openHost(laboratory, router, 'a', programs.a, 1500);
    const b = await openHost(laboratory, router, 'b', programs.b, options.wireMtu ?? 1500);
    await a.device.configure(configurationOf(a, b, options));
    await b.device.configure(configurationOf(b, a, options));
    await bringUp(a, options.mtu);
    await bringUp(b, options.mtu);
    await use({ laboratory, a, b, router });
  });
}

async function openHost(
  laboratory: Laboratory,
  router: NetworkNamespace,
  label: 'a' | 'b',
  program: Program,
  mtu: number,
): Promise<Host> {
  const number = label === 'a' ? 1 : 2;
  const namespace = await laboratory.namespace(label);
  const network = label === 'a' ? '192.0.2' : '198.51.100';
  const outer = { ipv4: `${network}.2`, ipv6: `2001:db8:${label}::2` };
  const side: RouterSide = `to-${label}`;
  await wire(
    { namespace, name: uplink, addresses: [`${outer.ipv4}/24`, `${outer.ipv6}/64`] },
    { namespace: router, name: side, addresses: [`${network}.1/24`, `2001:db8:${label}::1/64`] },
    mtu,
  );
  await addDefaultRoutes(namespace, label);
  return {
    namespace,
    device: await WireGuardDevice.start(namespace, program),
    keys: generateKeys(),
    outer,
    inner: { ipv4: `10.77.0.${String(number)}`, ipv6: `fd77::${String(number)}` },
    listenPort: 51820 + number,
  };
}

/** Routes by the router; they go when the host's address goes. */
export async function addDefaultRoutes(namespace: NetworkNamespace, label: 'a' | 'b'): Promise<void> {
  const network = label === 'a' ? '192.0.2' : '198.51.100';
  await namespace.route('0.0.0.0/0', 'via', `${network}.1`);
  await namespace.route('::/0', 'via', `2001:db8:${label}::1`);
}

/** What `self` has to know of `peer`. */
export function configurationOf(self: Host, peer: Host, options: PairOptions = {}): WireGuardConfiguration {
  return {
    privateKey: self.keys.privateKey,
    listenPort: self.listenPort,
    peers: [
      {
        publicKey: peer.keys.publicKey,
        ...(options.presharedKey === undefined ? {} : { presharedKey: options.presharedKey }),
        endpoint: endpointOf(peer, options.outer ?? 'ipv4'),
        allowedIps: [`${peer.inner.ipv4}/32`, `${peer.inner.ipv6}/128`],
      },
    ],
  };
}

export function endpointOf(host: Host, family: Family): string {
  const address = host.outer[family];
  return `${family === 'ipv6' ? `[${address}]` : address}:${String(host.listenPort)}`;
}

/** Brings the interface up and waits until its device listens. */
export async function bringUp(host: Host, mtu = 1420): Promise<void> {
  await host.device.up([`${host.inner.ipv4}/24`, `${host.inner.ipv6}/64`], mtu);
  await until(`${host.namespace.label} listens`, () => host.namespace.listensOnUdp(host.listenPort));
}

/** The tunnel carries pings of both families. */
export async function assertReachable(from: Host, to: Host, families: readonly Family[] = ['ipv4', 'ipv6']) {
  for (const family of families) {
    const { received, output } = await pingSteadily(from.namespace, to.inner[family], { count: 3 });
    assert.ok(received > 0, output);
  }
}

/** The tunnel gets to carry pings again, before its keys would have been renewed for their age (REKEY_AFTER_TIME, 120 s). */
export async function assertRecovers(from: Host, to: Host): Promise<void> {
  await until(
    `${from.namespace.label} reaches ${to.namespace.label} again`,
    async () => (await ping(from.namespace, to.inner.ipv4, { count: 1, waitMs: 500 })).received === 1,
    60_000,
  );
}

export async function assertUnreachable(from: Host, to: Host): Promise<void> {
  const { received, output } = await ping(from.namespace, to.inner.ipv4, { count: 3, waitMs: 500 });
  assert.equal(received, 0, output);
}

/** Transfers through the tunnel and checks that something arrived: of datagrams how many is a matter of the machine. */
export async function transfer(from: Host, to: Host, family: Family, options: IperfOptions): Promise<IperfResult> {
  const result = await iperf(route(from, to, family), options);
  // The slowest peer on a busy machine moves many times that.
  assert.ok(result.bitsPerSecond > (options.udp === undefined ? 5e6 : 0), `${String(result.bitsPerSecond)} bit/s`);
  return result;
}

/** For iperf3, through the tunnel. */
export function route(from: Host, to: Host, family: Family = 'ipv4'): IperfRoute {
  return { client: from.namespace, server: to.namespace, address: to.inner[family] };
}
