import { randomUUID } from 'node:crypto';
import { Secret } from '@sallyport/core';
import type { IdentityProvider } from '@sallyport/api';
import type { Kysely, Selectable } from 'kysely';
import { seal, unseal } from '../store/secrets.ts';
import type { Database, IdentityProviderTable } from '../store/schema.ts';
import type { Store, Writing } from '../store/store.ts';
import { newLoginEpoch } from './sessions.ts';

export type IdentityProviderRow = Selectable<IdentityProviderTable>;

/** What administrators set, but for the secret. */
export type IdentityProviderValue = Omit<IdentityProvider, 'id' | 'version' | 'redirectUri' | 'hasClientSecret'>;

/** Where a provider sends browsers back to. */
export function redirectUriOf(publicUrl: string, providerId: string): string {
  return new URL(`/login/oidc/${encodeURIComponent(providerId)}/callback`, publicUrl).href;
}

/** As the API answers it. */
export function describeIdentityProvider(row: IdentityProviderRow, publicUrl: string): IdentityProvider {
  return {
    id: row.id,
    ...valueOf(row),
    hasClientSecret: row.sealed_client_secret !== null,
    redirectUri: redirectUriOf(publicUrl, row.id),
    version: row.version,
  };
}

export function valueOf(row: IdentityProviderRow): IdentityProviderValue {
  return {
    name: row.name,
    issuer: row.issuer,
    clientId: row.client_id,
    scopes: JSON.parse(row.scopes) as string[],
    enabled: row.enabled === 1,
    createUsers: row.create_users === 1,
    emailDomains: JSON.parse(row.email_domains) as string[],
    linkByEmail: row.link_by_email === 1,
    asksSecondFactor: row.asks_second_factor === 1,
    groupsClaim: row.groups_claim,
    groupsByName: row.groups_by_name === 1,
    groupMapping: JSON.parse(row.group_mapping) as IdentityProvider['groupMapping'],
  };
}

/** By name. */
export async function listIdentityProviders(db: Kysely<Database>): Promise<IdentityProviderRow[]> {
  return db.selectFrom('identity_provider').selectAll().orderBy('name').orderBy('id').execute();
}

/** By id, else by name. */
export async function findIdentityProvider(
  db: Kysely<Database>,
  reference: string,
): Promise<IdentityProviderRow | undefined> {
  return (
    (await findIdentityProviderById(db, reference)) ??
    (await db.selectFrom('identity_provider').selectAll().where('name', '=', reference).executeTakeFirst())
  );
}

export async function findIdentityProviderById(
  db: Kysely<Database>,
  id: string,
): Promise<IdentityProviderRow | undefined> {
  return db.selectFrom('identity_provider').selectAll().where('id', '=', id).executeTakeFirst();
}

export async function insertIdentityProvider(
  store: Store,
  writing: Writing,
  value: IdentityProviderValue,
  clientSecret: string | null,
): Promise<IdentityProviderRow> {
  const id = randomUUID();
  const row = { id, ...columnsOf(value), sealed_client_secret: sealSecret(store, id, clientSecret), version: 1 };
  await writing.db.insertInto('identity_provider').values(row).execute();
  await writing.audit('identityProvider.create', targetOf(row), undefined, auditedOf(row));
  writing.changed('identityProvider', id);
  return row;
}

/** Ends the sessions that came by it where it is switched off. @param clientSecret undefined keeps what there is, null removes it */
export async function updateIdentityProvider(
  store: Store,
  writing: Writing,
  before: IdentityProviderRow,
  value: IdentityProviderValue,
  clientSecret: string | null | undefined,
): Promise<IdentityProviderRow> {
  const row = {
    ...before,
    ...columnsOf(value),
    sealed_client_secret:
      clientSecret === undefined ? before.sealed_client_secret : sealSecret(store, before.id, clientSecret),
    version: before.version + 1,
  };
  const { id, ...columns } = row;
  await writing.db.updateTable('identity_provider').set(columns).where('id', '=', id).execute();
  const ended = before.enabled === 1 && row.enabled === 0 ? await endSessionsBy(writing, id) : 0;
  await writing.audit('identityProvider.update', targetOf(row), auditedOf(before), {
    ...auditedOf(row),
    ...(ended === 0 ? {} : { sessionsEnded: ended }),
    ...(clientSecret === undefined ? {} : { clientSecretChanged: true }),
  });
  writing.changed('identityProvider', id);
  return row;
}

