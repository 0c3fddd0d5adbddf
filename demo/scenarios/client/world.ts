import { join } from 'node:path';
import { until, wire, type Laboratory, type NetworkNamespace, type Process } from '@sallyport/netlab';

/**
 * The machines:
 *
 *     client ═╦═ eth0 ── home ─┐            ┌─ gatewayA (with the control plane)
 *             ╚═ eth1 ── cafe ─┼─ internet ─┼─ gatewayB (same region)
 *                              │            ├─ gatewayC (another region)
 *                                           └─ web (destination and name server)
 *
 * `home` and `cafe` are routers of two access networks that translate addresses (IPv4), and give the client no IPv6 until
 * {@link ClientWorld.offerIpv6}. The client is at home first. Public addresses are from the blocks for documentation.
 */
export interface ClientWorld {
  readonly laboratory: Laboratory;
  readonly client: NetworkNamespace;
  readonly home: NetworkNamespace;
  readonly cafe: NetworkNamespace;
  readonly internet: NetworkNamespace;
  readonly gatewayA: NetworkNamespace;
  readonly gatewayB: NetworkNamespace;
  readonly gatewayC: NetworkNamespace;
  readonly web: NetworkNamespace;
  /** The client's /etc/resolv.conf, as a path on this machine. */
  readonly resolvConf: string;
  /** Prints who asked it for which name. */
  readonly nameServer: Process;
}

export const GATEWAYS = {
  gatewayA: { ipv4: '198.51.100.20', ipv6: '2001:db8:2:1::10' },
  gatewayB: { ipv4: '198.51.100.36', ipv6: '2001:db8:2:2::10' },
  gatewayC: { ipv4: '198.51.100.52', ipv6: '2001:db8:2:3::10' },
} as const;
export type GatewayName = keyof typeof GATEWAYS;

export const WEB = { ipv4: '203.0.113.80', ipv6: '2001:db8:3::80' } as const;

/** The access networks: what the router is to the client, what it is to the internet. */
export const ACCESS = {
  home: { device: 'eth0', router: '10.66.1.1', client: '10.66.1.10', outside: '192.0.2.2', router6: '2001:db8:1:1::1', client6: '2001:db8:1:1::10' }, // prettier-ignore
  cafe: { device: 'eth1', router: '10.66.2.1', client: '10.66.2.10', outside: '192.0.2.18', router6: '2001:db8:1:2::1', client6: '2001:db8:1:2::10' }, // prettier-ignore
} as const;
export type AccessName = keyof typeof ACCESS;

/** Somebody else in the network at home: a second address of its router, so that packets to them are answered. */
export const NEIGHBOUR = '10.66.1.66';

export const RESOLV_CONF = `# handed out by the network at home\nnameserver ${ACCESS.home.router}\nnameserver ${WEB.ipv4}\n`;

