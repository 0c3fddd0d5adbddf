import { networkInterfaces } from 'node:os';
import { CommandError, Ip } from '@sallyport/io';
import type { CommandRunner } from '@sallyport/io';
import { faultOfNetwork, parsePrefix, prefixContains, prefixesOverlap } from '@sallyport/policy';
import { familyOf, flag, NETWORKS_TABLE, type TunnelInterface } from './tunnel-interface.ts';

/** The most devices with an MTU of their own. */
const MAX_DEVICE_MTUS = 16_384;

/** Where a network's route leads: `unsure` after a fault. */
type Way = 'tunnel' | 'nowhere' | 'unsure';

/** What can't be done, in words. */
export class RouteError extends Error {}

/** Routes to the tunnel beside those of the pools. They go with the interface, or with {@link forget}. */
export class TunnelRoutes {
  readonly #interface: TunnelInterface;
  readonly #runner: CommandRunner;
  readonly #ip: Ip;
  readonly #networks = new Map<string, Way>();
  #begun = false;
  /** By IPv4 address. Without an MTU it is not known which routes there are: setting them has failed. */
  readonly #mtus = new Map<string, { readonly ipv6: string; readonly mtu?: number }>();

  constructor(tunnel: TunnelInterface, runner: CommandRunner) {
    this.#interface = tunnel;
    this.#runner = runner;
    this.#ip = new Ip(runner);
  }

  /**
   * Routes these networks, and no others any more. One that meets an address of this machine, or a route that leads
   * elsewhere, isn't: the filter would take that network from the machine itself. To what is unreachable, or was refused,
   * nothing goes from the tunnel. Throws a CommandError.
   */
  async setNetworks(
    networks: readonly string[],
    unreachable: readonly string[],
  ): Promise<{ network: string; meets: string }[]> {
    const taken = networks.length === 0 ? [] : await this.#taken();
    const refused: { network: string; meets: string }[] = [];
    const wanted = new Map(unreachable.map((network): [string, Way] => [network, 'nowhere']));
    for (const network of networks) {
      const meets = taken.find((other) => prefixesOverlap(network, other));
      wanted.set(network, meets === undefined ? 'tunnel' : 'nowhere');
      if (meets !== undefined) refused.push({ network, meets });
    }
    // Nothing is between the two routes of a network that is cut off: the one takes the other's place.
    for (const [network, way] of wanted) if (this.#networks.get(network) !== way) await this.#route(network, way);
    for (const network of this.#networks.keys()) if (!wanted.has(network)) await this.#unroute(network);
    return refused;
  }

  /** Makes `mtu` the largest packet to a device, which its senders are told of; null takes that back. */
  async setDeviceMtu(ipv4: string, ipv6: string, mtu: number | null): Promise<void> {
    const known = this.#mtus.get(ipv4);
    if (known?.mtu !== undefined && known.mtu === mtu && known.ipv6 === ipv6) return;
    if (known !== undefined && (mtu === null || known.ipv6 !== ipv6)) {
      await this.#delete(hostRoute(ipv4));
      await this.#delete(hostRoute(known.ipv6));
      this.#mtus.delete(ipv4);
    }
    if (mtu === null) return;
    if (known === undefined && this.#mtus.size >= MAX_DEVICE_MTUS) throw new RouteError('too many devices have an MTU of their own'); // prettier-ignore
    const pools = this.#interface.pools.flatMap((pool) => parsePrefix(pool) ?? []);
    for (const address of [ipv4, ipv6]) {
      const host = parsePrefix(address);
      if (host === undefined || !pools.some((pool) => prefixContains(pool, host)))
        throw new RouteError(`${address} is not routed to the tunnel`);
    }
    this.#mtus.set(ipv4, { ipv6 });
    // Locked: forwarded packets of IPv6 heed no other, and older kernels' of IPv4 neither.
    for (const address of [ipv4, ipv6])
      await this.#runner.change('ip', [flag(familyOf(address)), 'route', 'replace', hostRoute(address), 'dev', this.#interface.name, 'mtu', 'lock', String(mtu)]); // prettier-ignore
    this.#mtus.set(ipv4, { ipv6, mtu });
  }

  /** After the interface is down: the kernel has taken the routes away that lead there. */
  async forget(): Promise<void> {
    this.#mtus.clear();
    await this.#flush();
  }

  /** Takes away what an earlier process has left, whose interface is gone. To be called before the first route. */
  async begin(): Promise<void> {
    if (!this.#begun) await this.#flush();
    this.#begun = true;
  }

  async #flush(): Promise<void> {
    for (const family of ['-4', '-6'])
      await this.#runner.change('ip', [family, 'route', 'flush', 'table', NETWORKS_TABLE]).catch(unlessGone);
    this.#networks.clear();
  }

  async #route(network: string, way: Way): Promise<void> {
    const to = way === 'tunnel' ? [network, 'dev', this.#interface.name] : ['unreachable', network];
    this.#networks.set(network, 'unsure');
    await this.#runner.change('ip', [flag(familyOf(network)), 'route', 'replace', ...to, 'table', NETWORKS_TABLE]);
    this.#networks.set(network, way);
  }

  async #unroute(network: string): Promise<void> {
    const command = [flag(familyOf(network)), 'route', 'delete', network, 'table', NETWORKS_TABLE];
    await this.#runner.change('ip', command).catch(unlessGone);
    this.#networks.delete(network);
  }

  async #delete(prefix: string): Promise<void> {
    const command = [flag(familyOf(prefix)), 'route', 'delete', prefix, 'dev', this.#interface.name];
    await this.#runner.change('ip', command).catch(unlessGone);
  }

  /** What this machine has already: its addresses, and routes that lead elsewhere than the tunnel, default ones aside. */
  async #taken(): Promise<string[]> {
    const { name, pools } = this.#interface;
    const addresses = Object.entries(networkInterfaces()).flatMap(([device, list]) =>
      device === name ? [] : (list ?? []).map(({ address }) => address.split('%')[0]),
    );
    const routes = [...(await this.#ip.routes(4, 'main')), ...(await this.#ip.routes(6, 'main'))];
    const elsewhere = routes.flatMap(({ destination, device }) => {
      const prefix = parsePrefix(destination);
      if (device === name || prefix === undefined) return [];
      const text = destination.includes('/') ? destination : hostRoute(destination);
      // What could be no network behind a device is a default route, or a half of one.
      return faultOfNetwork(text, []) === undefined ? [text] : [];
    });
    return [...pools, ...addresses, ...elsewhere];
  }
}

function hostRoute(address: string): string {
  return `${address}/${address.includes(':') ? '128' : '32'}`;
}

function unlessGone(error: unknown): void {
  if (!(
    error instanceof CommandError && /No such (process|file)|Cannot find device|table does not exist/.test(error.stderr)
  ))
    throw error;
}
