import { setImmediate as nextTurn } from 'node:timers/promises';
import { Arena } from '../arena.ts';
import { errno, ENOENT, libc, SystemCallError } from '../libc.ts';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0x80000;
const NETLINK_NETFILTER = 12;
const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_GET = 1;
const IPCTNL_MSG_CT_DELETE = 2;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 0x01;
const NLM_F_ACK = 0x04;
const NLM_F_DUMP = 0x300;

const CTA_TUPLE_ORIG = 1;
const CTA_MARK = 8;
const CTA_ID = 12;
const CTA_ZONE = 18;
const CTA_MARK_MASK = 21;
const CTA_TUPLE_IP = 1;
const NLA_TYPE_MASK = 0x3fff;

/** struct nlmsghdr, then struct nfgenmsg. */
const MESSAGE_HEADER_BYTES = 16;
const HEADER_BYTES = 20;
const ATTRIBUTE_HEADER_BYTES = 4;
const AF_UNSPEC = 0;
/** The kernel fills at most 32 KiB at a time. */
const BUFFER_BYTES = 65_536;

/** An address as a number. */
export interface FlowAddress {
  readonly family: 4 | 6;
  readonly value: bigint;
}

/** The kernel's table of connections. Root, or CAP_NET_ADMIN, is needed. Failures are {@link SystemCallError}s. */
export class Conntrack {
  readonly #arena = Arena.create(3 * BUFFER_BYTES);
  readonly #request = this.#arena.allocate(1024);
  readonly #buffer = this.#arena.allocate(BUFFER_BYTES);

  /**
   * Deletes the entries of the connections from and to these addresses, as the first packet carried them, and returns
   * how many there were. It looks through the table once, whatever the number of addresses.
   */
  async deleteFlowsOf(addresses: Iterable<FlowAddress>): Promise<number> {
    const wanted = new Set([...addresses].map(bytesOf));
    if (wanted.size === 0) return 0;
    return this.#delete(({ source, destination }) => wanted.has(source) || wanted.has(destination));
  }

  /**
   * Deletes the entries of the connections with this mark. The kernel looks for them by itself, and lets others run
   * meanwhile: to list its table of 262,144 places takes it 4 ms in one piece, however few connections there are.
   */
  deleteMarked(mark: number): void {
    const filter = new Uint8Array(16);
    const view = new DataView(filter.buffer);
    writeAttribute(view, 0, CTA_MARK, mark);
    writeAttribute(view, 8, CTA_MARK_MASK, 0xffff_ffff);
    const fd = openSocket();
    try {
      this.#deleteEntry(fd, { family: AF_UNSPEC, attributes: filter });
    } finally {
      libc.close(fd);
    }
  }

  async #delete(isWanted: (tuple: Tuple) => boolean): Promise<number> {
    const entries: Entry[] = [];
    const fd = openSocket();
    try {
      this.#send(fd, IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF_UNSPEC, new Uint8Array());
      while (this.#readDump(fd, isWanted, entries)) await nextTurn();
      return entries.reduce((count, entry) => count + this.#deleteEntry(fd, entry), 0);
    } finally {
      libc.close(fd);
    }
  }

  /** Takes what the kernel has filled in; false at the end of the table. */
  #readDump(fd: number, isWanted: (tuple: Tuple) => boolean, found: Entry[]): boolean {
    const { view } = this.#arena;
    const end = this.#buffer + this.#receive(fd);
    for (let at = this.#buffer; at + MESSAGE_HEADER_BYTES <= end;) {
      const length = view.getUint32(at, true);
      if (length < MESSAGE_HEADER_BYTES || at + length > end) break;
      const type = view.getUint16(at + 4, true);
      if (type === NLMSG_DONE) return false;
      if (type === NLMSG_ERROR) throw new SystemCallError('list connections', -view.getInt32(at + 16, true));
      const entry = this.#matching(at, length, isWanted);
      if (entry !== undefined) found.push(entry);
      at += (length + 3) & -4;
    }
    return true;
  }

