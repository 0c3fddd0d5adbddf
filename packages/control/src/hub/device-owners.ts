import type { AccessModel } from '@sallyport/policy';

const MAX_REMOVED = 10_000;

/** Whose a device is, for some time after its removal too: its last traffic still counts for its user. */
export class DeviceOwners {
  #model: AccessModel;
  readonly #removed = new Map<string, string>();

  constructor(model: AccessModel) {
    this.#model = model;
  }

  take(model: AccessModel, changedDevices: Iterable<string>): void {
    for (const id of changedDevices) {
      const before = this.#model.devices.get(id);
      if (before === undefined || model.devices.has(id)) continue;
      this.#removed.delete(id);
      this.#removed.set(id, before.userId);
      if (this.#removed.size > MAX_REMOVED) this.#removed.delete(this.#removed.keys().next().value!);
    }
    this.#model = model;
  }

  /** The user, as long as there is one. */
  of(deviceId: string): string | undefined {
    const userId = this.#model.devices.get(deviceId)?.userId ?? this.#removed.get(deviceId);
    return userId !== undefined && this.#model.users.has(userId) ? userId : undefined;
  }
}
