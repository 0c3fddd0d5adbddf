import type { DesiredState, DevicePlan, FirewallPlan } from '@sallyport/policy';
import type { Privileged } from '@sallyport/privileged';
import type { Clock } from './clock.ts';
import type { Names } from './names.ts';
import type { Tunnel } from './tunnel.ts';

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
    this.#valid = valid;
    const refused: DevicePlan[] = [];
    for (const device of this.#admitted.values()) if (!sameInTunnel(device, valid.get(device.id))) refused.push(device);
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
        const problem = await this.#setKernel(state, devices);
        if (this.#stopped) return;
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
        this.#options.onProblem(undefined);
        this.#admit(devices);
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
      if (!sameInTunnel(device, this.#valid.get(device.id))) continue;
      if (!sameInTunnel(device, this.#admitted.get(device.id))) put.push(device);
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

  #plan(state: DesiredState, devices: ReadonlyMap<string, DevicePlan>): FirewallPlan {
    const { interfaceName, localTcpPorts, ownAddresses, names } = this.#options;
    const { pool4, pool6, address4, address6, egress } = state.gateway;
    return {
      interfaceName,
      gateway: { pool4, pool6, address4, address6, egress },
      ownAddresses: ownAddresses(),
      localTcpPorts,
      groups: [...state.groups.values()],
      devices: Array.from(devices.values(), ({ id, ipv4, ipv6, groups, egress: own, bitsPerSecond }) => ({
        id,
        ipv4,
        ipv6,
        groups,
        ...(own !== undefined && { egress: own }),
        ...(bitsPerSecond !== undefined && { bitsPerSecond }),
      })),
      names: names.addresses,
    };
  }
}

/** Whether a tunnel would not notice the difference. */
function sameInTunnel(a: DevicePlan, b: DevicePlan | undefined): boolean {
  return b !== undefined && a.publicKey === b.publicKey && a.ipv4 === b.ipv4 && a.ipv6 === b.ipv6;
}

function namesOf({ groups }: DesiredState): Set<string> {
  const names = new Set<string>();
  for (const { grants } of groups.values())
    for (const { destination } of grants) if (destination.kind === 'name') names.add(destination.name);
  return names;
}
