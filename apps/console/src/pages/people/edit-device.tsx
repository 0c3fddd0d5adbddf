import type { Device } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { save } from '../../api/save.ts';
import { t } from '../../strings/index.ts';
import { Dialog } from '../../ui/dialog.tsx';
import { CheckField, Form, TextField } from '../../ui/form.tsx';
import { formatDate } from '../../ui/format.ts';
import { CopyButton } from '../../ui/parts.tsx';
import { done } from '../../ui/toast.tsx';
import { amountText, changedEnd, lastDayOf, MEGABIT, parseAmount } from './amounts.ts';

const text = t.people.devices;

export function EditDevice({
  device,
  refetch,
  onClose,
}: {
  readonly device: Device;
  readonly refetch: () => Promise<unknown>;
  readonly onClose: () => void;
}): JSX.Element {
  const [name, setName] = useState(device.name);
  const [bandwidth, setBandwidth] = useState(amountText(device.bitsPerSecond, MEGABIT));
  const [lastDay, setLastDay] = useState(lastDayOf(device.expiresAt));
  const [approved, setApproved] = useState(device.approved);
  const submit = async (): Promise<void> => {
    const body = {
      name,
      approved,
      bitsPerSecond: parseAmount(text.bandwidth, bandwidth, MEGABIT),
      expiresAt: changedEnd(device.expiresAt, lastDay),
    };
    const result = await save(
      () => call('updateDevice', { params: { deviceId: device.id }, body, ifMatch: device.version }),
      refetch,
    );
    onClose();
    if (result === undefined) return;
    changed('device');
    done(text.saved(result.saved.name));
  };
  return (
    <Dialog title={text.editTitle(device.name)} onClose={onClose}>
      <Form submit={t.common.save} onCancel={onClose} onSubmit={submit}>
        <TextField name="name" label={text.editName} value={name} onChange={setName} required autofocus />
        <TextField
          name="bitsPerSecond"
          label={text.bandwidth}
          hint={text.bandwidthHint}
          value={bandwidth}
          onChange={setBandwidth}
        />
        <TextField
          name="expiresAt"
          label={t.people.lastDay}
          hint={t.people.lastDayHint}
          type="date"
          value={lastDay}
          onChange={setLastDay}
        />
        <CheckField
          name="approved"
          label={text.isApproved}
          hint={text.isApprovedHint}
          value={approved}
          onChange={setApproved}
        />
        {device.publicKey !== null && (
          <p class="field">
            <span class="label">{text.key}</span>
            <span class="key-line">
              <code>{device.publicKey}</code> <CopyButton text={device.publicKey} />
            </span>
          </p>
        )}
        {device.openvpn !== null && (
          <p class="field">
            <span class="label">{text.openvpn}</span>
            <span>
              {[
                text.openvpnLogins[device.openvpn.login],
                ...(device.openvpn.certificateExpiresAt === null
                  ? []
                  : [text.openvpnUntil(formatDate(device.openvpn.certificateExpiresAt))]),
              ].join(' ')}
            </span>
          </p>
        )}
      </Form>
    </Dialog>
  );
}
