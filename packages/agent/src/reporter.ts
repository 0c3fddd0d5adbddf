import { cpus } from 'node:os';
import { MAX_REPORT_DEVICES, type Report } from '@sallyport/link';
import type { ObservedDevice, Tunnel } from './tunnel.ts';

/** A device counts as active for so long after its last handshake. */
export const ACTIVE_MS = 180_000;
/** Devices that are gone from the tunnels, whose last counters wait for a report. */
const MAX_GONE = 100_000;
/** Reports that the control plane has not stored yet. Beyond them what comes waits in the tunnels' counters. */
const MAX_UNSTORED = 64;

type DeviceReport = Report['devices'][number];

/** What a report counts, under the number by which the control plane knows whether it has it. */
export interface NumberedReport {
  readonly number: number;
  readonly devices: readonly DeviceReport[];
}

export type Condition = Pick<Report, 'health' | 'problems'>;
export type SendReport = (report: Report) => boolean;

interface Seen {
  lastHandshakeAt: number;
  sentBytes: number;
  receivedBytes: number;
}

/**
 * What has come since the last report. It waits, merged, as long as none can be sent. A report that was made is kept as it
 * is until the control plane has stored it: whether it has arrived before a link broke is not known here, but there.
 */
export class Reporter {
  readonly #tunnels: readonly Tunnel[];
  /** In the order of their numbers. */
  #unstored: NumberedReport[] = [];
  #number: number;
  /** By tunnel and device, as the last report left it. */
  readonly #reported = new Map<Tunnel, Map<string, Seen>>();
  #sentTotal = 0;
  #receivedTotal = 0;
  #lastLoadAt = performance.now();
  #lastCpu = cpuTimes();
  #load: Report['load'];

  /** @param number below that of the first report; above all that this gateway has given out before */
  constructor(tunnels: readonly Tunnel[], number: number) {
    this.#tunnels = tunnels;
    this.#number = number;
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

  /** The number that was given out last. */
  get number(): number {
    return this.#number;
  }

  get unstored(): readonly NumberedReport[] {
    return this.#unstored;
  }

  /** Takes in what an earlier run left: reports up to `number`. */
  restore(unstored: readonly NumberedReport[], number: number): void {
    this.#unstored = [...unstored.slice(-MAX_UNSTORED), ...this.#unstored];
    this.#number = Math.max(this.#number, number);
  }

  /** The control plane has stored the reports up to `number`. True where others must be sent again, by new numbers. */
  stored(number: number): boolean {
    if (number <= this.#number) {
      this.#unstored = this.#unstored.filter((report) => report.number > number);
      return false;
    }
    // This machine's clock has gone back since an earlier run, and what was sent was taken for reports of that one.
    this.#number = number;
    this.#unstored = this.#unstored.map(({ devices }) => ({ number: ++this.#number, devices }));
    return this.#unstored.length > 0;
  }

  /** Over a new link: first what may have been lost with the one before, in its order. */
  resend(condition: Condition, send: SendReport): void {
    for (const { number, devices } of this.#unstored)
      if (!send({ kind: 'report', number, devices: [...devices], ...condition, load: this.#load })) return;
  }

  /**
   * Gives `send` the reports that there are to send, one at least. Those for which it answers false are kept to be sent
   * again.
   * @param now Unix milliseconds
   * @returns devices that have made a handshake since they were reported
   */
  report(now: number, condition: Condition, send: SendReport): number {
    const changes = new Map<string, DeviceReport>();
    const marks: { reported: Map<string, Seen>; device: ObservedDevice }[] = [];
    let sent = 0;
    let received = 0;
    let activeDevices = 0;
    for (const tunnel of this.#tunnels) {
      const reported = this.#reported.get(tunnel) as Map<string, Seen>;
      for (const device of tunnel.observe()) {
        sent += device.sentBytes;
        received += device.receivedBytes;
        if (device.lastHandshakeAt > now - ACTIVE_MS) activeDevices++;
        const before = reported.get(device.deviceId) ?? { lastHandshakeAt: 0, sentBytes: 0, receivedBytes: 0 };
        const sentBytes = increase(before.sentBytes, device.sentBytes);
        const receivedBytes = increase(before.receivedBytes, device.receivedBytes);
        if (sentBytes === 0 && receivedBytes === 0 && device.lastHandshakeAt === before.lastHandshakeAt) continue;
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
    const counted = new Set<string>();
    for (let at = 0; at < all.length && this.#unstored.length < MAX_UNSTORED; at += MAX_REPORT_DEVICES) {
      const devices = all.slice(at, at + MAX_REPORT_DEVICES);
      const number = ++this.#number;
      this.#unstored.push({ number, devices });
      for (const { id } of devices) counted.add(id);
      send({ kind: 'report', number, devices, ...condition, load });
    }
    // Without a number where it counts nothing: there is nothing to lose or to count twice.
    if (counted.size === 0) send({ kind: 'report', devices: [], ...condition, load });
    let handshakes = 0;
    for (const { reported, device } of marks) {
      if (!counted.has(device.deviceId)) continue;
      const { lastHandshakeAt, sentBytes, receivedBytes } = device;
      if (lastHandshakeAt !== (reported.get(device.deviceId)?.lastHandshakeAt ?? 0)) handshakes++;
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

/** Of a counter that begins anew where its device was forgotten. */
function increase(before: number, now: number): number {
  return now >= before ? now - before : now;
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
