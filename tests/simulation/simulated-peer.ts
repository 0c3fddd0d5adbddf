import assert from 'node:assert/strict';
import {
  DROP_REASONS,
  DropReason,
  PacketBatch,
  PATH_BYTES,
  PATH_LISTENER,
  Secret,
  type DropReasonName,
  type Instant,
  type Listener,
  type Outbox,
  type SessionEvent,
  type SessionId,
  type SessionOutbox,
} from '../../packages/core/src/index.ts';
import { Arena } from '../../packages/io/src/arena.ts';
import { createPacketCipher, PACKET_CIPHER_SCRATCH_BYTES } from '../../packages/io/src/openssl/packet-cipher.ts';
import type { Appointment } from '../../packages/testkit/src/virtual-clock.ts';
import { WireGuardDevice } from '../../packages/wireguard/src/device.ts';
import { PEER_ENDPOINT, PEER_RECEIVED_BYTES } from '../../packages/wireguard/src/layout.ts';
import { decodeVariant, MESSAGE_INITIATION, MESSAGE_RESPONSE } from '../../packages/wireguard/src/messages.ts';
import { WireGuardPackets } from '../../packages/wireguard/src/packet-half.ts';
import { allocateTables, openTables, type Capacity, type TableRegions } from '../../packages/wireguard/src/tables.ts';
import {
  parseEndpoint,
  UNCHANGED_DEVICE,
  UNCHANGED_PEER,
  type DeviceChange,
  type Endpoint,
} from '../../packages/wireguard/src/uapi.ts';
import { PLAIN_VARIANT } from '../../packages/wireguard/src/variant.ts';
import { AuditedCipher } from './audit.ts';
import { buildPacket, packetName } from './packets.ts';
import { addressAt, writePath } from './paths.ts';
import { TimerModel } from './timer-model.ts';
import { UsedKeys } from './used-keys.ts';
import type { World } from './world.ts';

export const MTU = 1420;
const CAPACITY: Capacity = { peers: 4, keypairs: 24, allowedIps: 8 };
const BATCH = 64;
/** A slot holds a datagram, with what a cipher may touch around it. */
const SLOT_BYTES = 2048;
const SLOT_OFFSET = 128;
/** Records that the way to the session half holds; the rest is for `attend` alone. */
const RING_RECORDS = 1024;
const RING_RESERVED = 64;
const RECORDS_A_TURN = 64;

type Record =
  | { readonly kind: 'control'; readonly bytes: Uint8Array; readonly path: Uint8Array }
  | { readonly kind: 'hold'; readonly bytes: Uint8Array; readonly session: SessionId }
  | { readonly kind: 'attend'; readonly session: SessionId };

export interface PeerSettings {
  /** The other peer's address, where this one knows it. */
  readonly endpoint?: string;
  /** The listener of its own by which it speaks to that address. */
  readonly listener?: Listener;
  /** Seconds. */
  readonly persistentKeepalive?: number;
  readonly presharedKey?: Uint8Array;
}

interface Arrival {
  readonly datagram: Uint8Array;
  readonly from: string;
  readonly listener: Listener;
}

/** What a peer counted, since it was made. */
export interface PeerCounts {
  initiations: number;
  keepalives: number;
  data: number;
}

/**
 * One machine with a WireGuard device: the real packet half, session half and cryptography on an arena of its own, and
 * between them what the data plane does. Of its threads the simulation makes events: what the packet half tells the
 * session half arrives later, and is refused when the ring is full.
 */
