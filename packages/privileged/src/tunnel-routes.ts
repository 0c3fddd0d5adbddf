import { networkInterfaces } from 'node:os';
import { CommandError, Ip } from '@sallyport/io';
import type { CommandRunner } from '@sallyport/io';
import { faultOfNetwork, parsePrefix, prefixContains, prefixesOverlap } from '@sallyport/policy';
import { familyOf, flag, NETWORKS_TABLE, type TunnelInterface } from './tunnel-interface.ts';

/** The most devices with an MTU of their own. */
const MAX_DEVICE_MTUS = 16_384;

/** What can't be done, in words. */
export class RouteError extends Error {}

/** Routes to the tunnel beside those of the pools. They go with the interface. */
export class TunnelRoutes {
  readonly #interface: TunnelInterface;
  readonly #runner: CommandRunner;
  readonly #ip: Ip;
  readonly #networks = new Set<string>();
  /** By IPv4 address. */
  readonly #mtus = new Map<string, { readonly ipv6: string; readonly mtu: number }>();

  constructor(tunnel: TunnelInterface, runner: CommandRunner) {
    this.#interface = tunnel;
    this.#runner = runner;
    this.#ip = new Ip(runner);
  }

  /**
   * Routes these networks, and no others any more. One that meets an address of this machine, or a route that leads
   * elsewhere, isn't: it would take that network from the machine itself. Throws a CommandError.
   */
  async setNetworks(networks: readonly string[]): Promise<{ network: string; meets: string }[]> {
    const taken = networks.length === 0 ? [] : await this.#taken();
    const refused: { network: string; meets: string }[] = [];
    const wanted = new Set<string>();
    for (const network of networks) {
      const meets = taken.find((other) => prefixesOverlap(network, other));
      if (meets === undefined) wanted.add(network);
      else refused.push({ network, meets });
    }
    for (const network of this.#networks) if (!wanted.has(network)) await this.#change('delete', network);
    for (const network of wanted) if (!this.#networks.has(network)) await this.#change('replace', network);
    return refused;
  }

  /** Makes `mtu` the largest packet to a device, which its senders are told of; null takes that back. */
  async setDeviceMtu(ipv4: string, ipv6: string, mtu: number | null): Promise<void> {
    const known = this.#mtus.get(ipv4);
    if (known?.mtu === mtu && known.ipv6 === ipv6) return;
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
    this.#mtus.set(ipv4, { ipv6, mtu });
    // Locked: forwarded packets of IPv6 heed no other, and older kernels' of IPv4 neither.
    for (const address of [ipv4, ipv6])
      await this.#runner.change('ip', [flag(familyOf(address)), 'route', 'replace', hostRoute(address), 'dev', this.#interface.name, 'mtu', 'lock', String(mtu)]); // prettier-ignore
  }

  /** After the interface is down: the kernel has taken the routes away. */
  forget(): void {
    this.#networks.clear();
    this.#mtus.clear();
  }

  async #change(verb: 'replace' | 'delete', network: string): Promise<void> {
    const command = [flag(familyOf(network)), 'route', verb, network, 'dev', this.#interface.name, 'table', NETWORKS_TABLE]; // prettier-ignore
    if (verb === 'replace') {
      this.#networks.add(network);
      await this.#runner.change('ip', command);
    } else {
      await this.#runner.change('ip', command).catch(unlessGone);
      this.#networks.delete(network);
    }
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
  if (!(error instanceof CommandError && /No such (process|file)|Cannot find device/.test(error.stderr))) throw error;
}
