/** Limits of users and groups: what counts, and the fields to set them. */
import type { Group, User } from '@sallyport/api';
import type { JSX } from 'preact';
import { t } from '../../strings/index.ts';
import { TextField } from '../../ui/form.tsx';
import { amountText, GIGABYTE, MEGABIT, parseAmount, parseCount } from './amounts.ts';

export type Limits = Pick<User, 'devicesPerUser' | 'bitsPerSecond' | 'trafficBytesPerMonth'>;

export interface LimitTexts {
  readonly devices: string;
  readonly bandwidth: string;
  readonly traffic: string;
}

export function limitTexts({ devicesPerUser, bitsPerSecond, trafficBytesPerMonth }: Limits): LimitTexts {
  return {
    devices: amountText(devicesPerUser, 1),
    bandwidth: amountText(bitsPerSecond, MEGABIT),
    traffic: amountText(trafficBytesPerMonth, GIGABYTE),
  };
}

export const noLimits: LimitTexts = { devices: '', bandwidth: '', traffic: '' };

/** Throws what to say to who typed no number. */
export function parseLimits({ devices, bandwidth, traffic }: LimitTexts): Limits {
  const labels = t.people.limits;
  return {
    devicesPerUser: parseCount(labels.devices, devices),
    bitsPerSecond: parseAmount(labels.bandwidth, bandwidth, MEGABIT),
    trafficBytesPerMonth: parseAmount(labels.traffic, traffic, GIGABYTE),
  };
}

export function LimitFields({
  value,
  onChange,
  hint,
}: {
  readonly value: LimitTexts;
  readonly onChange: (value: LimitTexts) => void;
  readonly hint: string;
}): JSX.Element {
  const labels = t.people.limits;
  return (
    <>
      <div class="thirds">
        <TextField
          name="devicesPerUser"
          label={labels.devices}
          inputmode="numeric"
          placeholder={t.common.unlimited}
          value={value.devices}
          onChange={(devices) => onChange({ ...value, devices })}
        />
        <TextField
          name="bitsPerSecond"
          label={labels.bandwidth}
          placeholder={t.common.unlimited}
          value={value.bandwidth}
          onChange={(bandwidth) => onChange({ ...value, bandwidth })}
        />
        <TextField
          name="trafficBytesPerMonth"
          label={labels.traffic}
          placeholder={t.common.unlimited}
          value={value.traffic}
          onChange={(traffic) => onChange({ ...value, traffic })}
        />
      </div>
      <p class="hint under">{hint}</p>
    </>
  );
}

export interface EffectiveLimit {
  readonly value: number;
  /** The group that sets it; null: the user's own. */
  readonly group: string | null;
}

/** A user's own limit counts before those of groups, of which the largest does. Undefined: there is none. */
export function effectiveLimit(
  user: User,
  groups: ReadonlyMap<string, Group>,
  limit: keyof Limits,
): EffectiveLimit | undefined {
  const own = user[limit];
  if (own !== null) return { value: own, group: null };
  let largest: EffectiveLimit | undefined;
  for (const id of [...user.groups, 'everyone']) {
    const group = groups.get(id);
    const value = group?.[limit] ?? null;
    if (group === undefined || value === null || (largest !== undefined && largest.value >= value)) continue;
    largest = { value, group: group.name };
  }
  return largest;
}
