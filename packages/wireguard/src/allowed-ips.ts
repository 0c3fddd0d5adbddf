import type { Memory, RouteTable, SessionId } from '@sallyport/core';
import { HostIndex, NODE_LENGTH as LENGTH } from './host-index.ts';

export type AddressFamily = 4 | 6;

/** A prefix in network order: 4 or 16 bytes, zero beyond `prefixLength` bits. */
export interface AllowedIp {
  readonly family: AddressFamily;
  readonly address: Uint8Array;
  readonly prefixLength: number;
}

/*
 * Words of the region: a header, the host index, the trie's nodes, and the nodes' links. Nodes are named by their
 * word offset in memory, 0 being none.
 *
 * The trie is binary and path-compressed, one root a family. A node without a session only branches, and so has
 * two children: there are never more than twice as many nodes as prefixes.
 */
const ROOT_4 = 0;
const ROOT_6 = 1;
const COUNT = 2;
/** The first node of the free list, which goes on by CHILD. */
const FREE = 3;
/** Nodes taken from the pool so far. */
const TAKEN = 4;
const HEADER_WORDS = 16;

/** Words of a node behind its address and length. */
const SESSION = 5;
const CHILD = 6;
const NODE_WORDS = 8;

/** Only the writer looks at these, so they lie apart: the ring of a session's prefixes. */
const NEXT = 0;
const PREVIOUS = 1;
const FAMILY = 2;
const LINK_WORDS = 3;

/** How many leading bits the address (a, b, c, d) shares with that of a node. */
function commonBits(i32: Int32Array, node: number, a: number, b: number, c: number, d: number): number {
  let difference = i32[node] ^ a;
  if (difference !== 0) return Math.clz32(difference);
  difference = i32[node + 1] ^ b;
  if (difference !== 0) return 32 + Math.clz32(difference);
  difference = i32[node + 2] ^ c;
  if (difference !== 0) return 64 + Math.clz32(difference);
  return 96 + Math.clz32(i32[node + 3] ^ d);
}

/**
 * Allowed IPs (section 2 of WireGuard's paper): each prefix belongs to one session, and the longest that holds an
 * address decides. It lies in shared memory: every thread constructs it on the same region, zeroed at first and
 * best aligned to a cache line. One instance, always the same, writes, and only while nobody looks up.
 */
export class AllowedIps implements RouteTable {
  readonly #i32: Int32Array;
  readonly #view: DataView;
  readonly #header: number;
  readonly #hosts: HostIndex;
  readonly #nodes: number;
  readonly #links: number;
  readonly #capacity: number;
  /** The writer's: the prefix being worked on, masked, and each session's first node. */
  readonly #key = new Int32Array(4);
  readonly #first = new Map<SessionId, number>();

  /** Bytes of the region for at most `capacity` prefixes, of both families together. */
  static bytes(capacity: number): number {
    return HostIndex.bytes(capacity) + 4 * (HEADER_WORDS + 2 * capacity * (NODE_WORDS + LINK_WORDS));
  }

  constructor(memory: Memory, at: number, capacity: number) {
    this.#i32 = memory.i32;
    this.#view = memory.view;
    this.#header = at >> 2;
    const hosts = at + HEADER_WORDS * 4;
    this.#hosts = new HostIndex(memory, hosts, capacity);
    this.#nodes = (hosts + HostIndex.bytes(capacity)) >> 2;
    this.#links = this.#nodes + 2 * capacity * NODE_WORDS;
    this.#capacity = capacity;
  }

  // --- for every packet -------------------------------------------------------------------------------------

