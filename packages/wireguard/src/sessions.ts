import {
  copyPath,
  DeadlineQueue,
  DropReason,
  forgetLocal,
  lock,
  PATH_BYTES,
  PATH_FAMILY,
  PATH_PORT,
  PATH_REMOTE,
  unlock,
  type Instant,
  type Memory,
  type SessionHalf,
  type SessionId,
  type SessionOutbox,
} from '@sallyport/core';
import { LIMITS, MAX_STAGED_BYTES, type Limits } from './constants.ts';
import { CookieChecker } from './cookie.ts';
import type { WireGuardCrypto } from './crypto.ts';
import type { Keypairs } from './keypairs.ts';
import {
  LOCK,
  PEER_CONFIRMED,
  PEER_DATA_RECEIVED,
  PEER_DATA_SENT,
  PEER_ENDPOINT,
  PEER_LAST_DATA_RECEIVED,
  PEER_LAST_RECEIVED,
  PEER_LAST_TRAVERSAL,
  PEER_RECEIVED_BYTES,
  PEER_REKEY_WANTED,
  PEER_SENT_BYTES,
  PEER_WATCHED,
} from './layout.ts';
import { wipeKeys, type Identity, type PendingInitiation, type TransportKeys } from './handshake.ts';
import {
  decodeVariant,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  MESSAGE_TRANSPORT,
  writeType,
  type CookieReply,
  type Initiation,
  type Response,
} from './messages.ts';
import type { PeerTable } from './peer-table.ts';
import type { Peer } from './peer.ts';
import { RateLimiter } from './rate-limiter.ts';
import { isPlain, type Variant, type VariantTable } from './variant.ts';

const KEEPALIVE: readonly Uint8Array[] = [new Uint8Array(0)];

/** As many handshake messages waiting make "load"; it lasts for a second after (as the Linux driver). */
const UNDER_LOAD_BACKLOG = 128;
const UNDER_LOAD_MS = 1_000;

/** A handshake that was asked for comes no sooner than this after the last initiation. */
const MIN_START_SPACING_MS = 250;

/** Peers whose timers are served before others get their turn: each may cost a handshake. */
const SERVICES_A_TURN = 64;

/**
 * A retired keypair still opens, for so long, what was on its way. Then it is wiped, with others that are due within as
 * long again, so that the workers are not held up for each.
 */
const WIPE_DELAY_MS = 1_000;

/** What the session half needs beside its tables. */
export interface SessionsOptions {
  readonly memory: Memory;
  readonly crypto: WireGuardCrypto;
  readonly peers: PeerTable;
  readonly keypairs: Keypairs;
  readonly variants: VariantTable;
  /** A path record that nobody else uses. */
  readonly scratchPath: number;
  /** Unix time in milliseconds, for handshake timestamps: it may step. */
  readonly wallClock: () => number;
  /** Runs a change while no packet half is in the middle of a batch. */
  readonly exclusive: (change: () => void) => void;
  readonly limits?: Limits;
}

/**
 * WireGuard's session half: handshakes, cookies and the timers of section 6. It owns every peer's handshake and
 * installs keypairs; the packet half uses them and notes in the peer's record when it sent and received.
 */
export class WireGuardSessions implements SessionHalf {
  readonly #memory: Memory;
  readonly #crypto: WireGuardCrypto;
  readonly #peers: PeerTable;
  readonly #keypairs: Keypairs;
  readonly #variants: VariantTable;
  readonly #scratchPath: number;
  readonly #wallClock: () => number;
  readonly #exclusive: (change: () => void) => void;
  readonly #limits: Limits;
  readonly #queue = new DeadlineQueue<Peer>();
  readonly #rateLimiter: RateLimiter;
  #identity: Identity | undefined;
  #cookies: CookieChecker | undefined;
  #running = false;
  #underLoadUntil: Instant = -Infinity;
  #wipeAt: Instant = Infinity;
  #stagedBytes = 0;

  constructor(options: SessionsOptions) {
    this.#memory = options.memory;
    this.#crypto = options.crypto;
    this.#peers = options.peers;
    this.#keypairs = options.keypairs;
    this.#variants = options.variants;
    this.#scratchPath = options.scratchPath;
    this.#wallClock = options.wallClock;
    this.#exclusive = options.exclusive;
    this.#limits = options.limits ?? LIMITS;
    this.#rateLimiter = new RateLimiter(options.crypto);
  }

