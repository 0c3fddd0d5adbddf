import {
  DeadlineQueue,
  DropReason,
  type Instant,
  type Memory,
  type SessionHalf,
  type SessionId,
  type SessionOutbox,
} from '@sallyport/core';
import type { OpenVpnCrypto } from '../crypto.ts';
import type { DataSessions } from '../data/data-sessions.ts';
import type { TlsEngine, TlsOutput } from '../tls.ts';
import { Entrance, type Arrival, type EntranceKey } from '../wire/entrance.ts';
import { OCC_EXIT, occOpcode } from '../wire/inner.ts';
import {
  isHardReset,
  P_CONTROL_HARD_RESET_CLIENT_V3,
  readHeader,
  SESSION_ID_BYTES,
  sessionIdKey,
} from '../wire/opcodes.ts';
import { SessionCookies } from '../wire/session-cookie.ts';
import { Admission, profileKey, type Release } from './admission.ts';
import type { AuthenticationRequest, Verdict } from './authentication.ts';
import type { TunnelNetwork } from './push-options.ts';
import { Meter } from './quotas.ts';
import { newCounters, type ClientView, type Ending, type ServerCounters, type ServerEvent } from './server-events.ts';
import type { ServerContext } from './server-context.ts';
import { ServerSession } from './server-session.ts';
import { SERVER_SETTINGS, SERVICES_A_TURN, type ServerSettings } from './settings.ts';
import { sourceAddress, sourceKey } from './sources.ts';

const COOKIE_KEY_BYTES = 32;
const ANOTHER_LOGIN: Ending = { kind: 'authFailed', reason: 'another login of this device has begun' };

export interface ServerOptions {
  readonly memory: Memory;
  readonly crypto: OpenVpnCrypto;
  readonly tls: TlsEngine;
  readonly data: DataSessions;
  /** Unix time in milliseconds. */
  readonly wallClock: () => number;
  /** A path record that nobody else uses. */
  readonly scratchPath: number;
  /** How the control channel is protected; a gateway takes tls-crypt-v2. Copied where it is kept. */
  readonly key: EntranceKey;
  /** Whether a client may come in is answered by {@link OpenVpnServer.handleVerdict}, now or later. */
  readonly authenticate: (request: AuthenticationRequest) => void;
  /** The client of this request is gone; no verdict is needed any more. */
  readonly cancelled?: ((id: number) => void) | undefined;
  /** Whether a profile, by what its tls-crypt-v2 key says, is of a device that may come in as things are. */
  readonly knows?: ((profile: Uint8Array) => boolean) | undefined;
  readonly report?: ((event: ServerEvent) => void) | undefined;
  /** The gateway's addresses in the tunnel, asked for each push reply. */
  readonly network: () => TunnelNetwork;
  readonly settings?: Partial<ServerSettings> | undefined;
}

/**
 * OpenVPN's session half, the server's end ("Security overview" and "Wire protocol" of the OpenVPN RFC draft): first
 * packets are answered without a trace, who proves its address gets a {@link ServerSession}, who is let in a data session.
 */
export class OpenVpnServer implements SessionHalf {
  readonly counters: ServerCounters = newCounters();
  readonly #options: ServerOptions;
  readonly #entrance: Entrance;
  readonly #cookies: SessionCookies;
  readonly #context: ServerContext;
  readonly #queue = new DeadlineQueue<ServerSession>();
  readonly #admission: Admission;
  readonly #resets = new Meter();
  readonly #proofs = new Meter();
  /** All, by the client's session id. */
  readonly #sessions = new Map<string, ServerSession>();
  /** Those that count as key exchanges in progress, and those of them that have proved nothing yet. */
  readonly #unsettled = new Map<ServerSession, Release>();
  readonly #unproven = new Set<ServerSession>();
  readonly #bySession = new Map<SessionId, ServerSession>();
  readonly #byDevice = new Map<string, ServerSession>();
  readonly #byTlsId = new Map<number, ServerSession>();
  readonly #byRequest = new Map<number, ServerSession>();
  /** Those that wait for their user to log in elsewhere, by profile. */
  readonly #pending = new Map<string, ServerSession>();
  #settings: ServerSettings;
  #draining = false;
  #lastTlsId = 0;
  #lastRequest = 0;

