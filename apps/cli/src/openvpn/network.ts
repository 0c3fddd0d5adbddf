import { readFileSync } from 'node:fs';
import { CommandRunner, findProgram, Ip, Nft, type IpFamily } from '@sallyport/io';
import type { NetworkSettings } from '@sallyport/openvpn';
import { z } from 'zod';
import { dnsMethod, setDns, unsetDns } from '../wg-quick/dns.ts';
import { setSrcValidMark } from '../wg-quick/up.ts';
import { planNetwork } from './network-plan.ts';
import type { TunnelRecord, Undo } from './record.ts';

const SRC_VALID_MARK = '/proc/sys/net/ipv4/conf/all/src_valid_mark';
const IPV6_DISABLED = '/proc/sys/net/ipv6/conf/all/disable_ipv6';

/** As `ip -json route` prints them. */
const shownRoutes = z.array(z.object({ gateway: z.string().optional(), dev: z.string().optional() }));

export function filterTableName(name: string): string {
  return `sallyport-openvpn-${name}`;
}

export function emptyUndo(): Undo {
  return { ip: [], filter: false };
}

export interface TunnelNetworkOptions {
  /** The interface. */
  readonly name: string;
  readonly record: TunnelRecord;
  /** Keeps the record: called before each change that it tells of. */
  readonly keep: () => void;
  readonly tell: (line: string) => void;
}

/** Addresses, routes, rules and name servers of a tunnel, as they were last set. */
export class TunnelNetwork {
  readonly #name: string;
  readonly #record: TunnelRecord;
  readonly #keep: () => void;
  readonly #tell: (line: string) => void;
  readonly #runner: CommandRunner;
  readonly #ip: Ip;

