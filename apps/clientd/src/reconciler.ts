/**
 * Makes the machine what the state machine wants it to be. One desired at a time, always the newest; what is in force
 * already is left. What tightens comes first and what loosens last:
 *
 *   packet filter (tighter) - names given back - interfaces - routes and rules - peers - interfaces that go - names
 *   - packet filter (looser)
 */
import type { Desired, DnsPlan, Event, FirewallPolicy, Part, TunnelPlan } from '@sallyport/client';
import { messageOf } from './failure.ts';

export interface Parts {
  readonly protect: (policy: FirewallPolicy | 'open') => Promise<void>;
  readonly route: (plan: NonNullable<Desired['routes']>) => Promise<void>;
  readonly unroute: () => Promise<void>;
  /** Makes the interface, or makes it what the plan says, without its peers. */
  readonly openTunnel: (plan: TunnelPlan) => Promise<void>;
  readonly setPeers: (plan: TunnelPlan) => Promise<void>;
  /** Takes away all tunnels but those of these interfaces. */
  readonly closeTunnels: (kept: readonly string[]) => Promise<void>;
  readonly setNames: (plan: DnsPlan) => Promise<void>;
  readonly restoreNames: () => Promise<void>;
}

export class Reconciler {
  readonly #parts: Parts;
  readonly #report: (event: Event) => void;
  #wanted: Desired | undefined;
  #running: Promise<void> | undefined;
  /** What is in force, as text; undefined: unknown, as at the start and after a failure. */
  readonly #inForce = new Map<string, string>();
  #firewall: FirewallPolicy | 'open' | undefined;

  constructor(parts: Parts, report: (event: Event) => void) {
    this.#parts = parts;
    this.#report = report;
  }

  /** Is brought into force as soon as what is under way is done; `applied` or `failed` tells. */
  want(desired: Desired): void {
    this.#wanted = desired;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Somebody else may have changed this part: it is done again with the next desired. */
  forget(part: 'routes' | 'names' | 'firewall'): void {
    this.#inForce.delete(part);
  }

  /** Forgets a tunnel that is gone. */
  forgetTunnel(name: string): void {
    this.#inForce.delete(`interface ${name}`);
    this.#inForce.delete(`peers ${name}`);
    // Its routes went with it.
    this.#inForce.delete('routes');
  }

  /** Settles when nothing is under way. */
  async idle(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#wanted !== undefined) {
      const desired = this.#wanted;
      this.#wanted = undefined;
      const failed = await this.#apply(desired);
      // Another one is wanted already: its own outcome counts.
      if (this.#wanted !== undefined && failed === undefined) continue;
      this.#report(failed ?? { kind: 'applied', revision: desired.revision });
    }
  }

  async #apply(desired: Desired): Promise<Event | undefined> {
    const { firewall, routes, tunnels, dns } = desired;
    const names = tunnels.map((tunnel) => tunnel.interface);
    let part: Part = 'firewall';
    try {
      const looser = isLooser(this.#firewall, firewall);
      if (!looser) await this.#protect(firewall);
      part = 'names';
      if (dns === undefined) await this.#once('names', undefined, () => this.#parts.restoreNames());
      part = 'tunnel';
      for (const tunnel of tunnels) {
        const { peers: _, ...rest } = tunnel;
        await this.#once(`interface ${tunnel.interface}`, rest, () => this.#parts.openTunnel(tunnel));
      }
      part = 'routes';
      await this.#once('routes', routes, () =>
        routes === undefined ? this.#parts.unroute() : this.#parts.route(routes),
      );
      part = 'tunnel';
      for (const tunnel of tunnels)
        await this.#once(`peers ${tunnel.interface}`, tunnel.peers, () => this.#parts.setPeers(tunnel));
      await this.#once('tunnels', names, () => this.#parts.closeTunnels(names));
      for (const key of [...this.#inForce.keys()]) {
        const [, name] = /^(?:interface|peers) (.*)$/.exec(key) ?? [];
        if (name !== undefined && !names.includes(name)) this.#inForce.delete(key);
      }
      part = 'names';
      if (dns !== undefined) await this.#once('names', dns, () => this.#parts.setNames(dns));
      part = 'firewall';
      if (looser) await this.#protect(firewall);
      return undefined;
    } catch (error) {
      return { kind: 'failed', part, attempt: undefined, message: messageOf(error) };
    }
  }

  async #protect(policy: FirewallPolicy | 'open'): Promise<void> {
    await this.#once('firewall', policy, () => this.#parts.protect(policy));
    this.#firewall = policy;
  }

  /** Does it unless the same is in force; what fails is in no known state. */
  async #once(part: string, wanted: unknown, work: () => Promise<void>): Promise<void> {
    const text = JSON.stringify(wanted) ?? 'none';
    if (this.#inForce.get(part) === text) return;
    this.#inForce.delete(part);
    await work();
    this.#inForce.set(part, text);
  }
}

/** Whether a policy lets more pass than the one before. Before anything is known, everything is tighter. */
function isLooser(before: FirewallPolicy | 'open' | undefined, next: FirewallPolicy | 'open'): boolean {
  if (next === 'open') return true;
  if (before === undefined || before === 'open') return false;
  if (before.blocking && !next.blocking) return true;
  return before.only === undefined && next.only !== undefined;
}
