/** The addresses of a service: number n is the n-th of both pools, so that a device's two addresses belong together. */
import { bitsOf, formatAddress, parsePrefix } from './ip.ts';

/** The number of the gateways' own tunnel addresses, the same at every gateway. */
export const GATEWAY_NUMBER = 1;
/** The first number that a device can have; those below are the network's, the gateways' and kept for later. */
export const FIRST_DEVICE_NUMBER = 2;

/** The n-th address of a pool. Throws a RangeError where the pool is faulty or does not hold it. */
export function poolAddress(pool: string, number: number): string {
  const prefix = parsePrefix(pool);
  if (prefix === undefined) throw new RangeError(`the pool ${pool} is no prefix`);
  if (number < 0 || BigInt(number) >= 1n << BigInt(bitsOf(prefix.family) - prefix.length)) {
    throw new RangeError(`the pool ${pool} has no address number ${String(number)}`);
  }
  return formatAddress({ family: prefix.family, value: prefix.value + BigInt(number) });
}

/** The highest number that a device can have in both pools; below {@link FIRST_DEVICE_NUMBER} where there is room for none. */
export function lastDeviceNumber(pool4: string, pool6: string): number {
  const sizes = [pool4, pool6].map((pool) => {
    const prefix = parsePrefix(pool);
    if (prefix === undefined) throw new RangeError(`the pool ${pool} is no prefix`);
    return 2 ** Math.min(bitsOf(prefix.family) - prefix.length, 40);
  });
  // The last address of an IPv4 network is its broadcast address.
  return Math.min(sizes[0] - 2, sizes[1] - 1);
}