/** Ends the sessions that came by it, too. */
export async function deleteIdentityProvider(writing: Writing, row: IdentityProviderRow): Promise<void> {
  const { db, audit, changed } = writing;
  const sessionsEnded = await endSessionsBy(writing, row.id);
  await db.deleteFrom('identity_provider').where('id', '=', row.id).execute();
  await audit('identityProvider.delete', targetOf(row), { ...auditedOf(row), sessionsEnded });
  changed('identityProvider', row.id);
}

/** Answers how many. By what a tunnel's login came is not kept: those of all who may log in by it end. */
async function endSessionsBy({ db, changed }: Writing, providerId: string): Promise<number> {
  const sessions = await db.deleteFrom('session').where('provider_id', '=', providerId).returning('user_id').execute();
  for (const { user_id: userId } of sessions) changed('session', userId);
  const users = await db
    .updateTable('user')
    .set({ login_epoch: newLoginEpoch() })
    .where('id', 'in', (eb) =>
      eb.selectFrom('external_identity').select('user_id').where('provider_id', '=', providerId),
    )
    .where('id', 'in', (eb) => eb.selectFrom('device').select('user_id').where('openvpn', 'is not', null))
    .returning('id')
    .execute();
  for (const { id } of users) changed('user', id);
  return sessions.length;
}

/** Whether somebody has logged in by it. */
export async function hasIdentities(db: Kysely<Database>, providerId: string): Promise<boolean> {
  const row = await db
    .selectFrom('external_identity')
    .select('subject')
    .where('provider_id', '=', providerId)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** What it knows this service by; undefined for one that does without. */
export function clientSecretOf({ masterKey }: Store, row: IdentityProviderRow): Secret<string> | undefined {
  if (row.sealed_client_secret === null) return undefined;
  if (masterKey === undefined) throw new Error('The store was opened without a master key');
  const secret = unseal(masterKey, secretName(row.id), row.sealed_client_secret);
  if (secret === undefined) {
    throw new Error(`The sealed client secret of the identity provider ${row.id} in the database was changed`);
  }
  return new Secret(secret.toString());
}

function sealSecret({ masterKey }: Store, id: string, clientSecret: string | null): string | null {
  if (clientSecret === null) return null;
  if (masterKey === undefined) throw new Error('The store was opened without a master key');
  return seal(masterKey, secretName(id), Buffer.from(clientSecret));
}

const secretName = (id: string): string => `oidc-client-secret:${id}`;

function columnsOf(value: IdentityProviderValue) {
  return {
    name: value.name,
    issuer: value.issuer,
    client_id: value.clientId,
    scopes: JSON.stringify(value.scopes),
    enabled: value.enabled ? 1 : 0,
    create_users: value.createUsers ? 1 : 0,
    email_domains: JSON.stringify(value.emailDomains),
    link_by_email: value.linkByEmail ? 1 : 0,
    asks_second_factor: value.asksSecondFactor ? 1 : 0,
    groups_claim: value.groupsClaim,
    groups_by_name: value.groupsByName ? 1 : 0,
    group_mapping: JSON.stringify(value.groupMapping),
  };
}

function auditedOf(row: IdentityProviderRow) {
  return { id: row.id, ...valueOf(row), hasClientSecret: row.sealed_client_secret !== null, version: row.version };
}

function targetOf({ id, name }: IdentityProviderRow) {
  return { kind: 'identityProvider', id, name };
}
