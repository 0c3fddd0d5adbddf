/**
 * What goes into the client's state machine and what comes out. `step(state, event, now, random)` in step.ts is a
 * function of these alone; the daemon carries out what `Desired` and `Action` say and answers with events.
 *
 * `now` is in milliseconds of a clock that goes on while the machine sleeps (CLOCK_BOOTTIME); `random` gives numbers in
 * [0, 1).
 */
import type { AmneziaParameters, ServiceConfiguration, TlsParameters } from '../configuration.ts';
import type { ClientSettings, Transport } from '../settings.ts';

/** One way to one gateway: what a single attempt tries. */
export interface Path {
  readonly gatewayId: string;
  readonly transport: Transport;
  /** Where datagrams go, or for `tls` the connection: an address without brackets. */
  readonly address: string;
  readonly port: number;
}

export interface Account {
  /** The control plane as the daemon may reach it without asking for names: addresses without brackets. */
  readonly controlAddresses: readonly string[];
  readonly controlPort: number;
}

/** What the machine's networks are like now. */
export interface NetworkFacts {
  /**
   * Names the network, to remember what worked there; the same network gives the same text later: the default router's
   * hardware address or the like. Empty: unknown.
   */
  readonly id: string;
  /** There is a default route of the family in the table `main`, by an interface that is not the client's own. */
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  /** Prefixes that are on-link at interfaces other than the client's own: `192.168.1.0/24`. Public ones are passed over. */
  readonly onLink: readonly string[];
  /** The interfaces with a default route. */
  readonly devices: readonly string[];
  /** Their smallest MTU, bytes. */
  readonly mtu: number;
}

/** What was asked for by `connect`. */
export interface Intent {
  /** A region, a gateway or `fastest`: ids or names. */
  readonly target: string;
  readonly via: string | null;
}

/** What can fail at the daemon while it carries out a {@link Desired}. */
export type Part = 'firewall' | 'routes' | 'tunnel' | 'names' | 'carrier';

export type Event =
  /** Null for what the settings say; `via` may be `none` too. */
  | { readonly kind: 'connect'; readonly target: string | null; readonly via: string | null }
  | { readonly kind: 'disconnect' }
  | { readonly kind: 'settings'; readonly settings: ClientSettings }
  /** Logged in, or where the control plane is was learned anew. Undefined: logged out; ends a tunnel too. */
  | { readonly kind: 'account'; readonly account: Account | undefined }
  /** Answers `fetchConfiguration`. */
  | { readonly kind: 'configuration'; readonly configuration: ServiceConfiguration }
  /**
   * `refused`: the control plane answered that this device has no right any more. `loginEnded`: that it gives no more
   * configurations, until somebody logs in again; the device may connect with the last one. `portal`: something else
   * answered in its place.
   */
  | {
      readonly kind: 'configurationFailed';
      readonly reason: 'unreachable' | 'refused' | 'loginEnded' | 'portal';
      readonly message: string;
    }
  /** Answers `checkPortal`. */
  | { readonly kind: 'portalChecked'; readonly portal: boolean }
  /** Somebody wants to know how far away the gateways are. */
  | { readonly kind: 'measure' }
  /** Answers the action `measure`: round-trip time by gateway, milliseconds; who did not answer is left out. */
  | { readonly kind: 'measured'; readonly latencies: Readonly<Record<string, number>> }
  /** All of the {@link Desired} with this revision is in force. */
  | { readonly kind: 'applied'; readonly revision: number }
  /** A part could not be brought into force, or was lost (the interface is gone, the carrier's connection ended). */
  | { readonly kind: 'failed'; readonly part: Part; readonly attempt: number | undefined; readonly message: string }
  /** A handshake of this attempt was completed. */
  | { readonly kind: 'handshake'; readonly attempt: number }
  /** Something authenticated came from the gateway in use: data, or a pong (then with the rest). */
  | {
      readonly kind: 'heard';
      readonly attempt: number;
      readonly roundTripMs?: number | undefined;
      readonly draining?: boolean | undefined;
    }
  /** Answers `probe`. */
  | { readonly kind: 'probed'; readonly attempt: number; readonly works: boolean }
  /** The path's MTU was found by `MtuSearch`: the largest packet, IP header included, that passes inside the tunnel. */
  | { readonly kind: 'mtu'; readonly attempt: number; readonly mtu: number }
  /** Not even what every path is asked to carry passes inside the tunnel. */
  | { readonly kind: 'narrow'; readonly attempt: number }
  | { readonly kind: 'network'; readonly network: NetworkFacts }
  /** The machine slept: the clocks show a gap. */
  | { readonly kind: 'resumed' }
  /** The path of the group for programs beside the tunnel is there (or, undefined, is not). */
  | { readonly kind: 'splitGroup'; readonly group: SplitGroup | undefined }
  /** A deadline has come. Harmless at any time. */
  | { readonly kind: 'time' };

/** What the daemon does once, and answers by an event. Asking again while it is at it changes nothing. */
export type Action =
  /** Ask the control plane; `configuration` or `configurationFailed` answers, within 10 s. */
  | { readonly kind: 'fetchConfiguration' }
  /** Ask the control plane's addresses by plain HTTP on port 80 whether something answers in their place, within 3 s. */
  | { readonly kind: 'checkPortal' }
  /** Measure the round-trip time to the gateways, within 2 s; the packet filter lets datagrams to them out meanwhile. */
  | { readonly kind: 'measure'; readonly paths: readonly Path[] }
  /**
   * Find out by a handshake of its own, from a socket of its own and beside the tunnel that is in use, whether this path
   * works; `probed` answers, within 3 s.
   */
  | { readonly kind: 'probe'; readonly attempt: number; readonly path: Path; readonly publicKey: string };

