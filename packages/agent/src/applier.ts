import { faultOfNetwork, MAX_CONNECTED_NETWORKS, parseAddress, usableNetworks } from '@sallyport/policy';
import type { DesiredState, DevicePlan, FirewallPlan, GatewayPlan } from '@sallyport/policy';
import type { Privileged } from '@sallyport/privileged';
import { TUNNEL_SERVICE_PORT } from '@sallyport/tunnel-service';
import type { Clock } from './clock.ts';
import type { Names } from './names.ts';
import type { Tunnel } from './tunnel.ts';

const NAMES_PORT = 53;
/** What stood in a network's way may be gone. */
const LOOK_AGAIN_MS = 60_000;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 15_000;
/** A timer's longest wait for the next expiry; then it looks again. */
const LONGEST_WAIT_MS = 3_600_000;

export interface ApplierOptions {
  readonly tunnels: readonly Tunnel[];
  readonly privileged: Privileged;
  readonly clock: Clock;
  readonly names: Names;
  readonly interfaceName: string;
  readonly mtu: number;
  readonly localTcpPorts: readonly number[];
  /** This machine's addresses now. */
  readonly ownAddresses: () => readonly string[];
  /** Called just before these devices are refused, for their last counters. */
  readonly leaving: () => void;
  /** What hinders the state from being in force, in an operator's words; undefined when nothing does any more. */
  readonly onProblem: (problem: string | undefined) => void;
  /** Networks behind devices that can't be routed here, in an operator's words; undefined where all can. */
  readonly onNetworks: (problem: string | undefined) => void;
  /** The interface has the gateway's addresses, behind the filter. At each state that is in force. */
  readonly onConfigured: (gateway: GatewayPlan) => void;
  readonly onApplied?: ((seconds: number, devices: number) => void) | undefined;
}

/**
 * Brings tunnels and packet filter to the desired state, in an order in which nothing is open that should not be: who is
 * refused is refused by the tunnel at once and then by the filter; who is admitted is known to the filter first.
 *
 * One transaction of the filter is under way at a time. What is wanted meanwhile waits, and only the newest of it is done.
 */
export class Applier {
  readonly #options: ApplierOptions;
  #wanted: DesiredState | undefined;
  /** The devices of the wanted state that may connect now. */
  #valid: ReadonlyMap<string, DevicePlan> = new Map();
  /** Those that the tunnels admit. */
  readonly #admitted = new Map<string, DevicePlan>();
  #generation = 0;
  #waiting: { readonly generation: number; readonly done: () => void }[] = [];
  #working = false;
  #configured = '';
  /** The networks that the helper was asked to route, and what of this machine some of them met. */
  #networks: string | undefined = '';
  readonly #met = new Set<string>();
  #networkFaults: string | undefined;
  #cancelLook: (() => void) | undefined;
  #forwarding = false;
  #cancelExpiry: (() => void) | undefined;
  #cancelRetry: (() => void) | undefined;
  #retryMs = FIRST_RETRY_MS;
  #stopped = false;

  constructor(options: ApplierOptions) {
    this.#options = options;
  }

  get state(): DesiredState | undefined {
    return this.#wanted;
  }

  /** The devices that may connect now, by id; another map where they are others. */
  get devices(): ReadonlyMap<string, DevicePlan> {
    return this.#valid;
  }

  /** Makes `state` the wanted one, and settles when it, or one that came after it, is in force. */
  apply(state: DesiredState): Promise<void> {
    this.#wanted = state;
    this.#options.names.want(namesOf(state));
    return this.refresh();
  }

  /** Looks again: a name's addresses have changed, or the machine's. */
  refresh(): Promise<void> {
    this.#look();
    return new Promise((done) => {
      this.#waiting.push({ generation: ++this.#generation, done });
      this.#work();
    });
  }

  /** Refuses everybody, in the tunnels and in the filter. */
  async refuseAll(): Promise<void> {
    const state = this.#wanted;
    if (state === undefined) return;
    await this.apply({ ...state, groups: new Map(), devices: new Map() });
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelExpiry?.();
    this.#cancelRetry?.();
    this.#cancelLook?.();
  }

