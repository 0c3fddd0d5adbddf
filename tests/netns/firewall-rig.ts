// A gateway's packet filter in the kernel: a TUN interface stands for the tunnels, another for everything else, and
// packets are written into one and read from the other.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Arena, NftElements, openTun } from '@sallyport/io';
import {
  changeRuleset,
  FirewallCompiler,
  generationSets,
  parseAddress,
  type FirewallPlan,
  type NftCommand,
  type Ruleset,
  type RulesetChange,
} from '@sallyport/policy';
import { buildPacket, concat, naiveChecksum, pseudoHeader, type PacketShape } from '../wire/packets.ts';
import { enterPrivateNetwork, ip } from './private-network.ts';

export const TCP = 6;
export const UDP = 17;
export const SYN = 0x02;
export const ACK = 0x10;
export const RST = 0x04;
export const OWN = { 4: '198.51.100.7', 6: '2001:db8::7' } as const;
const VIRTIO_HEADER_BYTES = 10;

export interface Flow {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly sourcePort?: number;
  readonly destinationPort?: number;
}

/** What was read from an interface. */
export interface Seen {
  readonly from: 'tunnel' | 'outside';
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  /** The transport header and what follows. */
  readonly upper: Uint8Array;
  readonly sourcePort: number;
  readonly destinationPort: number;
}

export class FirewallRig {
  readonly tunnel: number;
  readonly outside: number;
  ruleset: Ruleset | undefined;
  generation = 1000;
  /** The transactions that went to the kernel without nft. */
  withoutNft = 0;
  readonly #compiler = new FirewallCompiler();
  readonly #elements = new NftElements('sallyport');
  readonly #folder = mkdtempSync(join(tmpdir(), 'sallyport-firewall-'));

  /** Moves this process into a network of its own. */
  constructor() {
    enterPrivateNetwork();
    const arena = Arena.create(65_536);
    this.tunnel = openTun(arena, 'spt0', 1).queues[0];
    this.outside = openTun(arena, 'out0', 1).queues[0];
    const settings = {
      'net/ipv4/ip_forward': 1,
      'net/ipv6/conf/all/forwarding': 1,
      'net/ipv4/conf/all/rp_filter': 0,
      'net/ipv4/conf/default/rp_filter': 0,
      'net/ipv4/conf/spt0/rp_filter': 0,
      'net/ipv4/conf/out0/rp_filter': 0,
      // Every refusal is to be seen.
      'net/ipv4/icmp_ratelimit': 0,
      'net/ipv6/icmp/ratelimit': 0,
    };
    for (const [name, value] of Object.entries(settings)) writeFileSync(`/proc/sys/${name}`, String(value));
    for (const command of [
      'link set spt0 mtu 1380',
      'link set spt0 up',
      'link set out0 up',
      'address add 10.64.0.1/10 dev spt0',
      'address add fd5a::1/48 dev spt0 nodad',
      `address add ${OWN[4]}/32 dev out0`,
      'address add 198.51.100.8/32 dev out0',
      'address add 198.51.100.9/32 dev out0',
      `address add ${OWN[6]}/128 dev out0 nodad`,
      'address add 2001:db8::8/128 dev out0 nodad',
      'address add 2001:db8::9/128 dev out0 nodad',
      `route add default dev out0 src ${OWN[4]}`,
      `-6 route add default dev out0 src ${OWN[6]}`,
    ])
      ip(command);
    this.drain();
  }

  close(): void {
    this.#elements.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Brings the kernel to a plan, from what it has or, with `anew`, from nothing. */
  apply(plan: FirewallPlan, anew = false): RulesetChange {
    const to = this.#compiler.compile(plan);
    const change = changeRuleset(anew ? undefined : this.ruleset, to, this.generation);
    const typeOf = (set: string) => to.sets.get(set) ?? generationSets(1).get(set);
    for (const commands of change.transactions) {
      if (this.#elements.apply(commands, typeOf)) this.withoutNft++;
      else this.nft(commands);
    }
    this.ruleset = to;
    this.generation = change.generation;
    return change;
  }

  nft(commands: readonly NftCommand[]): void {
    // With JSON, nft opens its standard input by name, which a socket, as Node gives it, doesn't allow.
    nftProgram('-j', '-f', this.file('commands.json', JSON.stringify({ nftables: commands })));
  }

  /** Writes a file that goes with the rig. */
  file(name: string, content: string): string {
    const path = join(this.#folder, name);
    writeFileSync(path, content);
    return path;
  }

  /** The table as the kernel has it, without what only tells one listing from another, in an order of its own. */
  listing(): string[] {
    const { nftables } = JSON.parse(nftProgram('-j', 'list', 'table', 'inet', 'sallyport')) as {
      nftables: Record<string, Record<string, unknown>>[];
    };
    const rules: string[] = [];
    const others: string[] = [];
    for (const entry of nftables) {
      const [kind, content] = Object.entries(entry)[0];
      if (kind === 'metainfo') continue;
      const { handle: _, elem, ...rest } = content;
      // A meter's elements come from the packets.
      const isMeter = (content['flags'] as string[] | undefined)?.includes('timeout') === true;
      const elements = isMeter ? [] : (elem as unknown[] | undefined)?.map((element) => JSON.stringify(element)).sort();
      const text = JSON.stringify({ kind, ...rest, elements });
      if (kind === 'rule') rules.push(`${String(content['chain'])} ${text}`);
      else others.push(text);
    }
    // The order of rules counts within their chain only.
    const byChain = Map.groupBy(rules, (rule) => rule.slice(0, rule.indexOf(' ')));
    return [...others.sort(), ...[...byChain].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, list]) => list)];
  }