/** A peer of a tunnel. */
export interface PeerPlan {
  /** Names the attempt in events. Another attempt at the same gateway has another number. */
  readonly attempt: number;
  readonly path: Path;
  /** Base64. */
  readonly publicKey: string;
  /** Of `tls`. */
  readonly tls: TlsParameters | undefined;
  /** None: the peer is only tried, beside the one in use. */
  readonly allowedIps: readonly string[];
  /** A handshake is wanted now: begin one at once, again after 500 ms and then each second, until it is done. */
  readonly establish: boolean;
  /** Agree a preshared key with ML-KEM-768. */
  readonly postQuantum: boolean;
}

export interface TunnelPlan {
  readonly role: 'only' | 'entry' | 'exit';
  readonly interface: string;
  /** With prefix lengths: /32 and /128. */
  readonly addresses: readonly string[];
  /** The interface's: as much as probes may need. What programs send is held down by the routes' MTU. */
  readonly mtu: number;
  /** Of the tunnel's datagrams, or of the carrier's connection. */
  readonly mark: number;
  /** Undefined: plain WireGuard. One for all peers. */
  readonly amneziawg: AmneziaParameters | undefined;
  readonly peers: readonly PeerPlan[];
}

/** `ip rule`, in both families unless `to` names one. */
export interface RuleSpec {
  readonly priority: number;
  readonly family: 4 | 6;
  readonly fwmark: number | undefined;
  readonly to: string | undefined;
  /** `main`: 254. */
  readonly table: number;
}

export interface RouteSpec {
  readonly table: number;
  readonly family: 4 | 6;
  /** A prefix; the default route as 0.0.0.0/0 or ::/0. */
  readonly to: string;
  /** Undefined: `unreachable`. */
  readonly interface: string | undefined;
  /** The source address that the kernel takes. */
  readonly source: string | undefined;
  /** `mtu lock`: what is larger is answered by the kernel with the proper ICMP message. */
  readonly mtu: number | undefined;
  readonly metric: number;
}

/** All rules with our priorities and all routes of our tables. */
export interface RoutePlan {
  readonly rules: readonly RuleSpec[];
  readonly routes: readonly RouteSpec[];
  /** Settings under /proc/sys, by path with dots, restored when the plan goes away. */
  readonly sysctls: Readonly<Record<string, string>>;
}

export interface DnsPlan {
  readonly interface: string;
  readonly servers: readonly string[];
  readonly searchDomains: readonly string[];
  /** All names are asked here. False (split mode `include`): those below the search domains. */
  readonly all: boolean;
}

export interface SplitGroup {
  /** As nft takes it: below the root of the version-2 hierarchy, without a leading slash. */
  readonly path: string;
  /** The number of its parts. */
  readonly level: number;
}

export interface FirewallEndpoint {
  readonly protocol: 'udp' | 'tcp';
  readonly address: string;
  readonly port: number;
  readonly mark: number;
  /** By this interface alone. */
  readonly interface: string | undefined;
}

/** What may pass. firewall/ruleset.ts makes nftables of it. */
export interface FirewallPolicy {
  /** False: the kill switch is off; what is not named passes. */
  readonly blocking: boolean;
  /** Undefined: everything is protected. Else these prefixes alone are, and the rest passes. */
  readonly only: readonly string[] | undefined;
  /** Interfaces into which everything may go. The entry's is not among them. */
  readonly tunnels: readonly string[];
  /** Our addresses in the tunnel: nobody may send to them but through it. */
  readonly tunnelAddresses: readonly string[];
  /** Interfaces by which packets to `tunnelAddresses` may come. */
  readonly tunnelInterfaces: readonly string[];
  readonly endpoints: readonly FirewallEndpoint[];
  readonly dhcp: boolean;
  /** The local network may be reached: its prefixes, private ones alone, beside link-local and multicast. Undefined: it may not. */
  readonly localNetworks: readonly string[] | undefined;
  /** Names may be asked through the tunnel alone. */
  readonly dnsByTunnel: boolean;
  /** Prefixes beside the tunnel. */
  readonly excluded: readonly string[];
  /** Programs beside the tunnel. */
  readonly splitGroup: SplitGroup | undefined;
  /** Approved prefixes behind this machine, reachable from the tunnel. Who is there begins nothing into the tunnel. */
  readonly connector: readonly string[];
  /** Interfaces that lead out: who is there sends nothing through this machine into the tunnel, but for answers. */
  readonly outside: readonly string[];
}

/** The machine as it has to be. Carried out in the order of the comments in docs/threat-model.md: tighten first, loosen last. */
export interface Desired {
  /** Another one whenever anything below is another. */
  readonly revision: number;
  /** `open`: our table is removed. */
  readonly firewall: FirewallPolicy | 'open';
  readonly routes: RoutePlan | undefined;
  /** The entry first. */
  readonly tunnels: readonly TunnelPlan[];
  readonly dns: DnsPlan | undefined;
  /** Ping through the tunnel this often (milliseconds) and tell `heard`; undefined: not at all. */
  readonly pingEveryMs: number | undefined;
  /** The attempt whose peer carries traffic: the one to ping, to agree keys with and to search the MTU of. */
  readonly current: number | undefined;
  /** With two hops: the entry's attempt. */
  readonly currentEntry: number | undefined;
  /** Search the MTU of `current` within these bounds, both included; undefined: it is set by hand, or there is none to search. */
  readonly mtuSearch: { readonly floor: number; readonly ceiling: number } | undefined;
}
