/** A peer of a tunnel: a gateway in use, or one that is tried. */
import type { AmneziaParameters, PeerPlan } from '@sallyport/client';
import type { CarrierClient } from '@sallyport/carrier';
import { decodeBase64Key, parseIpAddress, type Endpoint } from '@sallyport/wireguard';

export interface Peer {
  plan: PeerPlan;
  readonly key: Uint8Array;
  carrier: CarrierClient | undefined;
  /** Ends a carrier that is being hop. */
  opening: AbortController | undefined;
  lastHandshakeUnixMs: number;
  /** A handshake is wanted and has not been completed. */
  wanted: boolean;
  retry: NodeJS.Timeout | undefined;
}

export function newPeer(plan: PeerPlan): Peer | undefined {
  const key = decodeBase64Key(plan.publicKey);
  if (key === undefined) return undefined;
  return { plan, key, carrier: undefined, opening: undefined, lastHandshakeUnixMs: 0, wanted: false, retry: undefined };
}

export function endPeer(peer: Peer): void {
  clearTimeout(peer.retry);
  peer.wanted = false;
  endCarrier(peer);
}

export function endCarrier(peer: Peer): void {
  peer.opening?.abort();
  peer.opening = undefined;
  const { carrier } = peer;
  // Before it closes: it ends by us, not by itself.
  peer.carrier = undefined;
  carrier?.close();
}

export function sameWay(a: PeerPlan, b: PeerPlan): boolean {
  const [from, to] = [a.path, b.path];
  return from.transport === to.transport && from.address === to.address && from.port === to.port;
}

export function sameVariant(a: AmneziaParameters | undefined, b: AmneziaParameters | undefined): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Where its datagrams go; undefined while there is no carrier yet. */
export function endpointOf({ plan: { path }, carrier }: Peer): Endpoint | undefined {
  const [address, port] = path.transport === 'tls' ? ['127.0.0.1', carrier?.port ?? 0] : [path.address, path.port];
  const parsed = parseIpAddress(address);
  return parsed === undefined || port === 0 ? undefined : { ...parsed, port, scope: '' };
}
