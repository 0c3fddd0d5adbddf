import { availableParallelism } from 'node:os';
import { Worker as Thread } from 'node:worker_threads';
import {
  DROP_REASONS,
  LISTENERS,
  type DropReasonName,
  type Instant,
  type Listener,
  type PacketHalf,
  type SessionEvent,
  type SessionHalf,
  type SessionId,
  type SessionOutbox,
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
  setInterfaceMtu,
  signalEvent,
  SystemCallError,
  type Arena,
  type TunDevice,
  type UdpSockets,
} from '@sallyport/io';
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
import { ATTEND, CONTROL, HOLD, INNER, Ring } from './ring.ts';
import { SessionSender } from './session-sender.ts';
import type { WorkerStart } from './worker.ts';

/** WireGuard's usual MTU: 1500 less an IPv6 and a UDP header and the protocol's own 32 bytes. */
export const DEFAULT_MTU = 1420;

/** One worker a core, but no more: beyond it the TUN device's own locks cost more than a worker brings. */
const MAX_WORKERS = 4;

export function defaultWorkers(): number {
  return Math.min(MAX_WORKERS, availableParallelism());
}

/** Records taken from a worker's queue before others and the timers get their turn. */
const RECORDS_A_TURN = 64;

const EADDRINUSE = 98;
/** How long the port of closed sockets may still be taken. */
const PORT_RELEASE_MS = 500;

const TIMER_MAX_MS = 2 ** 31 - 1;

export interface DataPlaneOptions {
  readonly arena: Arena;
  readonly name: string;
  readonly workers: number;
  readonly mtu: number;
  /** The module that calls `runWorker` with the same protocols, in the same order. */
  readonly workerModule: URL;
  /** No two of them have an address or a listener in common. */
  readonly protocols: readonly PlaneProtocol[];
  readonly onLink: (up: boolean) => void;
}

/** A protocol as the plane has to know it before there are threads. */
export interface PlaneProtocol {
  /** Whose datagrams are its. */
  readonly listeners: readonly Listener[];
  /** Bytes that it adds to a full packet. */
  readonly overheadBytes: number;
  /** What it needs in each worker: to find its tables, and memory of its own. */
  readonly tables: unknown;
  readonly scratchBytes: number;
  readonly onEvent?: ((event: SessionEvent) => void) | undefined;
}

/** The two halves of a protocol as the main thread uses them. */
export interface ProtocolHalves {
  readonly sessions: SessionHalf;
  readonly packets: PacketHalf;
}

export type DropCounts = Readonly<Partial<Record<DropReasonName, number>>>;

/** What the main thread has for one protocol. */
interface Side {
  readonly out: SessionSender;
  /** One from each worker. */
  readonly rings: readonly Ring[];
  sessions: SessionHalf | undefined;
}

/** How a port is listened on. */
export interface ListenOptions {
  /** By default the first, 0. */
  readonly listener?: Listener;
  /** Datagrams are not fragmented, and one that is too large is lost; see `openUdpSockets`. */
  readonly dontFragment?: boolean;
}

