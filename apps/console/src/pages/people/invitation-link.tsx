import type { NewInvitation, User } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { t } from '../../strings/index.ts';
import { Button, LinkButton } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { Form, SelectField } from '../../ui/form.tsx';
import { formatDateTime } from '../../ui/format.ts';
import { Secret } from '../../ui/parts.tsx';
import { callName } from './user-parts.tsx';

const text = t.people.invitation;

type Invited = Pick<User, 'id' | 'name' | 'displayName' | 'email'>;

/** A mail that is written already, for the mail program of who invites. */
function mailTo(user: Invited, { url, expiresAt }: NewInvitation): string {
  // RFC 6068 wants everything encoded but the sign between the two parts of the address.
  const address = encodeURIComponent(user.email ?? '').replace('%40', '@');
  const body = text.body(callName(user), url, formatDateTime(expiresAt)).replaceAll('\n', '\r\n');
  return `mailto:${address}?subject=${encodeURIComponent(text.subject)}&body=${encodeURIComponent(body)}`;
}

/** An invitation's link, which is shown this once. */
export function InvitationLink({
  user,
  invitation,
  onClose,
}: {
  readonly user: Invited;
  readonly invitation: NewInvitation;
  readonly onClose: () => void;
}): JSX.Element {
  return (
    <>
      <p>{text.until(formatDateTime(invitation.expiresAt))}</p>
      <Secret text={invitation.url} label={text.link} />
      <p class="hint">{text.once}</p>
      <p class="hint under">{text.mailHint}</p>
      <div class="actions">
        <LinkButton href={mailTo(user, invitation)}>{text.mail}</LinkButton>
        <Button kind="primary" onClick={onClose}>
          {text.finished}
        </Button>
      </div>
    </>
  );
}

/** Makes a link for a user's first password, or for a new one. */
export function NewInvitationDialog({
  user,
  onClose,
}: {
  readonly user: User;
  readonly onClose: () => void;
}): JSX.Element {
  const [seconds, setSeconds] = useState('604800');
  const [invitation, setInvitation] = useState<NewInvitation | undefined>(undefined);
  const isFirst = user.lastLoginAt === null;
  const name = callName(user);
  const make = async (): Promise<void> => {
    setInvitation(await call('createInvitation', { body: { userId: user.id, expiresInSeconds: Number(seconds) } }));
    changed('invitation');
  };
  if (invitation !== undefined) {
    return (
      <Dialog title={text.title(name)} onClose={onClose}>
        <InvitationLink user={user} invitation={invitation} onClose={onClose} />
      </Dialog>
    );
  }
  return (
    <Dialog title={isFirst ? text.newTitle : text.passwordTitle} onClose={onClose}>
      <p>{isFirst ? text.newText(name) : text.passwordText(name)}</p>
      <Form submit={text.make} onCancel={onClose} onSubmit={make}>
        <SelectField
          name="expiresInSeconds"
          label={text.lifetime}
          value={seconds}
          onChange={setSeconds}
          options={text.lifetimes.map(([value, label]) => ({ value, label }))}
        />
      </Form>
    </Dialog>
  );
}
