/** Users of a SCIM client, and what becomes of them here. */
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { endInvitations } from '../repositories/invitations.ts';
import {
  countScimUsers,
  findScimUser,
  pageOfScimUsers,
  scimGroupsOfUsers,
  type ScimUserFilter,
  type ScimUserRow,
} from '../repositories/scim-users.ts';
import { endSessions } from '../repositories/sessions.ts';
import { describeUserRow, groupsOfUsers, newUserRow, timeText, type UserRow } from '../repositories/users.ts';
import { removeUser } from '../routes/removals.ts';
import type { Writing } from '../store/store.ts';
import { folded, isObject, textAt, type Values } from './attributes.ts';
import { requireVersion, writeAs, type ScimRequest } from './context.ts';
import { invalidValue, ScimFault } from './fault.ts';
import { filterOf, listResources } from './lists.ts';
import { requiredValue } from './matching.ts';
import { freeName, shortNameOf } from './names.ts';
import { patched } from './patch.ts';
import { isPrimary, readResource } from './resource.ts';
import { ENTERPRISE_URN, USER_SCHEMA } from './schemas.ts';

/** Bytes of what is kept of one user for the client alone. */
const maxAttributeBytes = 16 * 1024;
/** As the API has it. */
const maxDisplayName = 100;
const mailAddress = z.email().max(254);

/** What is kept as JSON of a user. */
interface Kept {
  /** As the client has it; the user may be disabled here all the same. */
  readonly active: boolean;
  /** The user was disabled here by hand when the client deactivated them, and stays so when it activates them. */
  readonly disabledHere: boolean;
  /** The resource without `externalId` and `active`. */
  readonly resource: Values;
}

export async function listUsers(scim: ScimRequest): Promise<object> {
  const { request, services, client } = scim;
  const { db } = services.store;
  const filter = filterOf(request.url);
  const required = (name: string): string | undefined =>
    filter === undefined ? undefined : requiredValue(USER_SCHEMA, filter, name);
  const userName = required('userName');
  const narrowed: ScimUserFilter = {
    clientId: client.id,
    id: required('id'),
    userName: userName === undefined ? undefined : folded(userName),
    externalId: required('externalId'),
  };
  return listResources(USER_SCHEMA, request.url, filter, {
    count: () => countScimUsers(db, narrowed),
    page: (page) => pageOfScimUsers(db, narrowed, page),
    describe: (rows) => describeUsers(scim, rows),
  });
}

export async function getUser(scim: ScimRequest, id: string): Promise<Values> {
  const row = await findScimUser(scim.services.store.db, scim.client.id, id);
  if (row === undefined) throw noUser();
  return describeUser(scim, row);
}

export async function createUser(scim: ScimRequest, body: unknown): Promise<Values> {
  const { active = true, ...rest } = readResource(USER_SCHEMA, body);
  const row = await writeAs(scim, async ({ db, now, audit, changed }) => {
    const fields = fieldsOf(rest, now, { active: active === true, disabledHere: false });
    await requireFreeUserName(db, scim.client.id, fields.scim.user_name);
    const user = newUserRow(now, {
      name: await freeName(db, 'user', shortNameOf(textAt(rest, 'userName'), 'user')),
      ...fields.user,
      disabled: active === true ? 0 : 1,
    });
    await db.insertInto('user').values(user).execute();
    await db
      .insertInto('scim_user')
      .values({ user_id: user.id, client_id: scim.client.id, ...fields.scim })
      .execute();
    const after = { ...user, ...fields.scim };
    await audit('user.create', { kind: 'user', id: user.id, name: user.name }, undefined, auditedUser(after, []));
    changed('user', user.id);
    return after;
  });
  return describeUser(scim, row);
}

export async function replaceUser(scim: ScimRequest, id: string, body: unknown): Promise<Values> {
  const resource = readResource(USER_SCHEMA, body);
  // Without a word about it, nobody is let in again.
  return updateUser(scim, id, (before) => ({ active: before['active'], ...resource }));
}

export async function patchUser(scim: ScimRequest, id: string, body: unknown): Promise<Values> {
  return updateUser(scim, id, (before) => patched(USER_SCHEMA, before, body));
}

export async function deleteUser(scim: ScimRequest, id: string): Promise<void> {
  await writeAs(scim, async (writing) => {
    const row = await findScimUser(writing.db, scim.client.id, id);
    if (row === undefined) throw noUser();
    requireVersion(scim.request, row.version);
    refuseAdministrator(row, 'removed');
    await removeUser(writing, row);
  });
}

async function updateUser(scim: ScimRequest, id: string, make: (before: Values) => Values): Promise<Values> {
  const row = await writeAs(scim, async (writing) => {
    const before = await findScimUser(writing.db, scim.client.id, id);
    if (before === undefined) throw noUser();
    requireVersion(scim.request, before.version);
    return applyUpdate(writing, scim.client.id, before, make);
  });
  return describeUser(scim, row);
}

