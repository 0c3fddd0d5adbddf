import type { Secret } from '@sallyport/core';
import type { AuthenticationVerdict } from '@sallyport/link';
import type { DevicePlan, GatewayPlan } from '@sallyport/policy';

/** Who may use a tunnel protocol, and what it has seen: the same for every protocol. */
export interface Tunnel {
  readonly protocol: 'wireguard' | 'openvpn';
  /**
   * Admits or changes `put`, and refuses `remove` from now on, running tunnels included. At once, not when it suits. It is
   * told of devices of its own protocol alone ({@link protocolOf}).
   */
  apply(change: { readonly put: readonly DevicePlan[]; readonly remove: readonly DevicePlan[] }): void;
  /** What the gateway is to be, before devices are admitted by it; called where it has changed. */
  setGateway?(plan: GatewayPlan): void;
  /** Where logins of devices are decided about; called once, before everything else. */
  setLogins?(logins: Logins): void;
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

export function protocolOf({ openvpn }: Pick<DevicePlan, 'openvpn'>): Tunnel['protocol'] {
  return openvpn === undefined ? 'wireguard' : 'openvpn';
}

export interface ObservedDevice {
  readonly deviceId: string;
  /** Unix milliseconds, 0 for never. */
  readonly lastHandshakeAt: number;
  /** Since the tunnel's start, as the device sees it: what it sent and what it received, in bytes. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

/** Logins of devices, which the control plane decides about. */
export interface Logins {
  /**
   * Asks whether a device may come in. `answer` is called once, or twice where the first verdict is `web`: never from
   * within this call, and not after the answered function, by which nobody waits any more, was called. With `admit` the
   * device was put by {@link Tunnel.apply}. Where the control plane can't be reached the verdict is to come again later.
   */
  ask(request: LoginRequest, answer: (verdict: AuthenticationVerdict) => void): () => void;
}

export interface LoginRequest {
  readonly deviceId: string;
  /** Where the device connects from, as text: `192.0.2.7`. */
  readonly address: string;
  /** What its program calls itself, where it does; cut where it is long. */
  readonly client: string;
  /** SHA-256 of the DER of the certificate that it showed, hexadecimal. */
  readonly certificate?: string | undefined;
  readonly proof:
    | {
        readonly kind: 'password';
        readonly userName: string;
        readonly password: Secret<string>;
        /** The response to a challenge, static or dynamic. */
        readonly code?: Secret<string> | undefined;
        /** The state of the dynamic challenge that `code` answers; the password isn't looked at then. */
        readonly challengeState?: string | undefined;
      }
    /** The user is to log in by a browser. */
    | { readonly kind: 'web' }
    /** Nothing was shown that could be looked at: why isn't it let in? */
    | { readonly kind: 'none' };
}
