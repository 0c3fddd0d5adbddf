import {
  LISTENERS,
  lock,
  PATH_BYTES,
  Secret,
  unlock,
  type Instant,
  type Listener,
  type Memory,
  type RecordPool,
  type SessionId,
} from '@sallyport/core';
import type { AllowedIps } from './allowed-ips.ts';
import { CookieGenerator } from './cookie.ts';
import { KEY_BYTES, secretBytes, type WireGuardCrypto } from './crypto.ts';
import { readEndpoint, writeEndpoint } from './endpoint-record.ts';
import { HandshakePeer, Identity } from './handshake.ts';
import { Keypairs } from './keypairs.ts';
import { LOCK, PEER_ENDPOINT, PEER_LAST_RECEIVED, PEER_RECEIVED_BYTES, PEER_SENT_BYTES } from './layout.ts';
import { isLowOrder } from './low-order.ts';
import type { Limits } from './constants.ts';
import { PeerTable } from './peer-table.ts';
import { Peer } from './peer.ts';
import { WireGuardSessions } from './sessions.ts';
import { openPools, openTables, type TableRegions } from './tables.ts';
import type { PeerState } from './uapi-text.ts';
import type { DeviceChange, Endpoint, PeerChange } from './uapi.ts';
import { checkVariant, isPlain, PLAIN_VARIANT, type Variant, type VariantTable } from './variant.ts';

/** What a device needs from its surroundings. */
export interface DeviceOptions {
  readonly memory: Memory;
  readonly regions: TableRegions;
  readonly crypto: WireGuardCrypto;
  /** Unix time in milliseconds. */
  readonly wallClock: () => number;
  /** Runs a change while no packet half is in the middle of a batch. */
  readonly exclusive: (change: () => void) => void;
  /**
   * Takes removed sessions out of what packet halves have said and the session half has not heard yet. Called from
   * within `exclusive`; the ids are then given out again.
   */
  readonly forgetSessions: (gone: ReadonlySet<SessionId>) => void;
  /** The interface index that the zone of a link-local address names, 0 for none; and the other way round. */
  readonly zoneIndex: (zone: string) => number;
  readonly zoneName: (index: number) => string;
  readonly limits?: Limits;
}

export interface PeerActivity {
  readonly publicKey: Uint8Array;
  /** 0 for never. */
  readonly lastHandshakeUnixMs: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  /** When an authenticated message last came, handshakes and keepalives too, by the plane's clock; 0 for never. */
  readonly lastReceivedAt: Instant;
  /** Whether the current keypair was made with an agreed preshared key. */
  readonly sessionAgreed: boolean;
}

/** Peers that are changed before the packets have their turn. */
const PEERS_A_TURN = 256;

/** A change that could not be made whole. */
export type DeviceFault = 'invalidVariant' | 'invalidPublicKey' | 'tooManyPeers' | 'tooManyAllowedIps';

/** A WireGuard device's configuration: its key and its peers, and the session half that serves them. */
export class WireGuardDevice {
  readonly sessions: WireGuardSessions;
  readonly allowedIps: AllowedIps;
  readonly #options: DeviceOptions;
  readonly #memory: Memory;
  readonly #peers: PeerTable;
  readonly #records: RecordPool;
  readonly #keypairs: Keypairs;
  readonly #table: VariantTable;
  /** By listener. */
  readonly #variants: Variant[] = Array.from({ length: LISTENERS }, () => PLAIN_VARIANT);
  #privateKey: Secret<Uint8Array> | undefined;
  #identity: Identity | undefined;
  /** Removed, their records not yet to be given out again. */
  readonly #gone = new Set<SessionId>();

  constructor(options: DeviceOptions) {
    const { memory, regions } = options;
    this.#options = options;
    this.#memory = memory;
    const { indices, allowedIps, variants } = openTables(memory, regions);
    const pools = openPools(memory, regions);
    this.allowedIps = allowedIps;
    this.#records = pools.peers;
    this.#peers = new PeerTable(memory, indices);
    this.#keypairs = new Keypairs(memory, pools.keypairs, indices);
    this.#table = variants;
    this.sessions = new WireGuardSessions({
      ...options,
      peers: this.#peers,
      keypairs: this.#keypairs,
      variants,
      scratchPath: regions.sessionPath,
    });
  }

  get privateKey(): Secret<Uint8Array> | undefined {
    return this.#privateKey;
  }

  get publicKey(): Uint8Array | undefined {
    return this.#identity?.publicKey;
  }

  get peerCount(): number {
    return this.#peers.size;
  }

