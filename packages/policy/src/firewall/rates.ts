/**
 * Bandwidth limits. Devices with the same rate share chains, one for each direction and family; what a device has left
 * of its rate is in a meter, which the packets fill. So nothing but the way to the chain is written for each device.
 *
 * A device has one bucket for each direction, of both families together. Its key is the IPv4 address, as a packet has
 * it. An IPv6 packet has none, and nft 1.0.6 takes no map for a meter's key, so the number is put into the packet's
 * priority for a moment; the forwarded IPv6 packets of limited devices therefore leave with priority 0, as they do
 * without any rule that sets it.
 */
import { parseAddress } from '../access/ip.ts';
import type { Family } from './address-ranges.ts';
import type { FirewallDevice } from './plan.ts';
import type { Chain, Meter, Rule } from './ruleset.ts';
import * as nft from './statements.ts';

/** The map from IPv6 addresses of limited devices to the number of their bucket. */
export const BUCKET6 = 'bucket6';

const DIRECTIONS = ['up', 'down'] as const;
type Direction = (typeof DIRECTIONS)[number];

/**
 * What passes above the rate, so that TCP, whose packets come in bursts, reaches the rate. The kernel's bucket holds a second's
 * worth besides: who was silent may send that much at once.
 */
const BURST_SECONDS = 0.2;
const BURST_BYTES = { min: 256 * 1024, max: 2 ** 30 };
/** The kernel refuses rates that overflow its counter; faster than this (100 Gbit/s) is no packet path anyway. */
const MAX_BYTES_PER_SECOND = 12_500_000_000;
const MIN_TIMEOUT_SECONDS = 60;
const MIN_METER_SIZE = 256;
const METER_GROWTH = 4;
const PRIORITY = { meta: { key: 'priority' } };

/** The device's rate in bytes a second, where it has a limit. */
export function rateOf({ bitsPerSecond }: FirewallDevice): number | undefined {
  if (bitsPerSecond === undefined) return undefined;
  return Math.min(Math.max(1, Math.floor(bitsPerSecond / 8)), MAX_BYTES_PER_SECOND);
}

/** The chain for the packets that devices with the rate send (`up`) or receive (`down`). */
export function rateChain(direction: Direction, family: Family, rate: number): string {
  return `${direction}${String(family)}-${String(rate)}`;
}

/**
 * The four bytes of an IPv4 address, in their order, as the number that a machine reads there whose lowest byte comes
 * first (all that this runs on; with the other order, the families of a device would have a bucket each).
 */
export function bucketNumber(ipv4: string): string {
  const value = Number(parseAddress(ipv4)?.value ?? 0n);
  const [a, b, c, d] = [24, 16, 8, 0].map((shift) => ((value >>> shift) & 0xff).toString(16).padStart(2, '0'));
  return `${d}${c}:${b}${a}`;
}

/** Adds the chains and meters of all rates that devices have. */
export function addRates(
  devices: readonly FirewallDevice[],
  meters: Map<string, Meter>,
  chains: Map<string, Chain>,
): void {
  const counts = new Map<number, number>();
  for (const device of devices) {
    const rate = rateOf(device);
    if (rate !== undefined) counts.set(rate, (counts.get(rate) ?? 0) + 1);
  }
  for (const [rate, count] of counts) {
    const burst = Math.min(Math.max(Math.round(rate * BURST_SECONDS), BURST_BYTES.min), BURST_BYTES.max);
    // The bucket of one who was silent for so long is full anyway.
    const timeoutSeconds = Math.max(MIN_TIMEOUT_SECONDS, Math.ceil(burst / rate) + 1);
    // Devices that are gone are in it until then, too. In a full one, others would be without a limit.
    let size = MIN_METER_SIZE;
    while (size < 2 * count) size *= METER_GROWTH;
    const limit = { rate, rate_unit: 'bytes', per: 'second', burst, burst_unit: 'bytes', inv: true };
    for (const direction of DIRECTIONS) {
      const meter = `${direction}-${String(rate)}-${String(size)}`;
      meters.set(meter, { key: 'classid', size, timeoutSeconds });
      const dropAbove = (key: object): Rule => [
        { set: { op: 'update', elem: key, set: `@${meter}`, stmt: [{ limit }] } },
        nft.DROP,
      ];
      // The source or destination address of IPv4 as plain bytes: as an address, it isn't of the meter's type.
      const ipv4 = { payload: { base: 'nh', offset: direction === 'up' ? 96 : 128, len: 32 } };
      const ipv6 = nft.address(6, direction === 'up' ? 'saddr' : 'daddr');
      chains.set(rateChain(direction, 4, rate), { rules: [dropAbove(ipv4)] });
      chains.set(rateChain(direction, 6, rate), {
        rules: [
          [{ mangle: { key: PRIORITY, value: { map: { key: ipv6, data: `@${BUCKET6}` } } } }],
          dropAbove(PRIORITY),
          [{ mangle: { key: PRIORITY, value: '0:0' } }],
        ],
      });
    }
  }
}
