import type { Reach } from '../addresses.ts';
import type { Configuration } from '../config/schema.ts';
import type { CarrierReady, TlsFacts } from './carrier-configuration.ts';

/** Whether devices are to come by the console's port. */
export function isOnWeb({ gateway, control }: Configuration, reach: Reach): boolean {
  return gateway.tlsOnWeb && control.enabled && reach.publicUrl.startsWith('https:');
}

/** The same for OpenVPN over TCP, of which a proxy in front lets nothing pass. */
export function isOpenVpnOnWeb({ gateway, control, web }: Configuration): boolean {
  return gateway.enabled && gateway.openvpnOnWeb && gateway.openvpnPort !== 0 && control.enabled && web.tls !== 'off';
}

/** The TCP port by which devices reach OpenVPN; 0 for none. `ready` is the carrier's, where it runs. */
export function openvpnTcpPort(
  configuration: Configuration,
  reach: Reach,
  ready: Pick<CarrierReady, 'openvpnPorts' | 'openvpnWebPort'> | undefined,
): number {
  const onWeb = isOpenVpnOnWeb(configuration) && ready?.openvpnWebPort !== undefined;
  return onWeb ? portOf(new URL(reach.publicUrl)) : (ready?.openvpnPorts[0] ?? 0);
}

function portOf(url: URL): number {
  return url.port === '' ? 443 : Number(url.port);
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
      port: portOf(url),
      path,
      certificateSha256: pinned,
    };
  }
  return port === undefined ? undefined : { host: '', port, path, certificateSha256 };
}
