/** One packet of a capture file. */
export interface CapturedPacket {
  /** Seconds since 1970. */
  readonly time: number;
  /** The captured bytes, from the link-layer header on. */
  readonly bytes: Uint8Array;
  /** Bytes that the packet had on the wire. */
  readonly length: number;
}

const magicMicroseconds = 0xa1b2c3d4;
const magicNanoseconds = 0xa1b23c4d;
const linkTypeEthernet = 1;

/**
 * Reads a capture file of Ethernet packets (draft-ietf-opsawg-pcap), of either byte order. A last record that isn't
 * whole is left out, as it is in a file that is still being written.
 * @throws Error when the file is no such capture.
 */
export function readPcap(file: Uint8Array): CapturedPacket[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 24) throw new Error('pcap: shorter than its header');
  const littleEndian = [magicMicroseconds, magicNanoseconds].includes(view.getUint32(0, true));
  const magic = view.getUint32(0, littleEndian);
  if (magic !== magicMicroseconds && magic !== magicNanoseconds) throw new Error('pcap: no capture file');
  const linkType = view.getUint32(20, littleEndian) & 0xffff;
  if (linkType !== linkTypeEthernet) throw new Error(`pcap: link type ${String(linkType)} is not Ethernet`);
  const fraction = magic === magicNanoseconds ? 1e9 : 1e6;
  const packets: CapturedPacket[] = [];
  for (let at = 24; at + 16 <= file.length;) {
    const captured = view.getUint32(at + 8, littleEndian);
    if (at + 16 + captured > file.length) break;
    packets.push({
      time: view.getUint32(at, littleEndian) + view.getUint32(at + 4, littleEndian) / fraction,
      bytes: file.subarray(at + 16, at + 16 + captured),
      length: view.getUint32(at + 12, littleEndian),
    });
    at += 16 + captured;
  }
  return packets;
}

/** What an Ethernet packet carries. */
export type Dissection =
  | { readonly kind: 'arp' }
  | { readonly kind: 'other'; readonly etherType: number }
  | {
      readonly kind: 'ip';
      readonly version: 4 | 6;
      readonly source: string;
      readonly destination: string;
      /** The upper-layer protocol's number, behind IPv6's hop-by-hop, routing and destination options. */
      readonly protocol: number;
      /** Of UDP and TCP; undefined in fragments other than the first. */
      readonly ports: { readonly source: number; readonly destination: number } | undefined;
      /** Of ICMPv6. */
      readonly icmpType: number | undefined;
    };

const etherTypeIpv4 = 0x0800;
const etherTypeArp = 0x0806;
const etherTypeIpv6 = 0x86dd;
const protocolTcp = 6;
export const protocolUdp = 17;
export const protocolIcmpv6 = 58;

/** Dissects an Ethernet packet as far as a list of "who speaks with whom" needs. */
export function dissect(bytes: Uint8Array): Dissection {
  if (bytes.length < 14) return { kind: 'other', etherType: 0 };
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const etherType = view.getUint16(12);
  if (etherType === etherTypeArp) return { kind: 'arp' };
  if (etherType === etherTypeIpv4 && bytes.length >= 34) return dissectIpv4(view);
  if (etherType === etherTypeIpv6 && bytes.length >= 54) return dissectIpv6(view);
  return { kind: 'other', etherType };
}

function dissectIpv4(view: DataView): Dissection {
  const protocol = view.getUint8(23);
  const at = 14 + (view.getUint8(14) & 15) * 4;
  const fragmentOffset = view.getUint16(20) & 0x1fff;
  return {
    kind: 'ip',
    version: 4,
    source: ipv4(view, 26),
    destination: ipv4(view, 30),
    protocol,
    ports: fragmentOffset === 0 ? ports(view, at, protocol) : undefined,
    icmpType: undefined,
  };
}

function dissectIpv6(view: DataView): Dissection {
  let protocol = view.getUint8(20);
  let at = 54;
  while ([0, 43, 60].includes(protocol) && at + 8 <= view.byteLength) {
    protocol = view.getUint8(at);
    at += (view.getUint8(at + 1) + 1) * 8;
  }
  return {
    kind: 'ip',
    version: 6,
    source: ipv6(view, 22),
    destination: ipv6(view, 38),
    protocol,
    ports: ports(view, at, protocol),
    icmpType: protocol === protocolIcmpv6 && at < view.byteLength ? view.getUint8(at) : undefined,
  };
}

function ports(view: DataView, at: number, protocol: number): { source: number; destination: number } | undefined {
  if ((protocol !== protocolUdp && protocol !== protocolTcp) || at + 4 > view.byteLength) return undefined;
  return { source: view.getUint16(at), destination: view.getUint16(at + 2) };
}

function ipv4(view: DataView, at: number): string {
  return [0, 1, 2, 3].map((offset) => view.getUint8(at + offset)).join('.');
}

/** In the canonical form (RFC 5952). */
function ipv6(view: DataView, at: number): string {
  const groups = Array.from({ length: 8 }, (_, group) => view.getUint16(at + group * 2).toString(16));
  const zeros = [...groups.join(':').matchAll(/(?:^|:)0(?::0)+(?=:|$)/g)].sort((a, b) => b[0].length - a[0].length);
  const longest = zeros.length === 0 ? undefined : zeros[0];
  if (longest === undefined) return groups.join(':');
  const text = groups.join(':');
  const before = text.slice(0, longest.index);
  const after = text.slice(longest.index + longest[0].length).replace(/^:/, '');
  return `${before}::${after}`;
}
