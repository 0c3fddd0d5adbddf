import {
  PATH_BYTES,
  PATH_FAMILY,
  PATH_PORT,
  PATH_REMOTE,
  PATH_SCOPE,
  Secret,
  type Instant,
  type Memory,
  type SessionId,
} from '@sallyport/core';
import type { AllowedIps } from './allowed-ips.ts';
import { CookieGenerator } from './cookie.ts';
import { KEY_BYTES, type WireGuardCrypto } from './crypto.ts';
import { HandshakePeer, Identity } from './handshake.ts';
import { Keypairs } from './keypairs.ts';
import { LOCK, PEER_ENDPOINT, PEER_RECEIVED_BYTES, PEER_SENT_BYTES } from './layout.ts';
import { lock, unlock } from './lock.ts';
import { isLowOrder } from './low-order.ts';
import type { Limits } from './constants.ts';
import { PeerTable } from './peer-table.ts';
import { Peer } from './peer.ts';
import type { RecordPool } from './record-pool.ts';
import { WireGuardSessions } from './sessions.ts';
import { openPools, openTables, type TableRegions } from './tables.ts';
import type { PeerState } from './uapi-text.ts';
import type { DeviceChange, Endpoint, PeerChange } from './uapi.ts';

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
}

/** Peers that are changed before the packets have their turn. */
const PEERS_A_TURN = 256;

/** A change that could not be made whole. */
export type DeviceFault = 'invalidPublicKey' | 'tooManyPeers' | 'tooManyAllowedIps';

/** A WireGuard device's configuration: its key and its peers, and the session half that serves them. */
export class WireGuardDevice {
  readonly sessions: WireGuardSessions;
  readonly allowedIps: AllowedIps;
  readonly #options: DeviceOptions;
  readonly #memory: Memory;
  readonly #peers: PeerTable;
  readonly #records: RecordPool;
  #privateKey: Secret<Uint8Array> | undefined;
  #identity: Identity | undefined;
  /** Removed, their records not yet to be given out again. */
  readonly #gone = new Set<SessionId>();

  constructor(options: DeviceOptions) {
    const { memory, regions } = options;
    this.#options = options;
    this.#memory = memory;
    const { indices, allowedIps } = openTables(memory, regions);
    const pools = openPools(memory, regions);
    this.allowedIps = allowedIps;
    this.#records = pools.peers;
    this.#peers = new PeerTable(memory, indices);
    this.sessions = new WireGuardSessions({
      ...options,
      peers: this.#peers,
      keypairs: new Keypairs(memory, pools.keypairs, indices),
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

  /** What each peer has done so far: less than {@link peerStates} tells, and cheap enough for every second. */
  *peerActivity(): Generator<PeerActivity, void, void> {
    const { f64 } = this.#memory;
    for (const peer of this.#peers.all())
      yield {
        publicKey: peer.publicKey,
        lastHandshakeUnixMs: peer.lastHandshakeUnixMs,
        receivedBytes: f64[(peer.session + PEER_RECEIVED_BYTES) >> 3],
        sentBytes: f64[(peer.session + PEER_SENT_BYTES) >> 3],
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
    const { u8, u32, view } = this.#memory;
    const at = peer.session + PEER_ENDPOINT;
    lock(this.#memory, peer.session + LOCK);
    u8.fill(0, at, at + PATH_BYTES);
    view.setUint16(at + PATH_FAMILY, endpoint.family, true);
    view.setUint16(at + PATH_PORT, endpoint.port, true);
    u8.set(endpoint.address, at + PATH_REMOTE);
    if (endpoint.scope !== '') u32[(at + PATH_SCOPE) >> 2] = this.#options.zoneIndex(endpoint.scope);
    unlock(this.#memory, peer.session + LOCK);
  }

  #endpointOf(peer: Peer): Endpoint | undefined {
    const { u8, u32, view } = this.#memory;
    const at = peer.session + PEER_ENDPOINT;
    const family = view.getUint16(at + PATH_FAMILY, true);
    if (family !== 4 && family !== 6) return undefined;
    const index = u32[(at + PATH_SCOPE) >> 2];
    return {
      family,
      address: u8.slice(at + PATH_REMOTE, at + PATH_REMOTE + (family === 4 ? 4 : 16)),
      port: view.getUint16(at + PATH_PORT, true),
      scope: index === 0 ? '' : this.#options.zoneName(index),
    };
  }
}
