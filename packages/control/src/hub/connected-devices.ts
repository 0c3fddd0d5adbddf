import type { Report } from '@sallyport/link';

/** A device counts as connected this long after its last handshake, as WireGuard's own sessions do. */
export const SESSION_MS = 180_000;

export interface ConnectionEvent {
  readonly kind: 'start' | 'end';
  readonly deviceId: string;
  readonly gatewayId: string;
}

/** Tells from handshakes when devices connect and when they are gone. */
export class ConnectedDevices {
  /** The last handshake, by gateway and device. */
  readonly #gateways = new Map<string, Map<string, number>>();

  /** A gateway connected; `devices` are those that were connected when it was last heard of, with their handshakes. */
  begin(gatewayId: string, devices: readonly { readonly deviceId: string; readonly at: number }[]): void {
    this.#gateways.set(gatewayId, new Map(devices.map(({ deviceId, at }) => [deviceId, at])));
  }

  end(gatewayId: string): void {
    this.#gateways.delete(gatewayId);
  }

  get count(): number {
    let count = 0;
    for (const devices of this.#gateways.values()) count += devices.size;
    return count;
  }

  take(gatewayId: string, report: Report, now: number): ConnectionEvent[] {
    const devices = this.#gateways.get(gatewayId);
    if (devices === undefined) return [];
    const events: ConnectionEvent[] = [];
    for (const { id, lastHandshakeAt } of report.devices) {
      if (lastHandshakeAt <= now - SESSION_MS) continue;
      if (!devices.has(id)) events.push({ kind: 'start', deviceId: id, gatewayId });
      // A gateway's clock may be ahead: none of its devices is connected for longer because of that.
      devices.set(id, Math.max(Math.min(lastHandshakeAt, now), devices.get(id) ?? 0));
    }
    return events;
  }

  /** Those that were not heard of for so long that they are gone. */
  expire(now: number): ConnectionEvent[] {
    const events: ConnectionEvent[] = [];
    for (const [gatewayId, devices] of this.#gateways) {
      for (const [deviceId, at] of devices) {
        if (at > now - SESSION_MS) continue;
        devices.delete(deviceId);
        events.push({ kind: 'end', deviceId, gatewayId });
      }
    }
    return events;
  }
}
