/** One tunnel: an interface whose packets WireGuard carries to the gateways of a plan. */
import { Secret } from '@sallyport/core';
import type { PeerPlan, TunnelPlan } from '@sallyport/client';
import { openCarrierClient, type CarrierClient } from '@sallyport/carrier';
import type { Ip } from '@sallyport/io';
import {
  parseIpPrefix,
  UNCHANGED_DEVICE,
  UNCHANGED_PEER,
  type PeerActivity,
  type PeerChange,
} from '@sallyport/wireguard';
import { openWireGuardPlane, type WireGuardPlane } from '@sallyport/wireguard-plane';
import { messageOf } from '../failure.ts';
import { unixNow } from '../forward-clock.ts';
import { connectFirst } from '../network/connect.ts';
import { hasIpv6 } from '../network/ipv6.ts';
import { endCarrier, endPeer, endpointOf, newPeer, sameVariant, sameWay, type Peer } from './peer.ts';

/** When a handshake that nobody answers is begun again; the last goes on for ever. A begun one replaces the one before. */
const HANDSHAKE_RETRY_MS = [500, 1000, 1500, 2000] as const;
const CARRIER_TIMEOUT_MS = 5000;

export interface HopOptions {
  /** Agreed with a gateway before, the older first: for a peer that is new here. */
  readonly agreedKeys: (publicKey: string) => readonly Uint8Array[];
  readonly onHandshake: (attempt: number) => void;
  readonly onFailed: (part: 'tunnel' | 'carrier', attempt: number | undefined, message: string) => void;
}

export class Hop {
  readonly name: string;
  readonly #ip: Ip;
  readonly #options: HopOptions;
  readonly #wireguard: WireGuardPlane;
  /** By public key, base64. */
  readonly #peers = new Map<string, Peer>();
  #listenPort = 0;
  #plan: TunnelPlan | undefined;
  #closing = false;

  private constructor(name: string, ip: Ip, options: HopOptions, wireguard: WireGuardPlane) {
    this.name = name;
    this.#ip = ip;
    this.#options = options;
    this.#wireguard = wireguard;
  }

