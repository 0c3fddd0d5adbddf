/** Amounts and days as people type them, and as the API has them. */
import { t } from '../../strings/index.ts';

/** Bits a second in a Mbit/s. */
export const MEGABIT = 1_000_000;
/** Bytes in a GB. */
export const GIGABYTE = 1_000_000_000;

/** What somebody typed, in the API's units; null where that is nothing. Throws what to say to who typed no number. */
export function parseAmount(label: string, text: string, unit: number): number | null {
  const digits = text.replace(/\s/g, '');
  if (digits === '') return null;
  if (!/^\d+(?:\.\d+)?$/.test(digits)) throw new Error(t.people.notAmount(label));
  return Math.round(Number(digits) * unit);
}

export function parseCount(label: string, text: string): number | null {
  const digits = text.replace(/\s/g, '');
  if (digits === '') return null;
  if (!/^\d+$/.test(digits)) throw new Error(t.people.notWhole(label));
  return Number(digits);
}

/** For a field: `2.5`. */
export function amountText(value: number | null, unit: number): string {
  return value === null ? '' : (value / unit).toFixed(9).replace(/\.?0+$/, '');
}

const DURATIONS = { days: 86_400, hours: 3600, minutes: 60 } as const;
export type DurationUnit = keyof typeof DURATIONS;
export const durationUnits: readonly DurationUnit[] = ['minutes', 'hours', 'days'];

/** Seconds as a number of the largest unit that holds them without a rest. */
export function durationParts(seconds: number | null): { readonly number: string; readonly unit: DurationUnit } {
  if (seconds === null) return { number: '', unit: 'hours' };
  const unit = seconds % DURATIONS.days === 0 ? 'days' : seconds % DURATIONS.hours === 0 ? 'hours' : 'minutes';
  return { number: amountText(seconds, DURATIONS[unit]), unit };
}

export function parseDuration(label: string, number: string, unit: DurationUnit): number | null {
  return parseAmount(label, number, DURATIONS[unit]);
}

const names = { days: 'day', hours: 'hour', minutes: 'minute' } as const;

/** `12 hours`, in the language of the page. */
export function formatDuration(seconds: number): string {
  const { number, unit } = durationParts(seconds);
  return new Intl.NumberFormat(document.documentElement.lang, {
    style: 'unit',
    unit: names[unit],
    unitDisplay: 'long',
  }).format(Number(number));
}

/** The last day before a moment, in the time zone of the page: `2027-01-31`; empty without one. */
export function lastDayOf(expiresAt: string | null): string {
  if (expiresAt === null) return '';
  const last = new Date(Date.parse(expiresAt) - 1);
  const two = (number: number): string => String(number).padStart(2, '0');
  return `${last.getFullYear()}-${two(last.getMonth() + 1)}-${two(last.getDate())}`;
}

/** The end of a day in the time zone of the page. */
export function endOfDay(day: string): string | null {
  const [year = 0, month = 0, date = 0] = day.split('-').map(Number);
  return day === '' ? null : new Date(year, month - 1, date + 1).toISOString();
}

/** Undefined where the day is still the one of `before`, whose time of day is kept then. */
export function changedEnd(before: string | null, day: string): string | null | undefined {
  return day === lastDayOf(before) ? undefined : endOfDay(day);
}
