import { join } from 'node:path';
import { until, wire, type Laboratory, type NetworkNamespace } from '@sallyport/netlab';

/**
 * The machines:
 *
 *     alice ─┐             ┌─ gateway 1 ─┬─ exchange ─┬─ internet host
 *     bob   ─┼─ provider ──┤             │            ├─ internal system, which admits one address alone
 *     admin ─┘      │      └─ gateway 2 ─┘            └─ provider (so that everybody reaches everybody directly too)
 *                   └───── exchange
 *
 * and a private network behind gateway 1. Addresses are from the blocks for documentation (RFC 5737, RFC 3849).
 */
export interface ServiceWorld {
  readonly laboratory: Laboratory;
  readonly alice: NetworkNamespace;
  readonly bob: NetworkNamespace;
  readonly admin: NetworkNamespace;
  readonly provider: NetworkNamespace;
  readonly gateway1: NetworkNamespace;
  readonly gateway2: NetworkNamespace;
  readonly internet: NetworkNamespace;
  readonly internal: NetworkNamespace;
  readonly privateHost: NetworkNamespace;
}

export const ADDRESSES = {
  gateway1: { endpoint: '198.51.100.20', ipv4: '203.0.113.20', ipv6: '2001:db8:3::20' },
  /** A second pair of gateway 1, for one group. */
  egress: { ipv4: '203.0.113.21', ipv6: '2001:db8:3::21' },
  gateway2: { endpoint: '198.51.100.36', ipv4: '203.0.113.30', ipv6: '2001:db8:3::30' },
  internet: { ipv4: '203.0.113.80', ipv6: '2001:db8:3::80' },
  internal: { ipv4: '203.0.113.90', ipv6: '2001:db8:3::90' },
  privateHost: { ipv4: '10.50.0.10', ipv6: 'fd50::10' },
  alice: '192.0.2.10',
} as const;

/** The port of the control plane on gateway 1. */
export const controlPort = 8443;

export async function buildServiceWorld(laboratory: Laboratory): Promise<ServiceWorld> {
  const names = [
    ...['alice', 'bob', 'admin', 'provider', 'gateway1', 'gateway2'],
    ...['internet', 'internal', 'private', 'exchange'],
  ];
  const made = new Map<string, NetworkNamespace>();
  for (const name of names) made.set(name, await laboratory.namespace(name));
  const of = (name: string): NetworkNamespace => made.get(name) ?? raise(name);
  const provider = of('provider');
  await provider.forward();

  // Each neighbour of the provider in a subnet of its own: the neighbour's name, its address, the provider's.
  const neighbours = [
    ['alice', '192.0.2.10', '192.0.2.9', '2001:db8:1:1'],
    ['bob', '192.0.2.26', '192.0.2.25', '2001:db8:1:2'],
    ['admin', '192.0.2.42', '192.0.2.41', '2001:db8:1:3'],
    ['gateway1', '198.51.100.20', '198.51.100.17', '2001:db8:2:1'],
    ['gateway2', '198.51.100.36', '198.51.100.33', '2001:db8:2:2'],
  ] as const;
  for (const [name, address, router, prefix] of neighbours) {
    const neighbour = of(name);
    await wire(
      { namespace: neighbour, name: 'to-provider', addresses: [`${address}/28`, `${prefix}::10/64`] },
      { namespace: provider, name: `to-${name}`, addresses: [`${router}/28`, `${prefix}::1/64`] },
    );
    if (name.startsWith('gateway')) {
      await neighbour.route('192.0.2.0/24', 'via', router);
      await neighbour.route('198.51.100.0/24', 'via', router);
      await neighbour.route('2001:db8:1::/48', 'via', `${prefix}::1`);
      await neighbour.route('2001:db8:2::/48', 'via', `${prefix}::1`);
    } else {
      await neighbour.route('0.0.0.0/0', 'via', router);
      await neighbour.route('::/0', 'via', `${prefix}::1`);
    }
  }

  const exchange = of('exchange');
  await exchange.ip('link', 'add', 'exchange', 'type', 'bridge');
  await exchange.ip('link', 'set', 'exchange', 'up');
  const ports = [
    ['gateway1', [ADDRESSES.gateway1, ADDRESSES.egress]],
    ['gateway2', [ADDRESSES.gateway2]],
    ['internet', [ADDRESSES.internet]],
    ['internal', [ADDRESSES.internal]],
    ['provider', [{ ipv4: '203.0.113.1', ipv6: '2001:db8:3::1' }]],
  ] as const;
  for (const [name, addresses] of ports) {
    const both = addresses.flatMap(({ ipv4, ipv6 }) => [`${ipv4}/24`, `${ipv6}/64`]);
    await wire(
      { namespace: of(name), name: 'to-exchange', addresses: both },
      { namespace: exchange, name, addresses: [] },
    );
    await exchange.ip('link', 'set', name, 'master', 'exchange');
  }
  for (const name of ['internet', 'internal']) {
    await of(name).route('0.0.0.0/0', 'via', '203.0.113.1');
    await of(name).route('::/0', 'via', '2001:db8:3::1');
  }

  await wire(
    { namespace: of('gateway1'), name: 'to-private', addresses: ['10.50.0.1/24', 'fd50::1/64'] },
    { namespace: of('private'), name: 'to-gateway', addresses: ['10.50.0.10/24', 'fd50::10/64'] },
  );
  await of('private').route('0.0.0.0/0', 'via', '10.50.0.1');
  await of('private').route('::/0', 'via', 'fd50::1');

  return {
    laboratory,
    alice: of('alice'),
    bob: of('bob'),
    admin: of('admin'),
    provider,
    gateway1: of('gateway1'),
    gateway2: of('gateway2'),
    internet: of('internet'),
    internal: of('internal'),
    privateHost: of('private'),
  };
}

function raise(name: string): never {
  throw new Error(`there is no machine ${name}`);
}

/** A web server on a host that answers with the address that it sees; both families, port 80. */
export async function startMirror(namespace: NetworkNamespace): Promise<void> {
  const server = await namespace.start([process.execPath, join(import.meta.dirname, 'mirror.ts')]);
  await until(`the web server on ${namespace.label}`, () => {
    if (server.exit !== undefined) throw new Error(`the web server ended: ${server.stderr}`);
    return server.stdout.includes('ready');
  });
}

/** Lets the internal system's web server be reached from one pair of addresses alone. */
export async function admitOnly(namespace: NetworkNamespace, ipv4: string, ipv6: string): Promise<void> {
  await namespace.nft(
    `table inet admission {
      chain input {
        type filter hook input priority filter; policy accept;
        tcp dport 80 ip saddr != ${ipv4} reject with tcp reset
        tcp dport 80 ip6 saddr != ${ipv6} reject with tcp reset
      }
    }\n`,
  );
}

/** What a host saw of whoever fetched its page: an address; undefined where the page could not be fetched. */
export async function seenFrom(namespace: NetworkNamespace, address: string): Promise<string | undefined> {
  const host = address.includes(':') ? `[${address}]` : address;
  // Whether it is reached shows by the connection; the page may take longer where the machine is full.
  const argv = ['curl', '-s', '--noproxy', '*', '--connect-timeout', '4', '--max-time', '30', `http://${host}/`];
  const run = await namespace.run(argv, { allowFailure: true });
  return run.code === 0 ? run.stdout.trim() : undefined;
}
