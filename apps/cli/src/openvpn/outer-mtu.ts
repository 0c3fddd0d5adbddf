import type { Ip } from '@sallyport/io';

/** What OpenVPN adds to a packet at most: IPv6, UDP, its own header and tag, or IV, HMAC and padding. */
const OVERHEAD = 100;
const USUAL_MTU = 1500;
const MIN_IPV6_MTU = 1280;

/**
 * The interface's MTU: so small that a full packet's datagram needs no fragments, as --mssfix does it for TCP alone. TCP
 * on the outside has segments of its own.
 */
export async function interfaceMtu(ip: Ip, pushed: number, server: string, transport: 'udp' | 'tcp'): Promise<number> {
  if (transport === 'tcp') return pushed;
  const route = await ip.routeTo(server);
  const link = route?.device === undefined ? undefined : await ip.linkMtu(route.device);
  const outer = route?.mtu ?? link ?? USUAL_MTU;
  return Math.min(pushed, Math.max(outer - OVERHEAD, MIN_IPV6_MTU));
}
