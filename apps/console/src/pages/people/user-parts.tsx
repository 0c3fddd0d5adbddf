import type { User } from '@sallyport/api';
import type { JSX } from 'preact';
import { t } from '../../strings/index.ts';
import { Badge } from '../../ui/parts.tsx';

export const roles: readonly User['role'][] = ['administrator', 'auditor', 'user'];

/** How people call a user. */
export function callName({ name, displayName }: Pick<User, 'name' | 'displayName'>): string {
  return displayName === '' ? name : displayName;
}

export type UserState = 'active' | 'disabled' | 'expired';

export function stateOf({ disabled, expiresAt }: User, now = Date.now()): UserState {
  if (disabled) return 'disabled';
  return expiresAt !== null && Date.parse(expiresAt) <= now ? 'expired' : 'active';
}

export function StateBadge({ user }: { readonly user: User }): JSX.Element {
  const state = stateOf(user);
  const tone = ({ active: 'good', disabled: 'bad', expired: 'warn' } as const)[state];
  return <Badge tone={tone}>{t.people.states[state]}</Badge>;
}

/** What most are needs no mark. */
export function Role({ role }: Pick<User, 'role'>): JSX.Element {
  const text = t.people.roles[role];
  return role === 'user' ? <span class="faint">{text}</span> : <Badge tone="neutral">{text}</Badge>;
}

/** A link to a user by the name for people, the one to log in with below it. */
export function UserLink({ user }: { readonly user: Pick<User, 'id' | 'name' | 'displayName'> }): JSX.Element {
  return (
    <div class="name-cell">
      <a href={`/users/${user.id}`}>{callName(user)}</a>
      {user.displayName !== '' && <span class="cell-more">{user.name}</span>}
    </div>
  );
}
