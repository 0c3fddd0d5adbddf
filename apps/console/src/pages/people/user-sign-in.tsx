import type { Session, User } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { ask } from '../../ui/dialog.tsx';
import { Loaded, Panel } from '../../ui/page.tsx';
import { Ago, Badge } from '../../ui/parts.tsx';
import { Table } from '../../ui/table.tsx';
import { done } from '../../ui/toast.tsx';
import { NewInvitationDialog } from './invitation-link.tsx';
import { callName } from './user-parts.tsx';

const text = t.people.user;

/** How a user logs in: links for a password, second factors, sessions. */
export function UserSignIn({ user }: { readonly user: User }): JSX.Element {
  const [inviting, setInviting] = useState(false);
  const { busy, run } = useAction();
  const name = callName(user);
  const reset = async (): Promise<void> => {
    if (!(await ask({ title: text.resetTitle(name), text: text.resetText, action: text.reset }))) return;
    await call('resetUserSecondFactors', { params: { userId: user.id } });
    changed('user', 'session');
    done(text.resetDone(name));
  };
  return (
    <Panel title={text.signIn}>
      <div class="line">
        <div>
          <h3>{text.password}</h3>
          <p class="hint">{text.passwordText}</p>
        </div>
        {may('users:write') && !user.disabled && <Button onClick={() => setInviting(true)}>{text.link}</Button>}
      </div>
      <div class="line">
        <div>
          <h3>{text.secondFactor}</h3>
          <p class="hint">{user.hasSecondFactor ? <Badge tone="good">{text.factorYes}</Badge> : text.factorNo}</p>
        </div>
        {may('users:write') && user.hasSecondFactor && (
          <Button label={text.resetLabel} busy={busy} onClick={() => run(reset)}>
            {text.reset}
          </Button>
        )}
      </div>
      <Sessions user={user} />
      {inviting && <NewInvitationDialog user={user} onClose={() => setInviting(false)} />}
    </Panel>
  );
}

function Sessions({ user }: { readonly user: User }): JSX.Element {
  const sessions = useQuery('listUserSessions', { params: { userId: user.id } });
  const { busy, run } = useAction();
  const name = callName(user);
  const endAll = async (): Promise<void> => {
    if (!(await ask({ title: text.endAllTitle(name), text: text.endAllText, action: text.endAll }))) return;
    await call('endUserSessions', { params: { userId: user.id } });
    changed('session');
    done(text.ended(name));
  };
  const hasSome = (sessions.data?.items.length ?? 0) > 0;
  return (
    <>
      <div class="line">
        <h3>{text.sessions}</h3>
        {may('users:write') && hasSome && (
          <Button label={text.endAllTitle(name)} busy={busy} onClick={() => run(endAll)}>
            {text.endAll}
          </Button>
        )}
      </div>
      <Loaded query={sessions}>
        {({ items }) =>
          items.length === 0 ? (
            <p class="hint">{text.noSessions}</p>
          ) : (
            <Table
              caption={text.sessionsCaption}
              rows={items}
              rowKey={({ id }) => id}
              columns={[
                { header: text.client, cell: (one) => <Client session={one} /> },
                {
                  header: text.how,
                  cell: ({ methods }) =>
                    methods.map((method) => t.account.account.methods[method] ?? method).join(', '),
                },
                { header: text.lastUsed, cell: ({ lastUsedAt }) => <Ago time={lastUsedAt} /> },
                { header: text.ends, cell: ({ expiresAt }) => <Ago time={expiresAt} /> },
              ]}
            />
          )
        }
      </Loaded>
    </>
  );
}

function Client({ session: { kind, client, current } }: { readonly session: Session }): JSX.Element {
  return (
    <>
      {client === '' ? text.unknownClient : client} {current && <Badge tone="good">{text.thisOne}</Badge>}
      {kind === 'client' && <Badge tone="neutral">{t.account.account.isClient}</Badge>}
    </>
  );
}