  constructor(options: ServerOptions) {
    const { crypto } = options;
    this.#options = options;
    this.#settings = { ...SERVER_SETTINGS, ...options.settings };
    this.#entrance = new Entrance(crypto, options.key, Math.floor(options.wallClock() / 1000));
    this.#admission = new Admission(() => this.#settings, options.knows);
    this.#cookies = new SessionCookies(crypto, crypto.random(COOKIE_KEY_BYTES), this.#settings.handWindowMs);
    this.#context = this.#makeContext();
  }

  /** Takes other settings, for what begins from now on. */
  configure(settings: Partial<ServerSettings>): void {
    this.#settings = { ...this.#settings, ...settings };
  }

  /** Whether new clients are turned away. */
  setDraining(draining: boolean): void {
    this.#draining = draining;
  }

  /** Clients that were let in. */
  *clients(): Iterable<ClientView> {
    for (const session of this.#bySession.values()) {
      const view = session.view();
      if (view !== undefined) yield view;
    }
  }

  /** Clients that were let in. */
  get count(): number {
    return this.#bySession.size;
  }

  /** Key exchanges with clients that were not let in yet. */
  get handshakes(): number {
    return this.#unsettled.size;
  }

  /** Closes a device's session, if it has one; nothing passes any more when this returns. */
  disconnectDevice(deviceId: string, ending: Ending, now: Instant, out: SessionOutbox): boolean {
    return this.#disconnect(this.#byDevice.get(deviceId), ending, now, out);
  }

  disconnectSession(session: SessionId, ending: Ending, now: Instant, out: SessionOutbox): boolean {
    return this.#disconnect(this.#bySession.get(session), ending, now, out);
  }