  constructor({ name, record, keep, tell }: TunnelNetworkOptions) {
    this.#name = name;
    this.#record = record;
    this.#keep = keep;
    this.#tell = tell;
    this.#runner = new CommandRunner((line) => {
      tell(`[#] ${line}`);
    });
    this.#ip = new Ip(this.#runner);
  }

  /** The programs that it calls and this machine lacks, in words with the remedy. */
  static missingPrograms(): string | undefined {
    const packages = { ip: 'iproute2', nft: 'nftables' };
    const missing = (['ip', 'nft'] as const).filter((program) => findProgram(program) === undefined);
    if (missing.length === 0) return undefined;
    const names = missing.map((program) => packages[program]).join(' ');
    return `the program "${missing.join('" and "')}" is not installed; run: apt-get install ${names}`;
  }

  /** Sets all of it; what was set before has been taken back. A failure leaves what {@link takeBack} undoes. */
  async set(given: NetworkSettings, mtu: number, server: string): Promise<void> {
    const settings = this.#withoutMissingIpv6(given);
    const name = this.#name;
    const { ipv4, ipv4Peer, ipv6 } = settings;
    if (ipv4 !== undefined && ipv4Peer === undefined) await this.#ip.addAddress(4, ipv4, name);
    if (ipv4 !== undefined && ipv4Peer !== undefined) {
      const local = ipv4.split('/')[0] ?? '';
      await this.#runner.change('ip', ['-4', 'address', 'add', local, 'peer', ipv4Peer, 'dev', name]);
    }
    if (ipv6 !== undefined) await this.#ip.addAddress(6, ipv6, name);
    await this.#ip.setLinkUp(name, mtu);
    await this.#setRoutes(settings, server);
    await this.#setNames(settings);
  }

  async #setRoutes(settings: NetworkSettings, server: string): Promise<void> {
    const { defaults, blockIpv6, routes, serverWithin } = planNetwork(settings, server);
    if (serverWithin) await this.#keepServerOutside(server);
    for (const { prefix, family, gateway, metric = settings.routeMetric } of routes) {
      const way = gateway === 'vpn' ? ['dev', this.#name] : await this.#wayBeside(gateway, family);
      if (way === undefined) this.#tell(`Warning: no route to ${prefix}: there is no default route beside the tunnel`);
      else await this.#addRoute(family, [prefix, ...way, ...(metric === undefined ? [] : ['metric', String(metric)])]);
    }
    const table = String(this.#record.mark);
    for (const family of defaults) {
      await this.#addRoute(family, ['default', 'dev', this.#name, 'table', table]);
      await this.#addRules(family, table, settings.blockLocal);
      await this.#addFilter(family, settings);
    }
    if (blockIpv6 && hasIpv6()) {
      await this.#addRoute(6, ['unreachable', 'default', 'table', table]);
      await this.#addRules(6, table, settings.blockLocal);
    }
    if (defaults.includes(4)) this.#validateMark();
  }

  /** How packets leave beside the tunnel: by the gateway that there was before, or by one that the profile names. */
  async #wayBeside(gateway: string, family: IpFamily): Promise<string[] | undefined> {
    if (gateway !== 'net') return ['via', gateway];
    return this.#way([`-${String(family)}`, 'route', 'show', 'default']);
  }

  /** A route of its own for the server, where one of the tunnel's would take it. */
  async #keepServerOutside(server: string): Promise<void> {
    const way = await this.#way(['route', 'get', server]);
    if (way !== undefined) await this.#addRoute(server.includes(':') ? 6 : 4, [server, ...way]);
  }

  /** Gateway and device of the first route that `ip` shows, other than the tunnel's own. */
  async #way(words: readonly string[]): Promise<string[] | undefined> {
    const routes: unknown = JSON.parse((await this.#runner.query('ip', ['-json', ...words])) || '[]');
    for (const { gateway, dev } of shownRoutes.parse(routes)) {
      if (dev === undefined || dev === this.#name) continue;
      return [...(gateway === undefined ? [] : ['via', gateway]), 'dev', dev];
    }
    return undefined;
  }

  /** A route that is there already stays, and is not taken away afterwards. */
  async #addRoute(family: IpFamily, words: readonly string[]): Promise<void> {
    const flag = `-${String(family)}`;
    const undo = [flag, 'route', 'delete', ...words];
    this.#record.undo.ip.unshift(undo);
    this.#keep();
    try {
      await this.#runner.change('ip', [flag, 'route', 'add', ...words]);
    } catch (error) {
      if (!(error instanceof Error) || !/File exists/.test(error.message)) throw error;
      this.#record.undo.ip.splice(this.#record.undo.ip.indexOf(undo), 1);
      this.#keep();
      this.#tell(`Warning: there is a route to ${words[0] ?? ''} already, which stays`);
    }
  }

  /** Sends everything into the tunnel but the tunnel's own datagrams and, mostly, what a more specific route takes. */
  async #addRules(family: IpFamily, table: string, blockLocal: boolean): Promise<void> {
    const selectors = [['not', 'fwmark', table, 'table', table]];
    if (!blockLocal) selectors.push(['table', 'main', 'suppress_prefixlength', '0']);
    for (const selector of selectors) {
      this.#record.undo.ip.unshift([`-${String(family)}`, 'rule', 'delete', ...selector]);
      this.#keep();
      await this.#ip.addRule(family, selector);
    }
  }

  /**
   * Packets for the tunnel's addresses are dropped where they come in by another interface; and the answers to the
   * tunnel's own datagrams get its mark back, so that strict reverse path filters let them in.
   */
  async #addFilter(family: IpFamily, { ipv4, ipv6 }: NetworkSettings): Promise<void> {
    const ip = family === 4 ? 'ip' : 'ip6';
    const own = (family === 4 ? ipv4 : ipv6)?.split('/')[0];
    const table = `${ip} ${filterTableName(this.#name)}`;
    const mark = String(this.#record.mark);
    this.#record.undo.filter = true;
    this.#keep();
    await new Nft(this.#runner).apply(
      [
        `add table ${table}`,
        `add chain ${table} preraw { type filter hook prerouting priority -300; }`,
        `add chain ${table} premangle { type filter hook prerouting priority -150; }`,
        `add chain ${table} postmangle { type filter hook postrouting priority -150; }`,
        `add rule ${table} preraw iifname != "${this.#name}" ${ip} daddr ${own ?? ''} fib saddr type != local drop`,
        `add rule ${table} postmangle meta l4proto { tcp, udp } meta mark ${mark} ct mark set meta mark`,
        `add rule ${table} premangle meta l4proto { tcp, udp } ct mark ${mark} meta mark set ct mark`,
        '',
      ].join('\n'),
    );
  }

  #validateMark(): void {
    const before = readFileSync(SRC_VALID_MARK, 'utf8').trim();
    if (before === '1') return;
    this.#record.undo.srcValidMark = before;
    this.#keep();
    setSrcValidMark(this.#runner, '1');
  }

  async #setNames({ dnsServers: servers, dnsSearch: search }: NetworkSettings): Promise<void> {
    if (servers.length === 0 && search.length === 0) return;
    const method = dnsMethod();
    this.#record.undo.dns = method;
    this.#keep();
    await setDns(this.#runner, method, this.#name, { servers, search }, `sallyport openvpn down ${this.#name}`);
  }

  /** Where the kernel has no IPv6, a tunnel with both is one for IPv4. */
  #withoutMissingIpv6(settings: NetworkSettings): NetworkSettings {
    if (settings.ipv6 === undefined || hasIpv6()) return settings;
    this.#tell('Warning: this machine has IPv6 switched off; the tunnel carries IPv4 alone');
    return { ...settings, ipv6: undefined };
  }

  /** Takes back what was set, but not the interface; returns what failed. */
  async takeBack(): Promise<string[]> {
    const failures = await undoNetwork(this.#name, this.#record.undo, this.#runner, this.#tell);
    Object.assign(this.#record.undo, { ip: [], filter: false, srcValidMark: undefined, dns: undefined });
    this.#keep();
    if ((await this.#ip.linkMtu(this.#name)) !== undefined) {
      await this.#runner.change('ip', ['address', 'flush', 'dev', this.#name]);
    }
    return failures;
  }
}

/** Undoes what a tunnel changed beside its interface; goes on where a step fails, and returns what did. */
export async function undoNetwork(
  name: string,
  undo: Undo,
  runner: CommandRunner,
  tell: (line: string) => void,
): Promise<string[]> {
  const failures: string[] = [];
  const attempt = async (step: string, action: () => Promise<void>): Promise<void> => {
    try {
      await action();
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      // Gone with the interface, or by somebody else's hand.
      if (!/No such process|No such file|Cannot find device/.test(message)) failures.push(`${step}: ${message}`);
    }
  };
  const { dns, srcValidMark } = undo;
  if (dns !== undefined) {
    await attempt('take back the name servers', async () => {
      const remark = await unsetDns(runner, dns, name);
      if (remark !== undefined) tell(`Warning: ${remark}`);
    });
  }
  if (undo.filter) {
    await attempt('remove the packet filter', async () => {
      await new Nft(runner).deleteTables(filterTableName(name));
    });
  }
  for (const words of undo.ip) await attempt(`ip ${words.join(' ')}`, () => runner.change('ip', words));
  if (srcValidMark !== undefined) {
    await attempt('set src_valid_mark back', () => {
      setSrcValidMark(runner, srcValidMark);
      return Promise.resolve();
    });
  }
  return failures;
}

function hasIpv6(): boolean {
  try {
    return readFileSync(IPV6_DISABLED, 'utf8').trim() === '0';
  } catch {
    return false;
  }
}
