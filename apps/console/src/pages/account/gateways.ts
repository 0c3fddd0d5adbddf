import type { OfferedGateway } from '@sallyport/api';
import { t } from '../../strings/index.ts';
import { placeOf } from '../../ui/place.ts';

/** Of an OpenVPN profile: all of them in one, or one alone. */
export function profileGatewayOptions(gateways: readonly OfferedGateway[]): { value: string; label: string }[] {
  return [{ value: '', label: t.account.add.allGateways }, ...gatewayOptions(gateways)];
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