  /** What time and state say about who may connect; who may not any more is refused on the spot. */
  #look(): void {
    const state = this.#wanted;
    if (state === undefined || this.#stopped) return;
    const now = this.#options.clock.now();
    const valid = new Map<string, DevicePlan>();
    let next = Infinity;
    for (const device of state.devices.values()) {
      const { validUntil } = device;
      if (validUntil !== undefined && validUntil <= now) continue;
      if (validUntil !== undefined && validUntil < next) next = validUntil;
      valid.set(device.id, device);
    }
    this.#valid = this.#withUsableNetworks(state, valid);
    const refused: DevicePlan[] = [];
    const lessened: DevicePlan[] = [];
    for (const device of this.#admitted.values()) {
      const wanted = this.#valid.get(device.id);
      if (!sameInTunnel(device, wanted)) refused.push(device);
      else {
        const left = (device.networks ?? []).filter((network) => wanted?.networks?.includes(network));
        if (left.length < (device.networks?.length ?? 0)) lessened.push({ ...device, networks: left });
      }
    }
    if (lessened.length > 0) {
      for (const device of lessened) this.#admitted.set(device.id, device);
      for (const tunnel of this.#options.tunnels) tunnel.apply({ put: lessened, remove: [] });
    }
    if (refused.length > 0) {
      this.#options.leaving();
      for (const { id } of refused) this.#admitted.delete(id);
      for (const tunnel of this.#options.tunnels) tunnel.apply({ put: [], remove: refused });
    }
    this.#cancelExpiry?.();
    this.#cancelExpiry = undefined;
    if (next < Infinity)
      this.#cancelExpiry = this.#options.clock.after(Math.min(next - now, LONGEST_WAIT_MS), () => void this.refresh());
  }

  /** The devices with those of their networks that can be routed. */
  #withUsableNetworks(
    { gateway }: DesiredState,
    devices: ReadonlyMap<string, DevicePlan>,
  ): ReadonlyMap<string, DevicePlan> {
    const taken = [gateway.pool4, gateway.pool6, ...this.#options.ownAddresses(), ...this.#met];
    const { byDevice, faults } = usableNetworks(devices.values(), taken);
    const all = faults.slice(0, 5).join(', ');
    this.#networkFaults = faults.length === 0 ? undefined : `networks behind devices are left out: ${all}`;
    if (faults.length === 0) return devices;
    return new Map(Array.from(devices, ([id, device]) => [id, { ...device, networks: byDevice.get(id) }]));
  }

  #work(): void {
    if (this.#working || this.#stopped) return;
    this.#cancelRetry?.();
    this.#working = true;
    void this.#bringAbout().finally(() => {
      this.#working = false;
    });
  }

  async #bringAbout(): Promise<void> {
    for (;;) {
      const state = this.#wanted;
      const generation = this.#generation;
      const devices = this.#valid;
      const start = performance.now();
      if (state !== undefined) {
        // Routes first: what can't be routed must not be kept out by the filter where it comes from elsewhere, nor let
        // through by it.
        const first = this.#configured === '';
        const routing = first ? undefined : await this.#routeNetworks(state, devices);
        if (generation !== this.#generation) continue;
        const reached = first || routing !== undefined ? withoutNetworks(devices) : devices;
        const problem = (await this.#setKernel(state, reached)) ?? routing;
        if (this.#stopped) return;
        if (generation === this.#generation) this.#options.onNetworks(this.#networkFaults);
        if (problem !== undefined) {
          this.#options.onProblem(problem);
          // Something newer may succeed where this did not.
          if (generation !== this.#generation) continue;
          this.#cancelRetry = this.#options.clock.after(this.#retryMs, () => {
            this.#work();
          });
          this.#retryMs = Math.min(this.#retryMs * 2, LAST_RETRY_MS);
          return;
        }
        this.#retryMs = FIRST_RETRY_MS;
        // Now there is an interface to route to.
        if (first && connectedNetworks(state).length > 0) continue;
        this.#options.onProblem(undefined);
        this.#admit(devices);
        this.#options.onConfigured(state.gateway);
        this.#options.onApplied?.((performance.now() - start) / 1000, devices.size);
      }
      this.#waiting = this.#waiting.filter((waiting) => {
        if (waiting.generation > generation) return true;
        waiting.done();
        return false;
      });
      if (generation === this.#generation) return;
    }
  }

  /** Admits those whom the filter knows now, where nobody has thought better of it meanwhile. */
  #admit(known: ReadonlyMap<string, DevicePlan>): void {
    const put: DevicePlan[] = [];
    for (const device of known.values()) {
      const wanted = this.#valid.get(device.id);
      if (!sameInTunnel(device, wanted) || !sameNetworks(device, wanted)) continue;
      const admitted = this.#admitted.get(device.id);
      if (!sameInTunnel(device, admitted) || !sameNetworks(device, admitted)) put.push(device);
      this.#admitted.set(device.id, device);
    }
    if (put.length > 0) for (const tunnel of this.#options.tunnels) tunnel.apply({ put, remove: [] });
  }

  /** Packet filter, then addresses and forwarding: the interface comes up behind the filter. What failed, or undefined. */
  async #setKernel(state: DesiredState, devices: ReadonlyMap<string, DevicePlan>): Promise<string | undefined> {
    const { privileged, mtu } = this.#options;
    try {
      const filter = await privileged.request({ kind: 'setFirewall', plan: this.#plan(state, devices) });
      if (filter.error !== undefined) return `the packet filter could not be set: ${filter.error.message}`;
      const { address4, address6, pool4, pool6 } = state.gateway;
      const addresses = [`${address4}/32`, `${address6}/128`];
      const routes = [pool4, pool6];
      const configuration = [...addresses, ...routes].join(' ');
      if (configuration !== this.#configured) {
        const answer = await privileged.request({ kind: 'configureInterface', addresses, routes, mtu });
        if (answer.error !== undefined) return `the interface could not be set up: ${answer.error.message}`;
        this.#configured = configuration;
      }
      if (!this.#forwarding) {
        const answer = await privileged.request({ kind: 'enableForwarding' });
        if (answer.error !== undefined) return `forwarding could not be enabled: ${answer.error.message}`;
        this.#forwarding = true;
      }
      return undefined;
    } catch (error) {
      return `the privileged helper does not answer: ${(error as Error).message}`;
    }
  }

  /** Has the networks behind devices routed to the tunnel. Those that can't be are left out from then on. What failed. */
  async #routeNetworks(state: DesiredState, devices: ReadonlyMap<string, DevicePlan>): Promise<string | undefined> {
    const networks = Array.from(devices.values(), (device) => device.networks ?? []).flat();
    const routed = new Set(networks);
    const unreachable = connectedNetworks(state)
      .filter((network) => !routed.has(network))
      .slice(0, MAX_CONNECTED_NETWORKS);
    const key = networks.length + unreachable.length === 0 ? '' : `${networks.join(' ')}|${unreachable.join(' ')}`;
    if (key === this.#networks) return undefined;
    try {
      const request = { kind: 'setNetworks', networks, unreachable } as const;
      const { error, refused = [] } = await this.#options.privileged.request(request);
      this.#networks = error === undefined ? key : undefined;
      if (error !== undefined) return `networks behind devices could not be routed: ${error.message}`;
      if (refused.length === 0) return undefined;
      for (const { meets } of refused) this.#met.add(meets);
      this.#look();
      this.#generation++;
      this.#cancelLook?.();
      this.#cancelLook = this.#options.clock.after(LOOK_AGAIN_MS, () => {
        this.#met.clear();
        void this.refresh();
      });
      return undefined;
    } catch (error) {
      return `the privileged helper does not answer: ${(error as Error).message}`;
    }
  }

