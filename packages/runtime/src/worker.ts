import { parentPort } from 'node:worker_threads';
import {
  DropReason,
  LISTENERS,
  type Instant,
  type Listener,
  type PacketHalf,
  type PacketProtocol,
  type RouteTable,
} from '@sallyport/core';
import { DatagramTrains, Inbound, Outbound, type TrainSink } from '@sallyport/gateway';
import {
  Arena,
  Clock,
  DatagramBatchReceiver,
  DatagramSender,
  drainEvent,
  drainLinkMonitor,
  EBADFD,
  errno,
  FrameWriter,
  libc,
  LINK_CHANGED,
  Moderation,
  Poller,
  setSlice,
  sleepPrecisely,
  type SharedArena,
} from '@sallyport/io/packets';
import { buildUnreachable, Coalescer, VIRTIO_NET_HEADER_BYTES, type FrameSink } from '@sallyport/wire';
import { Gate } from './gate.ts';
import { IcmpAnswers } from './icmp-answers.ts';
import {
  CONTROL_DOORBELL,
  CONTROL_GENERATION,
  CONTROL_LINK,
  CONTROL_MTU,
  CONTROL_STOP,
  FRAME_BYTES,
  FRAME_OFFSET,
  RING_BYTES,
  type PlaneRegions,
  type WorkerRegions,
} from './plane-layout.ts';
import { Ring } from './ring.ts';
import { WorkerOutbox } from './worker-outbox.ts';

/** Frames that are read from TUN before the sealed datagrams leave. */
const FRAMES_A_BATCH = 64;

/** The shortest that there is: a packet that comes does not wait for the next tick because somebody computes. */
const SLICE_MS = 0.1;

const SEND_FAILED = DropReason.sendFailed;
const DEVICE_WRITE_FAILED = DropReason.deviceWriteFailed;

/** What a worker is started with. */
export interface WorkerStart {
  readonly arena: SharedArena;
  readonly plane: PlaneRegions;
  readonly index: number;
  readonly tun: number;
  readonly offloads: { readonly tcp: boolean; readonly udp: boolean };
  readonly event: number;
  /** The link monitor's descriptor, or -1 where another worker watches it. */
  readonly link: number;
  /** The interface's index. */
  readonly interface: number;
  /** In the order of the plane's protocols. */
  readonly protocols: readonly {
    readonly listeners: readonly Listener[];
    /** What it needs to find its tables again. */
    readonly tables: unknown;
  }[];
}

/** Builds the packet half of a protocol and its routes in this thread: `scratch` is for this thread alone, and zeroed. */
export type AttachProtocol = (
  arena: Arena,
  tables: unknown,
  scratch: number,
) => { packets: PacketHalf; routes: RouteTable };

/** The first of the poller's descriptors that is a socket: two for each listener. */
const POLLED_SOCKETS = 3;

/**
 * A data-plane worker: one thread that blocks in poll on its TUN queue and its sockets and drains both. No event
 * loop, no promise and no allocation once it runs. `attach` is in the order of the plane's protocols. Returns when the
 * device is closed.
 */
export function runWorker(start: WorkerStart, attach: readonly AttachProtocol[]): void {
  const worker = new Worker(start, attach);
  setSlice(SLICE_MS);
  parentPort?.postMessage('ready');
  worker.run();
}

class Worker implements TrainSink, FrameSink {
  readonly #arena: Arena;
  readonly #regions: WorkerRegions;
  readonly #control: number;
  readonly #gate: Gate;
  readonly #index: number;
  readonly #tun: number;
  readonly #event: number;
  readonly #link: number;
  readonly #interface: number;
  readonly #clock: Clock;
  readonly #poller: Poller;
  readonly #receiver: DatagramBatchReceiver;
  readonly #sender: DatagramSender;
  readonly #writer: FrameWriter;
  readonly #trains: DatagramTrains;
  readonly #outbound: Outbound;
  readonly #inbound: Inbound;
  readonly #icmp = new IcmpAnswers();
  readonly #moderation = new Moderation();
  readonly #counter: number;
  #now: Instant = 0;
  #generation = -1;
  #rang = false;
  /** Datagrams of this turn that came alone. */
  #alone = 0;

