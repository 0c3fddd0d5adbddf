import type { Device } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { save } from '../../api/save.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { Button } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { CheckField, ChoicesField, Form } from '../../ui/form.tsx';
import { Badge } from '../../ui/parts.tsx';
import { done } from '../../ui/toast.tsx';

const text = t.people.devices.networks;

/** The networks behind a device, which an administrator approves here. */
export function DeviceNetworks({
  device: given,
  refetch,
  onClose,
}: {
  readonly device: Device;
  readonly refetch: () => Promise<unknown>;
  readonly onClose: () => void;
}): JSX.Element {
  // As it was when the dialog opened: what changes meanwhile is found out when it is saved.
  const [device] = useState(given);
  const { id, name, networks, version } = device;
  // Who looks at what waits has mostly come to approve it.
  const [approved, setApproved] = useState(networks.map(({ prefix }) => prefix));
  const [createResource, setCreateResource] = useState(false);
  const submit = async (): Promise<void> => {
    const body = { approved, ...(createResource ? { createResource } : {}) };
    const result = await save(
      () => call('approveNetworks', { params: { deviceId: id }, body, ifMatch: version }),
      refetch,
    );
    onClose();
    if (result === undefined) return;
    changed('device', ...(createResource ? (['resource'] as const) : []));
    done(text.saved(name));
  };
  if (!may('devices:write')) {
    return (
      <Dialog title={text.title(name)} onClose={onClose}>
        <p>{text.readOnly}</p>
        <ul>
          {networks.map((network) => (
            <li key={network.prefix}>
              <code>{network.prefix}</code>{' '}
              <Badge tone={network.approved ? 'good' : 'warn'}>
                {network.approved ? text.approved : text.notApproved}
              </Badge>
            </li>
          ))}
        </ul>
        <div class="actions">
          <Button onClick={onClose}>{t.common.close}</Button>
        </div>
      </Dialog>
    );
  }
  return (
    <Dialog title={text.title(name)} onClose={onClose}>
      <p>{text.text}</p>
      <Form submit={t.common.save} onCancel={onClose} onSubmit={submit}>
        <ChoicesField
          name="approved"
          label={text.list}
          values={approved}
          onChange={setApproved}
          options={networks.map(({ prefix }) => ({ value: prefix, label: prefix }))}
        />
        {may('policy:write') && (
          <CheckField
            name="createResource"
            label={text.createResource}
            hint={text.createResourceHint(name)}
            value={createResource}
            onChange={setCreateResource}
          />
        )}
      </Form>
    </Dialog>
  );
}