  // --- what the device tells ------------------------------------------------------------------------------

  /** Takes another static key, or none. Handshakes under way are lost with the old one. */
  setIdentity(identity: Identity | undefined): void {
    this.#identity = identity;
    this.#cookies = identity === undefined ? undefined : new CookieChecker(this.#crypto, identity.publicKey);
    for (const peer of this.#peers.all()) {
      this.#forgetInitiation(peer);
      this.#forgetProbe(peer);
      this.#keypairs.expire(peer);
      peer.lastInitiationSent = -Infinity;
    }
  }

  /** The interface went up: peers with a persistent keepalive are greeted at once. */
  start(now: Instant): void {
    this.#running = true;
    for (const peer of this.#peers.all()) if (peer.persistentKeepaliveMs !== 0) this.greet(peer, now);
  }

  /** The interface went down: nothing is remembered but who the peers are. */
  stop(): void {
    this.#running = false;
    for (const peer of this.#peers.all()) this.#reset(peer);
    this.#exclusive(() => {
      this.#wipe(Infinity);
    });
  }

  /** Makes the persistent keepalive due, and so a handshake where there is no key. */
  greet(peer: Peer, now: Instant): void {
    this.#memory.f64[(peer.session + PEER_LAST_TRAVERSAL) >> 3] = -Infinity;
    this.#schedule(peer, now);
  }

