/** Watches for a while what leaves the machine beside the tunnel, and says what is not allowed to. */
import { readFileSync, readdirSync } from 'node:fs';
import { BlockList, isIPv6 } from 'node:net';
import { ENTRY_INTERFACE, TUNNEL_INTERFACE } from '@sallyport/client';
import { captureOutgoing } from '@sallyport/io';

const MAX_KINDS = 100;
const IPV4 = 0x0800;
const IPV6 = 0x86dd;
const TCP = 6;
const UDP = 17;
const ICMP = 1;
const ICMPV6 = 58;
const PROTOCOL_NAMES: Readonly<Record<number, string>> = { [TCP]: 'tcp', [UDP]: 'udp', [ICMP]: 'icmp', [ICMPV6]: 'icmpv6' }; // prettier-ignore
/** RFC 4861: solicitations and advertisements of neighbours and routers; and the report (RFC 3810) by which switches find listeners. */
const NEIGHBOUR_DISCOVERY = [133, 134, 135, 136, 137, 143];
const NAME_PORTS = [53, 853];
/** Extension headers that may stand before the upper layer (RFC 8200, section 4.1). */
const EXTENSIONS = [0, 43, 44, 60];

export interface Outgoing {
  readonly protocol: number;
  readonly destination: string;
  /** Of TCP and UDP; the type of ICMP. */
  readonly port: number;
  readonly sourcePort: number;
}

export interface AllowedEndpoint {
  readonly protocol: 'tcp' | 'udp';
  readonly address: string;
  readonly port: number;
}

export interface LeakReport {
  readonly interfaces: string[];
  readonly packets: number;
  readonly leaked: { readonly what: string; readonly packets: number }[];
}

/** What may leave beside the tunnel. */
export interface Allowed {
  /** Where the tunnel and the daemon's own connections go. */
  readonly endpoints: readonly AllowedEndpoint[];
  /** Networks that were let out by the settings. */
  readonly prefixes: readonly string[];
  /** An address may be asked for. */
  readonly dhcp: boolean;
}

/** `allowed` is asked for each packet: it changes with the tunnel. `onBegun` hears that it watches. */
export async function watchForLeaks(
  seconds: number,
  allowed: () => Allowed,
  on: { readonly signal: AbortSignal; readonly onBegun: () => void },
): Promise<LeakReport> {
  const own = new Set<number>();
  const names = new Map<number, string>();
  for (const name of readdirSync('/sys/class/net')) {
    const index = Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8'));
    if (name === 'lo' || name === TUNNEL_INTERFACE || name === ENTRY_INTERFACE) own.add(index);
    else names.set(index, name);
  }
  const leaked = new Map<string, number>();
  let packets = 0;
  await captureOutgoing(
    seconds * 1000,
    ({ interfaceIndex, etherType, bytes }) => {
      if (own.has(interfaceIndex) || interfaceIndex === 1) return;
      const packet = outgoingOf(etherType, bytes);
      // Without an address of the internet (ARP, spanning tree): it goes no further than the link.
      if (packet === undefined) return;
      packets++;
      if (isAllowed(packet, allowed())) return;
      const what = wordsFor(packet);
      if (leaked.has(what) || leaked.size < MAX_KINDS) leaked.set(what, (leaked.get(what) ?? 0) + 1);
      else leaked.set('others', (leaked.get('others') ?? 0) + 1);
    },
    on,
  );
  return {
    interfaces: [...names.values()].sort(),
    packets,
    leaked: [...leaked].map(([what, count]) => ({ what, packets: count })),
  };
}

/** What a packet is, from its network header on; undefined for what is neither IPv4 nor IPv6. */
export function outgoingOf(etherType: number, bytes: Uint8Array): Outgoing | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (etherType === IPV4 && bytes.length >= 20) {
    const header = (view.getUint8(0) & 15) * 4;
    const protocol = view.getUint8(9);
    return { protocol, destination: bytes.subarray(16, 20).join('.'), ...portsOf(view, header, protocol) };
  }
  if (etherType === IPV6 && bytes.length >= 40) {
    let at = 40;
    let protocol = view.getUint8(6);
    while (EXTENSIONS.includes(protocol) && at + 8 <= bytes.length) {
      const length = protocol === 44 ? 8 : (view.getUint8(at + 1) + 1) * 8;
      protocol = view.getUint8(at);
      at += length;
    }
    const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(24 + 2 * i).toString(16)).join(':');
    return {
      protocol,
      destination: new URL(`http://[${groups}]`).hostname.slice(1, -1),
      ...portsOf(view, at, protocol),
    };
  }
  return undefined;
}

function portsOf(view: DataView, at: number, protocol: number): { port: number; sourcePort: number } {
  if (at + 4 > view.byteLength) return { port: 0, sourcePort: 0 };
  if (protocol === TCP || protocol === UDP) return { port: view.getUint16(at + 2), sourcePort: view.getUint16(at) };
  return protocol === ICMP || protocol === ICMPV6
    ? { port: view.getUint8(at), sourcePort: 0 }
    : { port: 0, sourcePort: 0 };
}

/** The tunnel's own, the daemon's own, DHCP, what finds neighbours on the link, and what the settings let out. */
export function isAllowed(packet: Outgoing, { endpoints, prefixes, dhcp }: Allowed): boolean {
  const { protocol, destination, port, sourcePort } = packet;
  if (protocol === ICMPV6 && NEIGHBOUR_DISCOVERY.includes(port)) return true;
  if (dhcp && protocol === UDP) {
    if (sourcePort === 68 && port === 67) return true;
    if (sourcePort === 546 && port === 547 && isIPv6(destination)) return true;
  }
  const name = PROTOCOL_NAMES[protocol];
  if (endpoints.some((one) => one.protocol === name && one.port === port && one.address === destination)) return true;
  // Names go inside, whatever else is let out.
  if (NAME_PORTS.includes(port) && (protocol === UDP || protocol === TCP)) return false;
  return contains(prefixes, destination);
}

function contains(prefixes: readonly string[], address: string): boolean {
  if (prefixes.length === 0) return false;
  const list = new BlockList();
  for (const prefix of prefixes) {
    const [network = '', length = ''] = prefix.split('/');
    list.addSubnet(network, Number(length), isIPv6(network) ? 'ipv6' : 'ipv4');
  }
  return list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

/** `udp 53 to 192.0.2.1` */
function wordsFor({ protocol, destination, port }: Outgoing): string {
  const name = PROTOCOL_NAMES[protocol] ?? `protocol ${String(protocol)}`;
  return `${name}${protocol in PROTOCOL_NAMES ? ` ${String(port)}` : ''} to ${destination}`;
}