  /** Creates the interface, without a peer yet. Throws a SystemCallError. */
  static async open(plan: TunnelPlan, privateKey: Uint8Array, ip: Ip, options: HopOptions): Promise<Hop> {
    const made: { hop?: Hop } = {};
    const wireguard = openWireGuardPlane({
      name: plan.interface,
      mtu: plan.mtu,
      workers: 1,
      wallClock: unixNow,
      onEvent: (kind) => {
        if (kind === 'established') made.hop?.lookForHandshakes();
      },
      onLink: (up) => {
        const { device, plane } = wireguard;
        if (up) device.sessions.start(plane.now);
        else device.sessions.stop();
      },
    });
    const hop = new Hop(plan.interface, ip, options, wireguard);
    made.hop = hop;
    wireguard.plane.closed.then(
      () => {
        if (!hop.#closing) options.onFailed('tunnel', undefined, `the interface ${hop.name} is gone`);
      },
      (error: unknown) => {
        options.onFailed('tunnel', undefined, messageOf(error));
      },
    );
    try {
      hop.#listenPort = wireguard.plane.listen(0, plan.mark, { dontFragment: true });
      await wireguard.start();
      const fault = wireguard.device.apply(
        { ...UNCHANGED_DEVICE, privateKey: new Secret(privateKey.slice()) },
        wireguard.plane.now,
      );
      if (fault !== undefined) throw new Error(`the tunnel doesn't take its key: ${fault}`);
      return hop;
    } catch (error) {
      hop.#closing = true;
      wireguard.plane.close();
      throw error;
    }
  }

  /** Makes the interface what the plan says, without the peers. Throws where it can't be had so. */
  async setInterface(plan: TunnelPlan): Promise<void> {
    const before = this.#plan;
    await this.#setLink(plan, before);
    const { device, plane } = this.#wireguard;
    if (before !== undefined && before.mark !== plan.mark) plane.setMark(plan.mark);
    if (!sameVariant(before?.amneziawg, plan.amneziawg)) device.setVariant(0, plan.amneziawg);
    this.#plan = plan;
  }

  /** To be called when the machine's addresses may be others: what was remembered of the way to the peers is forgotten. */
  forgetPaths(): void {
    this.#change([...this.#peers.values()].map((peer) => ({ ...UNCHANGED_PEER, publicKey: peer.key, updateOnly: true, endpoint: endpointOf(peer) }))); // prettier-ignore
  }

  /** Opens carriers anew, of which the connection's own address is gone with the network that had it. */
  reopenCarriers(): void {
    for (const peer of this.#peers.values()) {
      if (peer.plan.path.transport !== 'tls') continue;
      endCarrier(peer);
      void this.#openCarrier(peer);
    }
  }

  lookForHandshakes(): void {
    for (const peer of this.#peers.values()) {
      const at = this.#wireguard.device.activityOf(peer.key)?.lastHandshakeUnixMs ?? 0;
      if (at <= peer.lastHandshakeUnixMs) continue;
      peer.lastHandshakeUnixMs = at;
      peer.wanted = false;
      clearTimeout(peer.retry);
      this.#options.onHandshake(peer.plan.attempt);
    }
  }

  /** What the peer of an attempt has done so far; undefined where there is none. */
  activityOf(attempt: number): PeerActivity | undefined {
    const peer = this.#byAttempt(attempt);
    return peer && this.#wireguard.device.activityOf(peer.key);
  }

  planOf(attempt: number): PeerPlan | undefined {
    return this.#byAttempt(attempt)?.plan;
  }

  /** Keys agreed before, the older first; good from the next handshake on. */
  setAgreedKeys(publicKey: string, keys: readonly Uint8Array[]): void {
    const peer = this.#peers.get(publicKey);
    if (peer !== undefined)
      for (const key of keys) this.#wireguard.device.setAgreedKey(peer.key, new Secret(key.slice()));
  }

  /** Begins a handshake now. */
  renew(publicKey: string): void {
    const peer = this.#peers.get(publicKey);
    if (peer !== undefined) this.#wireguard.startHandshake(peer.key);
  }

  async close(): Promise<void> {
    this.#closing = true;
    for (const peer of this.#peers.values()) endPeer(peer);
    this.#peers.clear();
    this.#wireguard.plane.close();
    await this.#wireguard.plane.closed.catch(() => undefined);
  }

  #byAttempt(attempt: number): Peer | undefined {
    return [...this.#peers.values()].find(({ plan }) => plan.attempt === attempt);
  }

  async #setLink(plan: TunnelPlan, before: TunnelPlan | undefined): Promise<void> {
    const { interface: name, mtu, addresses } = plan;
    const same = before?.mtu === mtu && before.addresses.join() === addresses.join();
    if (same) return;
    // Where IPv6 is switched off there is none in the tunnel either; its packets find no way.
    const can = (address: string): boolean => !address.includes(':') || hasIpv6(name);
    const old = (before?.addresses ?? []).filter((address) => !addresses.includes(address));
    await this.#ip.batch(undefined, [
      // No address of its own making, and so nothing that the machine would say by it.
      ...(before === undefined ? [`link set dev ${name} addrgenmode none`] : []),
      `link set dev ${name} mtu ${String(mtu)} up`,
      ...addresses
        .filter(can)
        .map((address) => `address replace ${address} dev ${name}${address.includes(':') ? ' nodad' : ''}`),
      ...old.filter(can).map((address) => `address delete ${address} dev ${name}`),
    ]);
    this.#wireguard.plane.lookAtLink();
  }

  /** Makes these the peers. Handshakes and carriers go on by themselves. */
  setPeers(plans: readonly PeerPlan[]): void {
    const changes: PeerChange[] = [];
    // Two attempts at one gateway are one peer: the later one counts.
    const wanted = new Map(plans.map((plan) => [plan.publicKey, plan]));
    for (const [publicKey, peer] of this.#peers) {
      if (wanted.has(publicKey)) continue;
      endPeer(peer);
      this.#peers.delete(publicKey);
      changes.push({ ...UNCHANGED_PEER, publicKey: peer.key, remove: true });
    }
    const begin: Peer[] = [];
    const fresh: string[] = [];
    for (const [publicKey, plan] of wanted) {
      const known = this.#peers.get(publicKey);
      const peer = known ?? newPeer(plan);
      if (peer === undefined) {
        this.#options.onFailed('tunnel', plan.attempt, "the gateway's key is none");
        continue;
      }
      this.#peers.set(publicKey, peer);
      if (known === undefined) fresh.push(publicKey);
      const another = known === undefined || known.plan.attempt !== plan.attempt || !sameWay(known.plan, plan);
      if (another || (plan.establish && !peer.plan.establish)) begin.push(peer);
      else if (!plan.establish) {
        peer.wanted = false;
        clearTimeout(peer.retry);
      }
      peer.plan = plan;
      if (another) endCarrier(peer);
      changes.push(this.#changeOf(peer));
    }
    this.#change(changes);
    for (const publicKey of fresh) this.setAgreedKeys(publicKey, this.#options.agreedKeys(publicKey));
    for (const peer of begin) this.#begin(peer);
    for (const peer of this.#peers.values())
      if (peer.plan.path.transport === 'tls' && peer.carrier === undefined && peer.opening === undefined)
        void this.#openCarrier(peer);
  }

  /** Begins handshakes until one is completed. */
  #begin(peer: Peer): void {
    clearTimeout(peer.retry);
    peer.wanted = peer.plan.establish;
    peer.lastHandshakeUnixMs = this.#wireguard.device.activityOf(peer.key)?.lastHandshakeUnixMs ?? 0;
    this.#shake(peer, 0);
  }

  #shake(peer: Peer, count: number): void {
    if (!peer.wanted || this.#closing) return;
    // A carrier that is being opened begins it itself.
    if (endpointOf(peer) === undefined) return;
    this.#wireguard.startHandshake(peer.key);
    const pauseMs = HANDSHAKE_RETRY_MS[Math.min(count, HANDSHAKE_RETRY_MS.length - 1)];
    peer.retry = setTimeout(() => {
      this.#shake(peer, count + 1);
    }, pauseMs);
  }

  async #openCarrier(peer: Peer): Promise<void> {
    const { path, tls, attempt } = peer.plan;
    if (tls === undefined) return;
    const opening = new AbortController();
    peer.opening = opening;
    const isCurrent = (): boolean => peer.opening === opening && !this.#closing;
    try {
      const socket = await connectFirst([path.address], path.port, CARRIER_TIMEOUT_MS, this.#plan?.mark);
      if (!isCurrent()) {
        socket.destroy();
        return;
      }
      const carrier: CarrierClient = await openCarrierClient({
        socket,
        host: tls.host,
        port: path.port,
        path: tls.path,
        certificateSha256: tls.certificateSha256,
        wireguardPort: this.#listenPort,
        timeoutMs: CARRIER_TIMEOUT_MS,
        signal: opening.signal,
        onClose: (reason) => {
          if (peer.carrier !== carrier) return;
          peer.carrier = undefined;
          this.#options.onFailed('carrier', attempt, reason);
        },
      });
      if (!isCurrent()) {
        carrier.close();
        return;
      }
      peer.carrier = carrier;
      peer.opening = undefined;
      this.#change([this.#changeOf(peer)]);
      if (peer.wanted) this.#shake(peer, 0);
      else this.#wireguard.startHandshake(peer.key);
    } catch (error) {
      if (!isCurrent()) return;
      peer.opening = undefined;
      this.#options.onFailed('carrier', attempt, messageOf(error));
    }
  }

  #changeOf(peer: Peer): PeerChange {
    const allowedIps = peer.plan.allowedIps.flatMap((text) => {
      const prefix = parseIpPrefix(text);
      return prefix === undefined ? [] : [{ ...prefix, remove: false }];
    });
    const endpoint = endpointOf(peer);
    return { ...UNCHANGED_PEER, publicKey: peer.key, replaceAllowedIps: true, allowedIps, endpoint };
  }

  #change(peers: readonly PeerChange[]): void {
    if (peers.length === 0) return;
    const { device, plane } = this.#wireguard;
    const fault = device.apply({ ...UNCHANGED_DEVICE, peers }, plane.now);
    plane.reschedule();
    if (fault !== undefined) this.#options.onFailed('tunnel', undefined, `the tunnel doesn't take its peers: ${fault}`);
  }
}
