import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import { ACTIVE_MS } from './reporter.ts';
import type { Tunnel } from './tunnel.ts';

/** What the gateway knows about itself, for Prometheus. No device, no address and no destination shows in it. */
export class GatewayMetrics {
  readonly registry = new Registry();
  readonly #apply: Histogram;
  readonly #connects: Counter;

  constructor(options: {
    readonly tunnels: readonly Tunnel[];
    readonly stateVersion: () => number;
    readonly linkUp: () => boolean;
    readonly admittedDevices: () => number;
    readonly problems: () => number;
    /** Unix milliseconds. */
    readonly now: () => number;
  }) {
    const registers = [this.registry];
    const { tunnels } = options;
    const each = function* (): Generator<{ protocol: string; observed: ReturnType<Tunnel['observe']> }> {
      for (const tunnel of tunnels) yield { protocol: tunnel.protocol, observed: tunnel.observe() };
    };
    new Gauge({
      name: 'sallyport_gateway_active_devices',
      help: 'Devices with a handshake in the last three minutes',
      labelNames: ['protocol'],
      registers,
      collect() {
        const since = options.now() - ACTIVE_MS;
        for (const { protocol, observed } of each()) {
          let active = 0;
          for (const { lastHandshakeAt } of observed) if (lastHandshakeAt > since) active++;
          this.set({ protocol }, active);
        }
      },
    });
    new Counter({
      name: 'sallyport_gateway_bytes_total',
      help: 'Bytes of tunnels: in is from devices, out is to devices',
      labelNames: ['protocol', 'direction'],
      registers,
      collect() {
        this.reset();
        for (const { protocol, observed } of each()) {
          let received = 0;
          let sent = 0;
          for (const device of observed) {
            received += device.sentBytes;
            sent += device.receivedBytes;
          }
          this.inc({ protocol, direction: 'in' }, received);
          this.inc({ protocol, direction: 'out' }, sent);
        }
      },
    });
    new Counter({
      name: 'sallyport_gateway_drops_total',
      help: 'Packets dropped, by reason',
      labelNames: ['protocol', 'reason'],
      registers,
      collect() {
        this.reset();
        for (const { protocol, drops } of tunnels)
          for (const [reason, count] of Object.entries(drops)) this.inc({ protocol, reason }, count ?? 0);
      },
    });
    gauge('sallyport_gateway_state_version', 'Version of the desired state that is in force', options.stateVersion);
    gauge('sallyport_gateway_link_up', '1 while the control plane is connected', () => (options.linkUp() ? 1 : 0));
    gauge('sallyport_gateway_devices', 'Devices that may connect', options.admittedDevices);
    gauge('sallyport_gateway_problems', 'What is wrong at present', options.problems);
    gauge('process_resident_memory_bytes', 'Memory of the process', () => process.memoryUsage.rss());
    this.#apply = new Histogram({
      name: 'sallyport_gateway_apply_seconds',
      help: 'Time that a desired state took to be in force',
      buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
      registers,
    });
    this.#connects = new Counter({
      name: 'sallyport_gateway_handshakes_total',
      help: 'Handshakes seen, one a device and look',
      registers,
    });

    function gauge(name: string, help: string, value: () => number): void {
      new Gauge({
        name,
        help,
        registers,
        collect() {
          this.set(value());
        },
      });
    }
  }

  applied(seconds: number): void {
    this.#apply.observe(seconds);
  }

  handshakes(count: number): void {
    if (count > 0) this.#connects.inc(count);
  }
}