  /** Makes a handshake due, at once or a moment after the last initiation; false while the interface is down. */
  startHandshake(peer: Peer, now: Instant): boolean {
    if (!this.#running) return false;
    peer.startAt = Math.max(now, peer.lastInitiationSent + MIN_START_SPACING_MS);
    this.#schedule(peer, now);
    return true;
  }

  /** Makes an initiation to another place due, `path` being a path record's bytes; false while the interface is down. */
  probe(peer: Peer, path: Uint8Array, now: Instant): boolean {
    if (!this.#running) return false;
    peer.probePath = path;
    this.#schedule(peer, now);
    return true;
  }

  /** Ends everything that a peer has under way, before it is removed. To be called while the workers are outside. */
  forget(peer: Peer): void {
    this.#reset(peer);
    this.#wipe(Infinity);
  }

  // --- SessionHalf ----------------------------------------------------------------------------------------

  noteBacklog(waiting: number, now: Instant): void {
    if (waiting >= UNDER_LOAD_BACKLOG) this.#underLoadUntil = now + UNDER_LOAD_MS;
  }

  handleControl(bytes: Uint8Array, path: number, now: Instant, out: SessionOutbox): void {
    if (!this.#running) {
      out.drop(DropReason.handshakeRejected);
      return;
    }
    const variant = this.#variants.of(path);
    const message = decodeVariant(bytes, variant);
    switch (message.type) {
      case MESSAGE_INITIATION:
        if (this.#admit(message, variant, path, now, out)) this.#handleInitiation(message, variant, path, now, out);
        return;
      case MESSAGE_RESPONSE:
        if (this.#admit(message, variant, path, now, out)) this.#handleResponse(message, variant, path, now, out);
        return;
      case MESSAGE_COOKIE_REPLY:
        this.#handleCookieReply(message, now, out);
        return;
      case MESSAGE_TRANSPORT:
        out.drop(DropReason.malformedDatagram);
        return;
      default:
        out.drop(message.reason);
    }
  }

  handleHold(packet: Uint8Array, session: SessionId, now: Instant, out: SessionOutbox): void {
    const peer = this.#peers.bySession(session);
    if (peer === undefined || !this.#running) {
      out.drop(DropReason.noRoute);
      return;
    }
    if (this.#stagedBytes + stagedCost(packet) > MAX_STAGED_BYTES) out.drop(DropReason.queueFull);
    else {
      this.#stagedBytes += stagedCost(packet);
      const gone = peer.stage(packet);
      if (gone !== undefined) {
        this.#stagedBytes -= stagedCost(gone);
        out.drop(DropReason.queueFull);
      }
    }
    // Whoever goes on sending is not given up (section 6.4).
    if (packet.length !== 0) peer.attempts = 0;
    // A key may have come while the packet was on its way here.
    if (this.#keypairs.canSend(peer, now, this.#limits)) this.#flush(peer, out);
    else if (peer.retransmitAt === Infinity) this.#beginHandshake(peer, now, out);
    this.#schedule(peer, now);
  }

  handleAttend(session: SessionId, now: Instant, out: SessionOutbox): void {
    const peer = this.#peers.bySession(session);
    if (peer !== undefined && this.#running) this.#service(peer, now, out);
    this.#wipeDue(now);
  }

  handleTimeout(now: Instant, out: SessionOutbox): void {
    // Bounded: what is due beyond it follows after the requests and messages that have come meanwhile.
    for (let served = 0; served < SERVICES_A_TURN; served++) {
      const peer = this.#queue.first;
      if (peer === undefined || peer.deadline > now) break;
      this.#service(peer, now, out);
    }
    this.#wipeDue(now);
  }

  pollTimeout(): { at: Instant; reason: string } | undefined {
    const first = this.#queue.first?.deadline ?? Infinity;
    const at = Math.min(first, this.#wipeAt);
    if (at === Infinity) return undefined;
    return { at, reason: at === this.#wipeAt ? 'wipe retired keys' : "a peer's timer" };
  }

  // --- handshake ------------------------------------------------------------------------------------------

  /** MAC1 always; under load also MAC2, answered by a cookie reply where it is missing, and a rate for each source. */
  #admit(message: Initiation | Response, variant: Variant, path: number, now: Instant, out: SessionOutbox): boolean {
    if (this.#cookies === undefined || !this.#cookies.checkMac1(message)) {
      out.drop(DropReason.handshakeRejected);
      return false;
    }
    if (now >= this.#underLoadUntil) return true;
    const source = this.#source(path);
    if (!this.#cookies.checkMac2(message, source, now)) {
      out.drop(DropReason.cookieRequired);
      const reply = this.#cookies.createReply(message, source, now);
      writeType(reply.bytes, variant.h3);
      this.#send(reply.bytes, 0, variant, path, out);
      return false;
    }
    if (!this.#rateLimiter.allow(source, now)) {
      out.drop(DropReason.rateLimited);
      return false;
    }
    return true;
  }

  /** The sender's address and port as bytes: what a cookie is bound to. */
  #source(path: number): Uint8Array {
    const { u8, view } = this.#memory;
    const addressBytes = view.getUint16(path + PATH_FAMILY, true) === 4 ? 4 : 16;
    const source = new Uint8Array(addressBytes + 2);
    source.set(u8.subarray(path + PATH_REMOTE, path + PATH_REMOTE + addressBytes));
    source.set(u8.subarray(path + PATH_PORT, path + PATH_PORT + 2), addressBytes);
    return source;
  }

  #handleInitiation(message: Initiation, variant: Variant, path: number, now: Instant, out: SessionOutbox): void {
    const identity = this.#identity;
    const received = identity?.readInitiation(message);
    const peer = received === undefined ? undefined : this.#peers.byPublicKey(received.publicKey);
    if (identity === undefined || received === undefined || peer === undefined) {
      received?.wipe();
      out.drop(DropReason.handshakeRejected);
      return;
    }
    const verdict = identity.acceptInitiation(received, peer.handshake, now);
    if (verdict !== 'accepted') {
      out.drop(DropReason[verdict]);
      return;
    }
    // An initiation of our own that is under way goes on: each side then ends with both keypairs, and either is good.
    this.#noteConfirmed(peer);
    const created = identity.createResponse(received, peer.handshake, this.#freshIndex());
    if (created === undefined) {
      out.drop(DropReason.handshakeRejected);
      return;
    }
    if (!this.#install(peer, created.keys, now, out)) return;
    this.#noteReceived(peer, variant.s1 + message.bytes.length, path, now);
    writeType(created.message.bytes, variant.h2);
    peer.cookies.addMacs(created.message, now);
    this.#noteSent(peer, this.#send(created.message.bytes, variant.s2, variant, path, out), now);
    this.#schedule(peer, now);
  }

  #handleResponse(message: Response, variant: Variant, path: number, now: Instant, out: SessionOutbox): void {
    const peer = this.#peers.byInitiationIndex(message.receiverIndex);
    const isProbe = peer?.probe?.senderIndex === message.receiverIndex;
    const pending = isProbe ? peer.probe : peer?.initiation;
    if (peer === undefined || pending === undefined || this.#identity === undefined) {
      out.drop(DropReason.unknownReceiver);
      return;
    }
    const keys = this.#identity.consumeResponse(pending, peer.handshake, message);
    if (keys === undefined) {
      out.drop(DropReason.handshakeRejected);
      return;
    }
    // A late answer by the way that the peer has left would move it back.
    if (isProbe) this.#forgetProbe(peer);
    this.#forgetInitiation(peer);
    if (!this.#install(peer, keys, now, out)) return;
    this.#noteReceived(peer, variant.s2 + message.bytes.length, path, now);
    this.#complete(peer, out);
    // Something must be sent with the new key, or the responder can't send: what waits, or a keepalive (section 6.5).
    if (peer.stagedCount === 0) out.seal(peer.session, KEEPALIVE);
    else this.#flush(peer, out);
    this.#schedule(peer, now);
  }

  #install(peer: Peer, keys: TransportKeys, now: Instant, out: SessionOutbox): boolean {
    const installed = this.#keypairs.install(peer, keys, now);
    wipeKeys(keys);
    if (!installed) out.drop(DropReason.queueFull);
    peer.eraseAt = now + 3 * this.#limits.rejectAfterTimeMs;
    this.#planWipe(now);
    return installed;
  }

  #handleCookieReply(message: CookieReply, now: Instant, out: SessionOutbox): void {
    const peer =
      this.#peers.byInitiationIndex(message.receiverIndex) ?? this.#peers.byKeypairIndex(message.receiverIndex);
    if (peer === undefined) out.drop(DropReason.unknownReceiver);
    else if (!peer.cookies.consumeReply(message, now)) out.drop(DropReason.handshakeRejected);
  }

  /** Sends an initiation, unless one has just been sent: then a little later. */
  #beginHandshake(peer: Peer, now: Instant, out: SessionOutbox): void {
    peer.attempts = 0;
    const earliest = peer.lastInitiationSent + this.#limits.rekeyTimeoutMs;
    if (now < earliest) {
      if (peer.retransmitAt === Infinity) peer.retransmitAt = earliest + this.#jitter();
      return;
    }
    this.#sendInitiation(peer, now, out);
  }

  #sendInitiation(peer: Peer, now: Instant, out: SessionOutbox): void {
    peer.lastInitiationSent = now;
    peer.retransmitAt = now + this.#limits.rekeyTimeoutMs + this.#jitter();
    peer.jitterMs = this.#jitter();
    if (!this.#hasEndpoint(peer)) return;
    this.#forgetInitiation(peer);
    peer.initiation = this.#initiate(peer, peer.session + PEER_ENDPOINT, now, out);
    if (peer.initiation === undefined) return;
    out.event({ kind: 'handshakeStarted', session: peer.session, attempt: peer.attempts });
  }

  /** Sends an initiation by the path record at `path`. */
  #initiate(peer: Peer, path: number, now: Instant, out: SessionOutbox): PendingInitiation | undefined {
    const created = this.#identity?.createInitiation(peer.handshake, this.#freshIndex(), this.#wallClock());
    if (created === undefined) return undefined;
    this.#peers.nameInitiation(created.pending.senderIndex, peer);
    const variant = this.#variants.of(path);
    writeType(created.message.bytes, variant.h1);
    peer.cookies.addMacs(created.message, now);
    for (let i = 0; i < variant.jc; i++) out.message(this.#junk(variant), path, true);
    const bytes = this.#send(created.message.bytes, variant.s1, variant, path, out);
    // A probe may reach nobody: for the timers nothing was sent.
    if (path === this.#scratchPath) this.#countSent(peer, bytes);
    else this.#noteSent(peer, bytes, now);
    return created.pending;
  }

  /** Sends a message with so many random bytes before it, and returns its length. */
  #send(message: Uint8Array, paddingBytes: number, variant: Variant, path: number, out: SessionOutbox): number {
    let datagram = message;
    if (paddingBytes !== 0) {
      datagram = new Uint8Array(paddingBytes + message.length);
      this.#crypto.random(datagram.subarray(0, paddingBytes));
      datagram.set(message, paddingBytes);
    }
    out.message(datagram, path, !isPlain(variant));
    return datagram.length;
  }

  /** A datagram of random bytes and random length. */
  #junk({ jmin, jmax }: Variant): Uint8Array {
    const junk = new Uint8Array(jmin + (this.#randomU32() % (jmax - jmin + 1)));
    this.#crypto.random(junk);
    return junk;
  }

  /** Sends an initiation to where the peer is to be tried. */
  #sendProbe(peer: Peer, path: Uint8Array, now: Instant, out: SessionOutbox): void {
    this.#forgetProbe(peer);
    this.#memory.u8.set(path.subarray(0, PATH_BYTES), this.#scratchPath);
    peer.probe = this.#initiate(peer, this.#scratchPath, now, out);
    peer.probeUntil = now + this.#limits.rekeyTimeoutMs;
  }

  #retransmit(peer: Peer, now: Instant, out: SessionOutbox): void {
    if ((peer.attempts + 1) * this.#limits.rekeyTimeoutMs > this.#limits.rekeyAttemptTimeMs) {
      // Given up (section 6.4): whoever sends again begins anew.
      peer.retransmitAt = Infinity;
      this.#forgetInitiation(peer);
      this.#dropStaged(peer, out);
      Atomics.store(this.#memory.i32, (peer.session + PEER_REKEY_WANTED) >> 2, 0);
      if (peer.eraseAt === Infinity && peer.keypairs.length !== 0)
        peer.eraseAt = now + 3 * this.#limits.rejectAfterTimeMs;
      out.event({ kind: 'handshakeGivenUp', session: peer.session });
      return;
    }
    peer.attempts++;
    this.#forgetLocal(peer);
    this.#sendInitiation(peer, now, out);
  }

  /** A receiver index that nothing else has. */
  #freshIndex(): number {
    for (;;) {
      const index = this.#randomU32();
      if (this.#peers.byInitiationIndex(index) === undefined && !this.#keypairs.hasIndex(index)) return index;
    }
  }

  #forgetInitiation(peer: Peer): void {
    if (peer.initiation === undefined) return;
    peer.initiation.wipe();
    this.#peers.unnameInitiation(peer.initiation.senderIndex);
    peer.initiation = undefined;
  }

  /** Forgets where the peer was to be tried, and an initiation that went there. */
  #forgetProbe(peer: Peer): void {
    peer.probePath = undefined;
    peer.probeUntil = Infinity;
    if (peer.probe === undefined) return;
    peer.probe.wipe();
    this.#peers.unnameInitiation(peer.probe.senderIndex);
    peer.probe = undefined;
  }

  /** A response of ours may be confirmed already where the session half has not attended to it yet. */
  #noteConfirmed(peer: Peer): void {
    if (Atomics.load(this.#memory.i32, (peer.session + PEER_CONFIRMED) >> 2) !== 0)
      peer.handshake.unconfirmedResponses = 0;
  }

  /** Both sides are known to have the keys. */
  #complete(peer: Peer, out: SessionOutbox): void {
    peer.retransmitAt = Infinity;
    peer.attempts = 0;
    peer.handshake.unconfirmedResponses = 0;
    peer.jitterMs = this.#jitter();
    peer.lastHandshakeUnixMs = this.#wallClock();
    Atomics.store(this.#memory.i32, (peer.session + PEER_REKEY_WANTED) >> 2, 0);
    out.event({ kind: 'established', session: peer.session });
  }

  // --- timers ---------------------------------------------------------------------------------------------

  /** Does for a peer what is due, and sets its next deadline. */
  #service(peer: Peer, now: Instant, out: SessionOutbox): void {
    const { f64, i32 } = this.#memory;
    const record = peer.session;
    const limits = this.#limits;

    lock(this.#memory, record + LOCK);
    const confirmed = i32[(record + PEER_CONFIRMED) >> 2] !== 0;
    i32[(record + PEER_CONFIRMED) >> 2] = 0;
    const dataSent = f64[(record + PEER_DATA_SENT) >> 3];
    const unanswered = dataSent !== 0 && now >= this.#newHandshakeAt(peer, dataSent);
    if (unanswered) f64[(record + PEER_DATA_SENT) >> 3] = 0;
    const dataReceived = f64[(record + PEER_DATA_RECEIVED) >> 3];
    const keepalive = dataReceived !== 0 && now >= dataReceived + limits.keepaliveTimeoutMs;
    const moreReceived = f64[(record + PEER_LAST_DATA_RECEIVED) >> 3] > dataReceived;
    unlock(this.#memory, record + LOCK);

    if (confirmed) {
      this.#forgetInitiation(peer);
      this.#complete(peer, out);
      this.#keypairs.retireUnused(peer, now);
      this.#planWipe(now);
      this.#flush(peer, out);
    }
    if (this.#keypairs.dropExpiredPrevious(peer, now, limits)) this.#planWipe(now);
    if (now >= peer.eraseAt) this.#erase(peer, now, out);
    if (now >= peer.startAt) {
      peer.startAt = Infinity;
      peer.attempts = 0;
      this.#sendInitiation(peer, now, out);
    } else if (now >= peer.retransmitAt) this.#retransmit(peer, now, out);
    if (now >= peer.probeUntil && peer.probePath === undefined) this.#forgetProbe(peer);
    if (peer.probePath !== undefined) this.#sendProbe(peer, peer.probePath, now, out);
    if (unanswered) {
      this.#forgetLocal(peer);
      this.#beginHandshake(peer, now, out);
    } else if (peer.retransmitAt === Infinity && Atomics.load(i32, (record + PEER_REKEY_WANTED) >> 2) !== 0) {
      this.#beginHandshake(peer, now, out);
    }
    if (keepalive) {
      out.seal(record, KEEPALIVE);
      lock(this.#memory, record + LOCK);
      f64[(record + PEER_DATA_RECEIVED) >> 3] = moreReceived ? now : 0;
      unlock(this.#memory, record + LOCK);
    }
    if (
      peer.persistentKeepaliveMs !== 0 &&
      now >= f64[(record + PEER_LAST_TRAVERSAL) >> 3] + peer.persistentKeepaliveMs
    ) {
      f64[(record + PEER_LAST_TRAVERSAL) >> 3] = now;
      out.seal(record, KEEPALIVE);
    }
    this.#schedule(peer, now);
  }

  #newHandshakeAt(peer: Peer, dataSent: Instant): Instant {
    return dataSent + this.#limits.keepaliveTimeoutMs + this.#limits.rekeyTimeoutMs + peer.jitterMs;
  }

  /**
   * Sets the peer's next deadline. The packet half starts timers of 10 s and more without telling, while the peer is
   * watched: so a watched peer is looked at again after 10 s at the latest.
   */
  #schedule(peer: Peer, now: Instant): void {
    const { f64, i32 } = this.#memory;
    const record = peer.session;
    let deadline = Math.min(peer.retransmitAt, peer.eraseAt, peer.startAt, peer.probeUntil);
    if (peer.probePath !== undefined) deadline = Math.min(deadline, now);
    if (peer.persistentKeepaliveMs !== 0 && this.#running)
      deadline = Math.min(deadline, f64[(record + PEER_LAST_TRAVERSAL) >> 3] + peer.persistentKeepaliveMs);
    lock(this.#memory, record + LOCK);
    const dataSent = f64[(record + PEER_DATA_SENT) >> 3];
    const dataReceived = f64[(record + PEER_DATA_RECEIVED) >> 3];
    const watched = (dataSent !== 0 || dataReceived !== 0) && this.#running;
    i32[(record + PEER_WATCHED) >> 2] = watched ? 1 : 0;
    unlock(this.#memory, record + LOCK);
    if (watched) {
      deadline = Math.min(deadline, now + this.#limits.keepaliveTimeoutMs);
      if (dataSent !== 0) deadline = Math.min(deadline, this.#newHandshakeAt(peer, dataSent));
      if (dataReceived !== 0) deadline = Math.min(deadline, dataReceived + this.#limits.keepaliveTimeoutMs);
    }
    this.#queue.set(peer, deadline);
  }

  #jitter(): number {
    return (this.#randomU32() % this.#limits.maxJitterMs) + 1;
  }

  #randomU32(): number {
    const bytes = new Uint8Array(4);
    this.#crypto.random(bytes);
    return new DataView(bytes.buffer).getUint32(0);
  }

  /** After three times REJECT_AFTER_TIME without a new key nothing is left of the old ones (section 6.3). */
  #erase(peer: Peer, now: Instant, out: SessionOutbox): void {
    peer.eraseAt = Infinity;
    this.#forgetInitiation(peer);
    this.#forgetProbe(peer);
    this.#keypairs.clearAll(peer);
    this.#planWipe(now, 0);
    out.event({ kind: 'keysErased', session: peer.session });
  }

  #reset(peer: Peer): void {
    const { f64, i32 } = this.#memory;
    const record = peer.session;
    this.#forgetInitiation(peer);
    this.#forgetProbe(peer);
    this.#keypairs.clear(peer);
    for (const packet of peer.takeStaged()) this.#stagedBytes -= stagedCost(packet);
    peer.retransmitAt = Infinity;
    peer.startAt = Infinity;
    peer.eraseAt = Infinity;
    peer.attempts = 0;
    peer.lastInitiationSent = -Infinity;
    lock(this.#memory, record + LOCK);
    f64[(record + PEER_DATA_SENT) >> 3] = 0;
    f64[(record + PEER_DATA_RECEIVED) >> 3] = 0;
    i32[(record + PEER_REKEY_WANTED) >> 2] = 0;
    i32[(record + PEER_CONFIRMED) >> 2] = 0;
    i32[(record + PEER_WATCHED) >> 2] = 0;
    unlock(this.#memory, record + LOCK);
    this.#queue.remove(peer);
  }

  #planWipe(now: Instant, delayMs = WIPE_DELAY_MS): void {
    if (this.#keypairs.hasRetired) this.#wipeAt = Math.min(this.#wipeAt, now + delayMs);
  }

  #wipeDue(now: Instant): void {
    if (now >= this.#wipeAt)
      this.#exclusive(() => {
        this.#wipe(now);
      });
  }

  #wipe(now: Instant): void {
    this.#keypairs.freeRetired(now - WIPE_DELAY_MS);
    this.#wipeAt = this.#keypairs.hasRetired ? now + WIPE_DELAY_MS : Infinity;
  }

  // --- staged packets -------------------------------------------------------------------------------------

  #flush(peer: Peer, out: SessionOutbox): void {
    const packets = peer.takeStaged();
    for (const packet of packets) this.#stagedBytes -= stagedCost(packet);
    if (packets.length !== 0) out.seal(peer.session, packets);
  }

  #dropStaged(peer: Peer, out: SessionOutbox): void {
    for (const packet of peer.takeStaged()) {
      this.#stagedBytes -= stagedCost(packet);
      out.drop(DropReason.queueFull);
    }
  }

  // --- the shared record ----------------------------------------------------------------------------------

  #hasEndpoint(peer: Peer): boolean {
    return this.#memory.view.getUint16(peer.session + PEER_ENDPOINT + PATH_FAMILY, true) !== 0;
  }

  #forgetLocal(peer: Peer): void {
    lock(this.#memory, peer.session + LOCK);
    forgetLocal(this.#memory, peer.session + PEER_ENDPOINT);
    unlock(this.#memory, peer.session + LOCK);
  }

  #noteReceived(peer: Peer, bytes: number, path: number, now: Instant): void {
    const { f64 } = this.#memory;
    const record = peer.session;
    lock(this.#memory, record + LOCK);
    copyPath(this.#memory, record + PEER_ENDPOINT, path);
    f64[(record + PEER_RECEIVED_BYTES) >> 3] += bytes;
    f64[(record + PEER_LAST_TRAVERSAL) >> 3] = now;
    f64[(record + PEER_LAST_RECEIVED) >> 3] = now;
    f64[(record + PEER_DATA_SENT) >> 3] = 0;
    unlock(this.#memory, record + LOCK);
  }

  #countSent(peer: Peer, bytes: number): void {
    lock(this.#memory, peer.session + LOCK);
    this.#memory.f64[(peer.session + PEER_SENT_BYTES) >> 3] += bytes;
    unlock(this.#memory, peer.session + LOCK);
  }

  #noteSent(peer: Peer, bytes: number, now: Instant): void {
    const { f64 } = this.#memory;
    const record = peer.session;
    lock(this.#memory, record + LOCK);
    f64[(record + PEER_SENT_BYTES) >> 3] += bytes;
    f64[(record + PEER_LAST_TRAVERSAL) >> 3] = now;
    f64[(record + PEER_DATA_RECEIVED) >> 3] = 0;
    unlock(this.#memory, record + LOCK);
  }
}

/** What a waiting packet takes: its bytes and the object that holds them. */
function stagedCost(packet: Uint8Array): number {
  return packet.length + 256;
}
