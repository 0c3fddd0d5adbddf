import { gatewayRoutes as contracts, type Gateway } from '@sallyport/api';
import { recommendGateways, type GatewayPlace, type Near } from '../hub/recommend.ts';
import { ApiError } from '../http/api-error.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { allGateways } from '../repositories/gateways.ts';
import type { Services } from '../services.ts';

/** All gateways as they were a moment ago. */
export interface KnownGateways {
  readonly gateways: ReadonlyMap<string, Gateway>;
  readonly places: ReadonlyMap<string, GatewayPlace>;
  /** By id. */
  readonly regionNames: ReadonlyMap<string, string>;
}

export async function readGateways({ store, now }: Services): Promise<KnownGateways> {
  const gateways = new Map((await allGateways(store.db, now())).map((gateway) => [gateway.id, gateway]));
  const regions = await store.db.selectFrom('region').select(['id', 'name']).execute();
  return {
    gateways,
    places: new Map([...gateways].map(([id, gateway]) => [id, placeOf(gateway)])),
    regionNames: new Map(regions.map(({ id, name }) => [id, name])),
  };
}

/** The gateways that a user may use, the best first, with all that there is to know of each. */
export async function gatewaysFor(
  services: Services,
  userId: string,
  options: { readonly near?: Near; readonly regionId?: string | undefined },
) {
  return choicesAmong(await readGateways(services), services, userId, options);
}

/** {@link gatewaysFor} of gateways that were read before. */
export function choicesAmong(
  { gateways, places }: KnownGateways,
  { directory: { model } }: Services,
  userId: string,
  options: { readonly near?: Near; readonly regionId?: string | undefined },
) {
  const user = model.users.get(userId);
  if (user === undefined) return [];
  return recommendGateways(model, places, user, options).flatMap((choice, index) => {
    const gateway = gateways.get(choice.gatewayId);
    return gateway === undefined ? [] : [{ gateway, ...choice, recommended: index === 0 && choice.open }];
  });
}

/**
 * The gateways for the configuration of a device, the best first and at least one, or the one that is asked for, by id or
 * name. Draining ones only for who asks for them. Throws an ApiError where there is none.
 * @param speaks whether a gateway speaks the device's protocol
 */
export async function chosenGateways(
  services: Services,
  device: { readonly user_id: string; readonly user_name: string },
  reference: string | undefined,
  speaks: (gateway: Gateway) => boolean = () => true,
): Promise<readonly [Gateway, ...Gateway[]]> {
  const all = (await gatewaysFor(services, device.user_id, {})).filter(({ gateway }) => speaks(gateway));
  const userName = device.user_name;
  const chosen =
    reference === undefined
      ? // Where the first can take nobody now it is one that is likely to come back.
        [...all.filter(({ recommended }) => recommended), ...all.filter(({ recommended, gateway }) => !recommended && !gateway.draining)] // prettier-ignore
      : all.filter(({ gateway }) => gateway.id === reference || gateway.name === reference);
  const [first, ...others] = chosen.map(({ gateway }) => gateway);
  if (first !== undefined) return [first, ...others];
  if (reference !== undefined) {
    // Whether a gateway exists that a user may not use is none of their business.
    throw new ApiError('notFound', `There is no gateway ${reference} that ${userName} may use.`);
  }
  throw new ApiError(
    'conflict',
    `There is no gateway that ${userName} may use: a rule must let one of the user's groups reach something, and a ` +
      'gateway must have joined that is not being drained.',
  );
}

/** What every answer about a gateway says to those who may use it. */
export function offerOf(gateway: Gateway, { regionNames }: KnownGateways) {
  const { id, name, regionId, country, city, endpointHost, endpointPort, wireguardPublicKey, health, draining } =
    gateway;
  const regionName = regionNames.get(regionId) ?? regionId;
  return {
    id,
    name,
    regionId,
    regionName,
    country,
    city,
    endpointHost,
    endpointPort,
    wireguardPublicKey,
    health,
    draining,
  };
}

/** Whether OpenVPN devices can connect to it, by whichever transport. */
export function speaksOpenVpn({ transports: { openvpn } }: Gateway): boolean {
  return openvpn !== null && (openvpn.port !== 0 || openvpn.tcpPort !== 0);
}

function placeOf(gateway: Gateway): GatewayPlace {
  const { country, latitude, longitude, lastSeenAt } = gateway;
  return {
    country,
    latitude,
    longitude,
    status: { ...gateway, lastSeenAt: lastSeenAt === null ? null : Date.parse(lastSeenAt) },
  };
}

export const myGatewayRoutes: readonly RouteImplementation[] = [
  implement(contracts.listMyGateways, async ({ services, caller, query }) => {
    const { regionId, ...near } = query;
    if ((near.latitude === undefined) !== (near.longitude === undefined))
      throw new ApiError('invalidRequest', 'Give both latitude and longitude, or neither.', {
        faults: [{ at: '/query/latitude', message: 'latitude and longitude go together' }],
      });
    const known = await readGateways(services);
    const choices = choicesAmong(known, services, caller.userId, { near, regionId });
    return {
      items: choices.map(({ gateway, load, distanceKm, recommended }) => ({
        ...offerOf(gateway, known),
        openvpn: speaksOpenVpn(gateway),
        load,
        distanceKm,
        recommended,
      })),
      next: null,
    };
  }),
];
