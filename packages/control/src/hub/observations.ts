import type { Report } from '@sallyport/link';
import type { Services } from '../services.ts';
import { SYSTEM } from '../store/store.ts';
import type { ConnectedDevices, ConnectionEvent } from './connected-devices.ts';
import type { DeviceOwners } from './device-owners.ts';
import type { GatewaySession } from './gateway-session.ts';
import { ReportBook, type ReportingGateway } from './report-book.ts';
import { applyTrafficLimits } from './traffic-limits.ts';

/** How often what was reported is stored. */
const FLUSH_MS = 1000;
/** Connections of devices that wait to be written to the audit log. */
const MAX_EVENTS = 20_000;

export interface ObservationsOptions {
  readonly services: Services;
  readonly node: string;
  readonly sessions: ReadonlyMap<string, GatewaySession>;
  readonly owners: DeviceOwners;
  readonly connected: ConnectedDevices;
  /** Whether a device may be at a gateway. What a gateway says of others is not taken. */
  readonly serves: (gatewayId: string, deviceId: string) => boolean;
  /** The gateway of this session is another node's now. */
  readonly onLost: (session: GatewaySession) => void;
}

/** What gateways report, from the link to the database, and what follows from it. */
export class Observations {
  readonly #options: ObservationsOptions;
  readonly #services: Services;
  readonly #book: ReportBook;
  /** Gateways that are gone, until that is stored. */
  readonly #departed = new Map<string, ReportingGateway>();
  readonly #timer: NodeJS.Timeout;
  #events: ConnectionEvent[] = [];
  #flushing: Promise<void> | undefined;
  #failing = false;

  constructor(options: ObservationsOptions) {
    this.#options = options;
    this.#services = options.services;
    this.#book = new ReportBook(options.services, options.node, options.owners);
    this.#timer = setInterval(() => void this.flush(), FLUSH_MS).unref();
  }

  begin(gatewayId: string, storedReports: number): void {
    this.#departed.delete(gatewayId);
    this.#book.begin(gatewayId, storedReports);
  }

  take(gatewayId: string, said: Report): void {
    const { serves } = this.#options;
    const report = { ...said, devices: said.devices.filter(({ id }) => serves(gatewayId, id)) };
    const now = this.#services.now();
    if (!this.#book.take(gatewayId, report, now)) return;
    this.#note(this.#options.connected.take(gatewayId, report, now));
  }

  end(session: GatewaySession): void {
    this.#departed.set(session.gatewayId, describe(session, false, this.#services.now()));
  }

  forget(gatewayId: string): void {
    this.#book.forget(gatewayId);
    this.#departed.delete(gatewayId);
  }

  /** Stores everything that came before the call. Never rejects: what can't be stored is kept for the next time. */
  async flush(): Promise<void> {
    while (this.#flushing !== undefined) await this.#flushing;
    this.#flushing = this.#flush().then(
      () => {
        this.#failing = false;
      },
      (error: unknown) => {
        if (!this.#failing) this.#services.log.error({ err: error }, 'what gateways report can not be stored now');
        this.#failing = true;
      },
    );
    await this.#flushing;
    this.#flushing = undefined;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.flush();
  }

  async #flush(): Promise<void> {
    const now = this.#services.now();
    const { sessions, onLost, connected } = this.#options;
    const gateways = new Map(this.#departed);
    for (const [gatewayId, session] of sessions) gateways.set(gatewayId, describe(session, true, now));
    const storing = new Map(sessions);
    const stored = await this.#book.store(gateways);
    for (const [gatewayId, gateway] of gateways)
      if (this.#departed.get(gatewayId) === gateway) this.#departed.delete(gatewayId);
    for (const [gatewayId, number] of stored.numbers) sessions.get(gatewayId)?.link.send({ kind: 'stored', number });
    for (const gatewayId of stored.lost) {
      const session = storing.get(gatewayId);
      // One that connected here again while the old one was being stored is not lost.
      if (session !== undefined && sessions.get(gatewayId) === session) onLost(session);
    }
    await applyTrafficLimits(this.#services, stored.users);
    this.#note(connected.expire(now));
    await this.#auditConnections();
  }

  #note(events: readonly ConnectionEvent[]): void {
    if (!this.#services.directory.settings.connectionAudit.enabled) return;
    this.#events.push(...events.slice(0, MAX_EVENTS - this.#events.length));
  }

  async #auditConnections(): Promise<void> {
    if (this.#events.length === 0) return;
    const events = this.#events;
    this.#events = [];
    const { model } = this.#services.directory;
    try {
      await this.#services.store.write(SYSTEM, async ({ audit }) => {
        for (const { kind, deviceId, gatewayId } of events) {
          const device = model.devices.get(deviceId);
          const user = device && model.users.get(device.userId);
          if (device === undefined || user === undefined) continue;
          await audit(`connection.${kind}`, { kind: 'device', id: deviceId, name: device.name }, undefined, {
            user: user.name,
            gateway: model.gateways.get(gatewayId)?.name ?? gatewayId,
          });
        }
      });
    } catch (error) {
      this.#events = [...events, ...this.#events].slice(0, MAX_EVENTS);
      throw error;
    }
  }
}

function describe(session: GatewaySession, connected: boolean, now: number): ReportingGateway {
  return {
    connected,
    latencyMs: session.link.latencyMs,
    stateVersion: session.sync.sent,
    appliedVersion: session.sync.applied,
    digested: session.digest(now, !connected),
  };
}
