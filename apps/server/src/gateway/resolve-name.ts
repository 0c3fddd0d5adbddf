import { Resolver } from 'node:dns/promises';
import type { Resolve } from '@sallyport/agent';

const TIMEOUT_MS = 3000;
const TRIES = 2;
/** Where a name has no address: ask again after this. */
const NOTHING_TTL_SECONDS = 30;

/** Asks the name servers for both families. Without a list, those of /etc/resolv.conf. */
export function nameResolver(servers: readonly string[] | undefined): Resolve {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES });
  if (servers !== undefined && servers.length > 0) resolver.setServers(servers);
  return async (name) => {
    const answers = (
      await Promise.all([
        resolver.resolve4(name, { ttl: true }).catch(nothing),
        resolver.resolve6(name, { ttl: true }).catch(nothing),
      ])
    ).flat();
    return {
      addresses: answers.map(({ address }) => address),
      ttlSeconds: answers.length === 0 ? NOTHING_TTL_SECONDS : Math.min(...answers.map(({ ttl }) => ttl)),
    };
  };
}

/** That there is no address is an answer; that nobody answers is not. */
function nothing(error: unknown): [] {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENODATA' || code === 'ENOTFOUND') return [];
  throw error;
}
