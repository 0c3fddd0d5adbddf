import type { User } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { save } from '../../api/save.ts';
import { t } from '../../strings/index.ts';
import { Dialog } from '../../ui/dialog.tsx';
import { Form, TextField } from '../../ui/form.tsx';
import { done } from '../../ui/toast.tsx';
import { callName } from './user-parts.tsx';

const text = t.people.user;

/** Deletes a user whose name was typed. */
export function DeleteUser({
  user,
  refetch,
  onClose,
}: {
  readonly user: User;
  readonly refetch: () => Promise<unknown>;
  readonly onClose: () => void;
}): JSX.Element {
  const { route } = useLocation();
  const [typed, setTyped] = useState('');
  const submit = async (): Promise<void> => {
    const result = await save(
      () => call('deleteUser', { params: { userId: user.id }, ifMatch: user.version }),
      refetch,
    );
    if (result === undefined) {
      onClose();
      return;
    }
    route('/users', true);
    changed('user', 'group', 'device', 'invitation', 'token');
    done(text.removed(callName(user)));
  };
  return (
    <Dialog title={text.removeTitle(callName(user))} onClose={onClose}>
      <p>{text.removeText}</p>
      <Form
        submit={text.removeAction}
        onCancel={onClose}
        onSubmit={submit}
        danger
        disabled={typed.trim() !== user.name}
      >
        <TextField
          name="confirm"
          label={text.removeConfirm(user.name)}
          value={typed}
          onChange={setTyped}
          required
          autofocus
        />
      </Form>
    </Dialog>
  );
}
