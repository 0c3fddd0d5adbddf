/** Numbers and times as people read them, in the language of the page. */
const locale = document.documentElement.lang;
const dateTime = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short' });
const date = new Intl.DateTimeFormat(locale, { dateStyle: 'medium' });
const timeOfDay = new Intl.DateTimeFormat(locale, { timeStyle: 'short' });
const relative = new Intl.RelativeTimeFormat(locale, { numeric: 'auto' });
const number = new Intl.NumberFormat(locale);
const short = new Intl.NumberFormat(locale, { maximumSignificantDigits: 3 });

export const formatNumber = (value: number): string => number.format(value);
export const formatDateTime = (time: string): string => dateTime.format(new Date(time));
export const formatDate = (time: string): string => date.format(new Date(time));
/** Of milliseconds since 1970. */
export const formatTimeOfDay = (time: number): string => timeOfDay.format(time);
const utcDate = new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeZone: 'UTC' });
/** Of a UTC day: `2027-01-31`. */
export const formatDay = (day: string): string => utcDate.format(new Date(day));

const units = [
  ['year', 31_536_000],
  ['month', 2_592_000],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
  ['second', 1],
] as const;

/** `3 minutes ago`, `in 2 days`. */
export function formatAgo(time: string, now = Date.now()): string {
  const seconds = (Date.parse(time) - now) / 1000;
  for (const [unit, size] of units) {
    if (Math.abs(seconds) >= size || unit === 'second') return relative.format(Math.trunc(seconds / size), unit);
  }
  return '';
}

function scaled(value: number, step: number, names: readonly string[]): string {
  let at = 0;
  let rest = value;
  while (rest >= step && at < names.length - 1) {
    rest /= step;
    at++;
  }
  return `${short.format(rest)} ${names[at]}`;
}

export const formatBytes = (bytes: number): string => scaled(bytes, 1000, ['B', 'kB', 'MB', 'GB', 'TB', 'PB']);
export const formatRate = (bitsPerSecond: number): string =>
  scaled(bitsPerSecond, 1000, ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s', 'Tbit/s']);
const percent = new Intl.NumberFormat(locale, { style: 'percent' });
/** Of a share: 1 is all. */
export const formatPercent = (share: number): string => percent.format(share);
