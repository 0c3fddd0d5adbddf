import type { Report } from '@sallyport/link';
import type { Transaction } from 'kysely';
import { storedReport, updateHandshakes, updateStatus, type Handshake } from '../repositories/status.ts';
import { addTraffic, dayOf, MAX_DAY_BYTES, type Traffic } from '../repositories/usage.ts';
import type { Services } from '../services.ts';
import type { Database } from '../store/schema.ts';
import type { DeviceOwners } from './device-owners.ts';

/** What is known of a gateway's connection when its reports are stored. */
export interface ReportingGateway {
  readonly connected: boolean;
  readonly latencyMs: number | undefined;
  readonly stateVersion: number;
  readonly appliedVersion: number;
  readonly digested: { readonly version: number; readonly digest: string } | undefined;
}

interface Counted {
  sentBytes: number;
  receivedBytes: number;
}

/** What a gateway reported and isn't stored yet. */
class Batch {
  report: Report | undefined;
  lastSeenAt = 0;
  /** The highest number of the reports in it. */
  number: number | undefined;
  /** By day and device. */
  readonly traffic = new Map<string, Map<string, Counted>>();
  readonly handshakes = new Map<string, number>();
  /** An older one whose commit got no answer. */
  inDoubt: Batch | undefined;

  count(day: string, deviceId: string, sentBytes: number, receivedBytes: number): void {
    let devices = this.traffic.get(day);
    if (devices === undefined) this.traffic.set(day, (devices = new Map<string, Counted>()));
    const counted = devices.get(deviceId);
    if (counted === undefined) devices.set(deviceId, { sentBytes, receivedBytes });
    else {
      // What is above is a gateway's fault, and no reason why the others' numbers can't be stored.
      counted.sentBytes = Math.min(counted.sentBytes + sentBytes, MAX_DAY_BYTES);
      counted.receivedBytes = Math.min(counted.receivedBytes + receivedBytes, MAX_DAY_BYTES);
    }
  }

  handshake(deviceId: string, at: number): void {
    this.handshakes.set(deviceId, Math.max(at, this.handshakes.get(deviceId) ?? 0));
  }

  /** Keeps an older one apart, of which nobody knows whether it is stored. What it says of the gateway holds anyhow. */
  doubt(older: Batch): void {
    this.inDoubt = older;
    this.report ??= older.report;
    this.lastSeenAt = Math.max(this.lastSeenAt, older.lastSeenAt);
  }

  /** `stored`: the number of the gateway's last report that is. Of one that numbers none, everything counts again. */
  settle(stored: number): void {
    const { inDoubt } = this;
    this.inDoubt = undefined;
    if (inDoubt === undefined) return;
    if (inDoubt.number === undefined || inDoubt.number > stored) this.restore(inDoubt);
    else this.number ??= inDoubt.number;
  }

  /** Takes back in what an older batch holds. */
  restore(older: Batch): void {
    for (const [day, devices] of older.traffic)
      for (const [id, { sentBytes, receivedBytes }] of devices) this.count(day, id, sentBytes, receivedBytes);
    for (const [id, at] of older.handshakes) this.handshake(id, at);
    this.report ??= older.report;
    this.lastSeenAt = Math.max(this.lastSeenAt, older.lastSeenAt);
    this.number ??= older.number;
    this.inDoubt ??= older.inDoubt;
  }
}

/** What came of storing. */
export interface Stored {
  /** The number of the last report that is stored now, of gateways that number theirs. */
  readonly numbers: ReadonlyMap<string, number>;
  /** Gateways that are connected to another control node by now, or were removed. */
  readonly lost: readonly string[];
  /** Users whose devices had traffic. */
  readonly users: ReadonlySet<string>;
}

/**
 * Gathers what gateways report until it is stored, each report once. A gateway numbers its reports and sends again what
 * was not said to be stored; the last number is kept in the same transaction as the counters, and a node that the
 * gateway has left stores nothing of it any more. So nothing is lost or counted twice, whatever breaks in between. Of a
 * gateway that doesn't number its reports, each that arrives is counted.
 */
export class ReportBook {
  readonly #services: Services;
  readonly #node: string;
  readonly #owners: DeviceOwners;
  readonly #batches = new Map<string, Batch>();
  /** The last report that was taken, by gateway. */
  readonly #taken = new Map<string, number>();
  /** Gateways of whose reports nothing counts that is being stored. */
  readonly #dropped = new Set<string>();

  constructor(services: Services, node: string, owners: DeviceOwners) {
    this.#services = services;
    this.#node = node;
    this.#owners = owners;
  }

  /** A gateway connected, of which reports up to `number` are stored. */
  begin(gatewayId: string, number: number): void {
    this.#taken.set(gatewayId, Math.max(number, this.#taken.get(gatewayId) ?? 0));
  }

