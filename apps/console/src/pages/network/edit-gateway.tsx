import type { Gateway } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { save } from '../../api/save.ts';
import { t } from '../../strings/index.ts';
import { Dialog } from '../../ui/dialog.tsx';
import { Form, SelectField, TextField } from '../../ui/form.tsx';
import { done } from '../../ui/toast.tsx';

interface Values {
  readonly name: string;
  readonly regionId: string;
  readonly country: string;
  readonly city: string;
  readonly latitude: string;
  readonly longitude: string;
  readonly endpointHost: string;
  readonly endpointPort: string;
}

function valuesOf(gateway: Gateway): Values {
  const { name, regionId, country, city, latitude, longitude, endpointHost, endpointPort } = gateway;
  return {
    name,
    regionId,
    country: country ?? '',
    city: city ?? '',
    latitude: latitude === null ? '' : String(latitude),
    longitude: longitude === null ? '' : String(longitude),
    endpointHost,
    endpointPort: String(endpointPort),
  };
}

function bodyOf(values: Values) {
  const text = (value: string): string | null => (value.trim() === '' ? null : value.trim());
  const degrees = (value: string): number | null => (value.trim() === '' ? null : Number(value.replace(',', '.')));
  return {
    name: values.name.trim(),
    regionId: values.regionId,
    country: text(values.country.toUpperCase()),
    city: text(values.city),
    latitude: degrees(values.latitude),
    longitude: degrees(values.longitude),
    endpointHost: values.endpointHost.trim(),
    endpointPort: Number(values.endpointPort),
  };
}

export function EditGateway({
  gateway,
  refetch,
  onClose,
}: {
  readonly gateway: Gateway;
  readonly refetch: () => Promise<unknown>;
  readonly onClose: () => void;
}): JSX.Element {
  // What is edited, as it was when the dialog opened: what changes meanwhile is found out when it is saved.
  const [before] = useState(gateway);
  const [values, setValues] = useState(() => valuesOf(gateway));
  const regions = useQuery('listRegions', { query: { limit: 1000 } });
  const set = (name: keyof Values) => (value: string) => setValues({ ...values, [name]: value });
  const params = { gatewayId: before.id };
  const submit = async (): Promise<void> => {
    const result = await save(
      () => call('updateGateway', { params, body: bodyOf(values), ifMatch: before.version }),
      refetch,
    );
    onClose();
    if (result === undefined) return;
    changed('gateway');
    done(t.network.saved(values.name), async () => {
      await call('updateGateway', { params, body: bodyOf(valuesOf(before)), ifMatch: result.saved.version });
      changed('gateway');
    });
  };
  return (
    <Dialog title={t.network.editTitle(before.name)} onClose={onClose} wide>
      <Form submit={t.common.save} onCancel={onClose} onSubmit={submit}>
        <div class="two">
          <TextField
            name="name"
            label={t.network.fieldName}
            hint={t.network.fieldNameHint}
            value={values.name}
            onChange={set('name')}
            required
          />
          <SelectField
            name="regionId"
            label={t.network.region}
            value={values.regionId}
            onChange={set('regionId')}
            options={(regions.data?.items ?? [{ id: values.regionId, name: values.regionId }]).map(({ id, name }) => ({
              value: id,
              label: name,
            }))}
          />
          <TextField name="city" label={t.network.city} value={values.city} onChange={set('city')} />
          <TextField
            name="country"
            label={t.network.country}
            hint={t.network.countryHint}
            value={values.country}
            onChange={set('country')}
          />
          <TextField
            name="latitude"
            label={t.network.latitude}
            hint={t.network.coordinatesHint}
            value={values.latitude}
            onChange={set('latitude')}
          />
          <TextField
            name="longitude"
            label={t.network.longitude}
            value={values.longitude}
            onChange={set('longitude')}
          />
          <TextField
            name="endpointHost"
            label={t.network.endpointHost}
            hint={t.network.endpointHint}
            value={values.endpointHost}
            onChange={set('endpointHost')}
            required
          />
          <TextField
            name="endpointPort"
            label={t.network.endpointPort}
            inputmode="numeric"
            value={values.endpointPort}
            onChange={set('endpointPort')}
            required
          />
        </div>
      </Form>
    </Dialog>
  );
}
