import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { Arena, ENOBUFS, errno, getSocketOption, libc, openEvent, signalEvent, SystemCallError } from '@sallyport/io';
import { connectLoopback, openLoopback } from './loopback-socket.ts';
import {
  allocateRelays,
  arenaBytes,
  DATA_SEEN,
  DROPPED,
  READ_BYTES,
  RECORD_BYTES,
  recordOf,
  WAITING,
  type RelayEvent,
  type RelayOrder,
  type RelayRegions,
  type RelayStart,
} from './relay-layout.ts';

const F_DUPFD_CLOEXEC = 1030;
const SOL_SOCKET = 1;
const SO_MEMINFO = 55;
// Of its numbers, each 4 bytes:
const MEMINFO_WAITING = 0;
const MEMINFO_DROPPED = 8;
const MEMINFO_COUNT = 9;

/**
 * What waits for a connection does so in its UDP socket, and what does not fit in is dropped, as by a router whose queue is
 * full: senders inside the tunnel slow down by that, where a longer queue would only make everything late. A worker of
 * OpenVPN's sends less in one go.
 */
const QUEUE_BYTES = 256 * 1024;

export interface StreamRelayOptions {
  /** A number, in 127.0.0.0/8. */
  readonly localAddress: number;
  /** The UDP port of OpenVPN on 127.0.0.1. */
  readonly openvpnPort: number;
  /** OpenVPN has sent something for the first time. */
  readonly onAnswer?: (() => void) | undefined;
  /** It has sent a packet of its data channel for the first time. */
  readonly onData?: (() => void) | undefined;
  /** Once, when the connection has ended, whoever ended it. */
  readonly onClose: (reason: string) => void;
}

/** One connection: OpenVPN over TCP on the one side, a UDP socket towards the OpenVPN of this machine on the other. */
export interface StreamRelay {
  /** Of the UDP socket. */
  readonly port: number;
  /** What is held for the network. */
  readonly waitingBytes: number;
  /** Packets, either way, that came faster than they could be passed on. */
  readonly dropped: number;
  /** Whether OpenVPN has sent a packet of its data channel since this was last asked. */
  takeDataSeen(): boolean;
  close(reason: string): void;
}

