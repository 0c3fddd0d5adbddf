import { MAX_CONNECTED_NETWORKS, parseAddress, sameOpenVpnDevice, usableNetworks } from '@sallyport/policy';
import type { DesiredState, DevicePlan, GatewayPlan } from '@sallyport/policy';
import type { Clock } from './clock.ts';
import { connectedNetworks, few, PacketFilter, type PacketFilterOptions } from './packet-filter.ts';
import { protocolOf, type Tunnel } from './tunnel.ts';

/** What stood in a network's way may be gone. */
const LOOK_AGAIN_MS = 60_000;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 15_000;
/** A timer's longest wait for the next expiry; then it looks again. */
const LONGEST_WAIT_MS = 3_600_000;

export interface ApplierOptions extends PacketFilterOptions {
  readonly tunnels: readonly Tunnel[];
  readonly clock: Clock;
  readonly mtu: number;
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
  readonly #filter: PacketFilter;
  #wanted: DesiredState | undefined;
  /** The devices of the wanted state that may connect now. */
  #valid: ReadonlyMap<string, DevicePlan> = new Map();
  /** Those that the tunnels admit. */
  readonly #admitted = new Map<string, DevicePlan>();
  /** The valid devices, where all of them are among those. */
  #allAdmitted: ReadonlyMap<string, DevicePlan> | undefined;
  /** What the tunnels were told last of the gateway. */
  #gatewayTold: GatewayPlan | undefined;
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
    this.#filter = new PacketFilter(options);
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
    const over = new Set<string>();
    let next = Infinity;
    for (const { id, validUntil = Infinity } of few(state.devices).expiring) {
      if (validUntil <= now) over.add(id);
      else if (validUntil < next) next = validUntil;
    }
    // The state's own map where it can be: what is the same in two states is then seen at a glance.
    const valid = over.size === 0 ? state.devices : new Map([...state.devices].filter(([id]) => !over.has(id)));
    const before = this.#valid;
    this.#valid = this.#withUsableNetworks(state, valid);
    if (this.#valid !== before) this.#refuse();
    this.#cancelExpiry?.();
    this.#cancelExpiry = undefined;
    if (next < Infinity)
      this.#cancelExpiry = this.#options.clock.after(Math.min(next - now, LONGEST_WAIT_MS), () => void this.refresh());
  }

  /** Takes from those who are admitted what is not theirs any more. */
  #refuse(): void {
    this.#allAdmitted = undefined;
    const refused: DevicePlan[] = [];
    const lessened: DevicePlan[] = [];
    for (const device of this.#admitted.values()) {
      const wanted = this.#valid.get(device.id);
      if (device === wanted) continue;
      if (!sameInTunnel(device, wanted)) refused.push(device);
      else {
        const left = (device.networks ?? []).filter((network) => wanted?.networks?.includes(network));
        if (left.length < (device.networks?.length ?? 0)) lessened.push({ ...device, networks: left });
      }
    }
    if (lessened.length > 0) {
      for (const device of lessened) this.#admitted.set(device.id, device);
      this.#tell({ put: lessened, remove: [] });
    }
    if (refused.length > 0) {
      this.#options.leaving();
      for (const { id } of refused) this.#admitted.delete(id);
      this.#tell({ put: [], remove: refused });
    }
  }

  /** The devices with those of their networks that can be routed. */
  #withUsableNetworks(
    { gateway }: DesiredState,
    devices: ReadonlyMap<string, DevicePlan>,
  ): ReadonlyMap<string, DevicePlan> {
    const taken = [gateway.pool4, gateway.pool6, ...this.#options.ownAddresses(), ...this.#met];
    const { byDevice, faults } = usableNetworks(few(devices).connectors, taken);
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
        this.#admit(state.gateway, devices);
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
  #admit(gateway: GatewayPlan, known: ReadonlyMap<string, DevicePlan>): void {
    if (gateway !== this.#gatewayTold) for (const tunnel of this.#options.tunnels) tunnel.setGateway?.(gateway);
    this.#gatewayTold = gateway;
    if (known === this.#allAdmitted) return;
    if (known === this.#valid) this.#allAdmitted = known;
    const put: DevicePlan[] = [];
    for (const device of known.values()) {
      const wanted = this.#valid.get(device.id);
      if (device === wanted && device === this.#admitted.get(device.id)) continue;
      if (!sameInTunnel(device, wanted) || !sameNetworks(device, wanted)) continue;
      const admitted = this.#admitted.get(device.id);
      if (!sameInTunnel(device, admitted) || !sameNetworks(device, admitted)) put.push(device);
      this.#admitted.set(device.id, device);
    }
    this.#tell({ put, remove: [] });
  }

  /** Tells each tunnel of the devices of its protocol. */
  #tell({ put, remove }: Parameters<Tunnel['apply']>[0]): void {
    for (const tunnel of this.#options.tunnels) {
      const own = (device: DevicePlan): boolean => protocolOf(device) === tunnel.protocol;
      const change = { put: put.filter(own), remove: remove.filter(own) };
      if (change.put.length + change.remove.length > 0) tunnel.apply(change);
    }
  }

  /** Packet filter, then addresses and forwarding: the interface comes up behind the filter. What failed, or undefined. */
  async #setKernel(state: DesiredState, devices: ReadonlyMap<string, DevicePlan>): Promise<string | undefined> {
    const { privileged, mtu } = this.#options;
    try {
      const fault = await this.#filter.set(state, devices);
      if (fault !== undefined) return `the packet filter could not be set: ${fault}`;
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
    const networks = few(devices).connectors.flatMap((device) => device.networks ?? []);
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
}

function withoutNetworks(devices: ReadonlyMap<string, DevicePlan>): ReadonlyMap<string, DevicePlan> {
  return new Map(Array.from(devices, ([id, device]) => [id, { ...device, networks: undefined }]));
}

/** Whether it is the same device for a tunnel, whatever lies behind it. */
function sameInTunnel(a: DevicePlan, b: DevicePlan | undefined): boolean {
  if (a === b) return true;
  return (
    b !== undefined &&
    a.publicKey === b.publicKey &&
    sameOpenVpnDevice(a.openvpn, b.openvpn) &&
    a.ipv4 === b.ipv4 &&
    a.ipv6 === b.ipv6
  );
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
