/*
 * The thread of all relays of OpenVPN over TCP: it blocks in epoll on their connections and UDP sockets. No event loop, no
 * promise, and no allocation once a connection is there.
 */
import { flushCompileCache } from 'node:module';
import { parentPort, receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads';
import {
  Arena,
  Clock,
  DatagramReceiver,
  drainEvent,
  EAGAIN,
  EINTR,
  Epoll,
  EPOLLIN,
  EPOLLOUT,
  errno,
  libc,
  Moderation,
  PieceWriter,
  sleepPrecisely,
  SystemCallError,
} from '@sallyport/io/packets';
import { LENGTH_BYTES } from './message.ts';
import {
  DATA_SEEN,
  DROPPED,
  GATHERED_BYTES,
  partOf,
  READ_BYTES,
  recordOf,
  TRAIN_BYTES,
  WAITING,
  waitingOf,
  type RelayEvent,
  type RelayOrder,
  type RelayRegions,
  type RelayStart,
} from './relay-layout.ts';
import { isData, StreamTrain } from './stream-frames.ts';

/**
 * Microseconds between turns where packets come densely. Most of what the thread costs is to be woken, and to wake a worker
 * of OpenVPN's for each train: longer pauses make longer ones, and TCP, whose packets are late by as much, has room for it.
 */
const PAUSE = 200;
/** More than any kernel joins. */
const MAX_TRAIN_PACKETS = 256;
/** The event's tag; a connection's are twice its slot, and one more for its UDP socket. */
const EVENT = 0xffff_ffff;

class Connection {
  readonly slot: number;
  readonly tcp: number;
  /** Towards OpenVPN. */
  readonly udp: number;
  /** Bytes of a packet that is not whole yet. */
  part = 0;
  /** Bytes that the connection has not taken yet, and where they begin. Until it has, nothing is taken from OpenVPN. */
  waiting = 0;
  waitingAt = 0;
  answered = false;
  isIn = false;

  constructor(slot: number, tcp: number, udp: number) {
    this.slot = slot;
    this.tcp = tcp;
    this.udp = udp;
  }
}

class Relays {
  readonly #arena: Arena;
  readonly #regions: RelayRegions;
  readonly #event: number;
  readonly #port: MessagePort;
  readonly #epoll: Epoll;
  readonly #receiver: DatagramReceiver;
  readonly #writer: PieceWriter;
  readonly #train = new StreamTrain();
  readonly #clock: Clock;
  readonly #moderation = new Moderation(PAUSE);
  /** In this turn. */
  #packets = 0;
  /** By slot. */
  readonly #connections: (Connection | undefined)[] = [];

  constructor({ arena: shared, regions, event }: RelayStart, port: MessagePort) {
    const arena = new Arena(shared);
    this.#arena = arena;
    this.#regions = regions;
    this.#event = event;
    this.#port = port;
    this.#epoll = new Epoll(arena, regions.epoll);
    this.#receiver = new DatagramReceiver(arena, regions.receiver);
    this.#writer = new PieceWriter(arena, regions.writer);
    this.#clock = new Clock(arena, regions.clock);
    this.#epoll.add(event, EVENT);
  }

  /** Returns when it is told to end; no descriptor is its own then. */
  run(): void {
    sleepPrecisely();
    for (;;) {
      const count = this.#epoll.wait(-1);
      const now = this.#clock.now();
      this.#packets = 0;
      for (let i = 0; i < count; i++) {
        const tag = this.#epoll.tag(i);
        if (tag === EVENT) {
          drainEvent(this.#arena, this.#event, this.#regions.word);
          if (Atomics.load(this.#arena.i32, this.#regions.stop >> 2) !== 0) return;
          this.#takeOrders();
          continue;
        }
        const connection = this.#connections[tag >> 1];
        // It has ended by what was ready before.
        if (connection === undefined) continue;
        if ((tag & 1) !== 0) this.#fromOpenVpn(connection);
        else this.#serve(connection, this.#epoll.events(i));
      }
      const pause = this.#moderation.pauseAfter(now, this.#packets);
      if (pause !== 0) libc.usleep(pause);
    }
  }

  #takeOrders(): void {
    for (;;) {
      const order = receiveMessageOnPort(this.#port)?.message as RelayOrder | undefined;
      if (order === undefined) return;
      if (order.kind === 'open') this.#open(order);
      else {
        const connection = this.#connections[order.slot];
        if (connection !== undefined) this.#end(connection, 'closed');
      }
    }
  }

  #open({ slot, tcp, udp, first }: Extract<RelayOrder, { kind: 'open' }>): void {
    const connection = new Connection(slot, tcp, udp);
    this.#connections[slot] = connection;
    try {
      this.#epoll.add(tcp, 2 * slot);
      this.#epoll.add(udp, 2 * slot + 1);
    } catch (error) {
      // The kernel has no room: one connection too many, and the others stay.
      this.#connections[slot] = undefined;
      this.#tell({ kind: 'ended', slot, reason: String(error) });
      return;
    }
    const { read } = this.#regions;
    this.#arena.u8.set(first, read);
    this.#forward(connection, read, read + first.length);
  }

  /** Whoever opened the descriptors closes them. */
  #end(connection: Connection, reason: string): void {
    const { slot, tcp, udp, waiting } = connection;
    this.#connections[slot] = undefined;
    this.#epoll.remove(tcp);
    if (waiting === 0) this.#epoll.remove(udp);
    this.#tell({ kind: 'ended', slot, reason });
  }

  #fail(connection: Connection, number: number): void {
    if (number !== EAGAIN && number !== EINTR)
      this.#end(connection, new SystemCallError('the connection', number).message);
  }

  #tell(event: RelayEvent): void {
    this.#port.postMessage(event);
  }

  #serve(connection: Connection, events: number): void {
    if (connection.waiting > 0 && (events & ~EPOLLIN) !== 0) this.#writeWaiting(connection);
    if ((events & ~EPOLLOUT) !== 0 && this.#connections[connection.slot] === connection) this.#read(connection);
  }

  // --- from the connection to OpenVPN -----------------------------------------------------------------------

  #read(connection: Connection): void {
    const { u8, address } = this.#arena;
    const { read } = this.#regions;
    const bytes = libc.read(connection.tcp, address + read, READ_BYTES);
    if (bytes > 0) {
      const from = read - connection.part;
      const part = partOf(this.#regions, connection.slot);
      u8.copyWithin(from, part, part + connection.part);
      this.#forward(connection, from, read + bytes);
    } else if (bytes === 0) this.#end(connection, 'closed by the other side');
    else this.#fail(connection, errno());
  }

  #forward(connection: Connection, from: number, end: number): void {
    const { u8, f64 } = this.#arena;
    const train = this.#train;
    const writer = this.#writer;
    let at = from;
    while (train.find(u8, at, end)) {
      const { packets, size } = train;
      this.#packets += packets;
      writer.clear();
      at += LENGTH_BYTES;
      for (let i = 1; i < packets; i++) {
        writer.add(at, size);
        at += size + LENGTH_BYTES;
      }
      writer.add(at, train.lastSize);
      at = train.next;
      // Towards OpenVPN nothing waits.
      if (!writer.sendTrain(connection.udp, size))
        f64[(recordOf(this.#regions, connection.slot) + DROPPED) >> 3] += packets;
    }
    if (train.wrong) {
      this.#end(connection, 'this is not OpenVPN');
      return;
    }
    connection.part = end - at;
    u8.copyWithin(partOf(this.#regions, connection.slot), at, end);
  }

  // --- from OpenVPN to the connection -----------------------------------------------------------------------

  #fromOpenVpn(connection: Connection): void {
    this.#gather(connection);
    const writer = this.#writer;
    if (writer.count === 0) return;
    const written = writer.write(connection.tcp);
    if (written === writer.bytes) return;
    if (written < 0 && written !== -EAGAIN && written !== -EINTR) {
      this.#fail(connection, -written);
      return;
    }
    const taken = written < 0 ? 0 : written;
    connection.waitingAt = waitingOf(this.#regions, connection.slot);
    writer.copyRest(taken, connection.waitingAt);
    this.#setWaiting(connection, writer.bytes - taken);
    this.#epoll.change(connection.tcp, 2 * connection.slot, EPOLLIN | EPOLLOUT);
    this.#epoll.remove(connection.udp);
  }

  #setWaiting(connection: Connection, bytes: number): void {
    connection.waiting = bytes;
    this.#arena.f64[(recordOf(this.#regions, connection.slot) + WAITING) >> 3] = bytes;
  }

  /** Takes datagrams, and gives each to the writer with its length before it. */
  #gather(connection: Connection): void {
    const { u8 } = this.#arena;
    const { lengths, received, path } = this.#regions;
    const receiver = this.#receiver;
    const writer = this.#writer;
    writer.clear();
    let holdsData = false;
    let end = received;
    let length = lengths;
    while (end < received + GATHERED_BYTES && writer.count + 2 * MAX_TRAIN_PACKETS <= PieceWriter.maxPieces) {
      const bytes = receiver.receive(connection.udp, end, TRAIN_BYTES, path);
      // Nothing more, or an error that the socket has told of now.
      if (bytes <= 0) break;
      const { segmentSize } = receiver;
      const packets = Math.ceil(bytes / segmentSize);
      if (packets > MAX_TRAIN_PACKETS) continue;
      const lastSize = bytes - (packets - 1) * segmentSize;
      this.#writeLength(length, segmentSize);
      this.#writeLength(length + LENGTH_BYTES, lastSize);
      for (let i = 1; i < packets; i++) {
        writer.add(length, LENGTH_BYTES);
        writer.add(end, segmentSize);
        holdsData ||= isData(u8[end]);
        end += segmentSize;
      }
      writer.add(length + LENGTH_BYTES, LENGTH_BYTES);
      writer.add(end, lastSize);
      holdsData ||= isData(u8[end]);
      end += lastSize;
      length += 2 * LENGTH_BYTES;
    }
    this.#packets += writer.count >> 1;
    if (end > received) this.#noteAnswer(connection, holdsData);
  }

  #writeLength(at: number, length: number): void {
    const { u8 } = this.#arena;
    u8[at] = length >> 8;
    u8[at + 1] = length;
  }

  #noteAnswer(connection: Connection, holdsData: boolean): void {
    const { slot } = connection;
    if (!connection.answered) {
      connection.answered = true;
      this.#tell({ kind: 'answered', slot });
    }
    if (!holdsData) return;
    this.#arena.i32[(recordOf(this.#regions, slot) + DATA_SEEN) >> 2] = 1;
    if (connection.isIn) return;
    connection.isIn = true;
    this.#tell({ kind: 'data', slot });
  }

  #writeWaiting(connection: Connection): void {
    const { slot, tcp, udp } = connection;
    const written = libc.write(tcp, this.#arena.address + connection.waitingAt, connection.waiting);
    if (written < 0) {
      this.#fail(connection, errno());
      return;
    }
    connection.waitingAt += written;
    this.#setWaiting(connection, connection.waiting - written);
    if (connection.waiting > 0) return;
    this.#epoll.change(tcp, 2 * slot, EPOLLIN);
    this.#epoll.add(udp, 2 * slot + 1);
  }
}

if (parentPort !== null) {
  // For the next start, while its folder can be written: each thread keeps its own.
  flushCompileCache();
  const relays = new Relays(workerData as RelayStart, parentPort);
  parentPort.postMessage('ready' satisfies RelayEvent);
  relays.run();
}
