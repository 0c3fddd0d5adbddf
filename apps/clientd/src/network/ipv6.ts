import { readFileSync } from 'node:fs';

/**
 * Whether an interface, or `all`, has IPv6 now: not where it is switched off (`disable_ipv6`), and not where the kernel has
 * none.
 */
export function hasIpv6(name: string): boolean {
  try {
    return readFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, 'utf8').trim() === '0';
  } catch {
    return false;
  }
}
