import type { DesiredState, DevicePlan, GatewayPlan, GroupPlan, StateChange } from '@sallyport/policy';

/** Entries beyond which a snapshot is sent in place of what gathered. */
const MAX_ENTRIES = 50_000;

/** What changed at a gateway and wasn't sent yet: a later change of an entry replaces an earlier one. */
export class PendingChange {
  /** What gathered isn't worth having or not known: the whole state is to be sent. */
  whole = false;
  #gateway: GatewayPlan | undefined;
  readonly #groups = new Map<string, GroupPlan | undefined>();
  readonly #devices = new Map<string, DevicePlan | undefined>();

  get empty(): boolean {
    return !this.whole && this.#gateway === undefined && this.#groups.size === 0 && this.#devices.size === 0;
  }

  add(change: StateChange): void {
    if (this.whole) return;
    if (change.gateway !== undefined) this.#gateway = change.gateway;
    for (const id of change.removeGroups) this.#groups.set(id, undefined);
    for (const group of change.putGroups) this.#groups.set(group.id, group);
    for (const id of change.removeDevices) this.#devices.set(id, undefined);
    for (const device of change.putDevices) this.#devices.set(device.id, device);
    if (this.#groups.size + this.#devices.size > MAX_ENTRIES) this.makeWhole();
  }

  makeWhole(): void {
    this.whole = true;
    this.#gateway = undefined;
    this.#groups.clear();
    this.#devices.clear();
  }

  /** Everything in one change. */
  take(): StateChange {
    const [putGroups, removeGroups] = split(this.#groups);
    const [putDevices, removeDevices] = split(this.#devices);
    return {
      ...(this.#gateway === undefined ? {} : { gateway: this.#gateway }),
      putGroups,
      removeGroups,
      putDevices,
      removeDevices,
    };
  }
}

/** A whole state as the change that a snapshot carries. */
export function snapshotOf(state: DesiredState): StateChange {
  return {
    gateway: state.gateway,
    putGroups: [...state.groups.values()],
    removeGroups: [],
    putDevices: [...state.devices.values()],
    removeDevices: [],
  };
}

function split<T>(entries: ReadonlyMap<string, T | undefined>): [put: T[], remove: string[]] {
  const put: T[] = [];
  const remove: string[] = [];
  for (const [id, entry] of entries) {
    if (entry === undefined) remove.push(id);
    else put.push(entry);
  }
  return [put, remove];
}
