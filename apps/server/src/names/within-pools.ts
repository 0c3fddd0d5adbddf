import { parsePrefix, prefixContains } from '@sallyport/policy';
import type { NamesOrder } from './names-configuration.ts';

/**
 * Whether the addresses and the clients of an order lie in the pools that this machine's configuration has. Who orders
 * parses what comes from the network: whoever took it over must not open a name server to the world.
 */
export function isWithinPools({ addresses, clients }: NamesOrder, pools: readonly string[]): boolean {
  const outer = pools.flatMap((pool) => parsePrefix(pool) ?? []);
  return [...addresses, ...clients].every((text) => {
    const inner = parsePrefix(text);
    return inner !== undefined && outer.some((pool) => prefixContains(pool, inner));
  });
}
