/** What the policy lets out and in, read plainly: the model that the kernel's rules are compared with. */
import { BlockList } from 'node:net';
import type { FirewallPolicy } from '@sallyport/client';

export interface Packet {
  readonly protocol: 'udp' | 'tcp';
  readonly family: 4 | 6;
  /** The other end. */
  readonly address: string;
  readonly port: number;
  readonly ownPort: number;
  readonly mark: number;
  readonly interface: string;
}

function within(prefixes: readonly string[], { address, family }: Packet): boolean {
  const list = new BlockList();
  for (const prefix of prefixes) {
    const [host = '', length] = prefix.split('/');
    const bits = host.includes(':') ? 128 : 32;
    list.addSubnet(host, Number(length ?? bits), host.includes(':') ? 'ipv6' : 'ipv4');
  }
  return list.check(address, `ipv${String(family) as '4' | '6'}`);
}

const multicast = ['224.0.0.0/24', '239.255.255.250/32', '255.255.255.255/32', 'ff02::/16', 'ff05::/16'];

export function mayLeave(policy: FirewallPolicy | 'open', packet: Packet): boolean {
  if (policy === 'open' || packet.interface === 'lo') return true;
  if (policy.tunnels.includes(packet.interface)) return true;
  const named = policy.endpoints.some(
    ({ protocol, address, port, mark, interface: by }) =>
      protocol === packet.protocol &&
      address === packet.address &&
      port === packet.port &&
      mark === packet.mark &&
      (by === undefined ? packet.interface !== 'sallyport-entry' : packet.interface === by),
  );
  if (named) return true;
  if (policy.blocking && (packet.mark === 0x5a11 || packet.mark === 0x5a12 || packet.interface === 'sallyport-entry')) return false; // prettier-ignore
  if (policy.dnsByTunnel && [53, 853].includes(packet.port)) return false;
  if (!policy.blocking) return true;
  if (policy.only !== undefined) return packet.mark === 0x5a13 || !within(policy.only, packet);
  if (policy.dhcp && packet.protocol === 'udp' && packet.ownPort === 68 && packet.port === 67 && packet.address === '255.255.255.255') return true; // prettier-ignore
  if (packet.mark === 0x5a13 || within(policy.excluded, packet)) return true;
  if (policy.localNetworks === undefined) return false;
  return within([...policy.localNetworks, '169.254.0.0/16', 'fe80::/10', ...multicast], packet);
}