  lookup4(at: number): SessionId {
    const i32 = this.#i32;
    const address = this.#view.getInt32(at);
    const host = this.#hosts.find(32, address, 0, 0, 0);
    if (host !== 0) return i32[host + SESSION];
    let session = 0;
    let node = i32[this.#header + ROOT_4];
    while (node !== 0) {
      const length = i32[node + LENGTH];
      if (Math.clz32(i32[node] ^ address) < length) break;
      if (i32[node + SESSION] !== 0) session = i32[node + SESSION];
      // A node of full length has no children, so it does not matter which bit this takes then.
      node = i32[node + CHILD + ((address >>> (31 - length)) & 1)];
    }
    return session;
  }

  lookup6(at: number): SessionId {
    const i32 = this.#i32;
    const view = this.#view;
    const a = view.getInt32(at);
    const b = view.getInt32(at + 4);
    const c = view.getInt32(at + 8);
    const d = view.getInt32(at + 12);
    const host = this.#hosts.find(128, a, b, c, d);
    if (host !== 0) return i32[host + SESSION];
    let session = 0;
    let node = i32[this.#header + ROOT_6];
    while (node !== 0) {
      const length = i32[node + LENGTH];
      if (commonBits(i32, node, a, b, c, d) < length) break;
      if (i32[node + SESSION] !== 0) session = i32[node + SESSION];
      const word = length < 64 ? (length < 32 ? a : b) : length < 96 ? c : d;
      node = i32[node + CHILD + ((word >>> (~length & 31)) & 1)];
    }
    return session;
  }

  // --- for the writer ---------------------------------------------------------------------------------------

  /**
   * Gives a prefix to a session (a positive number below 2^31). A prefix that another session has moves, as in the
   * Linux driver. 'full' changes nothing. An address or prefix length that can't be is a RangeError.
   */
  insert(
    family: AddressFamily,
    address: Uint8Array,
    prefixLength: number,
    session: SessionId,
  ): 'inserted' | 'moved' | 'unchanged' | 'full' {
    const i32 = this.#i32;
    if (session <= 0) throw new RangeError('a session is a positive number');
    this.#setKey(family, address, prefixLength);
    let link = this.#header + (family === 4 ? ROOT_4 : ROOT_6);
    let node = i32[link];
    let common = 0;
    while (node !== 0) {
      const length = i32[node + LENGTH];
      common = Math.min(this.#common(node), prefixLength);
      if (common < length || length === prefixLength) break;
      link = node + CHILD + this.#keyBit(length);
      node = i32[link];
    }

    const exact = node !== 0 && i32[node + LENGTH] === prefixLength && common === prefixLength;
    const owner = exact ? i32[node + SESSION] : 0;
    if (owner === session) return 'unchanged';
    if (owner !== 0) {
      this.#unlink(node);
      this.#link(node, family, session);
      return 'moved';
    }
    if (i32[this.#header + COUNT] === this.#capacity) return 'full';
    i32[this.#header + COUNT]++;

    const prefix = exact ? node : this.#take(prefixLength);
    if (!exact) i32[link] = prefix;
    if (!exact && node !== 0) {
      // The node found lies beside the new prefix, or below it.
      let above = prefix;
      if (common < prefixLength) {
        above = i32[link] = this.#take(common);
        i32[above + CHILD + this.#keyBit(common)] = prefix;
      }
      i32[above + CHILD + bitOf(i32[node + (common >> 5)], common)] = node;
    }
    this.#link(prefix, family, session);
    if (prefixLength === (family === 4 ? 32 : 128)) this.#hosts.add(prefix);
    return 'inserted';
  }

  /** Takes a prefix from a session; false if it did not have exactly this one. */
  remove(family: AddressFamily, address: Uint8Array, prefixLength: number, session: SessionId): boolean {
    this.#setKey(family, address, prefixLength);
    return this.#removeKey(family, prefixLength, session);
  }

  /** Takes all prefixes from a session. */
  removeSession(session: SessionId): void {
    for (;;) {
      const node = this.#first.get(session);
      if (node === undefined) return;
      for (let k = 0; k < 4; k++) this.#key[k] = this.#i32[node + k];
      this.#removeKey(this.#familyOf(node), this.#i32[node + LENGTH], session);
    }
  }

  /** The prefixes of a session, in the order in which it got them. */
  entriesOf(session: SessionId): AllowedIp[] {
    const entries: AllowedIp[] = [];
    const first = this.#first.get(session);
    if (first === undefined) return entries;
    let node = first;
    do {
      const family = this.#familyOf(node);
      const address = new Uint8Array(family === 4 ? 4 : 16);
      const view = new DataView(address.buffer);
      for (let k = 0; k < address.length; k += 4) view.setInt32(k, this.#i32[node + (k >> 2)]);
      entries.push({ family, address, prefixLength: this.#i32[node + LENGTH] });
      node = this.#i32[this.#linkOf(node) + NEXT];
    } while (node !== first);
    return entries;
  }

  #removeKey(family: AddressFamily, prefixLength: number, session: SessionId): boolean {
    const i32 = this.#i32;
    let parentLink = 0;
    let link = this.#header + (family === 4 ? ROOT_4 : ROOT_6);
    let node = i32[link];
    while (node !== 0 && i32[node + LENGTH] < prefixLength) {
      if (this.#common(node) < i32[node + LENGTH]) return false;
      parentLink = link;
      link = node + CHILD + this.#keyBit(i32[node + LENGTH]);
      node = i32[link];
    }
    if (node === 0 || i32[node + LENGTH] !== prefixLength || this.#common(node) < prefixLength) return false;
    if (session === 0 || i32[node + SESSION] !== session) return false;

    if (prefixLength === (family === 4 ? 32 : 128)) this.#hosts.remove(node);
    this.#unlink(node);
    i32[node + SESSION] = 0;
    i32[this.#header + COUNT]--;
    if (this.#bypass(link) && i32[link] === 0 && parentLink !== 0 && i32[i32[parentLink] + SESSION] === 0)
      this.#bypass(parentLink);
    return true;
  }

  /** Puts the only child, or nothing, in the place of the node at `link`; false if it has two, and so stays. */
  #bypass(link: number): boolean {
    const i32 = this.#i32;
    const node = i32[link];
    const zero = i32[node + CHILD];
    const one = i32[node + CHILD + 1];
    if (zero !== 0 && one !== 0) return false;
    i32[link] = zero !== 0 ? zero : one;
    i32[node + CHILD] = i32[this.#header + FREE];
    i32[this.#header + FREE] = node;
    return true;
  }

  /** A node for the first `length` bits of the key, without session and children. */
  #take(length: number): number {
    const i32 = this.#i32;
    let node = i32[this.#header + FREE];
    if (node !== 0) i32[this.#header + FREE] = i32[node + CHILD];
    else node = this.#nodes + NODE_WORDS * i32[this.#header + TAKEN]++;
    for (let k = 0; k < 4; k++) i32[node + k] = this.#key[k] & maskOf(length - 32 * k);
    i32[node + LENGTH] = length;
    i32[node + SESSION] = i32[node + CHILD] = i32[node + CHILD + 1] = 0;
    return node;
  }

  #setKey(family: AddressFamily, address: Uint8Array, prefixLength: number): void {
    const bytes = family === 4 ? 4 : 16;
    if (address.length !== bytes) throw new RangeError(`an IPv${family} address has ${bytes} bytes`);
    if (!Number.isInteger(prefixLength) || prefixLength < 0 || prefixLength > bytes * 8)
      throw new RangeError(`an IPv${family} prefix has 0 to ${bytes * 8} bits`);
    for (let k = 0; k < 4; k++) {
      const word = (address[4 * k] << 24) | (address[4 * k + 1] << 16) | (address[4 * k + 2] << 8) | address[4 * k + 3];
      this.#key[k] = word & maskOf(prefixLength - 32 * k);
    }
  }

  #common(node: number): number {
    const key = this.#key;
    return commonBits(this.#i32, node, key[0], key[1], key[2], key[3]);
  }

  #keyBit(position: number): number {
    return bitOf(this.#key[position >> 5], position);
  }

  // --- a session's ring of prefixes -------------------------------------------------------------------------

  #linkOf(node: number): number {
    return this.#links + ((node - this.#nodes) / NODE_WORDS) * LINK_WORDS;
  }

  #familyOf(node: number): AddressFamily {
    return this.#i32[this.#linkOf(node) + FAMILY] === 4 ? 4 : 6;
  }

  #link(node: number, family: AddressFamily, session: SessionId): void {
    const i32 = this.#i32;
    i32[node + SESSION] = session;
    const at = this.#linkOf(node);
    i32[at + FAMILY] = family;
    const first = this.#first.get(session);
    if (first === undefined) {
      this.#first.set(session, node);
      i32[at + NEXT] = i32[at + PREVIOUS] = node;
      return;
    }
    const last = i32[this.#linkOf(first) + PREVIOUS];
    i32[at + NEXT] = first;
    i32[at + PREVIOUS] = last;
    i32[this.#linkOf(last) + NEXT] = node;
    i32[this.#linkOf(first) + PREVIOUS] = node;
  }

  #unlink(node: number): void {
    const i32 = this.#i32;
    const session = i32[node + SESSION];
    const next = i32[this.#linkOf(node) + NEXT];
    const previous = i32[this.#linkOf(node) + PREVIOUS];
    i32[this.#linkOf(previous) + NEXT] = next;
    i32[this.#linkOf(next) + PREVIOUS] = previous;
    if (next === node) this.#first.delete(session);
    else if (this.#first.get(session) === node) this.#first.set(session, next);
  }
}

/** The bit at `position` of an address, whose word that holds it is given. */
function bitOf(word: number, position: number): number {
  return (word >>> (~position & 31)) & 1;
}

/** A word whose first `length` bits are set: none below 1, all above 31. */
function maskOf(length: number): number {
  return length <= 0 ? 0 : length >= 32 ? -1 : -1 << (32 - length);
}
