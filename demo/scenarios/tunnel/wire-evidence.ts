import { dissect, protocolIcmpv6, protocolUdp, type CaptureResult } from '@sallyport/netlab';

/** Who may speak on the wire: one UDP datagram's two ends. */
export interface Endpoints {
  readonly client: string;
  readonly gateway: string;
  readonly gatewayPort: number;
}

/** What a sniffer saw. */
export interface WireEvidence {
  /** UDP datagrams between exactly the two endpoints. */
  readonly tunnelPackets: number;
  /** Every other packet that isn't a neighbour's: there should be none. */
  readonly otherPackets: readonly string[];
  /** ARP, neighbour discovery and multicast listener reports, by kind: machines on a link find one another so. */
  readonly neighbourPackets: Readonly<Record<string, number>>;
  readonly bytes: number;
  /** How many pieces of the page's text occur in the captured bytes. */
  readonly piecesFound: number;
}

const icmpv6Names: Readonly<Record<number, string>> = {
  133: 'router solicitation',
  134: 'router advertisement',
  135: 'neighbour solicitation',
  136: 'neighbour advertisement',
  143: 'multicast listener report',
};

export function examine(capture: CaptureResult, endpoints: Endpoints, pieces: readonly Buffer[]): WireEvidence {
  const otherPackets: string[] = [];
  const neighbourPackets: Record<string, number> = {};
  let tunnelPackets = 0;
  for (const { bytes } of capture.packets) {
    const kind = classify(bytes, endpoints);
    if (kind.group === 'tunnel') tunnelPackets++;
    else if (kind.group === 'neighbour') neighbourPackets[kind.name] = (neighbourPackets[kind.name] ?? 0) + 1;
    else otherPackets.push(kind.name);
  }
  return {
    tunnelPackets,
    otherPackets,
    neighbourPackets,
    bytes: capture.packets.reduce((sum, { bytes }) => sum + bytes.length, 0),
    piecesFound: countPieces(capture, pieces),
  };
}

type Kind = { readonly group: 'tunnel' } | { readonly group: 'neighbour' | 'other'; readonly name: string };

function classify(bytes: Uint8Array, endpoints: Endpoints): Kind {
  const packet = dissect(bytes);
  if (packet.kind === 'arp') return { group: 'neighbour', name: 'ARP' };
  if (packet.kind === 'other') return { group: 'other', name: `EtherType 0x${packet.etherType.toString(16)}` };
  const { source, destination, protocol, ports, icmpType } = packet;
  if (protocol === protocolIcmpv6 && icmpType !== undefined) {
    const name = icmpv6Names[icmpType];
    if (name !== undefined) return { group: 'neighbour', name };
  }
  const { client, gateway, gatewayPort } = endpoints;
  const outbound = source === client && destination === gateway && ports?.destination === gatewayPort;
  const inbound = source === gateway && destination === client && ports?.source === gatewayPort;
  if (protocol === protocolUdp && (outbound || inbound)) return { group: 'tunnel' };
  return { group: 'other', name: `${source} to ${destination}, protocol ${String(protocol)}` };
}

/** How many of the pieces occur in any captured packet. */
export function countPieces(capture: CaptureResult, pieces: readonly Buffer[]): number {
  const packets = capture.packets.map(({ bytes }) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  return pieces.filter((piece) => packets.some((packet) => packet.includes(piece))).length;
}