export async function buildClientWorld(laboratory: Laboratory): Promise<ClientWorld> {
  const names = ['client', 'home', 'cafe', 'internet', 'gatewayA', 'gatewayB', 'gatewayC', 'web'] as const;
  const made = await Promise.all(names.map(async (name) => [name, await laboratory.namespace(name)] as const));
  const machines = Object.fromEntries(made) as Record<(typeof names)[number], NetworkNamespace>;
  const { client, home, cafe, internet, web } = machines;
  for (const router of [home, cafe, internet]) await router.forward();

  for (const [name, router, uplink, prefix6] of [
    ['home', home, '192.0.2.1', '2001:db8:4:1'],
    ['cafe', cafe, '192.0.2.17', '2001:db8:4:2'],
  ] as const) {
    const { outside } = ACCESS[name];
    await wire(
      { namespace: router, name: 'uplink', addresses: [`${outside}/28`, `${prefix6}::2/64`] },
      { namespace: internet, name, addresses: [`${uplink}/28`, `${prefix6}::1/64`] },
    );
    await router.route('0.0.0.0/0', 'via', uplink);
    await router.route('::/0', 'via', `${prefix6}::1`);
    await internet.route(`${ACCESS[name].router6}/64`.replace('::1/', '::/'), 'via', `${prefix6}::2`);
    await router.nft(`table ip access {
      chain translation { type nat hook postrouting priority srcnat; policy accept; oifname "uplink" masquerade; }
    }\n`);
    await attach({ client, router }, name);
  }
  await home.address('lan', `${NEIGHBOUR}/24`);

  for (const [name, network4, router, prefix6] of [
    ['gatewayA', 28, '198.51.100.17', '2001:db8:2:1'],
    ['gatewayB', 28, '198.51.100.33', '2001:db8:2:2'],
    ['gatewayC', 28, '198.51.100.49', '2001:db8:2:3'],
    ['web', 26, '203.0.113.65', '2001:db8:3'],
  ] as const) {
    const machine = machines[name];
    const { ipv4, ipv6 } = name === 'web' ? WEB : GATEWAYS[name];
    await wire(
      { namespace: machine, name: 'eth0', addresses: [`${ipv4}/${String(network4)}`, `${ipv6}/64`] },
      { namespace: internet, name, addresses: [`${router}/${String(network4)}`, `${prefix6}::1/64`] },
    );
    await machine.route('0.0.0.0/0', 'via', router);
    await machine.route('::/0', 'via', `${prefix6}::1`);
  }
  await goTo({ client }, 'home');
  const resolvConf = client.etc('resolv.conf', RESOLV_CONF);
  await serve(web, '../service/mirror.ts');
  return { laboratory, ...machines, resolvConf, nameServer: await serve(web, 'name-server.ts') };
}

async function serve(machine: NetworkNamespace, program: string): Promise<Process> {
  const started = await machine.start([process.execPath, join(import.meta.dirname, program)]);
  await until(program, () => {
    if (started.exit !== undefined) throw new Error(started.stderr);
    return started.stdout.includes('ready');
  });
  return started;
}

/** Joins the client to an access network, without a way out by it yet. */
async function attach(
  { client, router }: { client: NetworkNamespace; router: NetworkNamespace },
  name: AccessName,
): Promise<void> {
  const { device, router: address } = ACCESS[name];
  await wire(
    { namespace: client, name: device, addresses: [] },
    { namespace: router, name: 'lan', addresses: [`${address}/24`] },
  );
  await client.ip('link', 'set', device, 'down');
}

/** Leaves the network that the client is in, and joins another: as a lid that is closed here and opened there. */
export async function goTo({ client }: Pick<ClientWorld, 'client'>, name: AccessName): Promise<void> {
  await leave({ client }, name === 'home' ? 'cafe' : 'home');
  const { device, router, client: own } = ACCESS[name];
  await client.ip('link', 'set', device, 'up');
  await client.address(device, `${own}/24`);
  await client.route('0.0.0.0/0', 'via', router, 'dev', device);
}

/** Takes the cable out. */
export async function leave({ client }: Pick<ClientWorld, 'client'>, name: AccessName): Promise<void> {
  const { device } = ACCESS[name];
  await client.ip('address', 'flush', 'dev', device);
  await client.ip('link', 'set', device, 'down');
}

/** The network at home offers IPv6 from now on, and the client takes it, or no longer does. */
export async function offerIpv6({ client, home }: ClientWorld, offer: boolean): Promise<void> {
  const { router6, client6, device } = ACCESS.home;
  if (offer) {
    await home.address('lan', `${router6}/64`);
    await client.address(device, `${client6}/64`);
    await client.route('::/0', 'via', router6, 'dev', device);
    return;
  }
  await client.ip('-6', 'address', 'flush', 'dev', device, 'scope', 'global');
  await client.ip('-6', 'route', 'del', '::/0', 'dev', device);
  await home.ip('-6', 'address', 'del', `${router6}/64`, 'dev', 'lan');
}

/** What the destination saw of whoever asks it: an address; undefined where it was not reached. */
export async function seenFrom(
  machine: NetworkNamespace,
  address: string = WEB.ipv4,
  seconds = 20,
): Promise<string | undefined> {
  const host = address.includes(':') ? `[${address}]` : address;
  const argv = ['curl', '-s', '--noproxy', '*', '--max-time', String(seconds), `http://${host}/`];
  const run = await machine.run(argv, { allowFailure: true });
  return run.code === 0 ? run.stdout.trim() : undefined;
}