  forget(gatewayId: string): void {
    this.#dropped.add(gatewayId);
    this.#batches.delete(gatewayId);
    this.#taken.delete(gatewayId);
  }

  /** False where the report was taken before. */
  take(gatewayId: string, report: Report, now: number): boolean {
    const { number } = report;
    const batch = this.#batches.get(gatewayId) ?? new Batch();
    this.#batches.set(gatewayId, batch);
    batch.lastSeenAt = now;
    batch.report = report;
    if (number !== undefined) {
      if (number <= (this.#taken.get(gatewayId) ?? 0)) {
        // Perhaps the answer was lost: it is given again with the next storing.
        batch.number ??= this.#taken.get(gatewayId)!;
        return false;
      }
      this.#taken.set(gatewayId, number);
      batch.number = number;
    }
    const day = dayOf(now);
    for (const { id, sentBytes, receivedBytes, lastHandshakeAt } of report.devices) {
      const sent = Math.min(Math.floor(sentBytes), MAX_DAY_BYTES);
      const received = Math.min(Math.floor(receivedBytes), MAX_DAY_BYTES);
      if (sent > 0 || received > 0) batch.count(day, id, sent, received);
      if (lastHandshakeAt > 0) batch.handshake(id, Math.min(Math.floor(lastHandshakeAt), now));
    }
    return true;
  }

  /** Stores everything in one transaction, or nothing, and then keeps it for the next time. `gateways`: those that matter. */
  async store(gateways: ReadonlyMap<string, ReportingGateway>): Promise<Stored> {
    const batches = new Map(this.#batches);
    this.#batches.clear();
    this.#dropped.clear();
    let isCommitting = false;
    try {
      return await this.#services.store.db.transaction().execute(async (transaction) => {
        const stored = await this.#storeBatches(transaction, batches, gateways);
        isCommitting = true;
        return stored;
      });
    } catch (error) {
      for (const [id, batch] of batches) {
        if (this.#dropped.has(id)) continue;
        const newer = this.#batches.get(id) ?? new Batch();
        this.#batches.set(id, newer);
        if (isCommitting) newer.doubt(batch);
        else newer.restore(batch);
      }
      throw error;
    }
  }

  async #storeBatches(
    transaction: Transaction<Database>,
    batches: ReadonlyMap<string, Batch>,
    gateways: ReadonlyMap<string, ReportingGateway>,
  ): Promise<Stored> {
    const numbers = new Map<string, number>();
    const lost: string[] = [];
    const users = new Set<string>();
    const traffic = new Map<string, Traffic>();
    const handshakes = new Map<string, Handshake>();
    const { devices, gateways: known } = this.#services.directory.model;
    for (const [gatewayId, gateway] of gateways) {
      const batch = batches.get(gatewayId);
      if (batch === undefined && gateway.connected && gateway.digested === undefined) continue;
      if (batch?.inDoubt !== undefined) batch.settle(await storedReport(transaction, gatewayId));
      const stays = await updateStatus(transaction, this.#node, {
        ...gateway,
        gatewayId,
        report: batch?.report,
        lastSeenAt: batch?.lastSeenAt,
        reportNumber: batch?.number,
      });
      if (!stays) {
        lost.push(gatewayId);
        // Numbered reports come again, to where it is connected now.
        if (batch === undefined || batch.number !== undefined) continue;
      }
      if (batch === undefined) continue;
      if (batch.number !== undefined) numbers.set(gatewayId, batch.number);
      for (const [day, counts] of batch.traffic) {
        for (const [deviceId, { sentBytes, receivedBytes }] of counts) {
          const userId = this.#owners.of(deviceId);
          if (userId === undefined) continue;
          users.add(userId);
          const key = `${day} ${deviceId}`;
          const before = traffic.get(key);
          traffic.set(key, {
            deviceId,
            userId,
            day,
            sentBytes: sentBytes + (before?.sentBytes ?? 0),
            receivedBytes: receivedBytes + (before?.receivedBytes ?? 0),
          });
        }
      }
      for (const [deviceId, at] of batch.handshakes) {
        if (!devices.has(deviceId) || !known.has(gatewayId)) continue;
        if (at > (handshakes.get(deviceId)?.at ?? 0)) handshakes.set(deviceId, { deviceId, gatewayId, at });
      }
    }
    // In one order everywhere, so that two nodes never wait for each other.
    await addTraffic(
      transaction,
      [...traffic].sort(byKey).map(([, item]) => item),
    );
    await updateHandshakes(
      transaction,
      this.#node,
      [...handshakes].sort(byKey).map(([, item]) => item),
    );
    return { numbers, lost, users };
  }
}

function byKey([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