export class SimulatedPeer {
  readonly name: string;
  readonly ip: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly arena: Arena;
  readonly regions: TableRegions;
  readonly received: string[] = [];
  readonly events: { readonly at: number; readonly event: SessionEvent }[] = [];
  readonly messages: { readonly at: number; readonly type: number; readonly to: string }[] = [];
  /** When each initiation went to each other peer. */
  readonly counts = new Map<string, PeerCounts>();
  readonly drops = new Float64Array(DROP_REASONS.length);
  readonly timers = new Map<string, TimerModel>();
  device!: WireGuardDevice;
  address: string;
  /** Where its second listener is, once it has one. */
  secondAddress = '';
  /** The chance that `attend` finds the way to the session half full. */
  attendRefusal = 0;
  /** The session half takes what waits for it after up to this long. */
  sessionLatencyMs = 1;
  /** What the models of its timers have to reckon with. */
  greatestLatencyMs = 1;
  wallClockOffset = 1_700_000_000_000;
  running = false;
  readonly #world: World;
  readonly #privateKey: Uint8Array;
  readonly #cipher: AuditedCipher;
  readonly #tables: { readonly from: number; readonly to: number };
  readonly #scratch: number;
  readonly #outbound: number;
  readonly #inbound: number;
  readonly #single: number;
  readonly #paths: number;
  readonly #controlPath: number;
  readonly #batch = new PacketBatch(BATCH);
  readonly #singleBatch = new PacketBatch(1);
  readonly #keys = new UsedKeys();
  readonly #settings = new Map<string, PeerSettings>();
  readonly #sessionNames = new Map<SessionId, string>();
  readonly #receivedBytes = new Map<SessionId, number>();
  /** Until when an `attend` was last refused, for each session; Infinity while it still has to be said again. */
  readonly #refusedUntil = new Map<SessionId, Instant>();
  #packets!: WireGuardPackets;
  #ring: Record[] = [];
  #inbox: Arrival[] = [];
  #turn: Appointment | undefined;
  #polling: Appointment | undefined;
  #timer: Appointment | undefined;
  #timerAt = Infinity;
  #attends: Appointment[] = [];
  #sequence = 0;