/** The main thread's end of a device: the interface, its sockets, its workers, and the session halves of its protocols. */
export class DataPlane {
  readonly #tun: TunDevice;
  /** Settles when the interface is gone or the plane was closed; rejects when a worker failed. */
  readonly closed: Promise<void>;
  readonly #arena: Arena;
  readonly #options: DataPlaneOptions;
  readonly #regions: PlaneRegions;
  readonly #control: number;
  readonly #gate: Gate;
  readonly #clock: Clock;
  readonly #sides: readonly Side[];
  readonly #scratch: number;
  readonly #events: number[] = [];
  readonly #link: number;
  readonly #threads: Thread[] = [];
  /** By listener, one pair for each worker; none where it does not listen. */
  readonly #sockets: UdpSockets[][] = Array.from({ length: LISTENERS }, () => []);
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
    const { arena, name, workers, protocols } = options;
    this.#arena = arena;
    this.#options = options;
    this.#tun = openTun(arena, name, workers);
    setInterfaceMtu(arena, name, options.mtu);
    this.#mtu = options.mtu;
    this.#fitSuperPackets();
    this.#link = openLinkMonitor(arena);
    const allocate = (bytes: number): number => arena.allocate(bytes);
    this.#regions = allocatePlane(
      allocate,
      workers,
      protocols.map(({ scratchBytes }) => scratchBytes),
    );
    this.#control = this.#regions.control >> 2;
    this.#gate = new Gate(arena.i32, this.#regions.gate, workers);
    this.#clock = new Clock(arena, arena.allocate(16));
    this.#sides = protocols.map((protocol, i) => this.#openSide(protocol, i));
    this.#scratch = arena.allocate(16);
    this.closed = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
    });
  }

  #openSide({ onEvent }: PlaneProtocol, index: number): Side {
    const arena = this.#arena;
    const side: Side = {
      sessions: undefined,
      rings: this.#regions.workers.map(({ protocols }) => new Ring(arena, protocols[index].ring, RING_BYTES)),
      out: new SessionSender(
        arena,
        () => this.#mtu,
        (event) => onEvent?.(event),
        (session) => {
          queueMicrotask(() => {
            side.sessions?.handleAttend(session, this.now, side.out);
            this.reschedule();
          });
        },
      ),
    };
    return side;
  }

  /** Starts the workers, with each protocol's halves as this thread uses them; settles when they are at work. */
  async start(halves: readonly ProtocolHalves[]): Promise<void> {
    halves.forEach(({ sessions, packets }, i) => {
      this.#sides[i].sessions = sessions;
      this.#sides[i].out.attach(sessions, packets);
    });
    const { arena, workerModule } = this.#options;
    const protocols = this.#options.protocols.map(({ listeners, tables }) => ({ listeners, tables }));
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
        protocols,
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
  get drops(): DropCounts {
    return this.#countDrops(this.#sides.map((_, protocol) => protocol));
  }

  /** Those of one protocol; what is no protocol's counts for the first. */
  dropsOf(protocol: number): DropCounts {
    return this.#countDrops([protocol]);
  }

  #countDrops(protocols: readonly number[]): DropCounts {
    const { workers } = this.#regions;
    const counters = workers.flatMap((worker) => [
      ...protocols.map((protocol) => worker.protocols[protocol].counters),
      ...(protocols[0] === 0 ? [worker.counters] : []),
    ]);
    const result: Partial<Record<DropReasonName, number>> = {};
    DROP_REASONS.forEach((name, reason) => {
      let count = 0;
      for (const protocol of protocols) count += this.#sides[protocol].out.drops[reason];
      for (const at of counters) count += this.#arena.f64[(at >> 3) + reason];
      if (count !== 0) result[name] = count;
    });
    return result;
  }

  /**
   * Does something with the session half of the i-th protocol that nothing within the plane has asked for, and looks at
   * its timers after that.
   */
  run<T>(protocol: number, action: (now: Instant, out: SessionOutbox) => T): T {
    try {
      return action(this.now, this.#sides[protocol].out);
    } finally {
      this.reschedule();
    }
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
    for (const { rings } of this.#sides) for (const ring of rings) ring.forget(gone);
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

  /** By default all listeners stop. */
  stopListening(listener?: Listener): void {
    for (const one of listener === undefined ? this.#sockets.keys() : [listener]) this.#useSockets(one, []);
  }

  /** Whether the first listener listens. */
  get listening(): boolean {
    return this.#sockets[0].length !== 0;
  }

  #useSockets(listener: number, sockets: UdpSockets[]): void {
    const old = this.#sockets[listener];
    this.exclusive(() => {
      this.#sockets[listener] = sockets;
      this.#publishSockets();
      this.#changed();
    });
    closeUdpSockets(old);
    if (old.length > 0) this.#closedAt = performance.now();
  }

  /** Marks what is sent from now on, by default by all listeners; 0 is no mark. */
  setMark(mark: number, listener?: Listener): void {
    const marked = listener === undefined ? this.#sockets : [this.#sockets[listener]];
    for (const sockets of marked) markUdpSockets(this.#arena, sockets, mark);
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
    const at = Math.min(...this.#sides.map((side) => nextTimeout(side)));
    if (at === this.#timerAt || this.#closing) return;
    this.#timerAt = at;
    clearTimeout(this.#timer);
    if (at === Infinity) return;
    const delay = Math.min(Math.max(0, Math.ceil(at - this.now)), TIMER_MAX_MS);
    this.#timer = setTimeout(() => {
      this.#timerAt = Infinity;
      for (const side of this.#sides)
        if (nextTimeout(side) <= this.now) side.sessions?.handleTimeout(this.now, side.out);
      this.reschedule();
    }, delay);
  }

  #publishSockets(): void {
    const { i32 } = this.#arena;
    const of = (worker: number): UdpSockets[] => this.#sockets.map((sockets) => sockets[worker] ?? NO_SOCKETS);
    this.#regions.workers.forEach(({ sockets }, worker) => {
      i32.set(
        of(worker).flatMap(({ fd4, fd6 }) => [fd4, fd6]),
        sockets >> 2,
      );
    });
    for (const { out } of this.#sides) out.setSockets(of(0));
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
    const seen = Atomics.exchange(this.#arena.i32, this.#control + (CONTROL_LINK >> 2), 0);
    // Down and up again before anybody looked: what was negotiated goes all the same.
    if ((seen & LINK_WAS_DOWN) !== 0) this.#setUp(false);
    // A packet may come before the word that the interface is up, by another worker.
    if (seen !== 0 || !this.#up) this.lookAtLink();
    let more = false;
    for (const side of this.#sides) if (this.#takeRecordsOf(side)) more = true;
    this.reschedule();
    return more;
  }

  #takeRecordsOf({ sessions, rings, out }: Side): boolean {
    if (sessions === undefined) return false;
    let more = false;
    const now = this.now;
    sessions.noteBacklog(
      rings.reduce((sum, ring) => sum + ring.controls, 0),
      now,
    );
    for (const ring of rings) {
      let left = RECORDS_A_TURN;
      while (
        left > 0 &&
        ring.pop((kind, session, bytes, path) => {
          if (kind === CONTROL) sessions.handleControl(bytes, path, this.now, out);
          else if (kind === HOLD) sessions.handleHold(bytes, session, now, out);
          else if (kind === ATTEND) sessions.handleAttend(session, now, out);
          else if (kind === INNER) sessions.handleInner?.(bytes, session, now, out);
        })
      )
        left--;
      if (left === 0) more = true;
    }
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
      this.#fitSuperPackets();
      Atomics.store(this.#arena.i32, this.#control + (CONTROL_MTU >> 2), mtu);
      this.#changed();
    }
    this.#setUp(up);
  }

  #fitSuperPackets(): void {
    const overhead = Math.max(...this.#options.protocols.map(({ overheadBytes }) => overheadBytes));
    fitSuperPackets(this.#arena, this.#tun.index, this.#mtu, overhead);
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

function nextTimeout({ sessions }: Side): Instant {
  return sessions?.pollTimeout()?.at ?? Infinity;
}
