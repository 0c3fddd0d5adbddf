import type { Sample } from '@sallyport/api';
import type { CountedStatus } from '../repositories/status.ts';

const HOUR_MS = 3_600_000;
/** An overview holds at most so many values of a gateway and a moment: about 300 KiB. */
const MAX_VALUES = 2000;

type GatewaySample = Sample['gateways'][number];

/** What gateways did in the last hour, a sample every `everyMs`. */
export class Samples {
  readonly #everyMs: number;
  readonly #samples: Sample[] = [];
  /** The handshakes of each gateway ever, as the last sample found them. */
  #handshakes: ReadonlyMap<string, number> = new Map();

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  /** @param now Unix milliseconds */
  take(statuses: ReadonlyMap<string, CountedStatus>, now: number): Sample {
    const before = this.#handshakes;
    const gateways = [...statuses].map(([gatewayId, { health, load, handshakes }]): GatewaySample => {
      const reachable = health === 'healthy' || health === 'degraded';
      return {
        gatewayId,
        receivedBitsPerSecond: reachable ? Math.round(load?.receivedBitsPerSecond ?? 0) : 0,
        sentBitsPerSecond: reachable ? Math.round(load?.sentBitsPerSecond ?? 0) : 0,
        activeDevices: reachable ? (load?.activeDevices ?? 0) : 0,
        handshakes: Math.max(0, handshakes - (before.get(gatewayId) ?? handshakes)),
      };
    });
    this.#handshakes = new Map([...statuses].map(([id, { handshakes }]) => [id, handshakes]));
    const sample = { at: new Date(now).toISOString(), gateways };
    this.#samples.push(sample);
    while (this.#samples.length > HOUR_MS / this.#everyMs) this.#samples.shift();
    return sample;
  }

  /** The hour, in steps that are the longer the more gateways there are. */
  lastHour(): { readonly seconds: number; readonly samples: Sample[] } {
    const values = this.#samples.reduce((sum, { gateways }) => sum + gateways.length, 0);
    const step = Math.max(1, Math.ceil(values / MAX_VALUES));
    const samples: Sample[] = [];
    // From the end on, so that the newest is whole.
    for (let end = this.#samples.length; end > 0; end -= step) {
      samples.push(merged(this.#samples.slice(Math.max(0, end - step), end)));
    }
    return { seconds: Math.max(1, Math.round((step * this.#everyMs) / 1000)), samples: samples.reverse() };
  }
}

/** Several samples as one, of the time of the last: means of what is measured, sums of what is counted. */
function merged(samples: readonly Sample[]): Sample {
  if (samples.length === 1) return samples[0];
  const byGateway = new Map<string, GatewaySample[]>();
  for (const one of samples.flatMap(({ gateways }) => gateways)) {
    const list = byGateway.get(one.gatewayId);
    if (list === undefined) byGateway.set(one.gatewayId, [one]);
    else list.push(one);
  }
  const gateways = [...byGateway].map(([gatewayId, list]) => {
    const sum = (of: (one: GatewaySample) => number): number => list.reduce((total, one) => total + of(one), 0);
    return {
      gatewayId,
      receivedBitsPerSecond: Math.round(sum((one) => one.receivedBitsPerSecond) / list.length),
      sentBitsPerSecond: Math.round(sum((one) => one.sentBitsPerSecond) / list.length),
      activeDevices: Math.round(sum((one) => one.activeDevices) / list.length),
      handshakes: sum((one) => one.handshakes),
    };
  });
  return { at: samples.at(-1)!.at, gateways };
}
