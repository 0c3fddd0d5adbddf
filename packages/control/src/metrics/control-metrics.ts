/** What the control plane tells Prometheus. No user, no device, no address and no destination shows in it. */
import { standingOf, type Standing } from '@sallyport/policy';
import { collectDefaultMetrics, Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { Hub } from '../hub/hub.ts';
import { countDevicesSeen, gatewayStatuses } from '../repositories/status.ts';
import { bytesOf, dayOf, sumOf } from '../repositories/usage.ts';
import type { Services } from '../services.ts';

const STANDINGS: readonly Standing[] = [
  'active',
  'awaitingApproval',
  'userDisabled',
  'userExpired',
  'deviceExpired',
  'certificateExpired',
  'loginRequired',
  'trafficUsedUp',
];
const HEALTHS = ['healthy', 'degraded', 'unreachable', 'neverConnected'] as const;
const CONNECTED_MS = 180_000;

/** Made before the hub, which counts with {@link applied}; the gauges come with {@link watch}. */
export class ControlMetrics {
  readonly #registry: Registry;
  readonly #applied: Histogram;

  constructor(registry: Registry) {
    this.#registry = registry;
    collectDefaultMetrics({ register: registry });
    this.#applied = new Histogram({
      name: 'sallyport_change_applied_seconds',
      help: 'Time from a change to a gateway saying that it serves it',
      buckets: [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
      registers: [registry],
    });
  }

  /** For the hub's `onApplied`. */
  readonly applied = (seconds: number): void => {
    this.#applied.observe(seconds);
  };

  watch({ store, directory, now }: Services, hub: Hub): void {
    const registers = [this.#registry];
    new Gauge({
      name: 'sallyport_gateways',
      help: 'Gateways of the whole service, by health',
      labelNames: ['health'],
      registers,
      async collect() {
        const statuses = await gatewayStatuses(store.db, now());
        const counts = new Map(HEALTHS.map((health): [string, number] => [health, 0]));
        for (const id of directory.model.gateways.keys()) {
          const health = statuses.get(id)?.health ?? 'neverConnected';
          counts.set(health, (counts.get(health) ?? 0) + 1);
        }
        for (const [health, count] of counts) this.set({ health }, count);
      },
    });
    new Gauge({
      name: 'sallyport_gateways_connected',
      help: 'Gateways that are connected to this control node',
      registers,
      collect() {
        this.set(hub.connectedGateways);
      },
    });
    new Gauge({
      name: 'sallyport_devices',
      help: 'Devices, by whether they may connect',
      labelNames: ['standing'],
      registers,
      collect() {
        const { model } = directory;
        const counts = new Map(STANDINGS.map((standing) => [standing, 0]));
        for (const device of model.devices.values()) {
          const { standing } = standingOf(model, device, now());
          counts.set(standing, (counts.get(standing) ?? 0) + 1);
        }
        for (const [standing, count] of counts) this.set({ standing }, count);
      },
    });
    new Gauge({
      name: 'sallyport_devices_connected',
      help: 'Devices with a handshake in the last three minutes, at any gateway',
      registers,
      async collect() {
        this.set(await countDevicesSeen(store.db, now() - CONNECTED_MS));
      },
    });
    new Gauge({
      name: 'sallyport_users',
      help: 'Users',
      registers,
      collect() {
        this.set(directory.model.users.size);
      },
    });
    new Gauge({
      name: 'sallyport_traffic_today_bytes',
      help: 'Bytes of this UTC day, at all gateways, as devices see them',
      labelNames: ['direction'],
      registers,
      async collect() {
        const row = await store.db
          .selectFrom('usage')
          .select([sumOf('sent_bytes').as('sent'), sumOf('received_bytes').as('received')])
          .where('day', '=', dayOf(now()))
          .executeTakeFirst();
        this.set({ direction: 'sent' }, bytesOf(row?.sent));
        this.set({ direction: 'received' }, bytesOf(row?.received));
      },
    });
    const changes = new Counter({
      name: 'sallyport_changes_total',
      help: 'Changes of the organisation that this control node has heard of, by what changed',
      labelNames: ['kind'],
      registers,
    });
    store.onChange((list) => {
      for (const { kind } of list) changes.inc({ kind });
    });
  }
}
