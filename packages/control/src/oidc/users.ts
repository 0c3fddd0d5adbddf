/** Who somebody is here whom a provider knows. */
import { sql, type Kysely } from 'kysely';
import { appendAudit } from '../audit/audit-log.ts';
import { valueOf, type IdentityProviderRow } from '../repositories/identity-providers.ts';
import { describeUserRow, newUserRow, type UserRow } from '../repositories/users.ts';
import { freeName, shortNameOf } from '../scim/names.ts';
import type { Database } from '../store/schema.ts';
import type { Origin, Writing } from '../store/store.ts';
import type { Claims } from './claims.ts';
import { LoginFault } from './login-fault.ts';

export interface Resolved {
  readonly user: UserRow;
  /** `linked` and `created` are yet to be written. */
  readonly how: 'known' | 'linked' | 'created';
}

/** Throws the {@link LoginFault} `notAllowed` or `disabled`. */
export async function resolveUser(
  db: Kysely<Database>,
  provider: IdentityProviderRow,
  claims: Claims,
  now: number,
): Promise<Resolved> {
  const known = await findExternalUser(db, provider.id, claims.subject);
  if (known !== undefined) return { user: requireActive(known, now), how: 'known' };
  const { linkByEmail, createUsers, emailDomains } = valueOf(provider);
  const email = claims.verifiedEmail;
  const domain = email?.slice(email.lastIndexOf('@') + 1);
  if (emailDomains.length > 0 && (domain === undefined || !emailDomains.includes(domain))) {
    throw new LoginFault('notAllowed', 'they have no verified mail address of a domain that users are taken from');
  }
  if (linkByEmail && email !== undefined) {
    const owner = await findOwner(db, provider.id, email);
    if (owner !== undefined) return { user: requireActive(owner, now), how: 'linked' };
  }
  if (!createUsers) throw new LoginFault('notAllowed', 'nobody here is them, and the provider makes no users');
  return { user: await newUser(db, claims, now), how: 'created' };
}

export async function findExternalUser(
  db: Kysely<Database>,
  providerId: string,
  subject: string,
): Promise<UserRow | undefined> {
  return db
    .selectFrom('external_identity')
    .innerJoin('user', 'user.id', 'external_identity.user_id')
    .selectAll('user')
    .where('external_identity.provider_id', '=', providerId)
    .where('external_identity.subject', '=', subject)
    .executeTakeFirst();
}

/** Who may do more than other users is not taken over by a mail address; nor is who is somebody else at the provider. */
async function findOwner(db: Kysely<Database>, providerId: string, email: string): Promise<UserRow | undefined> {
  const owners = await db
    .selectFrom('user')
    .selectAll()
    .where(sql`lower(email)`, '=', email)
    .limit(2)
    .execute();
  const [owner] = owners;
  if (owner === undefined) return undefined;
  if (owners.length > 1) throw new LoginFault('notAllowed', 'more than one user has their mail address');
  const { id, name, role } = owner;
  if (role !== 'user') {
    throw new LoginFault('notAllowed', `the user with their mail address is ${role}`, { user: { id, name } });
  }
  const other = await db
    .selectFrom('external_identity')
    .select('subject')
    .where('provider_id', '=', providerId)
    .where('user_id', '=', id)
    .executeTakeFirst();
  if (other !== undefined) {
    throw new LoginFault('notAllowed', 'the user with their mail address is somebody else at the provider', {
      user: { id, name },
    });
  }
  return owner;
}

function requireActive(user: UserRow, now: number): UserRow {
  if (user.disabled === 0 && (user.expires_at === null || user.expires_at > now)) return user;
  const { id, name } = user;
  throw new LoginFault('disabled', 'their account is not active', { user: { id, name } });
}

async function newUser(db: Kysely<Database>, claims: Claims, now: number): Promise<UserRow> {
  return newUserRow(now, {
    name: await freeName(db, 'user', shortNameOf(claims.userName ?? '', 'user')),
    display_name: claims.displayName,
    // One that nobody verified is not theirs: another provider may log in by it.
    email: claims.verifiedEmail ?? null,
  });
}

/** Writes who they are, within the transaction of the login. `by` is the provider. */
export async function keepIdentity(
  { db, now, changed }: Writing,
  provider: IdentityProviderRow,
  subject: string,
  { user, how }: Resolved,
  by: Origin,
): Promise<void> {
  const target = { kind: 'user', id: user.id, name: user.name };
  const at = { provider: { id: provider.id, name: provider.name } };
  if (how === 'known') {
    await db
      .updateTable('external_identity')
      .set({ last_login_at: now })
      .where('provider_id', '=', provider.id)
      .where('subject', '=', subject)
      .execute();
    return;
  }
  if (how === 'created') {
    await db.insertInto('user').values(user).execute();
    await appendAudit(db, now, by, 'user.create', target, undefined, { ...describeUserRow(user, []), ...at });
  } else {
    await appendAudit(db, now, by, 'user.link', target, undefined, at);
  }
  await db
    .insertInto('external_identity')
    .values({ provider_id: provider.id, subject, user_id: user.id, created_at: now, last_login_at: now })
    .execute();
  changed('user', user.id);
}
