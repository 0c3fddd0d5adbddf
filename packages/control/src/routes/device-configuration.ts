/** The configuration of a device for any WireGuard app, as wg-quick(8) reads it. */
import { isIP, isIPv6 } from 'node:net';
import type { Gateway, Settings } from '@sallyport/api';
import type { AccessModel } from '@sallyport/policy';
import { ApiError } from '../http/api-error.ts';
import { tunnelParameters } from '../tunnel-parameters.ts';

export interface ConfigurationParts {
  readonly device: { readonly name: string; readonly publicKey: string; readonly ipv4: string; readonly ipv6: string };
  readonly userName: string;
  readonly gateway: Pick<Gateway, 'name' | 'endpointHost' | 'endpointPort' | 'wireguardPublicKey'>;
  readonly model: Pick<AccessModel, 'pool4' | 'pool6'>;
  readonly settings: Settings;
}

/** Throws the ApiError `conflict` where the gateway has no endpoint that devices could connect to. */
export function deviceConfiguration({ device, userName, gateway, model, settings }: ConfigurationParts): string {
  const { dnsServers, allowedIps } = tunnelParameters(model, settings);
  return [
    `# ${device.name} of ${userName}, through ${gateway.name}`,
    '[Interface]',
    '# Put the private key here that belongs to the public key',
    `# ${device.publicKey}`,
    '# PrivateKey = ',
    `Address = ${device.ipv4}/32, ${device.ipv6}/128`,
    `DNS = ${[...dnsServers, ...settings.dns.searchDomains].join(', ')}`,
    '',
    '[Peer]',
    `PublicKey = ${gateway.wireguardPublicKey}`,
    `Endpoint = ${endpointOf(gateway)}`,
    `AllowedIPs = ${allowedIps.join(', ')}`,
    ...(settings.persistentKeepaliveSeconds === 0
      ? []
      : [`PersistentKeepalive = ${String(settings.persistentKeepaliveSeconds)}`]),
    '',
  ].join('\n');
}

function endpointOf({ name, endpointHost: host, endpointPort: port }: ConfigurationParts['gateway']): string {
  if (!isConfigurable(host)) {
    throw new ApiError(
      'conflict',
      `The gateway ${name} has no host that devices can connect to: an administrator must set its endpoint.`,
    );
  }
  return `${isIPv6(host) ? `[${host}]` : host}:${String(port)}`;
}

/** Whether a gateway's host can stand in a device's configuration. */
export function isConfigurable(host: string): boolean {
  // A gateway says by itself how it is reached: nothing but a host may come from there into a file with commands in it.
  return isIP(host) !== 0 || /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9.])?$/.test(host);
}
