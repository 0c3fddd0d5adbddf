import type { Instant } from '@sallyport/core';
import type { PrivateKey, WireGuardCrypto } from './crypto.ts';
import { ascii, HASH_BYTES, KEY_BYTES, secretBytes } from './crypto.ts';
import type { Initiation, Response } from './messages.ts';
import { newInitiation, newResponse, TIMESTAMP_BYTES } from './messages.ts';
import { SymmetricState } from './symmetric-state.ts';
import { compareTimestamps, INITIATIONS_PER_SECOND, tai64nAfter } from './tai64n.ts';

/*
 * Noise_IKpsk2, sections 5.4.1 to 5.4.5 of WireGuard's paper. The initiator's way:
 *
 *   createInitiation -> (the response arrives) -> consumeResponse -> keys
 *
 * and the responder's:
 *
 *   (an initiation arrives) -> readInitiation, which tells whose it is -> acceptInitiation -> createResponse -> keys
 *
 * Whatever fails leaves the identity, the peer and the initiation that is under way as they were. MACs and cookies
 * come on top: see cookie.ts.
 */

const CONSTRUCTION = ascii('Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s');
const IDENTIFIER = ascii('WireGuard v1 zx2c4 Jason@zx2c4.com');

const NOTHING = new Uint8Array(0);
const NO_PRESHARED_KEY: Uint8Array = new Uint8Array(KEY_BYTES);
const NO_TIMESTAMP: Uint8Array = new Uint8Array(TIMESTAMP_BYTES);
const NO_AGREED_KEYS: readonly Uint8Array[] = [];

/** Responses that may go unconfirmed before a peer is taken to have lost the agreed key. */
const MAX_UNCONFIRMED_RESPONSES = 2;

/** What a handshake ends with. Erase it by `wipeKeys` once the keys are where they are used. */
export interface TransportKeys {
  readonly isInitiator: boolean;
  /** Whether an agreed preshared key was mixed in, rather than the configured one. */
  readonly isAgreed: boolean;
  readonly localIndex: number;
  readonly remoteIndex: number;
  readonly sendKey: Uint8Array;
  readonly receiveKey: Uint8Array;
}

function newKeys(isInitiator: boolean, isAgreed: boolean, localIndex: number, remoteIndex: number): TransportKeys {
  const secrets = secretBytes(2 * KEY_BYTES);
  const sendKey = secrets.subarray(0, KEY_BYTES);
  const receiveKey = secrets.subarray(KEY_BYTES);
  return { isInitiator, isAgreed, localIndex, remoteIndex, sendKey, receiveKey };
}

export function wipeKeys(keys: TransportKeys): void {
  keys.sendKey.fill(0);
  keys.receiveKey.fill(0);
}

/** What a handshake knows of a peer and remembers between handshakes. */
export class HandshakePeer {
  readonly publicKey: Uint8Array;
  /** Zero where there is none. */
  presharedKey: Uint8Array = NO_PRESHARED_KEY;
  /** The greatest timestamp that an accepted initiation bore. */
  latestTimestamp: Uint8Array = NO_TIMESTAMP;
  /** When the last initiation was accepted. */
  lastInitiationAt: Instant = -Infinity;
  /** Responses made since the last handshake with this peer that was completed. */
  unconfirmedResponses = 0;

  /** Preshared keys that the two sides have agreed on while they run, the newest first and the one before it. */
  #agreedKeys = NO_AGREED_KEYS;
  #sentTimestamp: Uint8Array | undefined;
  #staticStatic: Uint8Array | undefined;
  #staticStaticOf: PrivateKey | undefined;

  /** `publicKey`, 32 bytes, is kept. */
  constructor(publicKey: Uint8Array) {
    this.publicKey = publicKey;
  }

