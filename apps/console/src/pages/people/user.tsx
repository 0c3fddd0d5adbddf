import type { Group, User } from '@sallyport/api';
import type { ComponentChildren, JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useRoute } from 'preact-iso';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { save } from '../../api/save.ts';
import { may, session } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import '../../styles/people.css';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { ask } from '../../ui/dialog.tsx';
import { formatBytes, formatDate, formatNumber, formatRate } from '../../ui/format.ts';
import { Loaded, Page, Panel } from '../../ui/page.tsx';
import { Ago, Badge, Facts } from '../../ui/parts.tsx';
import { done } from '../../ui/toast.tsx';
import { DeleteUser } from './delete-user.tsx';
import { EditLimits, EditUser } from './edit-user.tsx';
import { effectiveLimit, type EffectiveLimit, type Limits } from './limits.tsx';
import { useGroups } from './lookups.ts';
import { UserDevices } from './user-devices.tsx';
import { callName, Role, StateBadge, stateOf } from './user-parts.tsx';
import { UserSignIn } from './user-sign-in.tsx';
import { UserUsage } from './user-usage.tsx';

const text = t.people.user;

export default function UserPage(): JSX.Element {
  const { params } = useRoute();
  const user = useQuery('getUser', { params: { userId: params['id'] ?? '' } });
  const groups = useGroups();
  const { data } = user;
  return (
    <Page
      title={data === undefined ? text.unknown : callName(data)}
      intro={
        data && (
          <span class="badges">
            <span>{data.name}</span> <StateBadge user={data} /> <Role role={data.role} />
            {session.value?.user.id === data.id && <Badge tone="neutral">{text.you}</Badge>}
          </span>
        )
      }
      actions={data && may('users:write') && <Actions user={data} groups={groups} refetch={user.refetch} />}
    >
      <Loaded query={user}>
        {(loaded) => (
          <>
            <OutNotice user={loaded} />
            <FactsOf user={loaded} groups={groups} />
            <LimitsOf user={loaded} groups={groups} refetch={user.refetch} />
            {may('devices:read') && <UserDevices user={loaded} />}
            <UserUsage userId={loaded.id} />
            <UserSignIn user={loaded} />
          </>
        )}
      </Loaded>
    </Page>
  );
}

interface UserProps {
  readonly user: User;
  readonly groups: ReadonlyMap<string, Group>;
  readonly refetch: () => Promise<unknown>;
}

function OutNotice({ user }: { readonly user: User }): JSX.Element | null {
  if (user.disabled) return <p class="notice">{text.disabledNotice}</p>;
  if (user.expiresAt === null || stateOf(user) === 'active') return null;
  return <p class="notice">{text.expiredNotice(formatDate(lastMoment(user.expiresAt)))}</p>;
}

function Actions({ user, groups, refetch }: UserProps): JSX.Element {
  const { busy, run } = useAction();
  const [dialog, setDialog] = useState<'edit' | 'delete' | undefined>(undefined);
  const name = callName(user);
  const setDisabled = async (disabled: boolean, ifMatch: number): Promise<User> => {
    const changedUser = await call('updateUser', { params: { userId: user.id }, body: { disabled }, ifMatch });
    changed('user', 'device', 'session', 'invitation');
    return changedUser;
  };
  const toggle = async (): Promise<void> => {
    const disabled = !user.disabled;
    if (disabled && !(await ask({ title: text.disableTitle(name), text: text.disableText, action: text.disable }))) {
      return;
    }
    const result = await save(() => setDisabled(disabled, user.version), refetch);
    if (result === undefined) return;
    done(disabled ? text.disabled(name) : text.enabled(name), () => setDisabled(!disabled, result.saved.version));
  };
  const close = (): void => setDialog(undefined);
  return (
    <>
      <Button onClick={() => setDialog('edit')}>{text.edit}</Button>
      {session.value?.user.id !== user.id && (
        <>
          <Button busy={busy} onClick={() => run(toggle)}>
            {user.disabled ? text.enable : text.disable}
          </Button>
          <Button kind="danger" onClick={() => setDialog('delete')}>
            {text.remove}
          </Button>
        </>
      )}
      {dialog === 'edit' && <EditUser user={user} groups={groups} refetch={refetch} onClose={close} />}
      {dialog === 'delete' && <DeleteUser user={user} refetch={refetch} onClose={close} />}
    </>
  );
}

