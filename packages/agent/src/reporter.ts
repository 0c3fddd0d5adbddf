import { cpus } from 'node:os';
import { MAX_REPORT_DEVICES, type Report } from '@sallyport/link';
import type { ObservedDevice, Tunnel } from './tunnel.ts';

/** A device counts as active for so long after its last handshake. */
export const ACTIVE_MS = 180_000;
/** Devices that are gone from the tunnels, whose last counters wait for a report. */
const MAX_GONE = 100_000;

type DeviceReport = Report['devices'][number];

interface Seen {
  lastHandshakeAt: number;
  sentBytes: number;
  receivedBytes: number;
}

/** What has come since the last report that was sent. It waits, merged, as long as none can be sent. */
export class Reporter {
  readonly #tunnels: readonly Tunnel[];
  /** By tunnel and device, as the last report left it. */
  readonly #reported = new Map<Tunnel, Map<string, Seen>>();
  #sentTotal = 0;
  #receivedTotal = 0;
  #lastLoadAt = performance.now();
  #lastCpu = cpuTimes();
  #load: Report['load'];

  constructor(tunnels: readonly Tunnel[]) {
    this.#tunnels = tunnels;
    for (const tunnel of tunnels) this.#reported.set(tunnel, new Map());
    this.#load = { cpu: 0, memoryBytes: 0, receivedBitsPerSecond: 0, sentBitsPerSecond: 0, activeDevices: 0 };
  }

  /** Whether a device that was never reported with a handshake has made one. */
  get hasNews(): boolean {
    for (const tunnel of this.#tunnels) {
      const reported = this.#reported.get(tunnel);
      for (const { deviceId, lastHandshakeAt } of tunnel.observe())
        if (lastHandshakeAt > 0 && (reported?.get(deviceId)?.lastHandshakeAt ?? 0) === 0) return true;
    }
    return false;
  }

  /**
   * Gives `send` the reports that there are to send, one at least; those for which it answers false are kept for later.
   * @param now Unix milliseconds
   * @returns devices that have made a handshake since they were reported
   */
  report(now: number, health: Pick<Report, 'health' | 'problems'>, send: (report: Report) => boolean): number {
    const changes = new Map<string, DeviceReport>();
    const marks: { reported: Map<string, Seen>; device: ObservedDevice }[] = [];
    let sent = 0;
    let received = 0;
    let activeDevices = 0;
    let handshakes = 0;
    for (const tunnel of this.#tunnels) {
      const reported = this.#reported.get(tunnel) as Map<string, Seen>;
      for (const device of tunnel.observe()) {
        sent += device.sentBytes;
        received += device.receivedBytes;
        if (device.lastHandshakeAt > now - ACTIVE_MS) activeDevices++;
        const before = reported.get(device.deviceId) ?? { lastHandshakeAt: 0, sentBytes: 0, receivedBytes: 0 };
        const sentBytes = Math.max(0, device.sentBytes - before.sentBytes);
        const receivedBytes = Math.max(0, device.receivedBytes - before.receivedBytes);
        if (sentBytes === 0 && receivedBytes === 0 && device.lastHandshakeAt === before.lastHandshakeAt) continue;
        if (device.lastHandshakeAt !== before.lastHandshakeAt) handshakes++;
        const other = changes.get(device.deviceId);
        changes.set(device.deviceId, {
          id: device.deviceId,
          lastHandshakeAt: Math.max(device.lastHandshakeAt, other?.lastHandshakeAt ?? 0),
          sentBytes: sentBytes + (other?.sentBytes ?? 0),
          receivedBytes: receivedBytes + (other?.receivedBytes ?? 0),
        });
        marks.push({ reported, device });
      }
    }
    const load = this.#measure(sent, received, activeDevices);
    const all = [...changes.values()];
    const gone = new Set<string>();
    for (let at = 0; at === 0 || at < all.length; at += MAX_REPORT_DEVICES) {
      const devices = all.slice(at, at + MAX_REPORT_DEVICES);
      if (!send({ kind: 'report', devices, ...health, load })) break;
      for (const { id } of devices) gone.add(id);
    }
    for (const { reported, device } of marks)
      if (gone.has(device.deviceId)) {
        const { lastHandshakeAt, sentBytes, receivedBytes } = device;
        reported.set(device.deviceId, { lastHandshakeAt, sentBytes, receivedBytes });
      }
    // A tunnel forgets who has been gone for long; so does this.
    for (const [tunnel, reported] of this.#reported) {
      if (reported.size <= MAX_GONE) continue;
      const present = new Set(Array.from(tunnel.observe(), ({ deviceId }) => deviceId));
      for (const id of reported.keys()) if (!present.has(id)) reported.delete(id);
    }
    return handshakes;
  }

  get load(): Report['load'] {
    return this.#load;
  }

  #measure(sent: number, received: number, activeDevices: number): Report['load'] {
    const now = performance.now();
    const seconds = (now - this.#lastLoadAt) / 1000;
    // Reports that follow one another closely would give figures of little meaning.
    if (seconds >= 1) {
      const cpu = cpuTimes();
      const total = cpu.total - this.#lastCpu.total;
      this.#load = {
        cpu: total <= 0 ? 0 : Math.min(1, Math.max(0, (cpu.busy - this.#lastCpu.busy) / total)),
        memoryBytes: process.memoryUsage.rss(),
        // From the gateway's side: what devices send, it receives.
        receivedBitsPerSecond: Math.max(0, ((sent - this.#sentTotal) * 8) / seconds),
        sentBitsPerSecond: Math.max(0, ((received - this.#receivedTotal) * 8) / seconds),
        activeDevices,
      };
      this.#lastCpu = cpu;
      this.#lastLoadAt = now;
      this.#sentTotal = sent;
      this.#receivedTotal = received;
    }
    return { ...this.#load, memoryBytes: process.memoryUsage.rss(), activeDevices };
  }
}

function cpuTimes(): { busy: number; total: number } {
  let busy = 0;
  let total = 0;
  for (const { times } of cpus()) {
    const working = times.user + times.nice + times.sys + times.irq;
    busy += working;
    total += working + times.idle;
  }
  return { busy, total };
}