async function applyUpdate(
  { db, now, audit, changed }: Writing,
  clientId: string,
  before: ScimUserRow,
  make: (before: Values) => Values,
): Promise<ScimUserRow> {
  const kept = keptOf(before);
  const resource = writableOf(before, kept);
  const { active = kept.active, ...rest } = make(resource);
  if (isDeepStrictEqual({ active, ...rest }, resource)) return before;
  const isActive = active === true;
  // Who was disabled by hand meanwhile stays so.
  const disabledHere = kept.active ? !isActive && before.disabled === 1 : isActive ? false : kept.disabledHere;
  const fields = fieldsOf(rest, now, { active: isActive, disabledHere });
  if (fields.scim.user_name !== before.user_name) await requireFreeUserName(db, clientId, fields.scim.user_name);
  const shortName = shortNameOf(textAt(rest, 'userName'), 'user');
  const disabled = isActive === kept.active ? before.disabled : isActive ? (kept.disabledHere ? 1 : 0) : 1;
  const after: ScimUserRow = {
    ...before,
    ...fields.user,
    ...fields.scim,
    name:
      // An administrator whose name is another would be shut out: they log in by it.
      before.role === 'administrator' || shortName === shortNameOf(textAt(resource, 'userName'), 'user')
        ? before.name
        : await freeName(db, 'user', shortName),
    disabled,
    version: before.version + 1,
  };
  if (!isActive && kept.active) refuseAdministrator(before, 'disabled');
  const { name, display_name, email, version } = after;
  await db
    .updateTable('user')
    .set({ name, display_name, email, disabled, version })
    .where('id', '=', before.id)
    .execute();
  await db.updateTable('scim_user').set(fields.scim).where('user_id', '=', before.id).execute();
  const isNowDisabled = disabled === 1 && before.disabled === 0;
  if (isNowDisabled) {
    await endSessions({ db, changed }, before.id);
    for (const invitationId of await endInvitations(db, before.id)) changed('invitation', invitationId);
  }
  const groups = (await groupsOfUsers(db, [before.id])).get(before.id) ?? [];
  await audit(
    'user.update',
    { kind: 'user', id: before.id, name },
    auditedUser(before, groups),
    auditedUser(after, groups),
  );
  changed('user', before.id);
  return after;
}

function noUser(): ScimFault {
  return new ScimFault(404, undefined, 'There is no such user among those that this client keeps.');
}

/** Whoever holds the token of a client must not be able to shut the administrators out. */
function refuseAdministrator(row: UserRow, what: string): void {
  if (row.role !== 'administrator') return;
  throw new ScimFault(
    403,
    'mutability',
    `${row.name} is an administrator here, and is not ${what} by SCIM: take the role away first, or do it by hand.`,
  );
}

async function requireFreeUserName(db: Writing['db'], clientId: string, userName: string): Promise<void> {
  if ((await countScimUsers(db, { clientId, userName })) === 0) return;
  throw new ScimFault(409, 'uniqueness', 'There is a user with this userName already.');
}

/** The columns that a resource, without `active`, fills. */
function fieldsOf(resource: Values, now: number, state: Omit<Kept, 'resource'>) {
  const { externalId, ...rest } = resource;
  const attributes = JSON.stringify({ ...state, resource: rest } satisfies Kept);
  if (Buffer.byteLength(attributes) > maxAttributeBytes) {
    throw new ScimFault(400, 'invalidValue', `A user can have ${maxAttributeBytes} bytes of attributes at most.`);
  }
  return {
    user: { display_name: displayNameOf(rest), email: emailOf(rest) },
    scim: {
      user_name: folded(textAt(rest, 'userName')),
      external_id: externalId === undefined ? null : textAt(resource, 'externalId'),
      attributes,
      modified_at: now,
    },
  };
}

function displayNameOf(resource: Values): string {
  const name = isObject(resource['name']) ? resource['name'] : {};
  const parts = `${textAt(name, 'givenName')} ${textAt(name, 'familyName')}`;
  const whole = [textAt(resource, 'displayName'), textAt(name, 'formatted'), parts].map((text) => text.trim());
  // A character that was cut in half goes.
  return (whole.find((text) => text !== '') ?? '')
    .slice(0, maxDisplayName)
    .replace(/[\ud800-\udbff]$/, '')
    .trim();
}

function emailOf(resource: Values): string | null {
  const emails = ((resource['emails'] ?? []) as readonly Values[]).filter(({ value }) => value !== undefined);
  const email = (emails.find(isPrimary) ?? emails.at(0))?.['value'];
  if (email === undefined || email === '') return null;
  if (!mailAddress.safeParse(email).success) throw invalidValue('emails.value', 'must be a mail address');
  return email as string;
}

function keptOf(row: ScimUserRow): Kept {
  return JSON.parse(row.attributes) as Kept;
}

/** What a client can change. */
function writableOf(row: ScimUserRow, { active, resource }: Kept): Values {
  return { ...(row.external_id === null ? {} : { externalId: row.external_id }), ...resource, active };
}

/** For the audit log: what counts here, and how the client calls the user; other attributes are the client's alone. */
function auditedUser(row: ScimUserRow, groups: readonly string[]) {
  const { active, resource } = keptOf(row);
  return {
    ...describeUserRow(row, groups),
    scim: { userName: resource['userName'], externalId: row.external_id, active },
  };
}

async function describeUser(scim: ScimRequest, row: ScimUserRow): Promise<Values> {
  return (await describeUsers(scim, [row]))[0];
}

async function describeUsers({ services, client, base }: ScimRequest, rows: readonly ScimUserRow[]): Promise<Values[]> {
  const groups = await scimGroupsOfUsers(
    services.store.db,
    client.id,
    rows.map(({ id }) => id),
  );
  return rows.map((row) => {
    const writable = writableOf(row, keptOf(row));
    const memberships = groups.get(row.id);
    return {
      schemas: [USER_SCHEMA.urn, ...(isObject(writable[ENTERPRISE_URN]) ? [ENTERPRISE_URN] : [])],
      id: row.id,
      ...writable,
      ...(memberships === undefined
        ? {}
        : {
            groups: memberships.map(({ id, displayName }) => ({
              value: id,
              $ref: `${base}/Groups/${id}`,
              display: displayName,
              type: 'direct',
            })),
          }),
      meta: {
        resourceType: 'User',
        created: timeText(row.created_at),
        lastModified: timeText(row.modified_at),
        location: `${base}/Users/${row.id}`,
        version: `W/"${row.version}"`,
      },
    };
  });
}
