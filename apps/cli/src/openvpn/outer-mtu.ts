import type { Ip } from '@sallyport/io';
import type { Target } from './remotes.ts';

/** What OpenVPN adds to a packet at most: IPv6, UDP, its own header and tag, or IV, HMAC and padding. */
const OVERHEAD = 100;
const OUTER_HEADERS = 48;
const USUAL_MTU = 1500;
const MIN_IPV6_MTU = 1280;

/**
 * The interface's MTU: so small that a full packet's datagram needs no fragments, as --mssfix does it for TCP alone. TCP
 * on the outside has segments of its own.
 */
export async function interfaceMtu(
  ip: Ip,
  pushed: number,
  { address, transport }: Target,
  mssfix: number | undefined,
): Promise<number> {
  if (transport === 'tcp') return pushed;
  const route = await ip.routeTo(address);
  const link = route?.device === undefined ? undefined : await ip.linkMtu(route.device);
  const known = route?.mtu ?? link ?? USUAL_MTU;
  // It says how large a datagram may be, without IPv6's and UDP's headers.
  const outer = mssfix === undefined || mssfix === 0 ? known : Math.min(known, mssfix + OUTER_HEADERS);
  return Math.min(pushed, Math.max(outer - OVERHEAD, MIN_IPV6_MTU));
}
