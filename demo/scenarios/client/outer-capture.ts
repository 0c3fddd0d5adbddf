import { dissect, protocolIcmpv6, protocolUdp, type Capture, type CapturedPacket } from '@sallyport/netlab';
import { CONTROL_PORT, PORTS } from './servers.ts';
import { ACCESS, GATEWAYS, type AccessName, type ClientWorld, type GatewayName } from './world.ts';

/** What programs put into their packets: nothing that bears it is the tunnel's, wherever it goes. */
export const STRANGER = 'not of the tunnel';

const PROTOCOL_TCP = 6;
const CONTROL = GATEWAYS.gatewayA;

/** What left the client by its outer interfaces and had no business there. */
export interface Leaked {
  /** Packets. */
  readonly leaked: number;
  /** Of those, questions for names. */
  readonly names: number;
  /** By kind, "udp 53 to 192.0.2.1", how many there were. */
  readonly kinds: Readonly<Record<string, number>>;
}

export interface Leaks extends Leaked {
  /** Packets that the client sent, good and bad. */
  readonly sent: number;
  /** Of what leaked, that which left after the first packet of a tunnel: the protection was there by then. */
  readonly besideTunnel: Leaked;
}

interface Watched {
  readonly capture: Capture;
  readonly access: AccessName;
  /** Hardware address. */
  readonly router: string;
}

/** Captures at the routers of both access networks all that the client sends, and judges each packet of it. */
export class OuterCapture {
  readonly #watched: readonly Watched[];

  private constructor(watched: readonly Watched[]) {
    this.#watched = watched;
  }

  static async start(world: ClientWorld): Promise<OuterCapture> {
    const watched = (['home', 'cafe'] as const).map(async (access) => {
      const [link] = JSON.parse(await world[access].ip('-json', 'link', 'show', 'lan')) as { address: string }[];
      return { access, router: link?.address ?? '', capture: await world[access].capture('lan') };
    });
    return new OuterCapture(await Promise.all(watched));
  }

  /** `gateways`: whose endpoints tunnels may go to now. @throws Error where packets were missed. */
  async stop(gateways: readonly GatewayName[] = Object.keys(GATEWAYS) as GatewayName[]): Promise<Leaks> {
    const leaks: { readonly kind: string; readonly time: number }[] = [];
    let [sent, tunnelSince] = [0, Infinity];
    const all = await Promise.all(this.#watched.map(async (one) => ({ ...one, ...(await one.capture.stop()) })));
    for (const { packets, dropped, access, router } of all) {
      if (dropped > 0) throw new Error(`the capture missed ${String(dropped)} packets: it proves nothing`);
      for (const { bytes, time } of packets.filter((packet) => senderOf(packet) !== router)) {
        sent++;
        const kind = judge(bytes, access, gateways);
        if (kind === 'tunnel') tunnelSince = Math.min(tunnelSince, time);
        else if (kind !== 'allowed') leaks.push({ kind: kind.leak, time });
      }
    }
    return { ...sumOf(leaks), sent, besideTunnel: sumOf(leaks.filter(({ time }) => time > tunnelSince)) };
  }
}

/** Captures while `work` is done. */
export async function leaksDuring(
  world: ClientWorld,
  work: () => Promise<unknown>,
  gateways?: readonly GatewayName[],
): Promise<Leaks> {
  const capture = await OuterCapture.start(world);
  try {
    await work();
  } catch (error) {
    await capture.stop().catch(() => undefined);
    throw error;
  }
  return capture.stop(gateways);
}

function sumOf(leaks: readonly { readonly kind: string }[]): Leaked {
  const kinds: Record<string, number> = {};
  for (const { kind } of leaks) kinds[kind] = (kinds[kind] ?? 0) + 1;
  const names = leaks.filter(({ kind }) => /^(udp|tcp) (53|853) /.test(kind)).length;
  return { leaked: leaks.length, names, kinds };
}

function senderOf({ bytes }: CapturedPacket): string {
  return Array.from(bytes.subarray(6, 12), (byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/**
 * What may leave: to the gateways' endpoints and the control plane, by the ports and protocols that they have and not as
 * a program's own; address resolution of the router alone; DHCP. All else is a leak.
 */
function judge(
  bytes: Uint8Array,
  access: AccessName,
  gateways: readonly GatewayName[],
): 'allowed' | 'tunnel' | { readonly leak: string } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const { router, router6, client6 } = ACCESS[access];
  const packet = dissect(bytes);
  if (packet.kind === 'arp') {
    const [sender, target] = [bytes.subarray(28, 32).join('.'), bytes.subarray(38, 42).join('.')];
    const isRequest = view.getUint16(20) === 1;
    return !isRequest || target === router || target === sender ? 'allowed' : { leak: `who has ${target}` };
  }
  if (packet.kind === 'other') return { leak: `ether type 0x${packet.etherType.toString(16)}` };
  const { destination, protocol, ports, icmpType } = packet;
  // RFC 3810: who listens on the link, for switches that snoop on it.
  if (protocol === protocolIcmpv6 && icmpType === 143 && bytes[21] === 1 && destination === 'ff02::16')
    return 'allowed';
  if (protocol === protocolIcmpv6 && icmpType !== undefined && bytes[21] === 255) {
    // RFC 4861: router solicitation, neighbour advertisement, and neighbour solicitation for whom it has to reach.
    if (icmpType === 133 || icmpType === 136) return 'allowed';
    if (icmpType === 135 && bytes.length >= 78) {
      const target = addressAt(view, 62);
      const known = target === router6 || target === client6 || target.startsWith('fe80:');
      return known ? 'allowed' : { leak: `who has ${target}` };
    }
  }
  const transport = { [protocolUdp]: 'udp', [PROTOCOL_TCP]: 'tcp' }[protocol];
  if (transport === undefined || ports === undefined) return { leak: `protocol ${String(protocol)} to ${destination}` };
  const leak = { leak: `${transport} ${String(ports.destination)} to ${destination}` };
  if (Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).includes(STRANGER)) return leak;
  const is = (host: { ipv4: string; ipv6: string }, ...allowed: number[]): boolean =>
    (destination === host.ipv4 || destination === host.ipv6) && allowed.includes(ports.destination);
  if (transport === 'udp') {
    if (ports.destination === 67 && ports.source === 68 && destination === '255.255.255.255') return 'allowed';
    if (ports.destination === 547 && ports.source === 546 && destination === 'ff02::1:2') return 'allowed';
    return gateways.some((name) => is(GATEWAYS[name], PORTS.wireguard, PORTS.amneziawg)) ? 'tunnel' : leak;
  }
  // Port 80: where the daemon, blocked, looks whether somebody answers there in its place (captive portals).
  if (is(CONTROL, CONTROL_PORT, 80)) return 'allowed';
  return gateways.some((name) => is(GATEWAYS[name], PORTS.tls)) ? 'tunnel' : leak;
}

/** As `dissect` writes addresses. */
function addressAt(view: DataView, at: number): string {
  const groups = Array.from({ length: 8 }, (_, group) => view.getUint16(at + group * 2).toString(16));
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1);
}
