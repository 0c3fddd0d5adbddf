import type { OfferedGateway } from '@sallyport/api';
import { t } from '../../strings/index.ts';

const countries = new Intl.DisplayNames(document.documentElement.lang, { type: 'region' });

/** `Frankfurt, Germany`; empty where it isn't known. */
export function placeOf({ city, country }: Pick<OfferedGateway, 'city' | 'country'>): string {
  const parts = [city, country === null ? null : (countries.of(country) ?? country)];
  // A city may be its country.
  return [...new Set(parts)].filter((part) => part !== null && part !== '').join(', ');
}

/** As options of a select field, the best first, where the server has put it. */
export function gatewayOptions(gateways: readonly OfferedGateway[]): { value: string; label: string }[] {
  return gateways.map((gateway) => {
    const place = placeOf(gateway);
    const note = gateway.recommended ? t.account.add.recommended : gateway.draining ? t.account.add.draining : '';
    const name = place === '' ? gateway.name : `${gateway.name}, ${place}`;
    return { value: gateway.name, label: note === '' ? name : `${name} (${note})` };
  });
}
