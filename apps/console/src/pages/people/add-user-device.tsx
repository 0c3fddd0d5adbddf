import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { t } from '../../strings/index.ts';
import { Dialog } from '../../ui/dialog.tsx';
import { Form, TextField } from '../../ui/form.tsx';
import { done } from '../../ui/toast.tsx';
import { endOfDay, MEGABIT, parseAmount } from './amounts.ts';
import { UserPicker } from './user-picker.tsx';

const text = t.people.devices;

/** Adds a device of a user by its public key. */
export function AddUserDevice({
  userName,
  onClose,
}: {
  /** Whose it is, where that is known. */
  readonly userName?: string;
  readonly onClose: () => void;
}): JSX.Element {
  const [user, setUser] = useState(userName);
  const [name, setName] = useState('');
  const [publicKey, setPublicKey] = useState('');
  const [bandwidth, setBandwidth] = useState('');
  const [lastDay, setLastDay] = useState('');
  const submit = async (): Promise<void> => {
    const device = await call('createDevice', {
      body: {
        user: user ?? '',
        name,
        publicKey: publicKey.trim(),
        bitsPerSecond: parseAmount(text.bandwidth, bandwidth, MEGABIT),
        expiresAt: endOfDay(lastDay),
      },
    });
    changed('device');
    onClose();
    done(text.added(device.name, device.userName));
  };
  return (
    <Dialog title={text.add} onClose={onClose}>
      <p>{text.addIntro}</p>
      <Form submit={text.submit} onCancel={onClose} onSubmit={submit} disabled={user === undefined}>
        {userName === undefined && (
          <UserPicker label={text.addUser} picked={user} onPick={(person) => setUser(person?.name)} autofocus />
        )}
        <TextField
          name="name"
          label={text.addName}
          value={name}
          onChange={setName}
          required
          autofocus={userName !== undefined}
        />
        <TextField
          name="publicKey"
          label={text.addKey}
          hint={text.addKeyHint}
          value={publicKey}
          onChange={setPublicKey}
          required
        />
        <div class="halves">
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
        </div>
      </Form>
    </Dialog>
  );
}
