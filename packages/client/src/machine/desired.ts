/** What the machine has to be like in a state: a function of it alone. */
import type { ServiceConfiguration } from '../configuration.ts';
import { isPrivateNetwork, localNetworksOf } from '../firewall/local-networks.ts';
import { parseAddress } from '../ip.ts';
import { ceilingOf } from '../mtu/overhead.ts';
import { ENTRY_INTERFACE, INNER_MARK, MIN_MTU, OUTSIDE_MARK, TUNNEL_INTERFACE } from '../names.ts';
import { routePlanOf } from '../routes/route-plan.ts';
import { frontOf } from './hop.ts';
import type { State } from './state.ts';
import { PING_MS, URGENT_PING_MS } from './timing.ts';
import { behindEntry, tunnelsOf } from './tunnels.ts';
import type { Desired, DnsPlan, FirewallEndpoint, FirewallPolicy, Path, RoutePlan, TunnelPlan } from './types.ts';

const TUNNEL_SERVICE_PORT = 51_819;
const PORTAL_PORT = 80;
const maxServers = 8;
const maxDomains = 32;

/** Whether an administrator demands the kill switch. */
export function isKillSwitchRequired({ configuration }: State): boolean {
  return configuration?.requirements.killSwitch === true;
}

/** The kill switch as it is in force: set, part of lockdown, or demanded. */
export function killSwitchOf(state: State): boolean {
  return state.settings.killSwitch || state.settings.lockdown || isKillSwitchRequired(state);
}

/** The networks beside the tunnel. Private ones alone where the kill switch is demanded: it could be set to keep nothing. */
function excludedOf(state: State): readonly string[] {
  const { mode, networks } = state.settings.split;
  if (mode !== 'exclude') return [];
  return isKillSwitchRequired(state) ? networks.filter(isPrivateNetwork) : networks;
}

export function desiredOf(state: State): Omit<Desired, 'revision'> {
  const { configuration, session, search, block } = state;
  const tunnels = hasTunnels(state) && configuration !== undefined ? tunnelsOf(state, configuration) : [];
  const carries = (attempt: number | undefined): number | undefined =>
    tunnels.some(({ peers }) => peers.some((peer) => peer.attempt === attempt)) ? attempt : undefined;
  const current = session === undefined ? undefined : carries(session.exit.attempt);
  return {
    firewall: firewallOf(state, tunnels),
    routes: configuration === undefined ? undefined : routesOf(state, configuration, tunnels),
    tunnels,
    dns: configuration === undefined || session === undefined ? undefined : dnsOf(state, configuration),
    pingEveryMs: current === undefined ? undefined : session?.suspectAt === undefined ? PING_MS : URGENT_PING_MS,
    current,
    currentEntry: current === undefined ? undefined : carries(session?.entry?.attempt),
    mtuSearch:
      current === undefined || block !== undefined || search?.reason === 'lost' ? undefined : mtuSearchOf(state),
  };
}

function hasTunnels(state: State): boolean {
  const { intent, block, session, search } = state;
  if (intent === undefined || block?.reason === 'tunnel' || block?.reason === 'routes') return false;
  return session !== undefined || search !== undefined || killSwitchOf(state);
}

function firewallOf(state: State, tunnels: readonly TunnelPlan[]): FirewallPolicy | 'open' {
  const { settings, intent, session, configuration } = state;
  const blocking = intent === undefined ? settings.lockdown : killSwitchOf(state);
  if (!blocking && session === undefined) return 'open';
  const { mode, networks } = settings.split;
  // Lockdown is for everything: without a tunnel there is nothing that a part could be kept for. And so is the kill
  // switch that is demanded.
  const whole = settings.lockdown || isKillSwitchRequired(state);
  const only = mode === 'include' && !whole ? networks : undefined;
  const interfaces = tunnels.map((tunnel) => tunnel.interface);
  return {
    blocking,
    only,
    tunnels: interfaces.filter((name) => name === TUNNEL_INTERFACE),
    tunnelAddresses: configuration === undefined ? [] : [configuration.device.ipv4, configuration.device.ipv6],
    tunnelInterfaces: interfaces,
    endpoints: endpointsOf(state, tunnels),
    dhcp: settings.allowDhcp,
    localNetworks: localOf(state),
    dnsByTunnel: only === undefined,
    excluded: excludedOf(state),
    splitGroup: isKillSwitchRequired(state) ? undefined : state.splitGroup,
    connector: tunnels.length === 0 ? [] : connectorOf(state),
    outside: tunnels.length === 0 ? [] : state.network.devices,
  };
}

