import type { Gateway } from '@sallyport/api';

const countries = new Intl.DisplayNames(document.documentElement.lang, { type: 'region' });

/** `Frankfurt, Germany`; empty where it isn't known. */
export function placeOf({ city, country }: Pick<Gateway, 'city' | 'country'>): string {
  const parts = [city, country === null ? null : (countries.of(country) ?? country)];
  // A city may be its country.
  return [...new Set(parts)].filter((part) => part !== null && part !== '').join(', ');
}
