import type { Group, User } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { save } from '../../api/save.ts';
import { may, session } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { Dialog } from '../../ui/dialog.tsx';
import { Form, SelectField, TextField } from '../../ui/form.tsx';
import { Facts } from '../../ui/parts.tsx';
import { done } from '../../ui/toast.tsx';
import { GroupChoices } from './add-user.tsx';
import { changedEnd, lastDayOf } from './amounts.ts';
import { LimitFields, limitTexts, parseLimits } from './limits.tsx';
import { callName, roles } from './user-parts.tsx';

const text = t.people.user;

interface EditProps {
  readonly user: User;
  readonly refetch: () => Promise<unknown>;
  readonly onClose: () => void;
}

export function EditUser({
  user: given,
  groups,
  refetch,
  onClose,
}: EditProps & { readonly groups: ReadonlyMap<string, Group> }): JSX.Element {
  // As it was when the form began: a change by somebody else is found out when it is saved.
  const [user] = useState(given);
  const { managedBy } = user;
  const [name, setName] = useState(user.name);
  const [displayName, setDisplayName] = useState(user.displayName);
  const [email, setEmail] = useState(user.email ?? '');
  const [role, setRole] = useState(user.role);
  const [chosen, setChosen] = useState<readonly string[]>(user.groups);
  const [lastDay, setLastDay] = useState(lastDayOf(user.expiresAt));
  const isOneself = session.value?.user.id === user.id;
  const submit = async (): Promise<void> => {
    const own = {
      name: name.trim(),
      displayName,
      email: email.trim() === '' ? null : email.trim(),
    };
    const body = {
      ...(managedBy === null ? own : {}),
      role,
      groups: [...chosen],
      expiresAt: changedEnd(user.expiresAt, lastDay),
    };
    const result = await save(
      () => call('updateUser', { params: { userId: user.id }, body, ifMatch: user.version }),
      refetch,
    );
    onClose();
    if (result === undefined) return;
    changed('user', 'group');
    done(text.saved(callName(result.saved)));
  };
  return (
    <Dialog title={text.editTitle(callName(user))} onClose={onClose}>
      <Form submit={t.common.save} onCancel={onClose} onSubmit={submit}>
        {managedBy === null ? (
          <>
            <TextField
              name="displayName"
              label={t.people.add.displayName}
              value={displayName}
              onChange={setDisplayName}
              autofocus
            />
            <TextField
              name="name"
              label={t.people.add.name}
              hint={t.people.add.nameHint}
              value={name}
              onChange={setName}
              required
            />
            <TextField name="email" label={t.people.add.email} type="email" value={email} onChange={setEmail} />
          </>
        ) : (
          <div class="kept">
            <Facts
              facts={[
                [t.people.add.displayName, user.displayName || t.common.none],
                [t.people.add.name, user.name],
                [t.people.add.email, user.email ?? t.common.none],
              ]}
            />
            <p class="hint">{text.keptText(managedBy)}</p>
          </div>
        )}
        {isOneself ? (
          <p class="hint under">{text.ownRole}</p>
        ) : (
          <SelectField
            name="role"
            label={t.people.add.role}
            hint={t.people.roleHints[role]}
            value={role}
            onChange={(value) => setRole(value as User['role'])}
            options={roles.map((value) => ({ value, label: t.people.roles[value] })).toReversed()}
          />
        )}
        {may('groups:write') && <GroupChoices groups={groups} values={chosen} onChange={setChosen} />}
        <TextField
          name="expiresAt"
          label={t.people.lastDay}
          hint={t.people.lastDayHint}
          type="date"
          value={lastDay}
          onChange={setLastDay}
        />
      </Form>
    </Dialog>
  );
}

export function EditLimits({ user: given, refetch, onClose }: EditProps): JSX.Element {
  const [user] = useState(given);
  const [limits, setLimits] = useState(limitTexts(user));
  const submit = async (): Promise<void> => {
    const body = parseLimits(limits);
    const result = await save(
      () => call('updateUser', { params: { userId: user.id }, body, ifMatch: user.version }),
      refetch,
    );
    onClose();
    if (result === undefined) return;
    changed('user');
    done(text.limitsSaved(callName(user)));
  };
  return (
    <Dialog title={text.limitsTitle(callName(user))} onClose={onClose}>
      <Form submit={t.common.save} onCancel={onClose} onSubmit={submit}>
        <LimitFields value={limits} onChange={setLimits} hint={t.people.limits.userHint} />
      </Form>
    </Dialog>
  );
}
