/** The tunnels that are open now, by interface. */
import { INNER_MARK, type Event, type TunnelPlan } from '@sallyport/client';
import type { Ip } from '@sallyport/io';
import { Hop } from './hop.ts';
import type { OpenTunnel } from './tunnel-care.ts';
import { TunnelService } from './tunnel-service.ts';

export interface TunnelsOptions {
  readonly ip: Ip;
  /** The device's private key. Throws where nobody is logged in. */
  readonly privateKey: () => Uint8Array;
  /** The gateway's IPv4 address in the tunnel. */
  readonly gateway: () => string;
  /** Agreed with a gateway before, the older first. */
  readonly agreedKeys: (gatewayKey: string) => readonly Uint8Array[];
  readonly report: (event: Event) => void;
  /** An interface went away by itself. */
  readonly onLost: (name: string) => void;
}

export class Tunnels {
  readonly #options: TunnelsOptions;
  readonly #open = new Map<string, OpenTunnel>();

  constructor(options: TunnelsOptions) {
    this.#options = options;
  }

  /** Makes the interface what the plan says, and first makes it. Throws where it can't be had so. */
  async open(plan: TunnelPlan): Promise<void> {
    const name = plan.interface;
    const known = this.#open.get(name);
    if (known !== undefined) {
      await known.hop.setInterface(plan);
      return;
    }
    const { ip, report, onLost, agreedKeys } = this.#options;
    const privateKey = this.#options.privateKey();
    const hop = await Hop.open(plan, privateKey, ip, {
      agreedKeys,
      onHandshake: (attempt) => {
        report({ kind: 'handshake', attempt });
      },
      onFailed: (part, attempt, message) => {
        if (part === 'tunnel' && attempt === undefined) {
          this.#open.get(name)?.service.close();
          this.#open.delete(name);
          onLost(name);
        }
        report({ kind: 'failed', part, attempt, message });
      },
    });
    privateKey.fill(0);
    try {
      await hop.setInterface(plan);
      // The entry's own table is asked by its mark; the other interface is everybody's.
      const mark = plan.role === 'entry' ? INNER_MARK : 0;
      const service = new TunnelService({ device: name, mark, gateway: this.#options.gateway() });
      this.#open.set(name, { hop, service });
    } catch (error) {
      await hop.close();
      throw error;
    }
  }

  setPeers(plan: TunnelPlan): void {
    this.#open.get(plan.interface)?.hop.setPeers(plan.peers);
  }

  /** The tunnel that has the peer of an attempt. */
  of(attempt: number): OpenTunnel | undefined {
    return [...this.#open.values()].find(({ hop }) => hop.planOf(attempt) !== undefined);
  }

  /** The machine's addresses may be others; `moved`: it is in another network. */
  forgetPaths(moved: boolean): void {
    for (const { hop } of this.#open.values()) {
      hop.forgetPaths();
      if (moved) hop.reopenCarriers();
    }
  }

  /** A key was agreed: the next handshake is made with it, at once. */
  useAgreedKey(gatewayKey: string, key: Uint8Array): void {
    for (const { hop } of this.#open.values()) {
      hop.setAgreedKeys(gatewayKey, [key]);
      hop.renew(gatewayKey);
    }
  }

  /** Takes away all but those of these interfaces; says whether any went. */
  async closeOthers(kept: readonly string[]): Promise<boolean> {
    let closed = false;
    for (const [name, { hop, service }] of [...this.#open]) {
      if (kept.includes(name)) continue;
      this.#open.delete(name);
      service.close();
      await hop.close();
      closed = true;
    }
    return closed;
  }
}
