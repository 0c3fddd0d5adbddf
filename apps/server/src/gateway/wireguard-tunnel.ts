import type { ObservedDevice, Tunnel } from '@sallyport/agent';
import type { Secret } from '@sallyport/core';
import type { DevicePlan } from '@sallyport/policy';
import {
  decodeBase64Key,
  encodeBase64Key,
  parseIpAddress,
  UNCHANGED_PEER,
  type PeerActivity,
  type PeerChange,
  type Variant,
} from '@sallyport/wireguard';
import { AMNEZIAWG, WIREGUARD_PROTOCOL, type GatewayPlane } from './gateway-plane.ts';

/** Devices that were refused, whose counters are still told. */
const MAX_DEPARTED = 100_000;

/** WireGuard for the gateway: peers are devices, each with the two addresses that it was given. */
export class WireGuardTunnel implements Tunnel {
  readonly protocol = 'wireguard';
  readonly #plane: GatewayPlane['plane'];
  readonly #device: GatewayPlane['wireguard'];
  readonly #onFault: (message: string) => void;
  /** The devices that are admitted, by public key, base64. */
  readonly #admitted = new Map<string, string>();
  /** By device, from earlier times at which it was admitted; the newest last. */
  readonly #before = new Map<string, ObservedDevice>();
  /** The public keys of those that are admitted, by device. */
  readonly #keys = new Map<string, Uint8Array>();

  /** `onFault`: what an operator has to know. No keys. */
  constructor({ plane, wireguard }: GatewayPlane, onFault: (message: string) => void) {
    this.#plane = plane;
    this.#device = wireguard;
    this.#onFault = onFault;
  }

  /** Drop counters that are not zero. */
  get drops(): Tunnel['drops'] {
    return this.#plane.dropsOf(WIREGUARD_PROTOCOL);
  }

  setPrivateKey(privateKey: Secret<Uint8Array>): void {
    this.#change([], privateKey);
  }

  /** What is spoken at AmneziaWG's port. To be set before there is a key. */
  setAmneziawg(variant: Variant): void {
    this.#device.setVariant(AMNEZIAWG, variant);
  }

  setAgreedKey(deviceId: string, key: Secret<Uint8Array>): boolean {
    const publicKey = this.#keys.get(deviceId);
    return publicKey !== undefined && this.#device.setAgreedKey(publicKey, key);
  }

  apply({ put, remove }: { readonly put: readonly DevicePlan[]; readonly remove: readonly DevicePlan[] }): void {
    const peers: PeerChange[] = [];
    for (const { id, publicKey } of remove) {
      if (publicKey === undefined || this.#admitted.get(publicKey) !== id) continue;
      this.#admitted.delete(publicKey);
      this.#keys.delete(id);
      const key = decodeBase64Key(publicKey);
      if (key === undefined) continue;
      const activity = this.#device.activityOf(key);
      if (activity !== undefined && activity.lastHandshakeUnixMs > 0) {
        const seen = observed(id, activity, this.#before.get(id));
        this.#before.delete(id);
        this.#before.set(id, seen);
      }
      peers.push({ ...UNCHANGED_PEER, publicKey: key, remove: true });
    }
    for (const device of put) {
      const { publicKey } = device;
      const key = publicKey === undefined ? undefined : decodeBase64Key(publicKey);
      const allowedIps = allowedIpsOf(device);
      if (publicKey === undefined || key === undefined || allowedIps === undefined) {
        this.#onFault(`device ${device.id} has a key or an address that can't be used`);
        continue;
      }
      peers.push({ ...UNCHANGED_PEER, publicKey: key, replaceAllowedIps: true, allowedIps });
      this.#admitted.set(publicKey, device.id);
      this.#keys.set(device.id, key);
    }
    this.#change(peers);
    for (const id of this.#before.keys()) {
      if (this.#before.size <= MAX_DEPARTED) break;
      if (!this.#keys.has(id)) this.#before.delete(id);
    }
  }

  /** Every second: of many devices most are silent, and cost nothing here. */
  *observe(): Generator<ObservedDevice> {
    const again = new Set<string>();
    for (const activity of this.#device.peerActivity()) {
      const deviceId = this.#admitted.get(encodeBase64Key(activity.publicKey));
      if (deviceId === undefined) continue;
      const before = this.#before.get(deviceId);
      if (before !== undefined) again.add(deviceId);
      yield observed(deviceId, activity, before);
    }
    for (const [id, before] of this.#before) if (!again.has(id)) yield before;
  }

  #change(peers: readonly PeerChange[], privateKey?: Secret<Uint8Array>): void {
    const fault = this.#device.apply(
      { privateKey, listenPort: undefined, fwmark: undefined, replacePeers: false, peers },
      this.#plane.now,
    );
    this.#plane.reschedule();
    if (fault !== undefined) this.#onFault(`the tunnel could not take in all devices: ${fault}`);
  }
}

function observed(deviceId: string, activity: PeerActivity, before: ObservedDevice | undefined): ObservedDevice {
  return {
    deviceId,
    lastHandshakeAt: Math.max(Math.floor(activity.lastHandshakeUnixMs), before?.lastHandshakeAt ?? 0),
    sentBytes: activity.receivedBytes + (before?.sentBytes ?? 0),
    receivedBytes: activity.sentBytes + (before?.receivedBytes ?? 0),
  };
}

/** The device's two addresses, and the networks behind it. Undefined where one can't be used. */
function allowedIpsOf({ ipv4, ipv6, networks = [] }: DevicePlan): PeerChange['allowedIps'] | undefined {
  const allowed: PeerChange['allowedIps'][number][] = [];
  for (const prefix of [`${ipv4}/32`, `${ipv6}/128`, ...networks]) {
    const [text = '', length = ''] = prefix.split('/');
    const address = parseIpAddress(text);
    if (address === undefined || !/^\d{1,3}$/.test(length)) return undefined;
    allowed.push({ ...address, prefixLength: Number(length), remove: false });
  }
  return allowed;
}
