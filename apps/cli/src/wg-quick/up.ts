import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandRunner, findProgram, Ip, Nft } from '@sallyport/io';
import type { Route } from '@sallyport/io';
import { getDevice, listDevices, setDevice, UapiClientError } from '@sallyport/runtime';
import { encodeDeviceChange, formatIpAddress, formatIpPrefix, UNCHANGED_DEVICE } from '@sallyport/wireguard';
import type { DeviceChange, Endpoint, IpFamily } from '@sallyport/wireguard';
import type { WgQuickConfig } from './config.ts';
import type { DeviceProgram, ForegroundDevice } from './device-program.ts';
import { startInBackground, startInForeground } from './device-program.ts';
import { dnsMethod, setDns, unsetDns } from './dns.ts';
import { resolveEndpoint } from './endpoints.ts';
import { runHooks } from './hooks.ts';
import { defaultRouteFilter, nftTableName, planRoutes } from './plan.ts';
import type { RoutePlan } from './plan.ts';
import { claimRecord, writeRecord } from './session.ts';
import type { UpRecord } from './session.ts';

export interface UpRequest {
  readonly name: string;
  /** The configuration file's absolute path. */
  readonly file: string;
  readonly config: WgQuickConfig;
  readonly device: DeviceProgram;
  readonly foreground: boolean;
  /** How often the name of an endpoint is looked up again. */
  readonly resolutionRetries: number;
  /** Where it fires, everything is undone. */
  readonly signal: AbortSignal;
  /** Gets each command, and what is worth a line. */
  readonly tell: (line: string) => void;
}

/** A step failed; what was done before it has been undone, save what `leftovers` says. */
export class UpError extends Error {
  readonly code = 'upFailed';
  readonly leftovers: readonly string[];

  constructor(name: string, step: string, leftovers: readonly string[], cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super(`${name}: ${step}: ${why}`, { cause });
    this.name = 'UpError';
    this.leftovers = leftovers;
  }
}

/** What WireGuard adds to a packet at most: IPv6, UDP and its own headers. */
const OVERHEAD = 80;
const USUAL_MTU = 1500;
/** A gateway with thousands of peers has not as many ways out. */
const MAX_MTU_LOOKUPS = 32;
/** Where the search for a free routing table begins. */
const FIRST_TABLE = 51_820;
const SRC_VALID_MARK = '/proc/sys/net/ipv4/conf/all/src_valid_mark';

/** Brings a tunnel up as wg-quick(8) does. Resolves when all is done; what fails undoes everything in reverse. */
export async function bringUp(request: UpRequest): Promise<ForegroundDevice | undefined> {
  return new Up(request).run();
}

class Up {
  readonly #request: UpRequest;
  readonly #runner: CommandRunner;
  readonly #ip: Ip;
  readonly #nft: Nft;
  readonly #plan: RoutePlan;
  readonly #record: UpRecord;
  readonly #undo: { readonly step: string; readonly run: () => Promise<void> }[] = [];
  #step = '';
  #endpoints: readonly (Endpoint | undefined)[] = [];
  #foreground: ForegroundDevice | undefined;

