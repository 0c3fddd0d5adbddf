import { createHmac } from 'node:crypto';
import {
  DROP_REASONS,
  PacketBatch,
  PATH_BYTES,
  PATH_FAMILY,
  PATH_LISTENER,
  PATH_PORT,
  type Memory,
  type Outbox,
  type SessionId,
} from '@sallyport/core';
import { Arena, createDataCipher, DATA_CIPHER_SCRATCH_BYTES, eraseDataCiphers } from '@sallyport/io';
import {
  allocateDataTables,
  openDataTables,
  OpenVpnPackets,
  SharedDataSessions,
  type DataCapacity,
  type DataKey,
  type DataLimits,
  type DataRegions,
  type DataTables,
} from '@sallyport/openvpn';
import { plainMemory } from '@sallyport/testkit';
import { ReferenceDataCipher } from './reference-data-cipher.ts';

export const hmac = {
  hmac: (hash: string, key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array => {
    const mac = createHmac(hash, key);
    for (const part of parts) mac.update(part);
    return new Uint8Array(mac.digest());
  },
};

export interface EndOptions {
  /** `real`: an arena and OpenSSL; `reference`: plain memory and node:crypto. */
  readonly kind?: 'real' | 'reference';
  readonly capacity?: DataCapacity;
  readonly limits?: DataLimits;
  readonly bytes?: number;
}

/** One end of data channels: tables, both halves' hands on them, and what the packet half gave out. */
export class DataEnd implements Outbox {
  readonly memory: Memory;
  readonly regions: DataRegions;
  readonly tables: DataTables;
  readonly packets: OpenVpnPackets;
  readonly sessions: SharedDataSessions;
  readonly area: number;
  readonly datagrams: { at: number; bytes: Uint8Array; path: number; port: number; ecn: number }[] = [];
  readonly opened: { bytes: Uint8Array; session: SessionId }[] = [];
  readonly inners: { bytes: Uint8Array; session: SessionId }[] = [];
  readonly controls: Uint8Array[] = [];
  readonly undelivered: string[] = [];
  readonly drops: string[] = [];
  readonly attended: SessionId[] = [];
  readonly forgotten: SessionId[] = [];
  /** Whether there is room to say that a session is to be attended to. */
  hears = true;
  erased = 0;
  readonly erasedRegions: [number, number][] = [];
  /** How often the other threads had to wait, and what was computed meanwhile. */
  exclusives = 0;
  hmacsInside = 0;
  #inside = false;
  readonly #paths = new Map<number, number>();
  readonly #allocate: (bytes: number) => number;

  constructor(options: EndOptions = {}) {
    const { kind = 'reference', capacity = { sessions: 8, keys: 24, epochKeys: 24 }, bytes = 2 ** 21 } = options;
    const limits = options.limits === undefined ? {} : { limits: options.limits };
    const arena = kind === 'real' ? Arena.create(bytes) : undefined;
    const memory = arena ?? plainMemory(bytes);
    let next = 64;
    this.#allocate = (size) => {
      if (arena !== undefined) return arena.allocate(size);
      const at = next;
      next = (next + size + 63) & -64;
      return at;
    };
    this.memory = memory;
    this.regions = allocateDataTables(this.#allocate, capacity);
    this.tables = openDataTables(memory, this.regions);
    const cipher =
      arena === undefined
        ? new ReferenceDataCipher(memory, this.#allocate(16))
        : createDataCipher(arena, this.#allocate(DATA_CIPHER_SCRATCH_BYTES), this.regions.ciphers);
    const scratch = this.#allocate(OpenVpnPackets.scratchBytes);
    this.packets = new OpenVpnPackets(memory, cipher, this.tables, scratch, options.limits);
    this.area = this.#allocate(200_000) + 128;
    this.sessions = new SharedDataSessions({
      memory,
      regions: this.regions,
      crypto: {
        hmac: (...of) => {
          if (this.#inside) this.hmacsInside++;
          return hmac.hmac(...of);
        },
      },
      exclusive: (change) => {
        const outer = this.#inside;
        this.exclusives++;
        this.#inside = true;
        change();
        this.#inside = outer;
      },
      forgetSessions: (gone) => {
        if (!this.#inside) throw new Error('outside of exclusive');
        this.forgotten.push(...gone);
      },
      eraseKeys: (first, end) => {
        if (!this.#inside) throw new Error('outside of exclusive');
        this.erased++;
        this.erasedRegions.push([first, end]);
        if (arena !== undefined) eraseDataCiphers(arena, this.regions.ciphers, first, end);
      },
      ...limits,
    });
  }

  /** A path record that differs by its port. */
  path(port: number): number {
    let at = this.#paths.get(port);
    if (at === undefined) {
      at = this.#allocate(PATH_BYTES);
      this.memory.view.setUint16(at + PATH_FAMILY, 4, true);
      this.memory.view.setUint16(at + PATH_PORT, port, true);
      this.memory.u32[(at + PATH_LISTENER) >> 2] = 2;
      this.#paths.set(port, at);
    }
    return at;
  }

  /** A session with a path, which may name itself by another's peer id. */
  session(port: number, peerId?: number): SessionId {
    const session = this.sessions.open(1);
    this.sessions.setPath(session, this.path(port));
    if (peerId !== undefined) this.sessions.setPeerId(session, peerId);
    return session;
  }

  /** Seals payloads that lie as the segmenter lays them; the datagrams of this call. */
  seal(session: SessionId, payloads: readonly Uint8Array[], now = 1000): Uint8Array[] {
    const room = this.packets.room(session);
    const { headroom, tailroom } = room;
    const batch = new PacketBatch(payloads.length);
    let at = this.area + headroom;
    for (const payload of payloads) {
      this.memory.u8.set(payload, at);
      batch.push(at, payload.length, session);
      at += room.paddedLength(payload.length, 1500) + tailroom + headroom;
    }
    const before = this.datagrams.length;
    this.packets.seal(batch, now, this);
    return this.datagrams.slice(before).map(({ bytes }) => bytes);
  }

  /** Opens datagrams that came by one path in one train. */
  open(datagrams: readonly Uint8Array[], port = 1, now = 2000): void {
    const batch = new PacketBatch(datagrams.length);
    let at = this.area;
    for (const datagram of datagrams) {
      this.memory.u8.set(datagram, at);
      batch.push(at, datagram.length, this.path(port));
      at += datagram.length;
    }
    this.packets.open(batch, now, this);
  }

  datagram(at: number, length: number, path: number, ecn: number): void {
    const { u8, view } = this.memory;
    this.datagrams.push({
      at,
      bytes: u8.slice(at, at + length),
      path,
      port: view.getUint16(path + PATH_PORT, true),
      ecn,
    });
  }

  packet(at: number, length: number, session: SessionId): void {
    this.opened.push({ bytes: this.memory.u8.slice(at, at + length), session });
  }

  control(at: number, length: number): void {
    this.controls.push(this.memory.u8.slice(at, at + length));
  }

  hold(): void {
    throw new Error('nothing is held');
  }

  inner(at: number, length: number, session: SessionId): void {
    this.inners.push({ bytes: this.memory.u8.slice(at, at + length), session });
  }

  undeliverable(_at: number, _length: number, reason: number): void {
    this.undelivered.push(DROP_REASONS[reason]);
  }

  attend(session: SessionId): boolean {
    if (this.hears) this.attended.push(session);
    return this.hears;
  }

  drop(reason: number): void {
    this.drops.push(DROP_REASONS[reason]);
  }
}

export const KINDS: readonly { cipher: DataKey['cipher']; format: DataKey['format'] }[] = [
  { cipher: 'AES-256-GCM', format: 'v2' },
  { cipher: 'AES-128-GCM', format: 'v2' },
  { cipher: 'CHACHA20-POLY1305', format: 'v2' },
  { cipher: 'AES-256-GCM', format: 'epoch' },
  { cipher: 'AES-128-GCM', format: 'epoch' },
  { cipher: 'CHACHA20-POLY1305', format: 'epoch' },
  { cipher: 'AES-256-CBC', format: 'v2' },
];

/** Key material that a number determines. */
export function material(seed: number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, i) => (seed * 89 + i * 151 + (i >> 3)) & 255);
}

/** A server and a client with a session between them. */
export function pair(
  kind: { cipher: DataKey['cipher']; format: DataKey['format'] },
  options: EndOptions = {},
): { server: DataEnd; client: DataEnd; s: SessionId; c: SessionId } {
  const [server, client] = [new DataEnd(options), new DataEnd(options)];
  const s = server.session(1);
  const c = client.session(1, server.sessions.peerId(s));
  for (const [end, session, isServer] of [
    [server, s, true],
    [client, c, false],
  ] as const) {
    end.sessions.installKey(session, 0, { ...kind, material: material(1), server: isServer });
    end.sessions.sendWith(session, 0);
  }
  return { server, client, s, c };
}

/** Looks like an IPv4 packet, as far as a packet half looks. */
export function ip(length: number, fill = 7): Uint8Array {
  const packet = new Uint8Array(length).fill(fill);
  packet[0] = 0x45;
  if (length > 1) packet[1] = 0;
  return packet;
}
