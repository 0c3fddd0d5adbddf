import { Worker as Thread } from 'node:worker_threads';
import {
  DROP_REASONS,
  type DropReasonName,
  type Instant,
  type Listener,
  type PacketHalf,
  type SessionEvent,
  type SessionHalf,
  type SessionId,
} from '@sallyport/core';
import {
  Clock,
  closeUdpSockets,
  fitSuperPackets,
  interfaceIsUp,
  interfaceMtu,
  libc,
  LINK_WAS_DOWN,
  markUdpSockets,
  NO_SOCKETS,
  openEvent,
  openLinkMonitor,
  openTun,
  openUdpSockets,
  PACKET_CIPHER_SCRATCH_BYTES,
  setInterfaceMtu,
  signalEvent,
  SystemCallError,
  type Arena,
  type TunDevice,
  type UdpSockets,
} from '@sallyport/io';
import { COALESCER_SCRATCH_BYTES } from '@sallyport/wire';
import { Gate } from './gate.ts';
import {
  allocatePlane,
  CONTROL_DOORBELL,
  CONTROL_GENERATION,
  CONTROL_LINK,
  CONTROL_MTU,
  CONTROL_STOP,
  RING_BYTES,
  type PlaneRegions,
} from './plane-layout.ts';
import { ATTEND, CONTROL, HOLD, Ring } from './ring.ts';
import { SessionSender } from './session-sender.ts';
import type { WorkerStart } from './worker.ts';

/** WireGuard's usual MTU: 1500 less an IPv6 and a UDP header and the protocol's own 32 bytes. */
export const DEFAULT_MTU = 1420;

/** Records taken from a worker's queue before others and the timers get their turn. */
const RECORDS_A_TURN = 64;

const LISTENERS: readonly Listener[] = [0, 1];

const EADDRINUSE = 98;
/** How long the port of closed sockets may still be taken. */
const PORT_RELEASE_MS = 500;

const TIMER_MAX_MS = 2 ** 31 - 1;

export interface DataPlaneOptions {
  readonly arena: Arena;
  readonly name: string;
  readonly workers: number;
  readonly mtu: number;
  /** Bytes that the protocol adds to a full packet. */
  readonly overheadBytes: number;
  /** The module that calls `runWorker` with the same protocol. */
  readonly workerModule: URL;
  /** What each worker's protocol needs to find its tables, and how much memory of its own it needs. */
  readonly protocol: unknown;
  readonly protocolScratchBytes: number;
  readonly onEvent: (event: SessionEvent) => void;
  readonly onLink: (up: boolean) => void;
}

/** How a port is listened on. */
export interface ListenOptions {
  /** Which of the two listeners: by default the first, 0. */
  readonly listener?: Listener;
  /** Datagrams are not fragmented, and one that is too large is lost; see `openUdpSockets`. */
  readonly dontFragment?: boolean;
}