  /**
   * Makes a change to key and peers, in the order that the UAPI gives: what it does not name stays. Port and mark are
   * the caller's. A fault ends it; what came before it is done.
   */
  apply(change: DeviceChange, now: Instant): DeviceFault | undefined {
    let fault: DeviceFault | undefined;
    if (change.variant !== undefined) {
      const variant = { ...this.#variants[0], ...change.variant };
      if (checkVariant(variant) !== undefined) return 'invalidVariant';
      this.setVariant(0, variant);
    }
    this.#options.exclusive(() => {
      if (change.privateKey !== undefined) this.#setPrivateKey(change.privateKey);
      if (change.replacePeers) for (const peer of [...this.#peers.all()]) this.#removePeer(peer);
      this.#recycle();
    });
    // A few at a time, so that a long list does not hold the packets up.
    for (let first = 0; first < change.peers.length && fault === undefined; first += PEERS_A_TURN)
      this.#options.exclusive(() => {
        for (const peerChange of change.peers.slice(first, first + PEERS_A_TURN))
          fault ??= this.#applyPeer(peerChange, now);
        this.#recycle();
      });
    return fault;
  }

  /**
   * Has a listener speak a variant from now on, or WireGuard itself. Handshakes under way are lost where the other side
   * answers by another variant: begin new ones by {@link startHandshake}. Throws a RangeError where `checkVariant` objects.
   */
  setVariant(listener: Listener, variant: Variant | undefined): void {
    const wrong = variant === undefined ? undefined : checkVariant(variant);
    if (wrong !== undefined) throw new RangeError(wrong);
    this.#variants[listener] = variant ?? PLAIN_VARIANT;
    this.#table.set(listener, this.#variants[listener]);
  }

  /** What a listener speaks; undefined for WireGuard itself. */
  variant(listener: Listener): Variant | undefined {
    const variant = this.#variants[listener];
    return isPlain(variant) ? undefined : variant;
  }

  /**
   * Sets a preshared key that both sides have agreed on, from the next handshake on; 32 bytes, which are copied. It goes
   * beside the configured one: a response is made with it, unless the last two to this peer were not confirmed, and a
   * response is tried with it, the one agreed before it, and the configured one. It goes with the peer and with the
   * private key; undefined erases it and the one before. False where there is no such peer.
   */
  setAgreedKey(publicKey: Uint8Array, key: Secret<Uint8Array> | undefined): boolean {
    const peer = this.#peers.byPublicKey(publicKey);
    if (peer === undefined) return false;
    if (key === undefined) {
      peer.handshake.setAgreedKey(undefined);
      return true;
    }
    const bytes = key.reveal();
    if (bytes.length !== KEY_BYTES) throw new RangeError(`a preshared key has ${String(KEY_BYTES)} bytes`);
    const newest = peer.handshake.agreedKey;
    if (newest !== undefined && this.#options.crypto.equal(newest, bytes)) return true;
    const copy = secretBytes(KEY_BYTES);
    copy.set(bytes);
    peer.handshake.setAgreedKey(copy);
    return true;
  }

  /**
   * Begins a handshake at once, or 250 ms after the last initiation where that is later; it is sent again as any other. An
   * initiation under way is given up for it. The caller has the plane reschedule. False where there is no such peer,
   * or the interface is down.
   */
  startHandshake(publicKey: Uint8Array, now: Instant): boolean {
    const peer = this.#peers.byPublicKey(publicKey);
    return peer !== undefined && this.sessions.startHandshake(peer, now);
  }

  /**
   * Sends one initiation to another endpoint, beside all that is under way: a valid answer moves the peer there, and
   * without one nothing changes here. (The other side moves with the initiation, and back with the next packet.) Otherwise
   * as {@link startHandshake}.
   */
  probeEndpoint(publicKey: Uint8Array, endpoint: Endpoint, now: Instant): boolean {
    const peer = this.#peers.byPublicKey(publicKey);
    if (peer === undefined) return false;
    const at = this.#options.regions.sessionPath;
    writeEndpoint(this.#memory, at, endpoint, this.#scopeOf(endpoint));
    return this.sessions.probe(peer, this.#memory.u8.slice(at, at + PATH_BYTES), now);
  }

  /** Where a peer is now, and by which listener; undefined where that is not known. */
  endpointOf(publicKey: Uint8Array): Endpoint | undefined {
    const peer = this.#peers.byPublicKey(publicKey);
    return peer === undefined ? undefined : this.#endpointOf(peer);
  }

  /** What `wg show` asks for, peer by peer. */
  *peerStates(): Generator<PeerState, void, void> {
    const { f64 } = this.#memory;
    for (const peer of this.#peers.all()) {
      const psk = peer.handshake.presharedKey;
      yield {
        publicKey: peer.publicKey,
        presharedKey: psk.some((byte) => byte !== 0) ? new Secret(psk) : undefined,
        endpoint: this.#endpointOf(peer),
        lastHandshakeSeconds: Math.floor(peer.lastHandshakeUnixMs / 1000),
        lastHandshakeNanoseconds: Math.floor((peer.lastHandshakeUnixMs % 1000) * 1e6),
        rxBytes: f64[(peer.session + PEER_RECEIVED_BYTES) >> 3],
        txBytes: f64[(peer.session + PEER_SENT_BYTES) >> 3],
        persistentKeepalive: peer.persistentKeepaliveMs / 1000,
        allowedIps: this.allowedIps.entriesOf(peer.session),
      };
    }
  }

  /**
   * What each peer that has ever completed a handshake has done so far: less than {@link peerStates} tells, and cheap enough
   * for every second.
   */
  peerActivity(): PeerActivity[] {
    const list: PeerActivity[] = [];
    // Code that runs once a second is never compiled so well that an iterator would cost nothing for each peer.
    this.#peers.forEach((peer) => {
      if (peer.lastHandshakeUnixMs > 0) list.push(this.#activityOf(peer));
    });
    return list;
  }

  /** What one peer has done so far. */
  activityOf(publicKey: Uint8Array): PeerActivity | undefined {
    const peer = this.#peers.byPublicKey(publicKey);
    return peer === undefined ? undefined : this.#activityOf(peer);
  }

  #activityOf(peer: Peer): PeerActivity {
    const { f64 } = this.#memory;
    return {
      publicKey: peer.publicKey,
      lastHandshakeUnixMs: peer.lastHandshakeUnixMs,
      receivedBytes: f64[(peer.session + PEER_RECEIVED_BYTES) >> 3],
      sentBytes: f64[(peer.session + PEER_SENT_BYTES) >> 3],
      lastReceivedAt: f64[(peer.session + PEER_LAST_RECEIVED) >> 3],
      sessionAgreed: this.#keypairs.isAgreed(peer),
    };
  }

  #setPrivateKey(key: Secret<Uint8Array>): void {
    const bytes = key.reveal();
    // "wg syncconf" sends the key each time: sessions go on where it is the same.
    if (this.#privateKey !== undefined && this.#options.crypto.equal(this.#privateKey.reveal(), bytes)) return;
    const old = this.#identity;
    const none = bytes.every((byte) => byte === 0);
    this.#privateKey?.reveal().fill(0);
    this.#privateKey = none ? undefined : key;
    this.#identity = none ? undefined : new Identity(this.#options.crypto, bytes);
    this.sessions.setIdentity(this.#identity);
    // What was agreed on was agreed with the old key.
    for (const peer of this.#peers.all()) peer.handshake.setAgreedKey(undefined);
    old?.dispose();
    // Nobody is a peer of their own.
    const self = this.#identity === undefined ? undefined : this.#peers.byPublicKey(this.#identity.publicKey);
    if (self !== undefined) this.#removePeer(self);
  }

  #applyPeer(change: PeerChange, now: Instant): DeviceFault | undefined {
    const { publicKey } = change;
    let peer = this.#peers.byPublicKey(publicKey);
    if (change.remove) {
      if (peer !== undefined) this.#removePeer(peer);
      return undefined;
    }
    if (peer === undefined) {
      if (change.updateOnly) return undefined;
      if (publicKey.length !== KEY_BYTES || isLowOrder(publicKey)) return 'invalidPublicKey';
      const own = this.#identity?.publicKey;
      if (own?.every((byte, i) => byte === publicKey[i]) === true) return undefined;
      const record = this.#records.allocate();
      if (record === 0) return 'tooManyPeers';
      peer = new Peer(record, new HandshakePeer(publicKey), new CookieGenerator(this.#options.crypto, publicKey));
      this.#peers.add(peer);
    }
    if (change.presharedKey !== undefined) {
      peer.handshake.presharedKey.fill(0);
      peer.handshake.presharedKey = change.presharedKey.reveal();
    }
    if (change.endpoint !== undefined) this.#setEndpoint(peer, change.endpoint);
    if (change.persistentKeepalive !== undefined) {
      const before = peer.persistentKeepaliveMs;
      peer.persistentKeepaliveMs = change.persistentKeepalive * 1000;
      if (before === 0 && peer.persistentKeepaliveMs !== 0) this.sessions.greet(peer, now);
    }
    if (change.replaceAllowedIps) this.allowedIps.removeSession(peer.session);
    for (const { family, address, prefixLength, remove } of change.allowedIps) {
      if (remove) this.allowedIps.remove(family, address, prefixLength, peer.session);
      else if (this.allowedIps.insert(family, address, prefixLength, peer.session) === 'full')
        return 'tooManyAllowedIps';
    }
    return undefined;
  }

  #removePeer(peer: Peer): void {
    this.sessions.forget(peer);
    this.allowedIps.removeSession(peer.session);
    this.#peers.remove(peer);
    peer.handshake.presharedKey.fill(0);
    peer.handshake.wipe();
    this.#records.release(peer.session);
    this.#gone.add(peer.session);
  }

  /** Lets removed peers' records be given out again. */
  #recycle(): void {
    if (this.#gone.size === 0) return;
    this.#options.forgetSessions(this.#gone);
    this.#records.recycle();
    this.#gone.clear();
  }

  #setEndpoint(peer: Peer, endpoint: Endpoint): void {
    const scope = this.#scopeOf(endpoint);
    lock(this.#memory, peer.session + LOCK);
    writeEndpoint(this.#memory, peer.session + PEER_ENDPOINT, endpoint, scope);
    unlock(this.#memory, peer.session + LOCK);
  }

  #scopeOf({ scope }: Endpoint): number {
    return scope === '' ? 0 : this.#options.zoneIndex(scope);
  }

  #endpointOf(peer: Peer): Endpoint | undefined {
    return readEndpoint(this.#memory, peer.session + PEER_ENDPOINT, this.#options.zoneName);
  }
}
