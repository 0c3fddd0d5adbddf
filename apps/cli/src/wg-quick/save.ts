import type { InterfaceAddress } from '@sallyport/io';
import { encodeBase64Key, formatEndpoint, formatIpPrefix, VARIANT_KEYS } from '@sallyport/wireguard';
import type { DeviceState } from '@sallyport/wireguard';
import type { WgQuickConfig } from './config.ts';

/** The text of a configuration file for the tunnel as it is now: what SaveConfig writes. It holds the keys. */
export function formatConfig(
  config: WgQuickConfig,
  state: DeviceState,
  addresses: readonly InterfaceAddress[],
  mtu: number | undefined,
): string {
  const lines = ['[Interface]'];
  // The kernel gives an interface link-local addresses by itself: those that the file did not have stay out.
  const configured = new Set(config.addresses.map(formatIpPrefix));
  for (const { prefix, linkLocal } of addresses) {
    if (!linkLocal || configured.has(prefix)) lines.push(`Address = ${prefix}`);
  }
  for (const server of [...config.dnsServers, ...config.dnsSearch]) lines.push(`DNS = ${server}`);
  if (config.mtu !== undefined) lines.push(`MTU = ${String(mtu ?? config.mtu)}`);
  if (config.table !== undefined) lines.push(`Table = ${config.table}`);
  lines.push('SaveConfig = true');
  for (const [key, commands] of [
    ['PreUp', config.preUp],
    ['PostUp', config.postUp],
    ['PreDown', config.preDown],
    ['PostDown', config.postDown],
  ] as const) {
    for (const command of commands) lines.push(`${key} = ${command}`);
  }
  if (state.listenPort !== 0) lines.push(`ListenPort = ${String(state.listenPort)}`);
  if (state.fwmark !== 0) lines.push(`FwMark = 0x${state.fwmark.toString(16)}`);
  const { variant } = state;
  if (variant !== undefined)
    for (const key of VARIANT_KEYS) lines.push(`${key[0].toUpperCase()}${key.slice(1)} = ${String(variant[key])}`);
  if (state.privateKey !== undefined) lines.push(`PrivateKey = ${encodeBase64Key(state.privateKey.reveal())}`);
  for (const peer of state.peers) {
    lines.push('', '[Peer]', `PublicKey = ${encodeBase64Key(peer.publicKey)}`);
    if (peer.presharedKey !== undefined) lines.push(`PresharedKey = ${encodeBase64Key(peer.presharedKey.reveal())}`);
    const allowedIps = Array.from(peer.allowedIps, formatIpPrefix);
    if (allowedIps.length > 0) lines.push(`AllowedIPs = ${allowedIps.join(', ')}`);
    if (peer.endpoint !== undefined) lines.push(`Endpoint = ${formatEndpoint(peer.endpoint)}`);
    if (peer.persistentKeepalive !== 0) lines.push(`PersistentKeepalive = ${String(peer.persistentKeepalive)}`);
  }
  return `${lines.join('\n')}\n`;
}