function endpointsOf(state: State, tunnels: readonly TunnelPlan[]): FirewallEndpoint[] {
  const { session, configuration, measure } = state;
  const found: FirewallEndpoint[] = [];
  const add = (endpoint: FirewallEndpoint): void => {
    const text = JSON.stringify(endpoint);
    if (parseAddress(endpoint.address) !== undefined && !found.some((other) => JSON.stringify(other) === text)) {
      found.push(endpoint);
    }
  };
  const outside = (protocol: 'udp' | 'tcp', address: string, port: number): void => {
    add({ protocol, address, port, mark: OUTSIDE_MARK, interface: undefined });
  };
  const inside = (address: string, port: number): void => {
    add({ protocol: 'udp', address, port, mark: INNER_MARK, interface: ENTRY_INTERFACE });
  };
  const toPath = ({ transport, address, port }: Path): void => {
    outside(transport === 'tls' ? 'tcp' : 'udp', address, port);
  };
  for (const { role, peers } of tunnels) {
    for (const { path } of peers) {
      if (role === 'exit') inside(path.address, path.port);
      else toPath(path);
    }
    if (role === 'entry' && configuration !== undefined && peers.length > 0) {
      inside(configuration.tunnel.gateway4, TUNNEL_SERVICE_PORT);
      inside(configuration.tunnel.gateway6, TUNNEL_SERVICE_PORT);
    }
  }
  if (session?.return?.kind === 'probing') toPath(session.return.path);
  measure?.paths.forEach(toPath);
  for (const address of controlAddressesOf(state)) {
    outside('tcp', address, state.account?.controlPort ?? 443);
    if (state.portalDeadline !== undefined) outside('tcp', address, PORTAL_PORT);
  }
  return found;
}

/** Where the control plane is, as far as is known; at most 16. */
export function controlAddressesOf({ account, configuration }: State): string[] {
  if (account === undefined) return [];
  return [...new Set([...account.controlAddresses, ...(configuration?.controlAddresses ?? [])])].slice(0, 16);
}

function localOf({ settings, network }: State): string[] | undefined {
  return settings.allowLocalNetwork ? localNetworksOf(network.onLink) : undefined;
}

function connectorOf({ settings, configuration }: State): string[] {
  const approved = configuration?.advertised.filter((item) => item.approved).map(({ prefix }) => prefix) ?? [];
  return approved.filter((prefix) => settings.advertise.includes(prefix));
}

function routesOf(
  state: State,
  configuration: ServiceConfiguration,
  tunnels: readonly TunnelPlan[],
): RoutePlan | undefined {
  const { intent, session, search, settings, block } = state;
  if (intent === undefined || block?.reason === 'routes') return undefined;
  if (session === undefined && !killSwitchOf(state)) return undefined;
  const { device, tunnel } = configuration;
  const exits = [session?.exit, search?.exit].filter((hop) => hop !== undefined);
  return routePlanOf({
    ipv4: device.ipv4,
    ipv6: device.ipv6,
    tunnel: tunnels.length > 0,
    entry: tunnels.some(({ role }) => role === 'entry'),
    allowedIps: tunnel.allowedIps,
    inside: [tunnel.pool4, tunnel.pool6, tunnel.gateway4, tunnel.gateway6, ...dnsServersOf(state, configuration)],
    excluded: excludedOf(state),
    local: localOf(state),
    connector: connectorOf(state),
    only: settings.split.mode === 'include' ? settings.split.networks : undefined,
    behindEntry: behindEntry(configuration, exits),
    mtu: settings.mtu ?? session?.mtu ?? MIN_MTU,
  });
}

/** In the mode `include` names are the outside's, but for those that only the service knows. */
function dnsOf(state: State, configuration: ServiceConfiguration): DnsPlan | undefined {
  const searchDomains = configuration.tunnel.searchDomains.filter(isDomain).slice(0, maxDomains);
  const all = state.settings.split.mode !== 'include' || state.settings.dnsServers.length > 0;
  if (!all && searchDomains.length === 0) return undefined;
  return { interface: TUNNEL_INTERFACE, servers: dnsServersOf(state, configuration), searchDomains, all };
}

/** What the control plane names is checked: it ends up in files and on command lines. */
function dnsServersOf({ settings }: State, { tunnel }: ServiceConfiguration): readonly string[] {
  if (settings.dnsServers.length > 0) return settings.dnsServers;
  const named = tunnel.dnsServers.filter((server) => parseAddress(server) !== undefined).slice(0, maxServers);
  return named.length > 0 ? named : [tunnel.gateway4, tunnel.gateway6];
}

/** RFC 1123, section 2.1: labels of letters, digits and hyphens. */
function isDomain(text: string): boolean {
  return (
    text.length <= 253 && /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\.?$/i.test(text)
  );
}

function mtuSearchOf({ settings, session, network }: State): Desired['mtuSearch'] {
  if (settings.mtu !== null || session === undefined) return undefined;
  return { floor: MIN_MTU, ceiling: ceilingOf(frontOf(session).path, session.entry !== undefined, network.mtu) };
}
