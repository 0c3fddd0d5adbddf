/** Which gateway a user's device had best connect to. */
import type { Gateway } from '@sallyport/api';
import { gatewaysOf, type AccessModel, type UserModel } from '@sallyport/policy';
import type { GatewayStatus } from '../repositories/status.ts';

export type LoadClass = 'low' | 'medium' | 'high' | 'unknown';

/** What a choice needs to know of a gateway besides the model. */
export interface GatewayPlace {
  readonly status: GatewayStatus;
  readonly country: string | null;
  readonly latitude: number | null;
  readonly longitude: number | null;
}

export interface Near {
  readonly latitude?: number | undefined;
  readonly longitude?: number | undefined;
  readonly country?: string | undefined;
}

export interface Choice {
  readonly gatewayId: string;
  readonly load: LoadClass;
  readonly distanceKm: number | null;
  /** It can take somebody now; only such a gateway is recommended. */
  readonly open: boolean;
}

interface Point {
  readonly latitude: number;
  readonly longitude: number;
}

const EARTH_RADIUS_KM = 6371;
/** A packet takes about a millisecond more for each 100 km, there and back. */
const KM_PER_MS = 100;
/** What a gateway whose distance is not known counts as having, unless it is in the asker's country: a continent's width. */
const UNKNOWN_KM = 5000;
/** What a gateway at full load is set back by, in milliseconds; at half load it is a quarter of that. */
const FULL_LOAD_MS = 100;
const DEGRADED_MS = 100;

/**
 * The gateways that a user's groups may use, the best first: those that are open to somebody new, by an estimate of
 * the delay in milliseconds, which is the distance over 100 km, and 100 times the square of the processors' load, and
 * 100 where the gateway is degraded. Then those that are draining or not reachable. Equals are ordered by name.
 */
export function recommendGateways(
  model: AccessModel,
  places: ReadonlyMap<string, GatewayPlace>,
  user: UserModel,
  { near = {}, regionId }: { readonly near?: Near; readonly regionId?: string | undefined } = {},
): readonly Choice[] {
  const from = startOf(near, places);
  return gatewaysOf(model, user)
    .flatMap((id) => model.gateways.get(id) ?? [])
    .filter((gateway) => regionId === undefined || gateway.regionId === regionId)
    .map((gateway) => {
      const place = places.get(gateway.id);
      const health: Gateway['health'] = place?.status.health ?? 'neverConnected';
      const cpu = place?.status.load?.cpu;
      const distanceKm = from === undefined ? null : distanceTo(from, place);
      const isInCountry = near.country !== undefined && place?.country === near.country;
      const asksForPlace = from !== undefined || near.country !== undefined;
      const km = distanceKm ?? (asksForPlace && !isInCountry ? UNKNOWN_KM : 0);
      const open = !gateway.draining && (health === 'healthy' || health === 'degraded');
      const delay = km / KM_PER_MS + FULL_LOAD_MS * (cpu ?? 0.5) ** 2 + (health === 'degraded' ? DEGRADED_MS : 0);
      const choice = { gatewayId: gateway.id, load: loadClass(health, cpu), distanceKm, open };
      return { choice, delay, name: gateway.name };
    })
    .sort(
      (a, b) =>
        Number(b.choice.open) - Number(a.choice.open) ||
        a.delay - b.delay ||
        (a.name < b.name ? -1 : a.name > b.name ? 1 : 0),
    )
    .map(({ choice }) => choice);
}

function loadClass(health: Gateway['health'], cpu: number | undefined): LoadClass {
  if (cpu === undefined || (health !== 'healthy' && health !== 'degraded')) return 'unknown';
  return cpu < 0.4 ? 'low' : cpu < 0.75 ? 'medium' : 'high';
}

/** Where the asker is. A country stands for the middle of the gateways that are in it. */
function startOf({ latitude, longitude, country }: Near, places: ReadonlyMap<string, GatewayPlace>): Point | undefined {
  if (latitude !== undefined && longitude !== undefined) return { latitude, longitude };
  if (country === undefined) return undefined;
  const there = [...places.values()]
    .filter((place) => place.country === country)
    .flatMap((place) => pointOf(place) ?? []);
  if (there.length === 0) return undefined;
  // The mean of directions, so that places to both sides of 180° meet there and not at 0°.
  const sum = there.map(vectorOf).reduce((a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]]);
  return {
    latitude: degrees(Math.atan2(sum[2], Math.hypot(sum[0], sum[1]))),
    longitude: degrees(Math.atan2(sum[1], sum[0])),
  };
}

function pointOf({ latitude, longitude }: GatewayPlace): Point | undefined {
  return latitude === null || longitude === null ? undefined : { latitude, longitude };
}

function distanceTo(from: Point, place: GatewayPlace | undefined): number | null {
  const to = place && pointOf(place);
  return to === undefined ? null : Math.round(haversineKm(from, to));
}

/** The distance on a great circle. */
export function haversineKm(a: Point, b: Point): number {
  const latitude = Math.sin(radians(b.latitude - a.latitude) / 2) ** 2;
  const longitude = Math.sin(radians(b.longitude - a.longitude) / 2) ** 2;
  const h = latitude + Math.cos(radians(a.latitude)) * Math.cos(radians(b.latitude)) * longitude;
  return 2 * EARTH_RADIUS_KM * Math.asin(Math.min(1, Math.sqrt(h)));
}

function vectorOf({ latitude, longitude }: Point): [number, number, number] {
  const [phi, lambda] = [radians(latitude), radians(longitude)];
  return [Math.cos(phi) * Math.cos(lambda), Math.cos(phi) * Math.sin(lambda), Math.sin(phi)];
}

function radians(angle: number): number {
  return (angle * Math.PI) / 180;
}

function degrees(angle: number): number {
  return (angle * 180) / Math.PI;
}