/** The main thread's end of a device: the interface, its sockets, its workers, and the session half of its protocol. */
export class DataPlane {
  readonly #tun: TunDevice;
  /** Settles when the interface is gone or the plane was closed; rejects when a worker failed. */
  readonly closed: Promise<void>;
  readonly #arena: Arena;
  readonly #options: DataPlaneOptions;
  readonly #regions: PlaneRegions;
  readonly #control: number;
  readonly #gate: Gate;
  readonly #rings: Ring[];
  readonly #clock: Clock;
  readonly #out: SessionSender;
  readonly #scratch: number;
  readonly #events: number[] = [];
  readonly #link: number;
  readonly #threads: Thread[] = [];
  #sessions: SessionHalf | undefined;
  /** The sockets of each listener, one pair for each worker; none where it does not listen. */
  readonly #sockets: [UdpSockets[], UdpSockets[]] = [[], []];
  #mtu: number;
  #up = false;
  #timer: NodeJS.Timeout | undefined;
  #timerAt: Instant = Infinity;
  #closing = false;
  /** When sockets were closed last, by the process's clock. */
  #closedAt = -Infinity;
  readonly #pause = new Int32Array(new SharedArrayBuffer(4));
  readonly #onExit = (): void => {
    this.close();
  };
  #settle!: { resolve: () => void; reject: (error: unknown) => void };

  constructor(options: DataPlaneOptions) {
    const { arena, name, workers } = options;
    this.#arena = arena;
    this.#options = options;
    this.#tun = openTun(arena, name, workers);
    setInterfaceMtu(arena, name, options.mtu);
    this.#mtu = options.mtu;
    fitSuperPackets(arena, this.#tun.index, options.mtu, options.overheadBytes);
    this.#link = openLinkMonitor(arena);
    const allocate = (bytes: number): number => arena.allocate(bytes);
    this.#regions = allocatePlane(allocate, workers, {
      coalescer: COALESCER_SCRATCH_BYTES,
      aead: PACKET_CIPHER_SCRATCH_BYTES,
      protocol: options.protocolScratchBytes,
    });
    this.#control = this.#regions.control >> 2;
    this.#gate = new Gate(arena.i32, this.#regions.gate, workers);
    this.#rings = this.#regions.workers.map(({ ring }) => new Ring(arena, ring, RING_BYTES));
    this.#clock = new Clock(arena, arena.allocate(16));
    this.#out = new SessionSender(
      arena,
      () => this.#mtu,
      options.onEvent,
      (session) => {
        queueMicrotask(() => {
          this.#sessions?.handleAttend(session, this.now, this.#out);
          this.reschedule();
        });
      },
    );
    this.#scratch = arena.allocate(16);
    this.closed = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
  }

  /** Starts the workers, with the two halves of the protocol as this thread uses them; settles when they are at work. */
  async start(sessions: SessionHalf, packets: PacketHalf): Promise<void> {
    this.#sessions = sessions;
    this.#out.attach(sessions, packets);
    const { arena, workerModule, protocol } = this.#options;
    arena.i32[this.#control + (CONTROL_MTU >> 2)] = this.#mtu;
    this.#publishSockets();
    // However this process ends, Node waits for its threads then, and one that blocks in poll has to be woken.
    process.on('exit', this.#onExit);
    const ready = this.#tun.queues.map((tun, index) => {
      const event = openEvent();
      this.#events.push(event);
      const workerData: WorkerStart = {
        arena: arena.shared,
        plane: this.#regions,
        index,
        tun,
        offloads: this.#tun.offloads,
        event,
        link: index === 0 ? this.#link : -1,
        interface: this.#tun.index,
        protocol,
      };
      const thread = new Thread(workerModule, { workerData });
      thread.on('error', (error) => {
        this.#fail(error);
      });
      thread.on('exit', () => {
        this.#threads.splice(this.#threads.indexOf(thread), 1);
        if (this.#threads.length === 0) this.#finish();
        else if (!this.#closing) this.close();
      });
      this.#threads.push(thread);
      return new Promise((resolve) => thread.once('message', resolve));
    });
    await Promise.race([Promise.all(ready), this.closed]);
    if (this.#closing) return;
    this.#changed();
    void this.#listen();
    this.lookAtLink();
  }

  get now(): Instant {
    return this.#clock.now();
  }

  get up(): boolean {
    return this.#up;
  }

  /** Drop counters of all threads, without those at zero. */
  get drops(): Partial<Record<DropReasonName, number>> {
    const result: Partial<Record<DropReasonName, number>> = {};
    DROP_REASONS.forEach((name, reason) => {
      let count = this.#out.drops[reason];
      for (const { counters } of this.#regions.workers) count += this.#arena.f64[(counters >> 3) + reason];
      if (count !== 0) result[name] = count;
    });
    return result;
  }

  /** Runs a change to tables or keys while no worker is in the middle of a batch. */
  exclusive<T>(change: () => T): T {
    return this.#gate.exclusive(change);
  }

  /**
   * Takes sessions that are no more out of what the workers have said and the session half has not heard yet, so that
   * their ids can be given out again. To be called from within {@link exclusive}.
   */
  forgetSessions(gone: ReadonlySet<SessionId>): void {
    for (const ring of this.#rings) ring.forget(gone);
  }

  /**
   * Listens on `port` (0: one that the kernel chooses) on every worker, and returns the port. Throws a SystemCallError
   * where it is taken; what that listener listened on before then goes on.
   */
  listen(port: number, mark: number, { listener = 0, dontFragment = false }: ListenOptions = {}): number {
    const opened = this.#openSockets(port, mark, dontFragment);
    this.#useSockets(listener, opened.sockets);
    return opened.port;
  }

  /** A worker that waits in poll holds the port of sockets that were just closed until it has woken: not for long. */
  #openSockets(port: number, mark: number, dontFragment: boolean): ReturnType<typeof openUdpSockets> {
    for (;;) {
      try {
        return openUdpSockets(this.#arena, port, this.#options.workers, mark, dontFragment);
      } catch (error) {
        const taken = error instanceof SystemCallError && error.errno === EADDRINUSE;
        if (!taken || performance.now() - this.#closedAt > PORT_RELEASE_MS) throw error;
        Atomics.wait(this.#pause, 0, 0, 1);
      }
    }
  }

  /** By default both listeners stop. */
  stopListening(listener?: Listener): void {
    for (const one of listener === undefined ? LISTENERS : [listener]) this.#useSockets(one, []);
  }

  /** Whether the first listener listens. */
  get listening(): boolean {
    return this.#sockets[0].length !== 0;
  }

  #useSockets(listener: Listener, sockets: UdpSockets[]): void {
    const old = this.#sockets[listener];
    this.exclusive(() => {
      this.#sockets[listener] = sockets;
      this.#publishSockets();
      this.#changed();
    });
    closeUdpSockets(old);
    if (old.length > 0) this.#closedAt = performance.now();
  }

  /** Marks what is sent from now on, by default by both listeners; 0 is no mark. */
  setMark(mark: number, listener?: Listener): void {
    for (const one of listener === undefined ? LISTENERS : [listener])
      markUdpSockets(this.#arena, this.#sockets[one], mark);
  }

  /** Ends the workers and closes everything; the interface goes with it. */
  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    clearTimeout(this.#timer);
    Atomics.store(this.#arena.i32, this.#control + (CONTROL_STOP >> 2), 1);
    this.#changed();
  }

  /** To be called after something outside changed what the session half's next deadline depends on. */
  reschedule(): void {
    const next = this.#sessions?.pollTimeout();
    const at = next?.at ?? Infinity;
    if (at === this.#timerAt || this.#closing) return;
    this.#timerAt = at;
    clearTimeout(this.#timer);
    if (at === Infinity) return;
    const delay = Math.min(Math.max(0, Math.ceil(at - this.now)), TIMER_MAX_MS);
    this.#timer = setTimeout(() => {
      this.#timerAt = Infinity;
      this.#sessions?.handleTimeout(this.now, this.#out);
      this.reschedule();
    }, delay);
  }

  #publishSockets(): void {
    const { i32 } = this.#arena;
    const of = (listener: Listener, worker: number): UdpSockets => this.#sockets[listener][worker] ?? NO_SOCKETS;
    this.#regions.workers.forEach(({ sockets }, worker) => {
      const [first, second] = [of(0, worker), of(1, worker)];
      i32.set([first.fd4, first.fd6, second.fd4, second.fd6], sockets >> 2);
    });
    this.#out.setSockets(of(0, 0), of(1, 0));
  }

  /** Makes the workers look at the control block. */
  #changed(): void {
    Atomics.add(this.#arena.i32, this.#control + (CONTROL_GENERATION >> 2), 1);
    for (const event of this.#events) signalEvent(this.#arena, event, this.#scratch);
  }

  /** Takes what the workers send, whenever they ring. */
  async #listen(): Promise<void> {
    const { i32 } = this.#arena;
    const doorbell = this.#control + (CONTROL_DOORBELL >> 2);
    while (!this.#closing) {
      const rung = Atomics.load(i32, doorbell);
      if (this.#takeRecords()) {
        // More waits: let timers and requests have their turn.
        await new Promise((resolve) => setImmediate(resolve));
        continue;
      }
      const wait = Atomics.waitAsync(i32, doorbell, rung);
      if (wait.async) await wait.value;
    }
  }

  /** True when more is left. */
  #takeRecords(): boolean {
    const sessions = this.#sessions;
    if (sessions === undefined) return false;
    const seen = Atomics.exchange(this.#arena.i32, this.#control + (CONTROL_LINK >> 2), 0);
    // Down and up again before anybody looked: what was negotiated goes all the same.
    if ((seen & LINK_WAS_DOWN) !== 0) this.#setUp(false);
    // A packet may come before the word that the interface is up, by another worker.
    if (seen !== 0 || !this.#up) this.lookAtLink();
    let more = false;
    const now = this.now;
    sessions.noteBacklog(
      this.#rings.reduce((sum, ring) => sum + ring.controls, 0),
      now,
    );
    for (const ring of this.#rings) {
      let left = RECORDS_A_TURN;
      while (
        left > 0 &&
        ring.pop((kind, session, bytes, path) => {
          if (kind === CONTROL) sessions.handleControl(bytes, path, this.now, this.#out);
          else if (kind === HOLD) sessions.handleHold(bytes, session, now, this.#out);
          else if (kind === ATTEND) sessions.handleAttend(session, now, this.#out);
        })
      )
        left--;
      if (left === 0) more = true;
    }
    this.reschedule();
    return more;
  }

  /** Sees to what has changed about the interface: its MTU, up, down, gone. */
  lookAtLink(): void {
    if (this.#closing) return;
    const mtu = interfaceMtu(this.#arena, this.#tun.name);
    const up = interfaceIsUp(this.#arena, this.#tun.name);
    if (mtu === undefined || up === undefined) {
      this.close();
      return;
    }
    if (mtu !== this.#mtu) {
      this.#mtu = mtu;
      fitSuperPackets(this.#arena, this.#tun.index, mtu, this.#options.overheadBytes);
      Atomics.store(this.#arena.i32, this.#control + (CONTROL_MTU >> 2), mtu);
      this.#changed();
    }
    this.#setUp(up);
  }

  #setUp(up: boolean): void {
    if (up === this.#up) return;
    this.#up = up;
    this.#options.onLink(up);
    this.reschedule();
  }

  #fail(error: unknown): void {
    this.#settle.reject(error);
    this.close();
  }

  #finish(): void {
    this.close();
    process.off('exit', this.#onExit);
    for (const sockets of this.#sockets) closeUdpSockets(sockets);
    for (const fd of [...this.#tun.queues, ...this.#events, this.#link]) libc.close(fd);
    this.#settle.resolve();
  }
}