  #plan(state: DesiredState, devices: ReadonlyMap<string, DevicePlan>): FirewallPlan {
    const { interfaceName, localTcpPorts, ownAddresses, names } = this.#options;
    const { pool4, pool6, address4, address6, egress } = state.gateway;
    return {
      interfaceName,
      gateway: { pool4, pool6, address4, address6, egress },
      ownAddresses: ownAddresses(),
      localTcpPorts,
      tunnelPorts:
        state.gateway.names === undefined
          ? { udp: [TUNNEL_SERVICE_PORT], tcp: [] }
          : { udp: [NAMES_PORT, TUNNEL_SERVICE_PORT], tcp: [NAMES_PORT] },
      neighbours: state.gateway.neighbours ?? [],
      connectedNetworks: connectedNetworks(state),
      groups: [...state.groups.values()],
      devices: Array.from(devices.values(), ({ id, ipv4, ipv6, groups, egress: own, bitsPerSecond, networks }) => ({
        id,
        ipv4,
        ipv6,
        groups,
        ...(own !== undefined && { egress: own }),
        ...(bitsPerSecond !== undefined && { bitsPerSecond }),
        ...(networks !== undefined && { networks }),
      })),
      names: names.addresses,
    };
  }
}

/** All that lies behind devices as far as is known here, those of the state that can't be routed included. */
function connectedNetworks({ gateway, devices }: DesiredState): string[] {
  const networks = new Set(gateway.connectedNetworks);
  for (const device of devices.values()) for (const network of device.networks ?? []) networks.add(network);
  return [...networks].filter((network) => faultOfNetwork(network, []) === undefined);
}

function withoutNetworks(devices: ReadonlyMap<string, DevicePlan>): ReadonlyMap<string, DevicePlan> {
  return new Map(Array.from(devices, ([id, device]) => [id, { ...device, networks: undefined }]));
}

/** Whether it is the same device for a tunnel, whatever lies behind it. */
function sameInTunnel(a: DevicePlan, b: DevicePlan | undefined): boolean {
  return b !== undefined && a.publicKey === b.publicKey && a.ipv4 === b.ipv4 && a.ipv6 === b.ipv6;
}

function sameNetworks({ networks: a = [] }: DevicePlan, b: DevicePlan | undefined): boolean {
  const { networks = [] } = b ?? {};
  return a.length === networks.length && a.every((network, i) => network === networks[i]);
}

function namesOf({ gateway, groups }: DesiredState): Set<string> {
  const names = new Set<string>();
  for (const { host } of gateway.neighbours ?? []) if (parseAddress(host) === undefined) names.add(host.toLowerCase());
  for (const { grants } of groups.values())
    for (const { destination } of grants) if (destination.kind === 'name') names.add(destination.name);
  return names;
}
