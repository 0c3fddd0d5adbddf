/** Whether a device may connect, and within which limits. */
import { EVERYONE } from '../model.ts';
import type { AccessModel, DeviceModel, GroupModel, UserModel } from '../model.ts';

export type Standing =
  | 'active'
  | 'awaitingApproval'
  | 'userDisabled'
  | 'userExpired'
  | 'deviceExpired'
  | 'certificateExpired'
  | 'loginRequired'
  | 'trafficUsedUp';

export interface StandingUntil {
  readonly standing: Standing;
  /** The first moment, Unix milliseconds, at which it isn't active any more if nothing but time passes; only while active. */
  readonly validUntil?: number | undefined;
}

export interface Limits {
  readonly devicesPerUser: number | null;
  readonly bitsPerSecond: number | null;
  readonly trafficBytesPerMonth: number | null;
}

/** The ids of a user's groups, {@link EVERYONE} among them, sorted. */
export function groupsOf(user: UserModel): readonly string[] {
  let groups = sortedGroups.get(user);
  if (groups === undefined) {
    groups = [...new Set([...user.groups, EVERYONE])].sort();
    sortedGroups.set(user, groups);
  }
  return groups;
}
// Users are plain data that doesn't change.
const sortedGroups = new WeakMap<UserModel, readonly string[]>();

/**
 * What is wrong with a device's access, the gravest first. What an administrator did counts before what time did, and
 * that before what its user can mend alone. A device whose user the model doesn't have counts as disabled.
 */
export function standingOf(model: AccessModel, device: DeviceModel, now: number): StandingUntil {
  const user = model.users.get(device.userId);
  if (user === undefined) return { standing: 'userDisabled' };
  const ofUser = userStandingOf(model, user, now);
  if (ofUser.standing === 'userDisabled' || ofUser.standing === 'userExpired') return ofUser;
  if (!device.approved) return { standing: 'awaitingApproval' };
  if (device.expiresAt !== null && device.expiresAt <= now) return { standing: 'deviceExpired' };
  const certificate = device.openvpn?.certificate ?? null;
  if (certificate !== null && certificate.expiresAt <= now) return { standing: 'certificateExpired' };
  if (ofUser.standing !== 'active') return ofUser;
  const until = Math.min(
    ofUser.validUntil ?? Infinity,
    device.expiresAt ?? Infinity,
    certificate?.expiresAt ?? Infinity,
  );
  return until === Infinity ? ofUser : { standing: 'active', validUntil: until };
}

/** What is wrong with the access of all of a user's devices. */
export function userStandingOf(model: AccessModel, user: UserModel, now: number): StandingUntil {
  if (user.disabled) return { standing: 'userDisabled' };
  if (user.expiresAt !== null && user.expiresAt <= now) return { standing: 'userExpired' };
  const session = sessionEnd(model, user);
  if (session !== null && session <= now) return { standing: 'loginRequired' };
  if (isTrafficUsedUp(model, user)) return { standing: 'trafficUsedUp' };
  const until = Math.min(user.expiresAt ?? Infinity, session ?? Infinity);
  return until === Infinity ? { standing: 'active' } : { standing: 'active', validUntil: until };
}

/** A user's own limits, else the largest that any of its groups sets, else null for none. */
export function limitsOf(model: AccessModel, user: UserModel): Limits {
  return factsOf(model, user).limits;
}

/** The shortest session lifetime of a user's groups, in milliseconds, or null where none sets one. */
export function sessionLifetimeOf(model: AccessModel, user: UserModel): number | null {
  return factsOf(model, user).sessionLifetimeMs;
}

/** Whether a device that a user adds now waits for an administrator: when any of its groups asks for that. */
export function requiresApproval(model: AccessModel, user: UserModel): boolean {
  return groupModelsOf(model, user).some((group) => group.requireDeviceApproval);
}

/** Whether the user's devices have used up what they may send and receive this month. */
export function isTrafficUsedUp(model: AccessModel, user: UserModel): boolean {
  const { trafficBytesPerMonth } = limitsOf(model, user);
  return trafficBytesPerMonth !== null && user.trafficBytesThisMonth >= trafficBytesPerMonth;
}

/** A device's own rate, else its user's. */
export function bitsPerSecondOf(model: AccessModel, device: DeviceModel): number | null {
  if (device.bitsPerSecond !== null) return device.bitsPerSecond;
  const user = model.users.get(device.userId);
  return user === undefined ? null : limitsOf(model, user).bitsPerSecond;
}

/** When a user's login ends (0 where there was none), or null where its groups set no lifetime. */
function sessionEnd(model: AccessModel, user: UserModel): number | null {
  const lifetime = sessionLifetimeOf(model, user);
  if (lifetime === null) return null;
  return user.lastLoginAt === null ? 0 : user.lastLoginAt + lifetime;
}

/** What follows from a user's groups. */
interface Facts {
  /** What it was made from. */
  readonly groups: AccessModel['groups'];
  readonly limits: Limits;
  readonly sessionLifetimeMs: number | null;
}

const facts = new WeakMap<UserModel, Facts>();

function factsOf(model: AccessModel, user: UserModel): Facts {
  const known = facts.get(user);
  if (known?.groups === model.groups) return known;
  const groups = groupModelsOf(model, user);
  const limit = (of: (holder: UserModel | GroupModel) => number | null): number | null => {
    const own = of(user);
    return own ?? extreme(groups.map(of), Math.max);
  };
  const found = {
    groups: model.groups,
    limits: {
      devicesPerUser: limit((holder) => holder.devicesPerUser),
      bitsPerSecond: limit((holder) => holder.bitsPerSecond),
      trafficBytesPerMonth: limit((holder) => holder.trafficBytesPerMonth),
    },
    sessionLifetimeMs: extreme(
      groups.map(({ sessionLifetimeMs }) => sessionLifetimeMs),
      Math.min,
    ),
  };
  facts.set(user, found);
  return found;
}

function extreme(values: readonly (number | null)[], choose: (a: number, b: number) => number): number | null {
  let found: number | null = null;
  for (const value of values) if (value !== null) found = found === null ? value : choose(found, value);
  return found;
}

export function groupModelsOf(model: AccessModel, user: UserModel): readonly GroupModel[] {
  return groupsOf(user).flatMap((id) => model.groups.get(id) ?? []);
}