  constructor(world: World, name: string, number: number, address: string, privateKey: Uint8Array) {
    this.#world = world;
    this.name = name;
    this.ip = Uint8Array.of(10, 0, 0, number);
    this.address = address;
    this.#privateKey = privateKey;
    const key = world.crypto.importPrivateKey(privateKey);
    this.publicKey = key.publicKey;
    key.dispose();
    const arena = (this.arena = Arena.create(768 * 1024));
    const start = arena.allocate(0);
    this.regions = allocateTables((bytes) => arena.allocate(bytes), CAPACITY);
    this.#scratch = arena.allocate(WireGuardPackets.scratchBytes);
    this.#tables = { from: start, to: arena.allocate(0) };
    const now = (): number => world.clock.now;
    const inner = createPacketCipher(arena, arena.allocate(PACKET_CIPHER_SCRATCH_BYTES));
    this.#cipher = new AuditedCipher(inner, arena, world.audit, name, now, {
      sealed: (session, bytes) => {
        const to = this.nameOf(session);
        const counts = this.countsOf(to);
        if (bytes === 0) counts.keepalives++;
        else counts.data++;
        this.#noteReceived();
        this.timers.get(to)?.sent(bytes !== 0);
      },
      usedKey: (used) => this.#keys.add(used),
    });
    this.#outbound = arena.allocate(BATCH * SLOT_BYTES);
    this.#inbound = arena.allocate(BATCH * SLOT_BYTES);
    this.#single = arena.allocate(SLOT_BYTES);
    this.#paths = arena.allocate(BATCH * PATH_BYTES);
    this.#controlPath = arena.allocate(PATH_BYTES);
    this.#boot();
  }

  // --- what its operator does -----------------------------------------------------------------------------------

  /** Adds another peer, or changes it. */
  connect(other: SimulatedPeer, settings: PeerSettings): void {
    this.#settings.set(other.name, settings);
    this.#configure(other.name, settings);
  }

  /** Seconds; 0 is off. It does not outlast a restart. */
  setPersistentKeepalive(other: SimulatedPeer, persistentKeepalive: number): void {
    this.#apply({ peers: [{ ...UNCHANGED_PEER, publicKey: other.publicKey, persistentKeepalive }] });
  }

  /** Removes another peer. */
  disconnect(other: SimulatedPeer): void {
    const { publicKey } = other;
    this.#sessionNames.delete(this.sessionOf(other));
    this.#settings.delete(other.name);
    this.timers.get(other.name)?.reset();
    this.timers.delete(other.name);
    this.#apply({ peers: [{ ...UNCHANGED_PEER, publicKey, remove: true }] });
  }

  changePrivateKey(privateKey: Secret<Uint8Array>): void {
    this.#apply({ privateKey });
  }

  /** Listens at another address too, or elsewhere than before. */
  listenSecond(address: string): void {
    const { network } = this.#world;
    network.detach(this.secondAddress);
    this.secondAddress = address;
    network.attach(address, (datagram, from) => this.#arrived(datagram, from, 1));
  }

  startHandshake(other: SimulatedPeer): boolean {
    const begun = this.device.startHandshake(other.publicKey, this.#now);
    if (begun) this.timers.get(other.name)?.asked();
    this.#reschedule();
    return begun;
  }

  probe(other: SimulatedPeer, address: string, listener: Listener = 0): boolean {
    const begun = this.device.probeEndpoint(other.publicKey, endpointOf(address, listener), this.#now);
    this.#reschedule();
    return begun;
  }

  /** Brings the interface up. */
  start(): void {
    this.running = true;
    const { network } = this.#world;
    network.attach(this.address, (datagram, from) => this.#arrived(datagram, from, 0));
    this.device.sessions.start(this.#now);
    this.#reschedule();
  }

  /** Takes the interface down. */
  stop(): void {
    this.running = false;
    this.device.sessions.stop();
    for (const model of this.timers.values()) model.reset();
    this.#world.network.detach(this.address);
    this.#reschedule();
  }

  /** Loses everything but its configuration, as a machine that is switched off and on. */
  restart(): void {
    const { network, clock } = this.#world;
    network.detach(this.address);
    for (const appointment of [this.#turn, this.#polling, this.#timer, ...this.#attends]) clock.cancel(appointment);
    this.#turn = this.#polling = this.#timer = undefined;
    this.#timerAt = Infinity;
    this.#attends = [];
    this.#ring = [];
    this.#inbox = [];
    this.arena.u8.fill(0, this.#tables.from, this.#tables.to);
    this.#keys.clear();
    this.#boot();
    for (const [name, settings] of this.#settings) this.#configure(name, settings);
    this.start();
  }

  /** Goes to another network. */
  roam(address: string): void {
    this.#world.network.detach(this.address);
    this.address = address;
    if (this.running) this.#world.network.attach(address, (datagram, from) => this.#arrived(datagram, from, 0));
  }

  /** Its application sends `count` packets at once; returns their names. */
  send(other: SimulatedPeer, count = 1, payloadBytes?: number): string[] {
    const names: string[] = [];
    if (!this.running) return names;
    const { u8 } = this.arena;
    this.#batch.count = 0;
    for (let i = 0; i < count; i++) {
      const packet = buildPacket(this.ip, other.ip, this.#sequence++, payloadBytes ?? this.#world.random.below(200));
      names.push(packetName(packet));
      const at = this.#outbound + this.#batch.count * SLOT_BYTES + SLOT_OFFSET;
      u8.set(packet, at);
      const session = this.device.allowedIps.lookup4(at + 16);
      assert.notEqual(session, 0, `${this.name} has a route to ${other.name}`);
      this.#batch.push(at, packet.length, session);
      if (this.#batch.count === BATCH || i + 1 === count) {
        this.#packets.seal(this.#batch, this.#now, this.#workerOut, MTU);
        this.#batch.count = 0;
      }
    }
    return names;
  }

  // --- what a test looks at -------------------------------------------------------------------------------------

  sessionOf(other: SimulatedPeer): SessionId {
    for (const [session, name] of this.#sessionNames) if (name === other.name) return session;
    throw new Error(`${this.name} has no peer ${other.name}`);
  }

  /** Whose an address in the tunnel is by its route table, 0 for nobody's. */
  routed(ip: Uint8Array): SessionId {
    this.arena.u8.set(ip, this.#single);
    return this.device.allowedIps.lookup4(this.#single);
  }

  nameOf(session: SessionId): string {
    return this.#sessionNames.get(session) ?? `session ${session}`;
  }

  countsOf(name: string): PeerCounts {
    let counts = this.counts.get(name);
    if (counts === undefined) this.counts.set(name, (counts = { initiations: 0, keepalives: 0, data: 0 }));
    return counts;
  }

  dropped(reason: DropReasonName): number {
    return this.drops[DropReason[reason]];
  }

  eventsOf(kind: SessionEvent['kind']): number[] {
    return this.events.filter(({ event }) => event.kind === kind).map(({ at }) => at);
  }

  /** Until when the session half was not told of what the packet half wanted it to know; Infinity if it still is not. */
  refusedUntil(name: string): Instant {
    return this.#refusedUntil.get(this.sessionOf(this.#world.peer(name))) ?? -Infinity;
  }

  /** Opens a datagram at once, and lets the session half take what comes of it at once. */
  receiveNow(datagram: Uint8Array, from: string): void {
    this.#open([{ datagram, from, listener: 0 }]);
    this.#takeTurn();
  }

  /** Whether a key that it used is still anywhere in its memory. */
  holdsKey(): boolean {
    return this.#keys.areIn(this.arena);
  }

  get #now(): number {
    return this.#world.clock.now;
  }

  // --- the machine ----------------------------------------------------------------------------------------------

  #boot(): void {
    const { arena, regions } = this;
    const { crypto, audit } = this.#world;
    this.device = new WireGuardDevice({
      memory: arena,
      regions,
      crypto,
      wallClock: () => Math.floor(this.wallClockOffset + this.#now),
      exclusive: (change) => {
        change();
      },
      forgetSessions: (gone) => {
        this.#ring = this.#ring.filter((record) => record.kind === 'control' || !gone.has(record.session));
      },
      zoneIndex: () => 0,
      zoneName: () => '',
      limits: audit.limits,
    });
    this.#packets = new WireGuardPackets(arena, this.#cipher, openTables(arena, regions), this.#scratch, audit.limits);
    this.#sessionNames.clear();
    this.#receivedBytes.clear();
    this.#refusedUntil.clear();
    for (const model of this.timers.values()) model.reset();
    this.#apply({ privateKey: new Secret(this.#privateKey.slice()) });
  }

  #apply(change: Partial<DeviceChange>): void {
    assert.equal(this.device.apply({ ...UNCHANGED_DEVICE, ...change }, this.#now), undefined);
    this.#reschedule();
  }

  #configure(name: string, settings: PeerSettings): void {
    const other = this.#world.peer(name);
    const { persistentKeepalive, presharedKey } = settings;
    const endpoint =
      settings.endpoint === undefined ? undefined : endpointOf(settings.endpoint, settings.listener ?? 0);
    this.#apply({
      peers: [
        {
          ...UNCHANGED_PEER,
          publicKey: other.publicKey,
          presharedKey: presharedKey && new Secret(presharedKey.slice()),
          endpoint,
          persistentKeepalive,
          replaceAllowedIps: true,
          allowedIps: [{ family: 4, address: other.ip, prefixLength: 32, remove: false }],
        },
      ],
    });
    const { arena } = this;
    arena.u8.set(other.ip, this.#single);
    this.#sessionNames.set(this.device.allowedIps.lookup4(this.#single), name);
    if (!this.timers.has(name)) this.timers.set(name, new TimerModel(this.#world, this, name));
  }

  // --- the worker: packets in and out ----------------------------------------------------------------------------

  #arrived(datagram: Uint8Array, from: string, listener: Listener): void {
    this.#inbox.push({ datagram, from, listener });
    // What comes within a moment is opened together, as a worker that was busy finds it.
    this.#polling ??= this.#world.clock.after(this.#world.random.fraction() * 0.5, () => {
      this.#polling = undefined;
      const all = this.#inbox;
      this.#inbox = [];
      for (let i = 0; i < all.length; i += BATCH) this.#open(all.slice(i, i + BATCH));
    });
  }

  #open(arrivals: readonly Arrival[]): void {
    const { u8 } = this.arena;
    const batch = this.#batch;
    batch.count = 0;
    arrivals.forEach(({ datagram, from, listener }, i) => {
      // A train shares its path record; another sender has another.
      const same = i > 0 && arrivals[i - 1].from === from && arrivals[i - 1].listener === listener;
      const path = same ? batch.owner[i - 1] : this.#paths + i * PATH_BYTES;
      writePath(this.arena, path, from);
      this.arena.u32[(path + PATH_LISTENER) >> 2] = listener;
      const at = this.#inbound + i * SLOT_BYTES + SLOT_OFFSET;
      u8.set(datagram, at);
      batch.push(at, datagram.length, path);
    });
    this.#packets.open(batch, this.#now, this.#workerOut);
    this.#noteReceived();
  }

  readonly #workerOut: Outbox = {
    datagram: (at, length, path) => this.#transmit(at, length, path),
    packet: (at, length, session) => {
      const { u8 } = this.arena;
      const other = this.nameOf(session);
      const bytes = u8.subarray(at, at + length);
      const name = packetName(bytes);
      assert.equal(
        this.device.allowedIps.lookup4(at + 12),
        session,
        `${this.name}: ${name} came by ${other}'s session`,
      );
      this.#world.audit.accepted(this.name, name);
      this.received.push(name);
      this.timers.get(other)?.receivedData();
    },
    control: (at, length, path) => {
      const { u8 } = this.arena;
      this.#push({ kind: 'control', bytes: u8.slice(at, at + length), path: u8.slice(path, path + PATH_BYTES) });
    },
    inner: () => assert.fail('WireGuard says nothing inside'),
    hold: (at, length, session) => {
      this.#push({ kind: 'hold', bytes: this.arena.u8.slice(at, at + length), session });
    },
    attend: (session) => {
      const taken = !this.#world.random.chance(this.attendRefusal) && this.#push({ kind: 'attend', session });
      if (!taken) this.#refusedUntil.set(session, Infinity);
      else if (this.#refusedUntil.get(session) === Infinity) this.#refusedUntil.set(session, this.#now);
      return taken;
    },
    undeliverable: (_at, _length, reason) => this.#drop(reason),
    drop: (reason) => this.#drop(reason),
  };

  #push(record: Record): boolean {
    const room = RING_RECORDS - (record.kind === 'attend' ? 0 : RING_RESERVED);
    if (this.#ring.length >= room) {
      if (record.kind !== 'attend') this.#drop(DropReason.queueFull);
      return false;
    }
    this.#ring.push(record);
    this.#planTurn();
    return true;
  }

  #planTurn(): void {
    const { clock, random } = this.#world;
    this.#turn ??= clock.after(random.fraction() * this.sessionLatencyMs, () => {
      this.#turn = undefined;
      this.#takeTurn();
      if (this.#ring.length !== 0) this.#planTurn();
    });
  }

  // --- the main thread: the session half ---------------------------------------------------------------------------

  #takeTurn(): void {
    const { sessions } = this.device;
    sessions.noteBacklog(this.#ring.filter(({ kind }) => kind === 'control').length, this.#now);
    for (const record of this.#ring.splice(0, RECORDS_A_TURN)) {
      if (record.kind === 'hold') sessions.handleHold(record.bytes, record.session, this.#now, this.#sessionOut);
      else if (record.kind === 'attend') sessions.handleAttend(record.session, this.#now, this.#sessionOut);
      else {
        this.arena.u8.set(record.path, this.#controlPath);
        sessions.handleControl(record.bytes, this.#controlPath, this.#now, this.#sessionOut);
        this.#noteReceived();
      }
    }
    this.#reschedule();
  }

  #reschedule(): void {
    const { clock, random } = this.#world;
    const at = this.device.sessions.pollTimeout()?.at ?? Infinity;
    if (at === this.#timerAt) return;
    clock.cancel(this.#timer);
    this.#timerAt = at;
    if (at === Infinity) return;
    const lateness = random.fraction() * this.sessionLatencyMs;
    this.#timer = clock.after(Math.ceil(Math.max(0, at - this.#now)) + lateness, () => {
      this.#timerAt = Infinity;
      this.device.sessions.handleTimeout(this.#now, this.#sessionOut);
      this.#reschedule();
    });
  }

  readonly #sessionOut: SessionOutbox = {
    message: (message, path) => {
      const to = addressAt(this.arena, path);
      const listener = this.#listenerOf(path);
      const { type } = decodeVariant(message, this.device.variant(listener) ?? PLAIN_VARIANT);
      this.messages.push({ at: this.#now, type, to });
      const other = this.#sessionNames.get(path - PEER_ENDPOINT);
      if (type === MESSAGE_RESPONSE) for (const name of this.#noteReceived()) this.timers.get(name)?.sent(false);
      if (type === MESSAGE_INITIATION && other !== undefined) {
        this.countsOf(other).initiations++;
        this.timers.get(other)?.sentInitiation();
      }
      this.#world.network.send(this.#addressOf(listener), to, message);
    },
    seal: (session, packets) => {
      for (const packet of packets) {
        const at = this.#single + SLOT_OFFSET;
        this.arena.u8.set(packet, at);
        this.#singleBatch.count = 0;
        this.#singleBatch.push(at, packet.length, session);
        this.#packets.seal(this.#singleBatch, this.#now, this.#mainOut, MTU);
      }
    },
    drop: (reason) => this.#drop(reason),
    event: (event) => {
      this.events.push({ at: this.#now, event });
      if (event.kind === 'handshakeGivenUp') this.timers.get(this.nameOf(event.session))?.gaveUp();
      if (event.kind === 'keysErased' && this.#sessionNames.size === 1) this.#world.checkErased(this);
    },
  };

  /** The main thread seals too: keepalives, and packets that waited. */
  readonly #mainOut: Outbox = {
    ...this.#workerOut,
    hold: (at, length, session) => {
      const packet = this.arena.u8.slice(at, at + length);
      this.device.sessions.handleHold(packet, session, this.#now, this.#sessionOut);
    },
    attend: (session) => {
      const appointment = this.#world.clock.after(0, () => {
        this.#attends.splice(this.#attends.indexOf(appointment), 1);
        this.device.sessions.handleAttend(session, this.#now, this.#sessionOut);
        this.#reschedule();
      });
      this.#attends.push(appointment);
      return true;
    },
  };

  // --- around both --------------------------------------------------------------------------------------------------

  #transmit(at: number, length: number, path: number): void {
    const from = this.#addressOf(this.#listenerOf(path));
    this.#world.network.send(from, addressAt(this.arena, path), this.arena.u8.slice(at, at + length));
  }

  #listenerOf(path: number): Listener {
    return this.arena.u32[(path + PATH_LISTENER) >> 2] === 0 ? 0 : 1;
  }

  #addressOf(listener: Listener): string {
    return listener === 0 ? this.address : this.secondAddress;
  }

  /** Tells the timers' models of what authentic came since this was last called, and returns from whom it did. */
  #noteReceived(): string[] {
    const from: string[] = [];
    for (const [session, name] of this.#sessionNames) {
      const bytes = this.arena.f64[(session + PEER_RECEIVED_BYTES) >> 3];
      if (bytes === this.#receivedBytes.get(session)) continue;
      this.#receivedBytes.set(session, bytes);
      if (bytes === 0) continue;
      from.push(name);
      this.timers.get(name)?.received();
    }
    return from;
  }

  #drop(reason: number): void {
    this.drops[reason]++;
  }
}

function endpointOf(address: string, listener: Listener): Endpoint {
  const endpoint = parseEndpoint(address);
  assert.ok(endpoint !== undefined, address);
  return { ...endpoint, listener };
}
