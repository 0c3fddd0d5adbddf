/** The tunnels' interfaces and peers: the session's, and beside it or in its place the one that is tried. */
import type { AmneziaParameters, ServiceConfiguration } from '../configuration.ts';
import { ceilingOf } from '../mtu/overhead.ts';
import { ENTRY_INTERFACE, INNER_MARK, OUTSIDE_MARK, TUNNEL_INTERFACE } from '../names.ts';
import { frontOf } from './hop.ts';
import type { Hop, State } from './state.ts';
import type { PeerPlan, TunnelPlan } from './types.ts';

interface Wanted {
  readonly hop: Hop;
  readonly establish: boolean;
  readonly carries: boolean;
}

/** With an interface and no peer where there is no way yet: programs keep their addresses, and nothing leaves. */
export function tunnelsOf(state: State, configuration: ServiceConfiguration): TunnelPlan[] {
  const { session, search, intent } = state;
  const tunnel = plan(state, configuration);
  const all = configuration.tunnel.allowedIps;
  if (intent?.via === null || intent === undefined) {
    return [tunnel('only', peersOf(state, all, together(sessionExit(state), searchExit(state))))];
  }
  const entries = together(sessionEntry(state), searchEntry(state));
  // Through another entry than the session's its exit is not reached.
  const kept = session !== undefined && entries.some(({ hop, carries }) => carries && hop.attempt === session.entry?.attempt); // prettier-ignore
  const next = entries.some(({ hop, carries }) => carries && hop.attempt === search?.entry?.attempt);
  const exits = together(kept ? sessionExit(state) : undefined, next ? searchExit(state) : undefined);
  const behind = behindEntry(configuration, exits.map(({ hop }) => hop)); // prettier-ignore
  return [tunnel('entry', peersOf(state, behind, entries)), tunnel('exit', peersOf(state, all, exits))];
}

/** What goes into the entry's tunnel, as prefixes: the exits' endpoints, and the entry's tunnel service. */
export function behindEntry(configuration: ServiceConfiguration, exits: readonly Hop[]): string[] {
  const { gateway4, gateway6 } = configuration.tunnel;
  const hosts = [...new Set([...exits.map(({ path }) => path.address), gateway4, gateway6])];
  return hosts.map((address) => `${address}/${address.includes(':') ? '128' : '32'}`);
}

function plan(state: State, { device }: ServiceConfiguration) {
  return (role: TunnelPlan['role'], peers: TunnelPlan['peers']): TunnelPlan => {
    const last = peers.find(({ allowedIps }) => allowedIps.length > 0)?.path;
    return {
      role,
      interface: role === 'entry' ? ENTRY_INTERFACE : TUNNEL_INTERFACE,
      addresses: [`${device.ipv4}/32`, `${device.ipv6}/128`],
      mtu: interfaceMtu(state, role),
      mark: role === 'exit' ? INNER_MARK : OUTSIDE_MARK,
      amneziawg: last === undefined ? undefined : amneziaOf(state, last.gatewayId, last.transport),
      peers,
    };
  };
}

function interfaceMtu({ settings, network, session, search, intent }: State, role: TunnelPlan['role']): number {
  const use = session ?? search;
  const front = use === undefined ? undefined : frontOf(use).path;
  const entry = intent?.via !== null;
  const ceiling = front === undefined ? 1280 : ceilingOf(front, entry, network.mtu);
  if (role === 'entry') return (settings.mtu ?? ceiling) + 80;
  return settings.mtu ?? ceiling;
}

function amneziaOf(state: State, gatewayId: string, transport: string): AmneziaParameters | undefined {
  if (transport !== 'amneziawg') return undefined;
  const { session, search } = state;
  const hops = [session?.entry, session?.exit, search?.entry, search?.exit];
  const gateway = hops.find((hop) => hop?.gateway.id === gatewayId && hop.path.transport === 'amneziawg')?.gateway;
  const parameters = gateway?.amneziawg;
  if (parameters === null || parameters === undefined) return undefined;
  const { port: _, ...rest } = parameters;
  return rest;
}

/** One tunnel has one variant of the protocol, and one peer of each key: else the one that is tried takes the place. */
function together(used: Wanted | undefined, tried: Wanted | undefined): Wanted[] {
  if (used === undefined || tried === undefined) return [used ?? tried].filter((wanted) => wanted !== undefined);
  if (used.hop.attempt === tried.hop.attempt) return [{ ...used, establish: used.establish || tried.establish }];
  const alike = used.hop.path.transport !== 'amneziawg' && tried.hop.path.transport !== 'amneziawg';
  const others = used.hop.gateway.wireguardPublicKey !== tried.hop.gateway.wireguardPublicKey;
  return alike && others ? [used, { ...tried, carries: false }] : [tried];
}

function peersOf(state: State, allowedIps: readonly string[], wanted: readonly Wanted[]): PeerPlan[] {
  return wanted.map(({ hop, establish, carries }) => ({
    attempt: hop.attempt,
    path: hop.path,
    publicKey: hop.gateway.wireguardPublicKey,
    tls: hop.path.transport === 'tls' ? tlsOf(hop) : undefined,
    allowedIps: carries ? allowedIps : [],
    establish,
    postQuantum: state.settings.postQuantum,
  }));
}

function tlsOf({ gateway }: Hop): PeerPlan['tls'] {
  if (gateway.tls === null) return undefined;
  const { port: _, ...rest } = gateway.tls;
  return rest;
}

function sessionEntry({ session }: State): Wanted | undefined {
  if (session?.entry === undefined) return undefined;
  const establish = session.return?.kind === 'moving' || (session.suspectAt !== undefined && !session.entryAnswered);
  return { hop: session.entry, establish, carries: true };
}

function sessionExit({ session }: State): Wanted | undefined {
  if (session === undefined) return undefined;
  const moving = session.entry === undefined && session.return?.kind === 'moving';
  return { hop: session.exit, establish: moving || session.suspectAt !== undefined, carries: true };
}

function searchEntry({ search }: State): Wanted | undefined {
  return search?.entry === undefined ? undefined : { hop: search.entry, establish: !search.entryDone, carries: true };
}

function searchExit({ search }: State): Wanted | undefined {
  return search === undefined ? undefined : { hop: search.exit, establish: search.entryDone, carries: true };
}