  /** Closes all sessions and takes no new ones. */
  drain(ending: Ending, now: Instant, out: SessionOutbox): void {
    this.#draining = true;
    for (const session of [...this.#sessions.values()]) this.#disconnect(session, ending, now, out);
  }

  /** Takes what TLS has to say about one of its sessions. */
  handleTls(id: number, output: TlsOutput, now: Instant, out: SessionOutbox): void {
    const session = this.#byTlsId.get(id);
    if (session === undefined) return;
    session.handleTls(id, output, now, out);
    this.#settle(session, now, out);
  }

  /** Takes the answer to a request; `pending` is followed by another. Of requests that are over nothing is heard. */
  handleVerdict(id: number, verdict: Verdict, now: Instant, out: SessionOutbox): void {
    const session = this.#byRequest.get(id);
    if (session === undefined) return;
    if (verdict.kind !== 'pending') this.#byRequest.delete(id);
    session.decide(verdict, now, out);
    this.#settle(session, now, out);
  }

  // --- SessionHalf --------------------------------------------------------------------------------------------------

  noteBacklog(): void {
    // A source has to prove itself under any load.
  }

  handleControl(message: Uint8Array, path: number, now: Instant, out: SessionOutbox): void {
    const header = readHeader(message);
    if (typeof header === 'number') {
      out.drop(header);
      return;
    }
    const session = this.#sessions.get(sessionIdKey(header.sessionId));
    if (session === undefined) this.#welcome(message, header.opcode, path, now, out);
    else if (isHardReset(header.opcode) && session.proven) out.drop(DropReason.replayed);
    else {
      session.receive(message, header, path, now, out);
      this.#settle(session, now, out);
    }
  }

  handleHold(_packet: Uint8Array, _session: SessionId, _now: Instant, out: SessionOutbox): void {
    out.drop(DropReason.noRoute);
  }

  /** What came inside the tunnel and is for nobody in it: of OpenVPN's own messages the client's goodbye counts. */
  handleInner(message: Uint8Array, session: SessionId, now: Instant, out: SessionOutbox): void {
    const known = this.#bySession.get(session);
    if (known === undefined || occOpcode(message) !== OCC_EXIT) {
      out.drop(DropReason.malformedPacket);
      return;
    }
    known.exit(now, out);
    this.#settle(known, now, out);
  }

  handleAttend(session: SessionId, now: Instant, out: SessionOutbox): void {
    const known = this.#bySession.get(session);
    if (known === undefined) return;
    known.attend(now, out);
    this.#settle(known, now, out);
  }

  handleTimeout(now: Instant, out: SessionOutbox): void {
    // Bounded: what is due beyond it follows after the datagrams that have come meanwhile.
    for (let served = 0; served < SERVICES_A_TURN; served++) {
      const session = this.#queue.first;
      if (session === undefined || session.deadline > now) return;
      session.service(now, out);
      this.#settle(session, now, out);
    }
  }

  pollTimeout(): { at: Instant; reason: string } | undefined {
    const first = this.#queue.first;
    return first === undefined ? undefined : { at: first.deadline, reason: "a client's timer" };
  }

  // --- newcomers ----------------------------------------------------------------------------------------------------

  /** A packet of no session: a first packet, or one that proves that the answer to it was received. */
  #welcome(message: Uint8Array, opcode: number, path: number, now: Instant, out: SessionOutbox): void {
    if (this.#draining) {
      out.drop(DropReason.handshakeRejected);
      return;
    }
    // By the opcode alone: whatever it is, it takes some of this thread's time.
    const arrivals = isHardReset(opcode) ? this.#resets : this.#proofs;
    if (!arrivals.take(this.#settings.maxArrivals, now)) {
      this.counters.limited++;
      out.drop(DropReason.rateLimited);
      return;
    }
    const arrival = this.#entrance.open(message);
    if (typeof arrival === 'number') {
      out.drop(arrival);
      return;
    }
    const { packet } = arrival;
    if (!this.#admission.arrives(arrival.metadata, now)) {
      this.counters.limited++;
      out.drop(DropReason.rateLimited);
      arrival.wrap.erase();
      return;
    }
    const address = sourceAddress(this.#options.memory, path);
    if (isHardReset(packet.opcode)) {
      if (packet.opcode === P_CONTROL_HARD_RESET_CLIENT_V3 && !arrival.resendsKey)
        this.#takeUnproven(arrival, path, now, out);
      else {
        this.counters.cookiesIssued++;
        out.message(Entrance.answer(arrival, this.#cookies.issue(packet.sessionId, address, now)), path);
        arrival.wrap.erase();
      }
      return;
    }
    if (packet.remoteSessionId === undefined || !this.#cookies.proves(packet, address, now)) {
      this.counters.proofsFailed++;
      out.drop(DropReason.cookieRequired);
      arrival.wrap.erase();
      return;
    }
    const session = this.#begin(arrival, packet.remoteSessionId, path, now, out);
    session?.take(packet, now, out);
    if (session !== undefined) this.#settle(session, now, out);
  }

  /**
   * Clients of version 2.5 can't send their tls-crypt-v2 key twice, so something has to be kept of them before they have
   * proved anything but that they have a profile. Few are kept, not for long, and fewer of one profile.
   */
  #takeUnproven(arrival: Arrival, path: number, now: Instant, out: SessionOutbox): void {
    const session = this.#begin(arrival, undefined, path, now, out);
    if (session === undefined) return;
    session.answerReset(now);
    session.take(arrival.packet, now, out);
    this.#settle(session, now, out);
  }

  /** `provenId` is our session id that the client has shown; where there is none it has still to show that it has it. */
  #begin(
    { packet, wrap, metadata: profile }: Arrival,
    provenId: Uint8Array | undefined,
    path: number,
    now: Instant,
    out: SessionOutbox,
  ): ServerSession | undefined {
    const proven = provenId !== undefined;
    const newcomer = { source: sourceKey(this.#options.memory, path), profile };
    const release =
      this.#unsettled.size >= this.#settings.maxHandshakes
        ? undefined
        : proven
          ? this.#admission.take(newcomer, now)
          : this.#admission.takeUnproven(newcomer, now);
    if (release === undefined) {
      this.counters.limited++;
      out.drop(DropReason.rateLimited);
      wrap.erase();
      return undefined;
    }
    this.counters.handshakesBegun++;
    const key = sessionIdKey(packet.sessionId);
    const sessionId = provenId ?? this.#options.crypto.random(SESSION_ID_BYTES);
    const clientId = packet.sessionId;
    const session = new ServerSession(this.#context, {
      key,
      ...newcomer,
      wrap,
      sessionId,
      clientId,
      path,
      proven,
      now,
    });
    this.#sessions.set(key, session);
    this.#unsettled.set(session, release);
    if (!proven) this.#unproven.add(session);
    return session;
  }

  /** It has proved its address, and counts as everybody from now on. */
  #noteProven(session: ServerSession, now: Instant): void {
    this.#unproven.delete(session);
    this.#unsettled.get(session)?.();
    const release = this.#admission.take(session, now);
    this.#unsettled.set(session, release ?? (() => undefined));
    if (release !== undefined) return;
    this.counters.limited++;
    session.vanish('failed');
  }

  // --- sessions -----------------------------------------------------------------------------------------------------

  #disconnect(session: ServerSession | undefined, ending: Ending, now: Instant, out: SessionOutbox): boolean {
    if (session === undefined) return false;
    session.disconnect(ending, 'disconnected', now, out);
    this.#settle(session, now, out);
    return true;
  }

  /** After anything that happened to a session: sends what there is to send, and plans when to look at it again. */
  #settle(session: ServerSession, now: Instant, out: SessionOutbox): void {
    if (session.proven && this.#unproven.has(session)) this.#noteProven(session, now);
    session.flush(now, out);
    if (session.state === 'gone') this.#remove(session);
    else this.#queue.set(session, session.nextDeadline(now));
  }

  #remove(session: ServerSession): void {
    this.#queue.remove(session);
    if (this.#sessions.get(session.key) === session) this.#sessions.delete(session.key);
    this.#noteSettled(session);
  }

  #noteSettled(session: ServerSession): void {
    this.#unsettled.get(session)?.();
    this.#unsettled.delete(session);
    this.#unproven.delete(session);
    const key = profileKey(session.profile);
    if (this.#pending.get(key) === session) this.#pending.delete(key);
  }

  #makeContext(): ServerContext {
    const { memory, crypto, tls, data, scratchPath, network } = this.#options;
    const settings = (): ServerSettings => this.#settings;
    return {
      memory,
      crypto,
      tls,
      data,
      scratchPath,
      network,
      counters: this.counters,
      get settings() {
        return settings();
      },
      report: (event) => {
        if (event.kind === 'closed') this.#forget(event.session, event.deviceId);
        this.#options.report?.(event);
      },
      openTlsId: (session) => {
        this.#byTlsId.set(++this.#lastTlsId, session);
        return this.#lastTlsId;
      },
      closeTlsId: (id) => {
        this.#byTlsId.delete(id);
      },
      ask: (session, request) => {
        const id = ++this.#lastRequest;
        session.request = id;
        this.#byRequest.set(id, session);
        this.#options.authenticate({ id, ...request });
      },
      unask: (session) => {
        if (session.request === 0) return;
        if (this.#byRequest.delete(session.request)) this.#options.cancelled?.(session.request);
        session.request = 0;
      },
      mayRenegotiate: (session, now) => this.#admission.renegotiates(session.profile, now),
      pending: (session, now, out) => {
        if (session.profile === undefined) return;
        const key = profileKey(session.profile);
        const old = this.#pending.get(key);
        this.#pending.set(key, session);
        if (old !== undefined && old !== session) this.#disconnect(old, ANOTHER_LOGIN, now, out);
      },
      replaceOf: (deviceId) => {
        const old = this.#byDevice.get(deviceId);
        if (old === undefined) return;
        old.vanish('replaced');
        this.#remove(old);
      },
      admitted: (session, deviceId) => {
        this.#noteSettled(session);
        this.#bySession.set(session.session, session);
        this.#byDevice.set(deviceId, session);
      },
    };
  }

  #forget(session: SessionId, deviceId: string): void {
    const known = this.#bySession.get(session);
    this.#bySession.delete(session);
    if (this.#byDevice.get(deviceId) === known) this.#byDevice.delete(deviceId);
  }
}