function FactsOf({ user, groups }: Omit<UserProps, 'refetch'>): JSX.Element {
  const faint = (what: string): JSX.Element => <span class="faint">{what}</span>;
  const inGroups = [...groups.values()].filter(({ id }) => user.groups.includes(id));
  return (
    <Panel title={text.facts}>
      <Facts
        facts={[
          [text.email, user.email ?? faint(t.common.none)],
          [
            text.groups,
            inGroups.length === 0
              ? faint(t.common.none)
              : inGroups.map(({ id, name }, index) => (
                  <span key={id}>
                    {index > 0 && ', '}
                    <a href={`/groups/${id}`}>{name}</a>
                  </span>
                )),
          ],
          [text.lastDay, user.expiresAt === null ? faint(text.noEnd) : formatDate(lastMoment(user.expiresAt))],
          [text.lastLogin, <Ago time={user.lastLoginAt} />],
          [text.created, formatDate(user.createdAt)],
          ...(user.managedBy === null ? [] : [[text.keeper, user.managedBy] as const]),
        ]}
      />
    </Panel>
  );
}

/** Of a time that ends something: midnight belongs to the day before. */
function lastMoment(expiresAt: string): string {
  return new Date(Date.parse(expiresAt) - 1).toISOString();
}

function LimitsOf({ user, groups, refetch }: UserProps): JSX.Element {
  const [editing, setEditing] = useState(false);
  const limit = (name: keyof Limits): EffectiveLimit | undefined => effectiveLimit(user, groups, name);
  const traffic = limit('trafficBytesPerMonth');
  return (
    <Panel
      title={text.limits}
      actions={may('users:write') && <Button onClick={() => setEditing(true)}>{text.editLimits}</Button>}
    >
      <Facts
        facts={[
          [text.limitDevices, <Limit limit={limit('devicesPerUser')} format={formatNumber} />],
          [text.limitBandwidth, <Limit limit={limit('bitsPerSecond')} format={formatRate} />],
          [
            text.limitTraffic,
            <Limit limit={traffic} format={formatBytes}>
              <Traffic used={user.trafficBytesThisMonth} allowed={traffic?.value} />
            </Limit>,
          ],
        ]}
      />
      {editing && <EditLimits user={user} refetch={refetch} onClose={() => setEditing(false)} />}
    </Panel>
  );
}

/** A limit and who sets it; the children stand in the place of its amount. */
function Limit({
  limit,
  format,
  children,
}: {
  readonly limit: EffectiveLimit | undefined;
  readonly format: (value: number) => string;
  readonly children?: ComponentChildren;
}): JSX.Element {
  if (limit === undefined) return <>{children ?? <span class="faint">{t.common.unlimited}</span>}</>;
  return (
    <>
      {children ?? format(limit.value)}
      <span class="cell-more">{limit.group === null ? text.fromUser : text.fromGroup(limit.group)}</span>
    </>
  );
}

function Traffic({ used, allowed }: { readonly used: number; readonly allowed: number | undefined }): JSX.Element {
  if (allowed === undefined) {
    return (
      <>
        {formatBytes(used)}
        <span class="cell-more">{t.common.unlimited}</span>
      </>
    );
  }
  const amount = t.people.of(formatBytes(used), formatBytes(allowed));
  return (
    <>
      {amount} {used >= allowed && <Badge tone="bad">{text.usedUp}</Badge>}
      <meter min={0} max={Math.max(allowed, 1)} high={allowed * 0.9} value={used} aria-label={amount} />
    </>
  );
}
