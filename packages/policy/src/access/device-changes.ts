import { EVERYONE } from '../model.ts';
import type { AccessModel } from '../model.ts';
import { sameDevice } from '../change.ts';
import type { DevicePlan } from '../state.ts';
import { planDevice, type ActiveDevice, type DeviceContext, type GrantedGroups } from './plan.ts';
import { demandsPlace } from './requirements.ts';

/** The organisation at a moment, with the devices that may connect then. */
export interface Moment {
  readonly model: AccessModel;
  readonly active: ReadonlyMap<string, ActiveDevice>;
}

export interface DeviceChange {
  readonly putDevices: readonly DevicePlan[];
  readonly removeDevices: readonly string[];
}

/**
 * What changes of devices between two moments, gateway by gateway. Most devices leave each gateway by its own address, so
 * that their change is the same wherever the same groups reach anything: it is worked out once. Members of groups that
 * a gateway has an address for are looked at for that gateway.
 */
export class DeviceChanges {
  readonly #before: Moment;
  readonly #after: Moment;
  /** The devices that may have another standing, other limits or other groups than before. */
  readonly #affected: ReadonlySet<string>;
  readonly #plain = new Map<GrantedGroups | undefined, Map<GrantedGroups, DeviceChange>>();
  #affectedByGroup: ReadonlyMap<string, ReadonlySet<string>> | undefined;
  #allByGroup: ReadonlyMap<string, ReadonlySet<string>> | undefined;

  constructor(before: Moment, after: Moment, affected: ReadonlySet<string>) {
    this.#before = before;
    this.#after = after;
    this.#affected = affected;
  }

  /** At a gateway that was `from` (undefined: that wasn't there) and is `to`. */
  between(from: DeviceContext | undefined, to: DeviceContext): DeviceChange {
    const plain = this.#plainChange(from?.granted, to.granted);
    const own = this.#devicesWithOwnEgress(from, to);
    if (own.size === 0) return plain;
    const change = this.#compare(own, from, to);
    return {
      putDevices: [...plain.putDevices.filter(({ id }) => !own.has(id)), ...change.putDevices],
      removeDevices: [...plain.removeDevices.filter((id) => !own.has(id)), ...change.removeDevices],
    };
  }

  #plainChange(from: GrantedGroups | undefined, to: GrantedGroups): DeviceChange {
    let changes = this.#plain.get(from);
    if (changes === undefined) this.#plain.set(from, (changes = new Map<GrantedGroups, DeviceChange>()));
    let change = changes.get(to);
    if (change === undefined) {
      const context = (granted: GrantedGroups): DeviceContext => ({ granted, egress: [] });
      change = this.#compare(this.#candidates(from, to), from && context(from), context(to));
      changes.set(to, change);
    }
    return change;
  }

  #compare(devices: Iterable<string>, from: DeviceContext | undefined, to: DeviceContext): DeviceChange {
    const putDevices: DevicePlan[] = [];
    const removeDevices: string[] = [];
    for (const id of devices) {
      const then = from && planAt(this.#before, id, from);
      const now = planAt(this.#after, id, to);
      if (now === undefined) {
        if (then !== undefined) removeDevices.push(id);
      } else if (then === undefined || !sameDevice(then, now)) putDevices.push(now);
    }
    return { putDevices, removeDevices };
  }

  /** The devices whose plan may differ where other groups reach anything than before. */
  #candidates(from: GrantedGroups | undefined, to: GrantedGroups): Iterable<string> {
    if (from === to) return this.#affected;
    if (from === undefined) return this.#after.model.devices.keys();
    const groups = [...from.ids, ...to.ids].filter((id) => !from.ids.has(id) || !to.ids.has(id));
    // At another place, or one that is demanded now, whoever's groups demand one may be let in or not.
    if (from.place.id !== to.place.id || from.place.regionId !== to.place.regionId) groups.push(...this.#demanding());
    if (groups.includes(EVERYONE))
      return new Set([...this.#before.model.devices.keys(), ...this.#after.model.devices.keys()]);
    return union([this.#affected, ...this.#members(groups, true)]);
  }

  /** The groups that demand a place, before or after. */
  #demanding(): readonly string[] {
    return [this.#before, this.#after].flatMap(({ model }) =>
      [...model.groups.values()].filter(demandsPlace).map(({ id }) => id),
    );
  }

  /** The devices to look at whose users are, or were, in a group that the gateway has, or had, addresses for. */
  #devicesWithOwnEgress(from: DeviceContext | undefined, to: DeviceContext): ReadonlySet<string> {
    const groups = new Set([...(from?.egress ?? []), ...to.egress].flatMap(({ group }) => group ?? []));
    if (groups.size === 0) return groups;
    const same = from !== undefined && from.granted === to.granted && sameEntries(from, to);
    return union(this.#members([...groups], !same));
  }

  /** The devices of each group's members before and after, all or the affected ones. */
  #members(groups: readonly string[], all: boolean): readonly ReadonlySet<string>[] {
    const index = all
      ? (this.#allByGroup ??= this.#index(
          new Set([...this.#before.model.devices.keys(), ...this.#after.model.devices.keys()]),
        ))
      : (this.#affectedByGroup ??= this.#index(this.#affected));
    return groups.flatMap((group) => index.get(group) ?? []);
  }

  #index(devices: Iterable<string>): ReadonlyMap<string, ReadonlySet<string>> {
    const index = new Map<string, Set<string>>();
    for (const id of devices) {
      for (const { model } of [this.#before, this.#after]) {
        for (const group of model.users.get(model.devices.get(id)?.userId ?? '')?.groups ?? []) {
          const members = index.get(group);
          if (members === undefined) index.set(group, new Set([id]));
          else members.add(id);
        }
      }
    }
    return index;
  }
}

function planAt({ model, active }: Moment, id: string, at: DeviceContext): DevicePlan | undefined {
  const device = model.devices.get(id);
  return device && planDevice(model, device, active.get(id), at);
}

function sameEntries(a: DeviceContext, b: DeviceContext): boolean {
  return (
    a.egress === b.egress ||
    (a.egress.length === b.egress.length &&
      a.egress.every(({ group, ipv4, ipv6 }, i) => {
        const other = b.egress[i];
        return group === other.group && ipv4 === other.ipv4 && ipv6 === other.ipv6;
      }))
  );
}

function union(sets: readonly ReadonlySet<string>[]): ReadonlySet<string> {
  if (sets.length === 1) return sets[0];
  const all = new Set<string>();
  for (const set of sets) for (const item of set) all.add(item);
  return all;
}