  constructor(start: WorkerStart, attach: readonly AttachProtocol[]) {
    const arena = new Arena(start.arena);
    const regions = start.plane.workers[start.index];
    this.#arena = arena;
    this.#regions = regions;
    this.#control = start.plane.control >> 2;
    this.#gate = new Gate(arena.i32, start.plane.gate, start.plane.workers.length);
    this.#index = start.index;
    this.#tun = start.tun;
    this.#event = start.event;
    this.#link = start.link;
    this.#interface = start.interface;
    this.#clock = new Clock(arena, regions.small);
    this.#poller = new Poller(arena, regions.poller);
    this.#receiver = new DatagramBatchReceiver(arena, regions.receiver, regions.receiveArea);
    this.#sender = new DatagramSender(arena, regions.sender, true);
    this.#writer = new FrameWriter(arena, regions.writer);
    this.#counter = regions.counters >> 3;
    this.#trains = new DatagramTrains(this);
    const protocols = start.protocols.map(({ listeners, tables }, i): PacketProtocol => {
      const { ring, scratch, counters } = regions.protocols[i];
      const out = new WorkerOutbox(arena, this.#trains, new Ring(arena, ring, RING_BYTES), counters, this);
      return { ...attach[i](arena, tables, scratch), out, listeners };
    });
    this.#outbound = new Outbound(
      arena,
      protocols,
      () => {
        this.#trains.flush();
      },
      regions.outboundArea,
      arena.i32[this.#control + (CONTROL_MTU >> 2)],
    );
    const coalescer = new Coalescer(arena, regions.coalescer, this, start.offloads);
    this.#inbound = new Inbound(arena, protocols, coalescer);
  }

  run(): void {
    this.#poller.watch([this.#event]); // the main thread signals it once everything is in place
    sleepPrecisely();
    try {
      for (;;) {
        const pause = this.#moderation.pauseAfter(this.#now, this.#alone);
        if (pause !== 0) libc.usleep(pause); // outside the gate, and before poll: who waits there is woken at once
        this.#alone = 0;
        this.#poller.wait(-1);
        this.#gate.enter(this.#index);
        this.#now = this.#clock.now();
        this.#sender.refresh();
        if (this.#takeChanges()) return;
        let alive = true;
        if (this.#poller.readable(1)) alive = this.#readTun();
        if (this.#poller.readable(2)) this.#readLink();
        for (let listener = 0; listener < LISTENERS; listener++) {
          const { fd4, fd6 } = this.#sender.sockets[listener];
          const first = POLLED_SOCKETS + 2 * listener;
          if (this.#poller.readable(first)) this.#readSocket(fd4, listener);
          if (this.#poller.readable(first + 1)) this.#readSocket(fd6, listener);
        }
        this.#gate.leave(this.#index);
        if (this.#rang) this.#ringDoorbell();
        if (!alive) return;
      }
    } finally {
      this.#gate.leave(this.#index);
    }
  }

  /** Sees to what the main thread has changed; true when this worker has to end. */
  #takeChanges(): boolean {
    const { i32 } = this.#arena;
    const generation = Atomics.load(i32, this.#control + (CONTROL_GENERATION >> 2));
    if (generation === this.#generation) return false;
    this.#generation = generation;
    drainEvent(this.#arena, this.#event, this.#regions.small + 16);
    this.#outbound.mtu = i32[this.#control + (CONTROL_MTU >> 2)];
    const at = this.#regions.sockets >> 2;
    const sockets = i32.subarray(at, at + 2 * LISTENERS);
    for (let listener = 0; listener < LISTENERS; listener++)
      this.#sender.sockets[listener] = { fd4: sockets[2 * listener], fd6: sockets[2 * listener + 1] };
    this.#poller.watch([this.#event, this.#tun, this.#link, ...sockets]);
    return i32[this.#control + (CONTROL_STOP >> 2)] !== 0;
  }

  /** False when the interface is gone. */
  #readTun(): boolean {
    const { address } = this.#arena;
    const frame = this.#regions.frame + FRAME_OFFSET;
    for (let i = 0; i < FRAMES_A_BATCH; i++) {
      const length = libc.read(this.#tun, address + frame, FRAME_BYTES - FRAME_OFFSET);
      if (length < 0) {
        if (errno() === EBADFD) {
          this.#outbound.flush();
          this.#noteLink(LINK_CHANGED);
          return false;
        }
        break;
      }
      if (length > VIRTIO_NET_HEADER_BYTES) this.#outbound.handleFrame(frame, length, this.#now);
    }
    this.#outbound.flush();
    return true;
  }

  #readSocket(fd: number, listener: number): void {
    if (fd < 0) return;
    const receiver = this.#receiver;
    const count = receiver.receive(fd, listener);
    for (let i = 0; i < count; i++) {
      receiver.take(i);
      if (receiver.length === receiver.segmentSize) this.#alone++;
      this.#inbound.handleTrain(receiver.at, receiver.length, receiver.segmentSize, receiver.path, this.#now);
    }
    this.#inbound.flush(this.#now);
    this.#trains.flush();
  }

  #readLink(): void {
    const seen = drainLinkMonitor(this.#arena, this.#link, this.#interface, this.#regions.small + 64, 4032);
    if (seen !== 0) this.#noteLink(seen);
  }

  #noteLink(seen: number): void {
    Atomics.or(this.#arena.i32, this.#control + (CONTROL_LINK >> 2), seen);
    this.#rang = true;
  }

  #ringDoorbell(): void {
    this.#rang = false;
    const doorbell = this.#control + (CONTROL_DOORBELL >> 2);
    Atomics.add(this.#arena.i32, doorbell, 1);
    Atomics.notify(this.#arena.i32, doorbell);
  }

  // --- what the outboxes can't do by themselves -----------------------------------------------------------

  /** See Outbox. */
  packet(at: number, length: number, session: number, path: number): void {
    this.#inbound.handlePacket(at, length, session, path);
  }

  /** The main thread has something to take out of a ring, once this batch is done. */
  ring(): void {
    this.#rang = true;
  }

  /** Answers a packet from TUN by ICMP. */
  refuse(at: number, length: number, reason: number): void {
    if (!this.#icmp.take(this.#now)) return;
    const frame = this.#regions.small + 1024;
    const size = buildUnreachable(this.#arena, frame + VIRTIO_NET_HEADER_BYTES, at, length, reason);
    if (size === 0) return;
    this.#arena.u8.fill(0, frame, frame + VIRTIO_NET_HEADER_BYTES);
    libc.write(this.#tun, this.#arena.address + frame, VIRTIO_NET_HEADER_BYTES + size);
  }

  // --- sinks ------------------------------------------------------------------------------------------------

  send(at: number, length: number, segmentSize: number, path: number, ecn: number): void {
    const { f64 } = this.#arena;
    if (this.#sender.send(at, length, segmentSize, path, ecn) !== 0) {
      f64[this.#counter + SEND_FAILED] += this.#sender.failures;
      this.#sender.failures = 0;
    }
  }

  frame(at: Int32Array, length: Int32Array, count: number): void {
    if (!this.#writer.write(this.#tun, at, length, count)) this.#arena.f64[this.#counter + DEVICE_WRITE_FAILED]++;
  }
}