/** Relays, so many at the most, in a thread that has a loop of its own over epoll (relay-thread.ts). */
export class StreamRelays {
  /** Settles when the thread is at work: it needs no file of the program any more. */
  readonly ready: Promise<void>;
  readonly #arena: Arena;
  readonly #regions: RelayRegions;
  readonly #event: number;
  readonly #thread: Worker;
  readonly #onFailure: (error: unknown) => void;
  /** By slot. */
  readonly #relays = new Map<number, Relay>();
  /** The lowest one last: memory that nobody has used yet costs nothing. */
  readonly #freeSlots: number[];
  readonly #ended = Promise.withResolvers<undefined>();
  #stopping = false;
  readonly #onExit = (): void => {
    this.#stop();
  };

  /**
   * Starts the thread. `onFailure`: it has failed, and all connections have ended with it. It keeps the process alive while
   * there are connections. Throws a SystemCallError.
   */
  constructor(slots: number, onFailure: (error: unknown) => void) {
    const arena = Arena.create(arenaBytes(slots));
    this.#arena = arena;
    this.#regions = allocateRelays((bytes) => arena.allocate(bytes), slots);
    this.#freeSlots = Array.from({ length: slots }, (_, i) => slots - 1 - i);
    this.#onFailure = onFailure;
    this.#event = openEvent();
    const workerData: RelayStart = { arena: arena.shared, regions: this.#regions, event: this.#event };
    const ready = Promise.withResolvers<undefined>();
    this.ready = ready.promise;
    let failure: unknown;
    this.#thread = new Worker(new URL('./relay-thread.ts', import.meta.url), { workerData });
    this.#thread
      .on('message', (event: RelayEvent) => {
        if (event === 'ready') {
          ready.resolve(undefined);
          if (this.#relays.size === 0) this.#thread.unref();
        } else this.#hear(event);
      })
      .on('error', (error) => {
        failure = error;
      })
      .on('exit', () => {
        this.#finish(failure ?? new Error('the thread of the relays has ended'));
      });
    // However this process ends, Node waits for its threads then, and one that blocks in epoll has to be woken.
    process.on('exit', this.#onExit);
  }

  /**
   * Takes a connection over, and what was read from it before, {@link READ_BYTES} at the most. The socket is closed by that;
   * where it throws (a SystemCallError), the socket is the caller's still, and paused.
   */
  open(socket: Socket, first: Uint8Array, options: StreamRelayOptions): StreamRelay {
    const slot = this.#stopping ? undefined : this.#freeSlots.at(-1);
    if (slot === undefined) throw new SystemCallError('relay one connection more', ENOBUFS);
    const { fd: udp, port } = openLoopback(this.#arena, options.localAddress, QUEUE_BYTES);
    let taken: { readonly fd: number; readonly first: Uint8Array };
    try {
      connectLoopback(this.#arena, udp, options.openvpnPort);
      taken = takeOver(socket, first);
    } catch (error) {
      libc.close(udp);
      throw error;
    }
    this.#freeSlots.pop();
    const relay = new Relay(
      this,
      this.#arena,
      recordOf(this.#regions, slot),
      { slot, tcp: taken.fd, udp, port },
      options,
    );
    this.#relays.set(slot, relay);
    this.#thread.ref();
    this.order({ kind: 'open', slot, tcp: taken.fd, udp, first: taken.first });
    return relay;
  }

  /** Ends them all, and the thread. */
  async close(): Promise<void> {
    for (const relay of this.#relays.values()) relay.close('closed');
    this.#thread.ref();
    this.#stop();
    await this.#ended.promise;
  }

  /** For its relays. */
  order(order: RelayOrder): void {
    this.#thread.postMessage(order);
    signalEvent(this.#arena, this.#event, this.#arena.scratch);
  }

  #hear(event: Exclude<RelayEvent, 'ready'>): void {
    const relay = this.#relays.get(event.slot);
    if (relay === undefined) return;
    if (event.kind !== 'ended') {
      relay.note(event.kind);
      return;
    }
    this.#relays.delete(event.slot);
    this.#freeSlots.push(event.slot);
    if (this.#relays.size === 0) this.#thread.unref();
    relay.end(event.reason);
  }

  #stop(): void {
    this.#stopping = true;
    Atomics.store(this.#arena.i32, this.#regions.stop >> 2, 1);
    signalEvent(this.#arena, this.#event, this.#arena.scratch);
  }

  #finish(reason: unknown): void {
    const expected = this.#stopping;
    this.#stopping = true;
    process.off('exit', this.#onExit);
    for (const relay of this.#relays.values()) relay.end('the relay has ended');
    this.#relays.clear();
    libc.close(this.#event);
    this.#ended.resolve(undefined);
    if (!expected) this.#onFailure(reason);
  }
}

class Relay implements StreamRelay {
  readonly port: number;
  readonly #relays: StreamRelays;
  readonly #arena: Arena;
  readonly #record: number;
  readonly #slot: number;
  readonly #tcp: number;
  readonly #udp: number;
  readonly #options: StreamRelayOptions;
  #closed = false;

  constructor(
    relays: StreamRelays,
    arena: Arena,
    record: number,
    { slot, tcp, udp, port }: { slot: number; tcp: number; udp: number; port: number },
    options: StreamRelayOptions,
  ) {
    this.port = port;
    this.#relays = relays;
    this.#arena = arena;
    this.#record = record;
    this.#slot = slot;
    this.#tcp = tcp;
    this.#udp = udp;
    this.#options = options;
    arena.u8.fill(0, record, record + RECORD_BYTES);
  }

  get waitingBytes(): number {
    return this.#arena.f64[(this.#record + WAITING) >> 3] + this.#socketMemory(MEMINFO_WAITING);
  }

  get dropped(): number {
    return this.#arena.f64[(this.#record + DROPPED) >> 3] + this.#socketMemory(MEMINFO_DROPPED);
  }

  takeDataSeen(): boolean {
    return Atomics.exchange(this.#arena.i32, (this.#record + DATA_SEEN) >> 2, 0) !== 0;
  }

  close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#relays.order({ kind: 'close', slot: this.#slot });
    this.#options.onClose(reason);
  }

  /** The thread has seen something. */
  note(kind: 'answered' | 'data'): void {
    if (this.#closed) return;
    if (kind === 'answered') this.#options.onAnswer?.();
    else this.#options.onData?.();
  }

  /** The thread knows it no more. */
  end(reason: string): void {
    if (!this.#closed) this.#options.onClose(reason);
    this.#closed = true;
    libc.close(this.#tcp);
    libc.close(this.#udp);
  }

  /** Of the UDP socket, as long as it is open. */
  #socketMemory(number: number): number {
    const numbers = Buffer.alloc(4 * MEMINFO_COUNT);
    getSocketOption(this.#udp, SOL_SOCKET, SO_MEMINFO, numbers);
    return numbers.readUInt32LE(4 * number);
  }
}

/**
 * A descriptor of the socket's connection, which outlives the socket, and all that was read from it: `first`, and what Node
 * holds. Throws a SystemCallError.
 */
function takeOver(socket: Socket, first: Uint8Array): { readonly fd: number; readonly first: Uint8Array } {
  socket.pause();
  const held = socket.read() as Buffer | null;
  // It is not documented; but there is no other way from a connection that Node has accepted to its descriptor.
  const { _handle: handle } = socket as unknown as { _handle: { readonly fd: number; readStop: () => void } | null };
  handle?.readStop();
  const read = Buffer.concat(held === null ? [first] : [first, held]);
  if (read.length > READ_BYTES) throw new SystemCallError('take a connection over', ENOBUFS);
  const fd = libc.fcntl(handle?.fd ?? -1, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) throw new SystemCallError('take a connection over', errno());
  socket.destroy();
  // A copy of its own: what is sent to a thread is sent with all of its buffer.
  return { fd, first: new Uint8Array(read) };
}
