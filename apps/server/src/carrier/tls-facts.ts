import type { Reach } from '../addresses.ts';
import type { Configuration } from '../config/schema.ts';
import type { CarrierReady, TlsFacts } from './carrier-configuration.ts';

/** Whether devices are to come by the console's port. */
export function isOnWeb({ gateway, control }: Configuration, reach: Reach): boolean {
  return gateway.tlsOnWeb && control.enabled && reach.publicUrl.startsWith('https:');
}

/**
 * Where devices reach the tunnel over TLS. The console's port comes first: it is the one that networks let pass. Undefined
 * where it can't be reached.
 *
 * @param webFingerprint of the console's certificate, where it is self-signed
 */
export function tlsFactsOf(
  configuration: Configuration,
  reach: Reach,
  { path, certificateSha256, ports: [port] }: CarrierReady,
  webFingerprint: string | undefined,
): TlsFacts | undefined {
  if (isOnWeb(configuration, reach)) {
    const url = new URL(reach.publicUrl);
    const pinned = webFingerprint?.replaceAll(':', '').toLowerCase() ?? null;
    return {
      host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: url.port === '' ? 443 : Number(url.port),
      path,
      certificateSha256: pinned,
    };
  }
  return port === undefined ? undefined : { host: '', port, path, certificateSha256 };
}
