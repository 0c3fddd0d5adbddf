/** UTC days, as usage is counted. */
import type { UsageDay } from '@sallyport/api';

const DAY_MS = 86_400_000;

/** So many days until today, the oldest first: `2027-01-31`. */
export function daysOf(count: number, now = Date.now()): string[] {
  return Array.from({ length: count }, (_, index) =>
    new Date(now - (count - 1 - index) * DAY_MS).toISOString().slice(0, 10),
  );
}

/** Days without traffic are left out of what the server answers. */
export function eachDay(days: readonly string[], usage: readonly UsageDay[]): UsageDay[] {
  const known = new Map(usage.map((one) => [one.day, one]));
  return days.map((day) => known.get(day) ?? { day, sentBytes: 0, receivedBytes: 0 });
}
