/**
 * What the control plane gave, before anything is done with it. Its form is checked already; here, that it is of a size with
 * which each event stays cheap, and that the addresses that become this machine's own are such as a device can have.
 */
import type { ServiceConfiguration } from './configuration.ts';
import { contains, parseAddress, parsePrefix, type Family, type Prefix } from './ip.ts';

const MAX_MESSAGE = 1000;

/** By what the error says of each. */
const lists: readonly (readonly [
  what: string,
  most: number,
  of: (given: ServiceConfiguration) => readonly unknown[],
])[] = [
  ['gateways', 1000, ({ gateways }) => gateways],
  ['networks for the tunnel (allowedIps)', 1000, ({ tunnel }) => tunnel.allowedIps],
  ['name servers', 64, ({ tunnel }) => tunnel.dnsServers],
  ['search domains', 64, ({ tunnel }) => tunnel.searchDomains],
  ['regions that are required', 1000, ({ requirements }) => requirements.regionIds],
  ['gateways that are required', 1000, ({ requirements }) => requirements.gatewayIds],
  ['networks behind this machine', 1000, ({ advertised }) => advertised],
];

/** Neither loopback nor link-local nor multicast is anybody's address in a tunnel. */
const NOBODYS = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3', '::/16', 'fe80::/10', 'ff00::/8'].flatMap(
  (text) => parsePrefix(text) ?? [],
);

/** Why a configuration is not to be used, with the remedy; undefined where it is. `own`: addresses of other interfaces. */
export function faultOfConfiguration(given: ServiceConfiguration, own: readonly string[] = []): string | undefined {
  for (const [what, most, of] of lists) {
    const { length } = of(given);
    if (length > most)
      return `the service gave ${String(length)} ${what}, and the client takes ${String(most)} at most: an administrator has to give fewer`; // prettier-ignore
  }
  if (given.device.message.length > MAX_MESSAGE) return 'the service gave a message that is longer than anybody reads';
  const { device, tunnel } = given;
  return (
    faultOfAddress(device.ipv4, 4, tunnel.pool4, own) ??
    faultOfAddress(device.ipv6, 6, tunnel.pool6, own) ??
    faultOfAddress(tunnel.gateway4, 4, tunnel.pool4, []) ??
    faultOfAddress(tunnel.gateway6, 6, tunnel.pool6, [])
  );
}

/** It gets rules that let packets in, and a route: it is one address, of the service's own network. */
function faultOfAddress(text: string, family: Family, pool: string, own: readonly string[]): string | undefined {
  const address = parseAddress(text);
  const network = parsePrefix(pool);
  const whole = family === 4 ? 32 : 128;
  const single: Prefix | undefined = address && { family: address.family, first: address.value, length: whole };
  if (single?.family !== family || network === undefined || NOBODYS.some((range) => contains(range, single)) || !contains(network, single)) // prettier-ignore
    return `the service gave ${JSON.stringify(text.slice(0, 64))}, which can be no address in its network ${pool.slice(0, 64)}: ask its administrator`; // prettier-ignore
  if (own.some((other) => parseAddress(other)?.value === single.first && other.includes(':') === (family === 6)))
    return `the service gave this machine the address ${text}, which it has already by another interface: end the other connection, or ask an administrator`; // prettier-ignore
  return undefined;
}
