import type { ObservedDevice, Tunnel } from '@sallyport/agent';
import type { Secret } from '@sallyport/core';
import type { DevicePlan } from '@sallyport/policy';
import {
  decodeBase64Key,
  encodeBase64Key,
  parseIpAddress,
  UNCHANGED_PEER,
  type PeerChange,
  type Variant,
} from '@sallyport/wireguard';
import { AMNEZIAWG, WIREGUARD_PROTOCOL, type GatewayPlane } from './gateway-plane.ts';

/** Devices that were refused, whose counters are still told. */
const MAX_DEPARTED = 100_000;

interface Admitted {
  readonly deviceId: string;
  /** From earlier times at which it was admitted. */
  readonly before: ObservedDevice | undefined;
}

/** WireGuard for the gateway: peers are devices, each with the two addresses that it was given. */
export class WireGuardTunnel implements Tunnel {
  readonly protocol = 'wireguard';
  readonly #plane: GatewayPlane['plane'];
  readonly #device: GatewayPlane['wireguard'];
  readonly #onFault: (message: string) => void;
  /** By public key, base64. */
  readonly #admitted = new Map<string, Admitted>();
  readonly #departed = new Map<string, ObservedDevice>();
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
    const refused = new Set<string>();
    for (const { id, publicKey } of remove)
      if (publicKey !== undefined && this.#admitted.get(publicKey)?.deviceId === id) {
        refused.add(publicKey);
        this.#keys.delete(id);
      }
    if (refused.size > 0) {
      for (const [publicKey, device] of this.#observeAdmitted())
        if (refused.has(publicKey) && device.lastHandshakeAt > 0) this.#departed.set(device.deviceId, device);
      for (const publicKey of refused) {
        this.#admitted.delete(publicKey);
        const key = decodeBase64Key(publicKey);
        if (key !== undefined) peers.push({ ...UNCHANGED_PEER, publicKey: key, remove: true });
      }
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
      const known = this.#admitted.get(publicKey);
      if (known?.deviceId !== device.id)
        this.#admitted.set(publicKey, { deviceId: device.id, before: this.#departed.get(device.id) });
      this.#keys.set(device.id, key);
      this.#departed.delete(device.id);
    }
    this.#change(peers);
    for (const id of this.#departed.keys()) {
      if (this.#departed.size <= MAX_DEPARTED) break;
      this.#departed.delete(id);
    }
  }

  *observe(): Generator<ObservedDevice> {
    for (const [, device] of this.#observeAdmitted()) if (device.lastHandshakeAt > 0) yield device;
    yield* this.#departed.values();
  }

  *#observeAdmitted(): Generator<[publicKey: string, device: ObservedDevice]> {
    for (const { publicKey, lastHandshakeUnixMs, receivedBytes, sentBytes } of this.#device.peerActivity()) {
      const text = encodeBase64Key(publicKey);
      const admitted = this.#admitted.get(text);
      if (admitted === undefined) continue;
      const { deviceId, before } = admitted;
      yield [
        text,
        {
          deviceId,
          lastHandshakeAt: Math.max(Math.floor(lastHandshakeUnixMs), before?.lastHandshakeAt ?? 0),
          sentBytes: receivedBytes + (before?.sentBytes ?? 0),
          receivedBytes: sentBytes + (before?.receivedBytes ?? 0),
        },
      ];
    }
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
