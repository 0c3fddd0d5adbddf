import { lookup } from 'node:dns/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseIpAddress } from '@sallyport/wireguard';
import type { Endpoint } from '@sallyport/wireguard';
import type { EndpointConfig } from './config.ts';

const DEFAULT_RETRIES = 15;
const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 90_000;
const DELAY_GROWTH = 1.2;

/** An endpoint's name has no address. */
export class ResolutionError extends Error {
  readonly code = 'unresolved';

  constructor(endpoint: EndpointConfig, reason: string, options?: ErrorOptions) {
    super(`Endpoint at line ${String(endpoint.line)}: the name "${endpoint.host}" has no address: ${reason}`, options);
    this.name = 'ResolutionError';
  }
}

export interface ResolveOptions {
  /** How often a failure that may pass is tried again. */
  readonly retries: number;
  readonly signal: AbortSignal;
  readonly tell: (line: string) => void;
}

/** How often to try again, as the environment variable WG_ENDPOINT_RESOLUTION_RETRIES says: a number or `infinity`. */
export function retriesOf(setting: string | undefined): number {
  if (setting?.toLowerCase() === 'infinity') return Infinity;
  return setting !== undefined && /^\d{1,9}$/.test(setting) ? Number(setting) : DEFAULT_RETRIES;
}

/**
 * Finds the address of an endpoint. Name servers that don't answer are asked again, with growing pauses, as wg(8) does:
 * the network may only just be coming up. A name that does not exist fails at once.
 */
export async function resolveEndpoint(endpoint: EndpointConfig, options: ResolveOptions): Promise<Endpoint> {
  const literal = fromAddress(endpoint.host, endpoint.port);
  if (literal !== undefined) return literal;
  let delayMs = FIRST_DELAY_MS;
  for (let attempt = 0; ; attempt++) {
    try {
      const { address } = await lookup(endpoint.host, { order: 'verbatim' });
      const found = fromAddress(address, endpoint.port);
      if (found === undefined) throw new ResolutionError(endpoint, 'the answer is not an IP address');
      return found;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'EAI_AGAIN') {
        throw new ResolutionError(endpoint, code === 'ENOTFOUND' ? 'there is no such name' : message, { cause: error });
      }
      if (attempt >= options.retries) {
        throw new ResolutionError(endpoint, 'the name servers do not answer', { cause: error });
      }
    }
    options.tell(
      `Trying again in ${(delayMs / 1000).toFixed(2)} seconds: name servers do not answer for "${endpoint.host}"`,
    );
    await sleep(delayMs, undefined, { signal: options.signal });
    delayMs = Math.min(LONGEST_DELAY_MS, delayMs * DELAY_GROWTH);
  }
}

function fromAddress(host: string, port: number): Endpoint | undefined {
  const [address = '', scope = ''] = host.split('%', 2);
  const ip = parseIpAddress(address);
  return ip && { family: ip.family, address: ip.address, port, scope };
}
