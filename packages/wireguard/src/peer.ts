import type { Instant, Scheduled, SessionId } from '@sallyport/core';
import type { CookieGenerator } from './cookie.ts';
import { MAX_STAGED_PACKETS } from './constants.ts';
import type { HandshakePeer, PendingInitiation } from './handshake.ts';

/* Most of many peers are silent: they share what is empty. */
const NONE: readonly number[] = [];
const NOTHING: Uint8Array[] = [];

/** What the session half knows of a peer beside its shared record. */
export class Peer implements Scheduled {
  /** The offset of its shared record, which is its session id. */
  readonly session: SessionId;
  readonly handshake: HandshakePeer;
  readonly cookies: CookieGenerator;
  persistentKeepaliveMs = 0;

  /** The handshake that we have begun and nobody has answered yet. */
  initiation: PendingInitiation | undefined;
  lastInitiationSent: Instant = -Infinity;
  /** Initiations sent without an answer, the first not counted. */
  attempts = 0;
  retransmitAt: Instant = Infinity;
  /** When a handshake is to begin because its owner asked for one. */
  startAt: Instant = Infinity;
  /** A place to try: a path record's bytes, still to be sent to; and the initiation that was sent there. */
  probePath: Uint8Array | undefined;
  probe: PendingInitiation | undefined;
  /** When no answer to the probe is awaited any more. */
  probeUntil: Instant = Infinity;
  /** When all keys go, three times REJECT_AFTER_TIME after the last were made. */
  eraseAt: Instant = Infinity;
  /** This round's jitter of the new-handshake timer. */
  jitterMs = 0;
  /** When the last handshake was completed, in Unix milliseconds; 0 for never. */
  lastHandshakeUnixMs = 0;

  /** Offsets of its keypair records that live, also those that have left the slots and wait to be freed. */
  keypairs: readonly number[] = NONE;
  /** Packets that wait for a key, the oldest first. */
  #staged: Uint8Array[] = NOTHING;

  deadline: Instant = Infinity;
  queuePosition = -1;

  constructor(session: SessionId, handshake: HandshakePeer, cookies: CookieGenerator) {
    this.session = session;
    this.handshake = handshake;
    this.cookies = cookies;
  }

  get publicKey(): Uint8Array {
    return this.handshake.publicKey;
  }

  get stagedCount(): number {
    return this.#staged.length;
  }

  /** Keeps a packet for when there is a key. Returns one that had to go for it. */
  stage(packet: Uint8Array): Uint8Array | undefined {
    // A keepalive is only worth something on its own.
    if (packet.length === 0 && this.#staged.length !== 0) return undefined;
    if (this.#staged === NOTHING) this.#staged = [];
    this.#staged.push(packet);
    return this.#staged.length > MAX_STAGED_PACKETS ? this.#staged.shift() : undefined;
  }

  takeStaged(): readonly Uint8Array[] {
    const staged = this.#staged;
    this.#staged = NOTHING;
    return staged;
  }
}
