import { randomUUID, type KeyObject } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  acceptLink,
  LINK_PATH,
  type ControlLink,
  type FromGateway,
  type Hello,
  type LinkIdentity,
  type LinkTimes,
} from '@sallyport/link';
import { Planner } from '@sallyport/policy';
import type { Identity } from '../auth/identity.ts';
import { RateLimiter } from '../http/rate-limiter.ts';
import { TunnelLogins } from '../openvpn/tunnel-logins.ts';
import { devicesSeenAt, takeOver } from '../repositories/status.ts';
import type { Services } from '../services.ts';
import type { Change } from '../store/store.ts';
import { admit } from './admission.ts';
import { ConnectedDevices, SESSION_MS } from './connected-devices.ts';
import { DeviceOwners } from './device-owners.ts';
import { farewell, GatewaySession } from './gateway-session.ts';
import { linkIdentity, stateKey } from './keys.ts';
import { LoginDesk } from './login-desk.ts';
import { Observations } from './observations.ts';
import { StateSync } from './state-sync.ts';
import { WaitingRoom } from './waiting-room.ts';

/** Changes that come so close together are worked out and sent as one. */
const GATHER_MS = 10;
/** Connections that haven't said who they are. */
const MAX_UNKNOWN = 128;
/** A timer can't wait longer. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** A gateway that claims a higher version than this would run out of numbers. */
const MAX_VERSION = 2 ** 52;
/** How often a gateway may say something else of itself than before: other keys, addresses, ports. */
const ANNOUNCEMENT_RATE = { burst: 20, perSecond: 1 / 300 };

export interface HubOptions {
  readonly services: Services;
  readonly identity: LinkIdentity;
  /** Ed25519; signs desired states. */
  readonly key: KeyObject;
  /** Who decides about logins of devices; absent: none is let in by one. */
  readonly people?: Identity;
  /** Of the links: for tests. */
  readonly times?: Partial<LinkTimes>;
  /** Seconds from a change of the organisation to a gateway's word that it serves it. */
  readonly onApplied?: (seconds: number) => void;
}

interface Waiter {
  readonly version: number;
  /** Absent: all that are connected to this node. */
  readonly gatewayId?: string;
  readonly resolve: () => void;
}

