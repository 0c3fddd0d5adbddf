/** What groups demand of their members' clients, and the gateways that this leaves to them. */
import type { AccessModel, GatewayModel, GroupModel, UserModel } from '../model.ts';
import { groupModelsOf } from './standing.ts';

/** All that a user's groups demand together. */
export interface Requirements {
  readonly killSwitch: boolean;
  /** Devices are admitted at gateways of these regions and at these gateways; where both are empty, at all. Sorted. */
  readonly regionIds: readonly string[];
  readonly gatewayIds: readonly string[];
}

export function requirementsOf(model: AccessModel, user: UserModel): Requirements {
  const known = requirements.get(user);
  if (known?.groups === model.groups) return known.found;
  const groups = groupModelsOf(model, user);
  const named = (of: (group: GroupModel) => string | null | undefined): string[] =>
    [...new Set(groups.flatMap((group) => of(group) ?? []))].sort();
  const found = {
    killSwitch: groups.some(({ requireKillSwitch }) => requireKillSwitch === true),
    regionIds: named(({ requireRegionId }) => requireRegionId),
    gatewayIds: named(({ requireGatewayId }) => requireGatewayId),
  };
  requirements.set(user, { groups: model.groups, found });
  return found;
}
// Users are plain data that doesn't change.
const requirements = new WeakMap<UserModel, { readonly groups: AccessModel['groups']; readonly found: Requirements }>();

/** Whether the user's groups leave a gateway to their devices. */
export function admits(model: AccessModel, user: UserModel, at: Pick<GatewayModel, 'id' | 'regionId'>): boolean {
  const { regionIds, gatewayIds } = requirementsOf(model, user);
  if (regionIds.length === 0 && gatewayIds.length === 0) return true;
  return regionIds.includes(at.regionId) || gatewayIds.includes(at.id);
}

/** Whether a group demands a place. */
export function demandsPlace({ requireRegionId, requireGatewayId }: GroupModel): boolean {
  return (requireRegionId ?? null) !== null || (requireGatewayId ?? null) !== null;
}

/** The regions and gateways that any group demands. */
export interface DemandedPlaces {
  readonly regionIds: ReadonlySet<string>;
  readonly gatewayIds: ReadonlySet<string>;
}

export function demandedPlaces(model: AccessModel): DemandedPlaces {
  const regionIds = new Set<string>();
  const gatewayIds = new Set<string>();
  for (const { requireRegionId, requireGatewayId } of model.groups.values()) {
    if ((requireRegionId ?? null) !== null) regionIds.add(requireRegionId as string);
    if ((requireGatewayId ?? null) !== null) gatewayIds.add(requireGatewayId as string);
  }
  return { regionIds, gatewayIds };
}

/** What demands can tell of a gateway: two of which nobody demands one are the same place, with empty ids. */
export interface Place {
  readonly id: string;
  readonly regionId: string;
}

export function placeOf({ id, regionId }: GatewayModel, { regionIds, gatewayIds }: DemandedPlaces): Place {
  return { id: gatewayIds.has(id) ? id : '', regionId: regionIds.has(regionId) ? regionId : '' };
}