  /** Writes a packet as if it had come by the interface. */
  send(by: 'tunnel' | 'outside', packet: Uint8Array): void {
    writeSync(by === 'tunnel' ? this.tunnel : this.outside, concat(new Uint8Array(VIRTIO_HEADER_BYTES), packet));
  }

  /** All packets that left by the interfaces. */
  drain(): Seen[] {
    return [...drainOne(this.tunnel, 'tunnel'), ...drainOne(this.outside, 'outside')];
  }

  /** Sends one packet and returns what left because of it. */
  exchange(by: 'tunnel' | 'outside', packet: Uint8Array): Seen[] {
    this.drain();
    this.send(by, packet);
    return this.drain();
  }
}

export function nftProgram(...args: string[]): string {
  const { status, stdout, stderr } = spawnSync('nft', args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`nft ${args.join(' ')}: ${(stderr + stdout).slice(0, 2000)}`);
  return stdout;
}

const buffer = Buffer.alloc(1 << 17);

function drainOne(fd: number, from: Seen['from']): Seen[] {
  const seen: Seen[] = [];
  for (;;) {
    let length: number;
    try {
      length = readSync(fd, buffer);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return seen;
      throw error;
    }
    const packet = new Uint8Array(buffer.subarray(VIRTIO_HEADER_BYTES, length));
    // What the kernel says on its own (multicast listener reports) is none of ours.
    if (packet[0] >> 4 === 6 && packet[24] === 0xff) continue;
    seen.push(parse(packet, from));
  }
}

function parse(packet: Uint8Array, from: Seen['from']): Seen {
  const isIpv4 = packet[0] >> 4 === 4;
  const upper = packet.subarray(isIpv4 ? (packet[0] & 15) * 4 : 40);
  const text = (at: number): string =>
    isIpv4
      ? packet.subarray(at, at + 4).join('.')
      : Array.from({ length: 8 }, (_, i) => ((packet[at + 2 * i] << 8) | packet[at + 2 * i + 1]).toString(16)).join(
          ':',
        );
  return {
    from,
    source: text(isIpv4 ? 12 : 8),
    destination: text(isIpv4 ? 16 : 24),
    protocol: packet[isIpv4 ? 9 : 6],
    upper,
    sourcePort: (upper[0] << 8) | upper[1],
    destinationPort: (upper[2] << 8) | upper[3],
  };
}

/** Whether two texts are the same address. */
export function sameAddress(a: string, b: string): boolean {
  const [x, y] = [parseAddress(a), parseAddress(b)];
  return x !== undefined && x.family === y?.family && x.value === y.value;
}

function bytesOf(address: string): Uint8Array {
  const parsed = parseAddress(address);
  if (parsed === undefined) throw new Error(`not an address: ${address}`);
  const length = parsed.family === 4 ? 4 : 16;
  return Uint8Array.from({ length }, (_, i) => Number((parsed.value >> BigInt(8 * (length - 1 - i))) & 255n));
}

/** A packet of a flow. For ICMP it is an echo request with the source port as identifier. */
export function packetOf(flow: Flow, more: Partial<PacketShape> = {}): Uint8Array {
  const version = flow.source.includes(':') ? 6 : 4;
  const shape = {
    version,
    protocol: flow.protocol,
    source: bytesOf(flow.source),
    destination: bytesOf(flow.destination),
    ...(flow.sourcePort === undefined ? {} : { sourcePort: flow.sourcePort }),
    ...(flow.destinationPort === undefined ? {} : { destinationPort: flow.destinationPort }),
    payload: new Uint8Array([0, 0, 0, 0, 1, 2, 3, 4]),
    ...more,
  } as const;
  if (flow.protocol !== (version === 4 ? 1 : 58) || more.payload !== undefined) return buildPacket(shape);
  const identifier = flow.sourcePort ?? 1;
  const echo = new Uint8Array([version === 4 ? 8 : 128, 0, 0, 0, identifier >> 8, identifier & 255, 0, 1, 1, 2, 3, 4]);
  return buildPacket({ ...shape, payload: withIcmpChecksum(shape, echo) });
}

/** The ICMP message with its checksum. */
export function withIcmpChecksum(shape: PacketShape, message: Uint8Array): Uint8Array {
  const checksum =
    shape.version === 4 ? naiveChecksum(message) : naiveChecksum(pseudoHeader(shape, message.length), message);
  message.set([checksum >> 8, checksum & 255], 2);
  return message;
}

/** The error "port unreachable" about a packet, from one who has seen it. */
export function unreachable(from: string, to: string, about: Uint8Array): Uint8Array {
  const version = from.includes(':') ? 6 : 4;
  const shape = { version, protocol: version === 4 ? 1 : 58, source: bytesOf(from), destination: bytesOf(to) } as const;
  const type = version === 4 ? [3, 3] : [1, 4];
  const message = concat(new Uint8Array([...type, 0, 0, 0, 0, 0, 0]), about);
  return buildPacket({ ...shape, payload: withIcmpChecksum(shape, message) });
}

export function reversed(flow: Flow): Flow {
  return {
    protocol: flow.protocol,
    source: flow.destination,
    destination: flow.source,
    ...(flow.destinationPort === undefined ? {} : { sourcePort: flow.destinationPort }),
    ...(flow.sourcePort === undefined ? {} : { destinationPort: flow.sourcePort }),
  };
}