/** The gateways that are connected to this control node: who they are, what they are to do, what they report. */
export class Hub {
  /** This node's name since its start; gateways that come from another one start anew. */
  readonly node = randomUUID();
  readonly #services: Services;
  readonly #options: HubOptions;
  readonly #planner = new Planner();
  readonly #sessions = new Map<string, GatewaySession>();
  /** Of gateways that were connected since the start, too. */
  readonly #syncs = new Map<string, StateSync>();
  readonly #waitingRoom = new WaitingRoom(MAX_UNKNOWN);
  readonly #announcements = new RateLimiter(ANNOUNCEMENT_RATE);
  readonly #owners: DeviceOwners;
  readonly #connected = new ConnectedDevices();
  readonly #observations: Observations;
  readonly #desk: LoginDesk | undefined;
  readonly #stopListening: () => void;
  #waiters: Waiter[] = [];
  /** The newest change that was heard of, and the one that the planner has taken in. */
  #heard: number;
  #planned: number;
  #heardAt: number | undefined;
  #gathering: NodeJS.Timeout | undefined;
  #expiry: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: HubOptions) {
    const { services } = options;
    this.#options = options;
    this.#services = services;
    this.#heard = this.#planned = services.store.version;
    this.#owners = new DeviceOwners(services.directory.model);
    this.#observations = new Observations({
      services,
      node: this.node,
      sessions: this.#sessions,
      owners: this.#owners,
      connected: this.#connected,
      serves: (gatewayId, deviceId) => {
        const userId = this.#owners.of(deviceId);
        // A gateway that joined at another node a moment ago is not known here yet, and its reports come but once.
        return userId !== undefined && (this.#planner.reaches(gatewayId, userId) ?? true);
      },
      onLost: (session) => this.#lost(session),
    });
    const { people } = options;
    this.#desk =
      people &&
      new LoginDesk({
        services,
        logins: new TunnelLogins(services, people),
        reaches: (gatewayId, userId) => this.#planner.reaches(gatewayId, userId),
        whenServed: (gatewayId) => this.#whenReached({ version: this.#heard, gatewayId }),
      });
    this.#stopListening = services.directory.onChange((changes, complete) => this.#hear(changes, complete));
    this.#plan();
  }

  get connectedGateways(): number {
    return this.#sessions.size;
  }

  /** Devices that are connected to this node's gateways. */
  get connectedDevices(): number {
    return this.#connected.count;
  }

  /**
   * For the HTTP server's 'upgrade' event: takes the socket, whatever the request asks for.
   * @param address where it comes from, proxies left out
   */
  handleUpgrade(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    address: string | undefined = request.socket.remoteAddress,
  ): void {
    socket.on('error', () => undefined);
    const path = (request.url ?? '').split('?', 1)[0];
    if (this.#closed || path !== LINK_PATH) {
      refuseUpgrade(socket, this.#closed ? '503 Service Unavailable' : '404 Not Found');
      return;
    }
    const leave = this.#waitingRoom.enter(() => socket.destroy());
    socket.once('close', leave);
    const { identity, times } = this.#options;
    acceptLink(request, socket, head, identity, times === undefined ? {} : { times }).then(
      (link) => this.#listen(link, address, leave),
      (error: unknown) => {
        leave();
        this.#services.log.debug({ err: error }, 'a connection for a gateway did not come about');
      },
    );
  }

  /**
   * Settles once every gateway that is connected to this node serves the organisation as of this change, or a later one.
   * Without a change: the last one that this node has heard of.
   */
  whenApplied(version: number = this.#heard): Promise<void> {
    return this.#whenReached({ version });
  }

  #whenReached(what: Omit<Waiter, 'resolve'>): Promise<void> {
    return new Promise((resolve) => {
      this.#waiters.push({ ...what, resolve });
      this.#settleWaiters();
    });
  }

  /** Stores what was reported since the last time; otherwise that happens by itself, every second. */
  flush(): Promise<void> {
    return this.#observations.flush();
  }

  /** Says goodbye to all gateways, which try again, and stores what they reported. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#stopListening();
    clearTimeout(this.#gathering);
    clearTimeout(this.#expiry);
    this.#waitingRoom.clear();
    for (const session of this.#sessions.values())
      session.goodbye('retry', 'This control plane stops. Try again in a moment.');
    await this.#observations.close();
    for (const { resolve } of this.#waiters.splice(0)) resolve();
  }

  #listen(link: ControlLink, remoteAddress: string | undefined, leave: () => void): void {
    let session: GatewaySession | undefined;
    link.onClose((error) => {
      leave();
      if (session === undefined) return;
      this.#services.log.info({ gateway: session.gatewayId, reason: error?.message }, 'a gateway is disconnected');
      this.#end(session);
    });
    link.onMessage(async (message) => {
      if (session !== undefined) {
        this.#take(session, message);
      } else if (message.kind === 'hello') {
        session = await this.#greet(link, message, remoteAddress);
        if (session === undefined) return;
        leave();
        // What came to an end in the meantime was nobody's yet.
        if (link.closed) this.#end(session);
      } else link.close();
    });
  }

  /** Finds out who a gateway is. Undefined where it may not stay. */
  async #greet(
    link: ControlLink,
    hello: Hello,
    remoteAddress: string | undefined,
  ): Promise<GatewaySession | undefined> {
    const services = this.#services;
    const { log, store } = services;
    try {
      if (hello.stateVersion > MAX_VERSION) {
        farewell(link, 'retry', 'The version of its state is not one that it was sent.');
        return undefined;
      }
      const admission = await admit(services, this.#announcements, link.peerKeyHash, hello, remoteAddress);
      if (!admission.admitted) {
        log.warn({ reason: admission.reason }, 'a gateway was refused');
        farewell(link, admission.reason, admission.message);
        return undefined;
      }
      const { gatewayId, name } = admission;
      const earlier = await takeOver(store.db, gatewayId, this.node, hello.software, services.now());
      if (earlier !== undefined && earlier.node !== this.node) {
        // What this node knew is of before, and what it took comes again. At once: who comes again after a fault was here last.
        this.#sessions.get(gatewayId)?.goodbye('replaced', 'The gateway has connected once more.');
        this.#syncs.delete(gatewayId);
        this.#observations.forget(gatewayId);
      }
      const seenSince = (earlier?.last_seen_at ?? services.now()) - SESSION_MS;
      const devices = await devicesSeenAt(store.db, gatewayId, seenSince);
      if (this.#closed) farewell(link, 'retry', 'This control plane stops. Try again in a moment.');
      if (link.closed) return undefined;

      this.#sessions.get(gatewayId)?.goodbye('replaced', 'The gateway has connected once more.');
      let sync = this.#syncs.get(gatewayId);
      if (sync === undefined) this.#syncs.set(gatewayId, (sync = new StateSync()));
      sync.resume(hello.stateVersion, Math.max(earlier?.state_version ?? 0, earlier?.applied_version ?? 0));
      const session = new GatewaySession(gatewayId, link, sync, {
        key: this.#options.key,
        planner: this.#planner,
        clock: { now: services.now, planned: () => this.#planned },
      });
      this.#sessions.set(gatewayId, session);
      this.#observations.begin(gatewayId, earlier?.report_number ?? 0);
      this.#connected.begin(gatewayId, devices);
      session.welcome(hello.protocolVersion, hello.stateVersion, earlier?.applied_digest ?? '');
      session.push();
      log.info({ gateway: gatewayId, gatewayName: name, stateVersion: hello.stateVersion }, 'a gateway is connected');
      // It may have been removed after it was found, before anybody could tell this session.
      if (!services.directory.model.gateways.has(gatewayId)) await this.#check(gatewayId);
      return session;
    } catch (error) {
      log.error({ err: error }, 'a gateway could not be welcomed');
      farewell(link, 'retry', 'This control plane can not serve now. Try again in a moment.');
      return undefined;
    }
  }

  #take(session: GatewaySession, message: FromGateway): void {
    const now = this.#services.now();
    switch (message.kind) {
      case 'acknowledge':
        for (const causedAt of session.sync.acknowledge(message.version))
          this.#options.onApplied?.(Math.max(0, now - causedAt) / 1000);
        session.push();
        this.#settleWaiters();
        return;
      case 'resync':
        this.#services.log.warn({ gateway: session.gatewayId, reason: message.reason }, 'a gateway asks for its state');
        session.restart();
        return;
      case 'authenticate':
        if (this.#desk !== undefined) void this.#desk.take(session, message);
        else session.link.send({ kind: 'authenticated', number: message.number, verdict: { kind: 'refuse', reason: 'Logins are not checked here.' } }); // prettier-ignore
        return;
      case 'cancelAuthentication':
        this.#desk?.cancel(session, message.number);
        return;
      case 'report':
        this.#observations.take(session.gatewayId, message);
        return;
      case 'hello':
      case 'pong':
        session.link.close();
    }
  }

  #end(session: GatewaySession): void {
    const { gatewayId } = session;
    this.#desk?.end(session);
    if (this.#sessions.get(gatewayId) !== session) return;
    this.#sessions.delete(gatewayId);
    this.#connected.end(gatewayId);
    this.#observations.end(session);
    this.#settleWaiters();
  }

  /** The gateway is connected to another control node by now, or removed. */
  #lost(session: GatewaySession): void {
    session.goodbye('replaced', 'The gateway has connected to another control node.');
    this.#syncs.delete(session.gatewayId);
  }

  /** Removes a gateway that the database doesn't have. */
  async #check(gatewayId: string): Promise<void> {
    const { db } = this.#services.store;
    const row = await db.selectFrom('gateway').select('id').where('id', '=', gatewayId).executeTakeFirst();
    if (row === undefined) this.#remove(gatewayId);
  }

  #remove(gatewayId: string): void {
    this.#sessions.get(gatewayId)?.goodbye('removed', 'The gateway was removed from the service.');
    this.#syncs.delete(gatewayId);
    this.#observations.forget(gatewayId);
  }

  #hear(changes: readonly Change[], complete: boolean): void {
    const { model } = this.#services.directory;
    const devices: string[] = [];
    for (const { version, kind, id } of changes) {
      this.#heard = Math.max(this.#heard, version);
      if (kind === 'device') devices.push(id);
      if (kind === 'gateway' && !model.gateways.has(id)) this.#remove(id);
    }
    // What is gone isn't named then.
    if (complete)
      for (const id of this.#sessions.keys())
        if (!model.gateways.has(id))
          this.#check(id).catch((error: unknown) =>
            this.#services.log.error({ err: error }, 'gateways could not be checked'),
          );
    this.#owners.take(model, devices);
    this.#desk?.hear(changes, complete);
    this.#heardAt ??= this.#services.now();
    this.#gathering ??= setTimeout(() => this.#plan(), GATHER_MS);
  }

  /** Works out what changes where, and sends it. */
  #plan(): void {
    clearTimeout(this.#gathering);
    this.#gathering = undefined;
    const now = this.#services.now();
    const causedAt = this.#heardAt ?? now;
    this.#heardAt = undefined;
    const { model } = this.#services.directory;
    const changes = this.#planner.update(model, now);
    this.#planned = this.#heard;
    for (const [gatewayId, change] of changes) this.#syncs.get(gatewayId)?.add(change, causedAt);
    for (const gatewayId of this.#syncs.keys()) if (!model.gateways.has(gatewayId)) this.#syncs.delete(gatewayId);
    for (const session of this.#sessions.values()) session.push();
    this.#settleWaiters();

    clearTimeout(this.#expiry);
    const next = this.#planner.nextExpiry;
    if (next !== undefined && !this.#closed)
      this.#expiry = setTimeout(() => this.#plan(), Math.min(Math.max(next - now, 1), MAX_TIMER_MS)).unref();
  }

  #settleWaiters(): void {
    if (this.#waiters.length === 0) return;
    const planned = this.#planned;
    const reachedAt = (session: GatewaySession | undefined): number =>
      session === undefined || session.sync.current ? planned : Math.min(planned, session.sync.appliedUpTo);
    let all: number | undefined;
    const settled = new Set(
      this.#waiters.filter(({ version, gatewayId }) => {
        if (gatewayId !== undefined) return version <= reachedAt(this.#sessions.get(gatewayId));
        all ??= Math.min(planned, ...Array.from(this.#sessions.values(), reachedAt));
        return version <= all;
      }),
    );
    if (settled.size === 0) return;
    this.#waiters = this.#waiters.filter((waiter) => !settled.has(waiter));
    for (const { resolve } of settled) resolve();
  }
}

/** Answers a request to upgrade with an error. */
export function refuseUpgrade(socket: Duplex, status: string): void {
  socket.on('error', () => undefined);
  socket.once('finish', () => socket.destroy());
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

/** A hub with the service's own keys. */
export async function openHub(options: Omit<HubOptions, 'identity' | 'key'>): Promise<Hub> {
  const { store } = options.services;
  return new Hub({ ...options, identity: await linkIdentity(store), key: await stateKey(store) });
}
