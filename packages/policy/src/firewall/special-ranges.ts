/**
 * What the internet is: the addresses that belong to anybody out there. Left out are the ranges that the IANA IPv4 and
 * IPv6 Special-Purpose Address Registries (RFC 6890) call not globally reachable, multicast, and what leads to an IPv4
 * address by another way than IPv4's own rules. The ranges for documentation (RFC 5737, RFC 3849, RFC 9637) are not left
 * out: no private network is there by right, and laboratories and demonstrations stand in for the internet with them.
 */
import { rangesOf, subtract, unite, type AddressRange, type Family } from './address-ranges.ts';

export const SPECIAL_RANGES: Readonly<Record<Family, readonly string[]>> = {
  4: [
    '0.0.0.0/8', // this network (RFC 791)
    '10.0.0.0/8', // private (RFC 1918)
    '100.64.0.0/10', // carrier-grade NAT (RFC 6598)
    '127.0.0.0/8', // loopback (RFC 1122)
    '169.254.0.0/16', // link-local (RFC 3927); also where clouds keep their metadata services
    '172.16.0.0/12', // private (RFC 1918)
    '192.0.0.0/24', // IETF protocol assignments (RFC 6890), with its anycast addresses of the next PCP or TURN server
    '192.88.99.0/24', // 6to4 relays, abandoned (RFC 7526)
    '192.168.0.0/16', // private (RFC 1918)
    '198.18.0.0/15', // benchmarking (RFC 2544)
    '224.0.0.0/4', // multicast (RFC 5771)
    '240.0.0.0/4', // reserved (RFC 1112), and the limited broadcast address
  ],
  6: [
    // Outside 2000::/3, of which alone global unicast addresses are given out (RFC 4291, section 2.4): loopback,
    // mapped and translated IPv4 (::ffff:0:0/96, 64:ff9b::/96, 64:ff9b:1::/48), discard, ULA, link-local, multicast.
    '::/3',
    '4000::/2',
    '8000::/1',
    '2001::/23', // IETF protocol assignments (RFC 2928): Teredo (RFC 4380), benchmarking (RFC 5180), ORCHID
    '2002::/16', // 6to4 (RFC 3056)
  ],
};

const ALL: Readonly<Record<Family, AddressRange>> = {
  4: { first: 0n, last: (1n << 32n) - 1n },
  6: { first: 0n, last: (1n << 128n) - 1n },
};

/** The internet without the prefixes and addresses in `excluded`, of which those of the other family don't count. */
export function internetRanges(family: Family, excluded: readonly string[]): AddressRange[] {
  return subtract(ALL[family], unite(rangesOf(family, [...SPECIAL_RANGES[family], ...excluded])));
}
