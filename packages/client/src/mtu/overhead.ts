import { familyOf } from '../ip.ts';
import type { Path } from '../machine/types.ts';
import { MIN_MTU } from '../names.ts';

/** What gateways take from their own tunnel interface: more than this is not looked for. */
export const MAX_MTU = 1420;

/** IP, UDP and WireGuard's header and tag (16 and 16 bytes) around a packet in the tunnel. */
export function overheadOf(address: string): number {
  return (familyOf(address) === 4 ? 20 : 40) + 8 + 32;
}

/**
 * The largest packet that may fit into the way's tunnel, where every link of the path takes `outerMtu` bytes. In an
 * entry's tunnel the exit's datagrams are packets, of IPv6 in the worst case: 80 bytes more.
 */
export function ceilingOf(front: Path, entry: boolean, outerMtu: number): number {
  // Over TLS nothing has to fit.
  const outer = front.transport === 'tls' ? MAX_MTU : Math.min(MAX_MTU, outerMtu - overheadOf(front.address));
  return Math.max(MIN_MTU, entry ? outer - 80 : outer);
}