  /** Takes a newly agreed key, which is kept; the one before stays good for responses. Undefined erases both. */
  setAgreedKey(key: Uint8Array | undefined): void {
    const kept = key === undefined ? NO_AGREED_KEYS : this.#agreedKeys.slice(0, 1);
    for (const old of this.#agreedKeys.slice(kept.length)) old.fill(0);
    this.#agreedKeys = key === undefined ? kept : [key, ...kept];
    this.unconfirmedResponses = 0;
  }

  get agreedKey(): Uint8Array | undefined {
    return this.#agreedKeys[0];
  }

  /** The agreed key for a response, or undefined: then the configured one, by which a peer that lost it gets back in. */
  get responseKey(): Uint8Array | undefined {
    return this.unconfirmedResponses < MAX_UNCONFIRMED_RESPONSES ? this.agreedKey : undefined;
  }

  /** The preshared keys that a response may have been made with, in the order in which they are tried. */
  get candidateKeys(): readonly Uint8Array[] {
    return [...this.#agreedKeys, this.presharedKey];
  }

  /** DH(S_i, S_r), worked out once for each private key; undefined where it is zero. */
  staticStatic(privateKey: PrivateKey): Uint8Array | undefined {
    if (this.#staticStaticOf !== privateKey) {
      const shared = (this.#staticStatic ??= secretBytes(KEY_BYTES));
      this.#staticStaticOf = privateKey.agree(shared, this.publicKey) ? privateKey : undefined;
    }
    return this.#staticStaticOf === undefined ? undefined : this.#staticStatic;
  }

  /** The timestamp of the next initiation to this peer: greater than the last, also where the clock was set back. */
  nextTimestamp(unixMs: number): Uint8Array {
    this.#sentTimestamp = tai64nAfter(this.#sentTimestamp, unixMs);
    return this.#sentTimestamp;
  }

  /** Erases the secrets. The configured preshared key is left to its owner. */
  wipe(): void {
    this.setAgreedKey(undefined);
    this.#staticStatic?.fill(0);
    this.#staticStatic = undefined;
    this.#staticStaticOf = undefined;
    this.presharedKey = NO_PRESHARED_KEY;
  }
}

/** An initiation of ours that waits for its response. Erase it by `wipe` when it is given up. */
export class PendingInitiation {
  readonly senderIndex: number;
  readonly ephemeral: PrivateKey;
  readonly state: SymmetricState;
  isWiped = false;

  constructor(senderIndex: number, ephemeral: PrivateKey, state: SymmetricState) {
    this.senderIndex = senderIndex;
    this.ephemeral = ephemeral;
    this.state = state;
  }

  wipe(): void {
    this.isWiped = true;
    this.ephemeral.dispose();
    this.state.wipe();
  }
}

/** A peer's initiation, on its way to a response. Erase it by `wipe` where no response is made. */
export class ReceivedInitiation {
  readonly message: Initiation;
  /** The static public key that the initiator claims; it has proved to own it once `acceptInitiation` has accepted. */
  readonly publicKey: Uint8Array;
  readonly state: SymmetricState;

  constructor(message: Initiation, publicKey: Uint8Array, state: SymmetricState) {
    this.message = message;
    this.publicKey = publicKey;
    this.state = state;
  }

  wipe(): void {
    this.state.wipe();
  }
}

/** Otherwise the name of a `DropReason`. */
export type InitiationVerdict = 'accepted' | 'authenticationFailed' | 'replayed' | 'rateLimited';

/** A static key pair, and the handshakes made with it. */
export class Identity {
  readonly publicKey: Uint8Array;

  readonly #crypto: WireGuardCrypto;
  readonly #privateKey: PrivateKey;
  readonly #seed = secretBytes(KEY_BYTES);
  /** HASH(CONSTRUCTION) */
  readonly #chainingKey = new Uint8Array(HASH_BYTES);
  /** HASH(HASH(CONSTRUCTION) || IDENTIFIER) */
  readonly #identifierHash = new Uint8Array(HASH_BYTES);

  /** `privateKey` is 32 bytes, which are copied; the caller erases them. */
  constructor(crypto: WireGuardCrypto, privateKey: Uint8Array) {
    this.#crypto = crypto;
    this.#privateKey = crypto.importPrivateKey(privateKey);
    this.publicKey = this.#privateKey.publicKey;
    crypto.hash(this.#chainingKey, CONSTRUCTION);
    crypto.hash(this.#identifierHash, this.#chainingKey, IDENTIFIER);
  }

  /** Erases the private key. */
  dispose(): void {
    this.#privateKey.dispose();
  }

  /** First message (section 5.4.2), its MACs still zero; undefined where the peer's public key is of low order. */
  createInitiation(
    peer: HandshakePeer,
    senderIndex: number,
    unixMs: number,
  ): { message: Initiation; pending: PendingInitiation } | undefined {
    const staticStatic = peer.staticStatic(this.#privateKey);
    if (staticStatic === undefined) return undefined;
    const message = newInitiation(senderIndex);
    const ephemeral = this.#generate();
    const state = this.#begin(peer.publicKey);
    message.ephemeral.set(ephemeral.publicKey);
    state.mixEphemeral(message.ephemeral);
    const pending = new PendingInitiation(senderIndex, ephemeral, state);
    if (!state.mixDhAndKey(ephemeral, peer.publicKey)) {
      pending.wipe();
      return undefined;
    }
    state.seal(message.encryptedStatic, this.publicKey);
    state.mixKey(staticStatic);
    state.seal(message.encryptedTimestamp, peer.nextTimestamp(unixMs));
    return { message, pending };
  }

  /** Decrypts whose initiation it is; undefined where it is not for this identity. Nothing is proved yet. */
  readInitiation(message: Initiation): ReceivedInitiation | undefined {
    const state = this.#begin(this.publicKey);
    const publicKey = new Uint8Array(KEY_BYTES);
    state.mixEphemeral(message.ephemeral);
    if (state.mixDhAndKey(this.#privateKey, message.ephemeral) && state.open(publicKey, message.encryptedStatic))
      return new ReceivedInitiation(message, publicKey, state);
    state.wipe();
    return undefined;
  }

  /**
   * Checks that the initiation is `peer`'s, is none seen before and does not come too soon after the last. Accepted, it
   * is remembered in `peer`; otherwise `received` is erased.
   */
  acceptInitiation(received: ReceivedInitiation, peer: HandshakePeer, now: Instant): InitiationVerdict {
    const verdict = this.#judge(received, peer, now);
    if (verdict !== 'accepted') received.wipe();
    return verdict;
  }

  #judge({ state, message }: ReceivedInitiation, peer: HandshakePeer, now: Instant): InitiationVerdict {
    const staticStatic = peer.staticStatic(this.#privateKey);
    if (staticStatic === undefined) return 'authenticationFailed';
    state.mixKey(staticStatic);
    const timestamp = new Uint8Array(TIMESTAMP_BYTES);
    if (!state.open(timestamp, message.encryptedTimestamp)) return 'authenticationFailed';
    if (compareTimestamps(timestamp, peer.latestTimestamp) <= 0) return 'replayed';
    if (now < peer.lastInitiationAt + 1000 / INITIATIONS_PER_SECOND) return 'rateLimited';
    peer.latestTimestamp = timestamp;
    peer.lastInitiationAt = now;
    return 'accepted';
  }

  /**
   * Second message (section 5.4.3), its MACs still zero, to an accepted initiation, and the keys that follow from it;
   * undefined where the initiator's keys are of low order. Erases `received`.
   */
  createResponse(
    received: ReceivedInitiation,
    peer: HandshakePeer,
    senderIndex: number,
  ): { message: Response; keys: TransportKeys } | undefined {
    const { state } = received;
    const initiation = received.message;
    const message = newResponse(senderIndex, initiation.senderIndex);
    const ephemeral = this.#generate();
    message.ephemeral.set(ephemeral.publicKey);
    state.mixEphemeral(message.ephemeral);
    const agreed = state.mixDh(ephemeral, initiation.ephemeral) && state.mixDh(ephemeral, peer.publicKey);
    ephemeral.dispose();
    if (!agreed) {
      received.wipe();
      return undefined;
    }
    const agreedKey = peer.responseKey;
    peer.unconfirmedResponses++;
    state.mixPresharedKey(agreedKey ?? peer.presharedKey);
    state.seal(message.encryptedNothing, NOTHING);
    const keys = newKeys(false, agreedKey !== undefined, senderIndex, initiation.senderIndex);
    state.split(keys.receiveKey, keys.sendKey);
    received.wipe();
    return { message, keys };
  }

  /**
   * Takes the response to `pending` and returns the keys that follow from it, `pending` being erased; undefined, with
   * `pending` still waiting, where the response is not the peer's answer to it.
   */
  consumeResponse(pending: PendingInitiation, peer: HandshakePeer, message: Response): TransportKeys | undefined {
    if (pending.isWiped || message.receiverIndex !== pending.senderIndex) return undefined;
    const state = pending.state.clone();
    state.mixEphemeral(message.ephemeral);
    if (!state.mixDh(pending.ephemeral, message.ephemeral) || !state.mixDh(this.#privateKey, message.ephemeral)) {
      state.wipe();
      return undefined;
    }
    let keys: TransportKeys | undefined;
    for (const candidate of peer.candidateKeys) {
      const attempt = state.clone();
      attempt.mixPresharedKey(candidate);
      if (attempt.open(new Uint8Array(0), message.encryptedNothing)) {
        keys = newKeys(true, candidate !== peer.presharedKey, pending.senderIndex, message.senderIndex);
        attempt.split(keys.sendKey, keys.receiveKey);
      }
      attempt.wipe();
      if (keys !== undefined) break;
    }
    state.wipe();
    if (keys !== undefined) pending.wipe();
    return keys;
  }

  /** C := HASH(CONSTRUCTION); H := HASH(HASH(C || IDENTIFIER) || S_r) */
  #begin(responder: Uint8Array): SymmetricState {
    const state = new SymmetricState(this.#crypto, this.#chainingKey, this.#identifierHash);
    state.mixHash(responder);
    return state;
  }

  /** DH-GENERATE */
  #generate(): PrivateKey {
    const seed = this.#seed;
    this.#crypto.random(seed);
    const key = this.#crypto.importPrivateKey(seed);
    seed.fill(0);
    return key;
  }
}