  constructor(request: UpRequest) {
    this.#request = request;
    this.#runner = new CommandRunner((line) => {
      request.tell(`[#] ${line}`);
    });
    this.#ip = new Ip(this.#runner);
    this.#nft = new Nft(this.#runner);
    this.#plan = planRoutes(request.config);
    this.#record = { configFile: request.file };
  }

  async run(): Promise<ForegroundDevice | undefined> {
    const { config, name } = this.#request;
    const hooks = async (commands: readonly string[]) => {
      await runHooks(
        commands,
        name,
        (line) => {
          this.#request.tell(`[#] ${line}`);
        },
        this.#request.signal,
      );
    };
    try {
      await this.#do('check what the tunnel needs', () => this.#check());
      await this.#do('PreUp', () => hooks(config.preUp));
      await this.#do('create the interface', () => this.#createInterface());
      await this.#do('find the endpoints', () => this.#findEndpoints());
      await this.#do('configure the device', () => this.#configure());
      await this.#do('add the addresses', () => this.#addAddresses());
      await this.#do('set the interface up', () => this.#setUp());
      await this.#do('set the name servers', () => this.#setDns());
      await this.#do('add the routes', () => this.#addRoutes());
      await this.#do('PostUp', () => hooks(config.postUp));
      return this.#foreground;
    } catch (error) {
      throw new UpError(name, this.#step, await this.#undoAll(), error);
    }
  }

  async #do(step: string, action: () => Promise<void>): Promise<void> {
    this.#step = step;
    if (this.#request.signal.aborted) throw new Error('interrupted');
    await action();
  }

  /** Whatever fails here is named before anything is touched. */
  async #check(): Promise<void> {
    const { name } = this.#request;
    const missing = ['ip', ...(this.#plan.defaults.length > 0 ? ['nft'] : [])].filter(
      (p) => findProgram(p) === undefined,
    );
    if (missing.length > 0) {
      const packages = missing.map((program) => (program === 'ip' ? 'iproute2' : 'nftables')).join(' ');
      throw new Error(`the program "${missing.join('" and "')}" is not installed; run: apt-get install ${packages}`);
    }
    if ((await this.#ip.linkMtu(name)) !== undefined) {
      throw new Error(`the interface ${name} exists already; take it down with: sallyport wg down ${name}`);
    }
    if (await isDeviceRunning(name)) {
      throw new Error(`a device ${name} is running in another network namespace; rename the configuration file`);
    }
  }

  async #createInterface(): Promise<void> {
    const { name, device, foreground, signal } = this.#request;
    this.#runner.tell(`${device.title} ${foreground ? '--foreground ' : ''}${name}`);
    this.#undo.push({
      step: 'remove the interface',
      run: () => removeInterface(this.#ip, name),
    });
    if (foreground) this.#foreground = await startInForeground(device, name, signal);
    else await startInBackground(device, name, signal);
    this.#undo.push({
      step: 'remove the record',
      run: () => {
        claimRecord(name);
        return Promise.resolve();
      },
    });
    writeRecord(name, this.#record);
  }

  async #findEndpoints(): Promise<void> {
    const { config, signal, tell, resolutionRetries: retries } = this.#request;
    const options = { retries, signal, tell };
    this.#endpoints = await Promise.all(
      config.peers.map(async ({ endpoint }) =>
        endpoint === undefined ? undefined : resolveEndpoint(endpoint, options),
      ),
    );
  }

  async #configure(): Promise<void> {
    const { config, name } = this.#request;
    const change: DeviceChange = {
      privateKey: config.privateKey,
      listenPort: config.listenPort,
      fwmark: config.fwmark,
      ...(config.variant !== undefined && { variant: config.variant }),
      replacePeers: true,
      peers: config.peers.map((peer, i) => ({
        publicKey: peer.publicKey,
        remove: false,
        updateOnly: false,
        presharedKey: peer.presharedKey,
        endpoint: this.#endpoints[i],
        persistentKeepalive: peer.persistentKeepalive,
        replaceAllowedIps: true,
        allowedIps: peer.allowedIps.map((prefix) => ({ ...prefix, remove: false })),
      })),
    };
    this.#runner.tell(`configure ${name} from ${this.#request.file}`);
    await setDevice(name, encodeDeviceChange(change));
  }

  async #addAddresses(): Promise<void> {
    const { config, name } = this.#request;
    for (const address of config.addresses) await this.#ip.addAddress(address.family, formatIpPrefix(address), name);
  }

  async #setUp(): Promise<void> {
    const { config, name } = this.#request;
    await this.#ip.setLinkUp(name, config.mtu ?? (await this.#findMtu()) - OVERHEAD);
  }

  /** The largest MTU on the way to an endpoint, or else of a default route. */
  async #findMtu(): Promise<number> {
    let mtu = 0;
    const hosts = new Set(this.#endpoints.flatMap((endpoint) => (endpoint ? formatIpAddress(endpoint.address) : [])));
    for (const host of [...hosts].slice(0, MAX_MTU_LOOKUPS)) {
      const route = await this.#ip.routeTo(host);
      if (route !== undefined) mtu = Math.max(mtu, await this.#mtuOf(route));
    }
    if (mtu === 0) {
      const routes = [...(await this.#ip.defaultRoutes(4)), ...(await this.#ip.defaultRoutes(6))];
      if (routes[0] !== undefined) mtu = await this.#mtuOf(routes[0]);
    }
    return mtu > 0 ? mtu : USUAL_MTU;
  }

  async #mtuOf(route: Route): Promise<number> {
    if (route.mtu !== undefined) return route.mtu;
    return route.device === undefined ? 0 : ((await this.#ip.linkMtu(route.device)) ?? 0);
  }

  async #setDns(): Promise<void> {
    const { config, name } = this.#request;
    if (config.dnsServers.length === 0 && config.dnsSearch.length === 0) return;
    const method = dnsMethod();
    this.#undo.push({
      step: 'take back the name servers',
      run: async () => {
        await unsetDns(this.#runner, method, name);
      },
    });
    this.#record.dns = method;
    writeRecord(name, this.#record);
    await setDns(this.#runner, method, name, { servers: config.dnsServers, search: config.dnsSearch });
  }

  async #addRoutes(): Promise<void> {
    const { table, routes, defaults } = this.#plan;
    for (const [family, prefixes] of routes) await this.#ip.addRoutes(family, prefixes, this.#request.name, table);
    if (defaults.length === 0) return;
    const mark = await this.#chooseMark();
    for (const family of defaults) await this.#addDefault(family, mark);
  }

  /** The mark of the device's own datagrams, and the number of the table that all others look at. */
  async #chooseMark(): Promise<number> {
    const { config, name } = this.#request;
    if (config.fwmark !== undefined && config.fwmark !== 0) return config.fwmark;
    let table = FIRST_TABLE;
    const inUse = async (family: IpFamily) => (await this.#ip.routes(family, String(table))).length > 0;
    while ((await inUse(4)) || (await inUse(6))) table++;
    this.#runner.tell(`wg set ${name} fwmark ${String(table)}`);
    await setDevice(name, encodeDeviceChange({ ...UNCHANGED_DEVICE, fwmark: table }));
    return table;
  }

  /** Sends everything into the tunnel but the tunnel's own datagrams and what a more specific route takes. */
  async #addDefault(family: IpFamily, mark: number): Promise<void> {
    const { config, name } = this.#request;
    const table = String(mark);
    const add = async (selector: readonly string[]) => {
      await this.#ip.addRule(family, selector);
      this.#undo.push({ step: 'remove the rule', run: () => this.#ip.deleteRule(family, selector) });
    };
    this.#record.defaultTable = mark;
    this.#record.defaultFamilies = [...(this.#record.defaultFamilies ?? []), family];
    writeRecord(name, this.#record);
    await this.#ip.addRoutes(family, [family === 4 ? '0.0.0.0/0' : '::/0'], name, table);
    await add(['not', 'fwmark', table, 'table', table]);
    await add(['table', 'main', 'suppress_prefixlength', '0']);
    if (family === 4) this.#validateMark();
    if (this.#record.defaultFamilies.length === 1) {
      this.#undo.push({
        step: 'remove the packet filter',
        run: async () => {
          await this.#nft.deleteTables(nftTableName(name));
        },
      });
    }
    await this.#nft.apply(defaultRouteFilter(name, family, mark, config.addresses));
  }

  /** Reverse path filters have to look at marks, or they drop the tunnel's datagrams that come in. */
  #validateMark(): void {
    const before = readFileSync(SRC_VALID_MARK, 'utf8').trim();
    if (before === '1') return;
    this.#record.srcValidMark = before;
    writeRecord(this.#request.name, this.#record);
    this.#undo.push({
      step: 'set src_valid_mark back',
      run: () => {
        setSrcValidMark(this.#runner, before);
        return Promise.resolve();
      },
    });
    setSrcValidMark(this.#runner, '1');
  }

  /** Undoes in reverse what was done; returns what could not be undone. */
  async #undoAll(): Promise<string[]> {
    const leftovers: string[] = [];
    for (const { step, run } of this.#undo.reverse()) {
      try {
        await run();
      } catch (error) {
        leftovers.push(`${step}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
    await this.#foreground?.stop();
    return leftovers;
  }
}

const GONE_TIMEOUT_MS = 3000;
const POLL_MS = 20;

/** Whether something answers on the device's socket. */
export async function isDeviceRunning(name: string): Promise<boolean> {
  try {
    await getDevice(name);
    return true;
  } catch (error) {
    if (error instanceof UapiClientError && error.code === 'noDevice') return false;
    throw error;
  }
}

/** Removes an interface, if it is there, and waits until its device has ended with it. */
export async function removeInterface(ip: Ip, name: string): Promise<void> {
  if ((await ip.linkMtu(name)) === undefined) return;
  await ip.deleteLink(name);
  const deadline = performance.now() + GONE_TIMEOUT_MS;
  while (listDevices().includes(name) && performance.now() < deadline) await sleep(POLL_MS);
}

/** Sets net.ipv4.conf.all.src_valid_mark. */
export function setSrcValidMark(runner: CommandRunner, value: string): void {
  runner.tell(`sysctl -q net.ipv4.conf.all.src_valid_mark=${value}`);
  writeFileSync(SRC_VALID_MARK, value);
}
