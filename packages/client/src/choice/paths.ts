/** The ladder: the ways to a gateway, one after the other. */
import type { ServiceGateway } from '../configuration.ts';
import { familyOf } from '../ip.ts';
import type { NetworkFacts, Path } from '../machine/types.ts';
import { TRANSPORTS, type ClientSettings, type Transport } from '../settings.ts';

/** How long one attempt may take, milliseconds: over TLS it is three more round trips. */
export const ATTEMPT_MS = { wireguard: 1500, amneziawg: 1500, tls: 5000 } as const;

/** What worked where, the newest first. */
export interface GoodPath {
  readonly networkId: string;
  readonly gatewayId: string;
  readonly transport: Transport;
  /** What passed at last; undefined where it was not searched. */
  readonly mtu: number | undefined;
}

const remembered = 64;

export function remember(good: readonly GoodPath[], path: GoodPath): readonly GoodPath[] {
  const others = good.filter((item) => item.networkId !== path.networkId || item.gatewayId !== path.gatewayId);
  return [path, ...others].slice(0, remembered);
}

/** The transports to try, the likeliest first: what worked last in this network, with this gateway or else any. */
export function transportsFor(
  setting: ClientSettings['transport'],
  good: readonly GoodPath[],
  networkId: string,
  gatewayId: string,
): readonly Transport[] {
  if (setting !== 'auto') return [setting];
  const here = good.filter((item) => item.networkId === networkId);
  const last = (here.find((item) => item.gatewayId === gatewayId) ?? here[0])?.transport;
  return last === undefined ? TRANSPORTS : [last, ...TRANSPORTS.filter((transport) => transport !== last)];
}

/**
 * The ways to a gateway by one transport that the network may have: IPv4 first, and for each family one address, another
 * one for each `turn`. None where the gateway does not speak it.
 */
export function pathsBy(transport: Transport, gateway: ServiceGateway, network: NetworkFacts, turn = 0): Path[] {
  const port = { wireguard: gateway.endpointPort, amneziawg: gateway.amneziawg?.port, tls: gateway.tls?.port }[transport]; // prettier-ignore
  if (port === undefined) return [];
  return ([4, 6] as const).flatMap((family) => {
    if (!(family === 4 ? network.ipv4 : network.ipv6)) return [];
    const addresses = gateway.endpointAddresses.filter((address) => familyOf(address) === family);
    const address = addresses[turn % Math.max(addresses.length, 1)];
    return address === undefined ? [] : [{ gatewayId: gateway.id, transport, address, port }];
  });
}

export function samePath(a: Path, b: Path): boolean {
  return a.gatewayId === b.gatewayId && a.transport === b.transport && a.address === b.address && a.port === b.port;
}
