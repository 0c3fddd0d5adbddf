import type { Settings } from '@sallyport/api';
import { GATEWAY_NUMBER, parsePrefix, poolAddress, prefixContains, type AccessModel } from '@sallyport/policy';

export interface TunnelParameters {
  readonly gateway4: string;
  readonly gateway6: string;
  readonly dnsServers: string[];
  readonly allowedIps: string[];
}

/** What goes through the tunnel, and whom devices ask for names: whom the settings name, or else their gateway. */
export function tunnelParameters(model: Pick<AccessModel, 'pool4' | 'pool6'>, settings: Settings): TunnelParameters {
  const gateway4 = poolAddress(model.pool4, GATEWAY_NUMBER);
  const gateway6 = poolAddress(model.pool6, GATEWAY_NUMBER);
  const { servers } = settings.dns;
  const { allowedIps } = settings;
  if (servers.length > 0) return { gateway4, gateway6, dnsServers: servers, allowedIps };
  // The gateway has to be reached wherever else traffic goes.
  const own = [`${gateway4}/32`, `${gateway6}/128`].filter((text) => !allowedIps.some((prefix) => holds(prefix, text)));
  return { gateway4, gateway6, dnsServers: [gateway4, gateway6], allowedIps: [...allowedIps, ...own] };
}

function holds(outer: string, inner: string): boolean {
  const [a, b] = [parsePrefix(outer), parsePrefix(inner)];
  return a !== undefined && b !== undefined && prefixContains(a, b);
}
