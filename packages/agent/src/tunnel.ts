import type { Secret } from '@sallyport/core';
import type { DevicePlan } from '@sallyport/policy';

/** Who may use a tunnel protocol, and what it has seen: the same for every protocol. */
export interface Tunnel {
  /** `wireguard`, `openvpn`, … */
  readonly protocol: string;
  /** Admits or changes `put`, and refuses `remove` from now on, running tunnels included. At once, not when it suits. */
  apply(change: { readonly put: readonly DevicePlan[]; readonly remove: readonly DevicePlan[] }): void;
  /**
   * Takes a preshared key that was agreed with a device, for the sessions from now on; it keeps a copy. False where the
   * device isn't admitted. Absent where the protocol has no such keys.
   */
  setAgreedKey?(deviceId: string, key: Secret<Uint8Array>): boolean;
  /** One entry for each device that has ever connected since the start. */
  observe(): Iterable<ObservedDevice>;
  /** Packets dropped so far, by reason. */
  readonly drops: Readonly<Partial<Record<string, number>>>;
}

export interface ObservedDevice {
  readonly deviceId: string;
  /** Unix milliseconds, 0 for never. */
  readonly lastHandshakeAt: number;
  /** Since the tunnel's start, as the device sees it: what it sent and what it received, in bytes. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
}
