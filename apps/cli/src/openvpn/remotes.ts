import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { OpenVpnProfile } from '@sallyport/openvpn';

/** One address to try. */
export interface Target {
  /** As the profile has it, for messages. */
  readonly host: string;
  readonly address: string;
  readonly port: number;
  readonly transport: 'udp' | 'tcp';
}

/** What a name's addresses were: while the tunnel is up, its name servers may be inside of it. */
const known = new Map<string, readonly string[]>();

/** All addresses of a profile's servers, in the order in which they are tried; and the names that have none. */
export async function targetsOf(
  { remotes, remoteRandom }: OpenVpnProfile,
  timeoutMs = 5_000,
): Promise<{ targets: Target[]; unresolved: string[] }> {
  const unresolved: string[] = [];
  const found = await Promise.all(
    remotes.map(async ({ host, port, transport, family }) => {
      const addresses = await addressesOf(host, family, timeoutMs);
      if (addresses.length === 0) unresolved.push(host);
      return addresses.map((address): Target => ({ host, address, port, transport }));
    }),
  );
  return { targets: (remoteRandom ? shuffled(found) : found).flat(), unresolved };
}

async function addressesOf(host: string, family: 4 | 6 | undefined, timeoutMs: number): Promise<readonly string[]> {
  if (isIP(host) !== 0) return family === undefined || isIP(host) === family ? [host] : [];
  const key = `${String(family ?? 0)} ${host}`;
  try {
    const answer = lookup(host, { all: true, order: 'verbatim', family: family ?? 0 });
    const late = new Promise<never>((_resolve, reject) => {
      setTimeout(() => {
        reject(new Error('no answer'));
      }, timeoutMs).unref();
    });
    const addresses = (await Promise.race([answer, late])).map(({ address }) => address);
    known.set(key, addresses);
    return addresses;
  } catch {
    return known.get(key) ?? [];
  }
}

function shuffled<T>(items: readonly T[]): T[] {
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [result[i], result[j]] = [result[j], result[i]];
  }
  return result;
}
