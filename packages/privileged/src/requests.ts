/** What the gateway may ask of the process that kept its privileges. Nothing else is done for it. */
import type { FirewallPlan, FirewallPlanChange } from '@sallyport/policy';

export type PrivilegedRequest =
  /** Gives the tunnel's interface its addresses (with prefix lengths) and MTU, routes the pools to it, brings it up. */
  | {
      readonly kind: 'configureInterface';
      readonly addresses: readonly string[];
      readonly routes: readonly string[];
      readonly mtu: number;
    }
  /**
   * Routes these networks behind devices to the tunnel, and no others any more; those that can't be are in the answer.
   * `unreachable` are those of which nothing may go elsewhere either.
   */
  | { readonly kind: 'setNetworks'; readonly networks: readonly string[]; readonly unreachable: readonly string[] }
  /** The largest packet that goes to the device with these tunnel addresses; null: the interface's own. */
  | { readonly kind: 'setDeviceMtu'; readonly ipv4: string; readonly ipv6: string; readonly mtu: number | null }
  /** Lets the kernel forward both families. */
  | { readonly kind: 'enableForwarding' }
  /** Replaces packet filter and address translation in one transaction; what it no longer allows is cut. */
  | { readonly kind: 'setFirewall'; readonly plan: FirewallPlan }
  /**
   * The same by what differs from the plan that is in force with this revision. Where it is another one that is in force,
   * nothing is done, and the answer's error is {@link OTHER_REVISION}.
   */
  | { readonly kind: 'changeFirewall'; readonly revision: number; readonly change: FirewallPlanChange }
  /** Removes the connection tracking entries from and to these tunnel addresses. */
  | { readonly kind: 'cutFlows'; readonly addresses: readonly string[] }
  /** Takes away what was set up. */
  | { readonly kind: 'tearDown' };

/** The code of the error where a change starts from a plan that is not in force. */
export const OTHER_REVISION = 'OTHER_REVISION';

/** An answer, by the request's number. `error` names what failed, with the remedy. */
export interface PrivilegedAnswer {
  readonly id: number;
  readonly error?: { readonly code: string; readonly message: string } | undefined;
  /**
   * For setFirewall and changeFirewall: how long the kernel's transactions took, how many commands they had, and the
   * revision of the plan that is in force now: another number with each.
   */
  readonly firewall?:
    { readonly milliseconds: number; readonly commands: number; readonly revision: number } | undefined;
  /** For setNetworks: those that meet an address or a route that this machine has, with which. */
  readonly refused?: readonly { readonly network: string; readonly meets: string }[] | undefined;
}

/** The client's end, as the gateway uses it. */
export interface Privileged {
  request(request: PrivilegedRequest): Promise<PrivilegedAnswer>;
  /** Settles when the other process is gone; the gateway must then end too. */
  readonly gone: Promise<void>;
}
