import type { Group, NewInvitation, User } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { t } from '../../strings/index.ts';
import { Dialog } from '../../ui/dialog.tsx';
import { CheckField, ChoicesField, Form, SelectField, TextField } from '../../ui/form.tsx';
import { slugOf } from '../../ui/slug.ts';
import { done, fault } from '../../ui/toast.tsx';
import { endOfDay } from './amounts.ts';
import { InvitationLink } from './invitation-link.tsx';
import { LimitFields, noLimits, parseLimits } from './limits.tsx';
import { callName, roles } from './user-parts.tsx';

const text = t.people.add;

export function AddUser({
  groups,
  onClose,
}: {
  readonly groups: ReadonlyMap<string, Group>;
  readonly onClose: () => void;
}): JSX.Element {
  const [displayName, setDisplayName] = useState('');
  /** Undefined until somebody types one: then it follows the name for people. */
  const [typedName, setTypedName] = useState<string | undefined>(undefined);
  const [email, setEmail] = useState('');
  const [role, setRole] = useState<User['role']>('user');
  const [chosen, setChosen] = useState<readonly string[]>([]);
  const [limits, setLimits] = useState(noLimits);
  const [lastDay, setLastDay] = useState('');
  const [invite, setInvite] = useState(true);
  const [invited, setInvited] = useState<{ user: User; invitation: NewInvitation } | undefined>(undefined);
  const name = typedName ?? slugOf(displayName);
  const add = async (): Promise<void> => {
    const user = await call('createUser', {
      body: {
        name: name.trim(),
        displayName,
        email: email.trim() === '' ? null : email.trim(),
        role,
        groups: [...chosen],
        expiresAt: endOfDay(lastDay),
        ...parseLimits(limits),
      },
    });
    changed('user');
    if (!invite) {
      onClose();
      done(text.added(callName(user)));
      return;
    }
    try {
      setInvited({ user, invitation: await call('createInvitation', { body: { userId: user.id } }) });
      changed('invitation');
    } catch {
      // The user is there: the form would only say that the name is taken.
      onClose();
      fault(new Error(text.invitationFailed(callName(user))));
    }
  };
  if (invited !== undefined) {
    return (
      <Dialog title={t.people.invitation.title(callName(invited.user))} onClose={onClose}>
        <p>{text.added(callName(invited.user))}</p>
        <InvitationLink {...invited} onClose={onClose} />
      </Dialog>
    );
  }
  return (
    <Dialog title={text.title} onClose={onClose}>
      <Form submit={text.submit} onCancel={onClose} onSubmit={add}>
        <TextField
          name="displayName"
          label={text.displayName}
          hint={text.displayNameHint}
          value={displayName}
          onChange={setDisplayName}
          autofocus
        />
        <TextField
          name="name"
          label={text.name}
          hint={text.nameHint}
          value={name}
          onChange={(value) => setTypedName(value === '' ? undefined : value)}
          required
        />
        <TextField name="email" label={text.email} type="email" value={email} onChange={setEmail} />
        <SelectField
          name="role"
          label={text.role}
          hint={t.people.roleHints[role]}
          value={role}
          onChange={(value) => setRole(value as User['role'])}
          options={roles.map((value) => ({ value, label: t.people.roles[value] })).toReversed()}
        />
        <GroupChoices groups={groups} values={chosen} onChange={setChosen} />
        <details class="more">
          <summary>{text.limits}</summary>
          <LimitFields value={limits} onChange={setLimits} hint={t.people.limits.userHint} />
          <TextField
            name="expiresAt"
            label={t.people.lastDay}
            hint={t.people.lastDayHint}
            type="date"
            value={lastDay}
            onChange={setLastDay}
          />
        </details>
        <CheckField name="invite" label={text.invite} hint={text.inviteHint} value={invite} onChange={setInvite} />
      </Form>
    </Dialog>
  );
}

/** Groups whose members are chosen here: not `everyone`, and none that SCIM keeps. */
export function GroupChoices({
  groups,
  values,
  onChange,
}: {
  readonly groups: ReadonlyMap<string, Group>;
  readonly values: readonly string[];
  readonly onChange: (values: readonly string[]) => void;
}): JSX.Element {
  const all = [...groups.values()].filter(({ id }) => id !== 'everyone');
  const kept = all.filter(({ managedBy }) => managedBy !== null);
  return (
    <ChoicesField
      name="groups"
      label={text.groups}
      values={values}
      onChange={onChange}
      options={all.filter(({ managedBy }) => managedBy === null).map(({ id, name }) => ({ value: id, label: name }))}
      empty={text.noGroups}
      {...(kept.length === 0 ? {} : { hint: t.people.user.keptGroups(kept.map((group) => group.name).join(', ')) })}
    />
  );
}