  /** The entry of a message, if it is wanted. */
  #matching(at: number, length: number, isWanted: (tuple: Tuple) => boolean): Entry | undefined {
    const [from, end] = [at + HEADER_BYTES, at + length];
    const tuple = this.#attribute(from, end, CTA_TUPLE_ORIG);
    const addresses = tuple && this.#attribute(tuple.from + ATTRIBUTE_HEADER_BYTES, tuple.to, CTA_TUPLE_IP);
    if (addresses === undefined) return undefined;
    // The source and the destination, each an attribute with nothing but the address.
    const size = (addresses.to - addresses.from - ATTRIBUTE_HEADER_BYTES) / 2;
    const source = addresses.from + 2 * ATTRIBUTE_HEADER_BYTES;
    const isMatch = isWanted({
      source: this.#text(source, source + size - ATTRIBUTE_HEADER_BYTES),
      destination: this.#text(source + size, addresses.to),
    });
    if (!isMatch) return undefined;
    const parts = [CTA_TUPLE_ORIG, CTA_ID, CTA_ZONE].flatMap((type) => {
      const part = this.#attribute(from, end, type);
      return part === undefined ? [] : [this.#bytes(part.from, (part.to + 3) & -4)];
    });
    // Buffer.concat copies: the arena is filled anew.
    return { family: this.#arena.u8[at + MESSAGE_HEADER_BYTES] ?? AF_UNSPEC, attributes: Buffer.concat(parts) };
  }

  #attribute(from: number, end: number, wanted: number): { from: number; to: number } | undefined {
    const { view } = this.#arena;
    for (let at = from; at + ATTRIBUTE_HEADER_BYTES <= end;) {
      const length = view.getUint16(at, true);
      if (length < ATTRIBUTE_HEADER_BYTES || at + length > end) return undefined;
      if ((view.getUint16(at + 2, true) & NLA_TYPE_MASK) === wanted) return { from: at, to: at + length };
      at += (length + 3) & -4;
    }
    return undefined;
  }

  /** Returns 1, or 0 where the connection has ended meanwhile. The entry's id keeps a successor of it safe. */
  #deleteEntry(fd: number, { family, attributes }: Entry): number {
    this.#send(fd, IPCTNL_MSG_CT_DELETE, NLM_F_ACK, family, attributes);
    const failed = this.#acknowledged(fd);
    if (failed !== 0 && failed !== ENOENT) throw new SystemCallError('delete a connection', failed);
    return failed === 0 ? 1 : 0;
  }

  #send(fd: number, message: number, flags: number, family: number, attributes: Uint8Array): void {
    const { view, u8, address } = this.#arena;
    const at = this.#request;
    const length = HEADER_BYTES + attributes.length;
    u8.fill(0, at, at + HEADER_BYTES);
    view.setUint32(at, length, true);
    view.setUint16(at + 4, (NFNL_SUBSYS_CTNETLINK << 8) | message, true);
    view.setUint16(at + 6, NLM_F_REQUEST | flags, true);
    u8[at + MESSAGE_HEADER_BYTES] = family;
    u8.set(attributes, at + HEADER_BYTES);
    if (libc.write(fd, address + at, length) < 0) throw new SystemCallError('ask for connections', errno());
  }

  #receive(fd: number): number {
    const length = libc.read(fd, this.#arena.address + this.#buffer, BUFFER_BYTES);
    if (length < 0) throw new SystemCallError('read connections', errno());
    return length;
  }

  /** The error number of an answer, 0 for none. */
  #acknowledged(fd: number): number {
    this.#receive(fd);
    const { view } = this.#arena;
    if (view.getUint16(this.#buffer + 4, true) !== NLMSG_ERROR) return 0;
    return -view.getInt32(this.#buffer + MESSAGE_HEADER_BYTES, true);
  }

  #bytes(from: number, to: number): Buffer {
    return Buffer.from(this.#arena.u8.buffer, from, to - from);
  }

  #text(from: number, to: number): string {
    return this.#bytes(from, to).toString('latin1');
  }
}

/** The first packet's addresses, as {@link bytesOf} writes them. */
interface Tuple {
  readonly source: string;
  readonly destination: string;
}

/** An address's bytes, one a character. */
function bytesOf({ family, value }: FlowAddress): string {
  return Buffer.from(value.toString(16).padStart(family === 4 ? 8 : 32, '0'), 'hex').toString('latin1');
}

/** What names an entry, or several, to the kernel. */
interface Entry {
  readonly family: number;
  readonly attributes: Uint8Array;
}

/** Marks are big-endian, like all of netfilter's numbers. */
function writeAttribute(view: DataView, at: number, type: number, value: number): void {
  view.setUint16(at, 8, true);
  view.setUint16(at + 2, type, true);
  view.setUint32(at + ATTRIBUTE_HEADER_BYTES, value);
}

function openSocket(): number {
  const fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (fd < 0) throw new SystemCallError('open a netlink socket', errno());
  return fd;
}
