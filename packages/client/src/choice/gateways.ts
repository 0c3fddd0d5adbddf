/** Which gateways come into question, and in which order. */
import type { ServiceConfiguration, ServiceGateway } from '../configuration.ts';

export type Latencies = Readonly<Record<string, number>>;

/** What a gateway's load costs, as if it were that much farther away, milliseconds. */
const loadPenaltyMs = { low: 0, unknown: 5, medium: 15, high: 80 } as const;
/** Where nobody measured, places in the control plane's order count as this far apart. */
const placeMs = 20;

/** The gateways that requirements leave: those of any region or with any id that is named; all where none is. */
export function permitted(configuration: ServiceConfiguration): readonly ServiceGateway[] {
  const { regionIds, gatewayIds } = configuration.requirements;
  if (regionIds.length === 0 && gatewayIds.length === 0) return configuration.gateways;
  return configuration.gateways.filter(({ id, regionId }) => regionIds.includes(regionId) || gatewayIds.includes(id));
}

/** Whether a target (`fastest`; the id or name of a region or gateway; a country's code) means this gateway. */
export function means(target: string, gateway: ServiceGateway): boolean {
  const wanted = target.toLowerCase();
  if (wanted === 'fastest') return true;
  const { id, name, regionId, regionName, country } = gateway;
  return [id, name, regionId, regionName, country].some((text) => text?.toLowerCase() === wanted);
}

/** The gateways that the target means, the best first: who answers, does not drain, is near and has room. */
export function ranked(configuration: ServiceConfiguration, target: string, latencies: Latencies): ServiceGateway[] {
  const all = permitted(configuration);
  const measured = Object.values(latencies);
  const unmeasuredMs = measured.length === 0 ? 0 : Math.max(...measured) + placeMs;
  const score = new Map(
    all.map((gateway, place) => {
      const near = latencies[gateway.id] ?? unmeasuredMs + place * placeMs;
      return [gateway.id, near + loadPenaltyMs[gateway.load] + (gateway.health === 'degraded' ? 50 : 0)];
    }),
  );
  // What is worse than any distance, by weight.
  const faults = ({ health, draining }: ServiceGateway): number =>
    (health === 'unreachable' || health === 'neverConnected' ? 2 : 0) + (draining ? 1 : 0);
  return all
    .filter((gateway) => means(target, gateway))
    .sort((a, b) => faults(a) - faults(b) || (score.get(a.id) ?? 0) - (score.get(b.id) ?? 0));
}
