/** Groups of a SCIM client. */
import { randomUUID } from 'node:crypto';
import { describeGroupRow, type GroupRow } from '../repositories/groups.ts';
import {
  addMembers,
  countScimGroups,
  findScimGroup,
  pageOfScimGroups,
  removeMembers,
  scimMembers,
  type ScimGroupFilter,
  type ScimGroupRow,
} from '../repositories/scim-groups.ts';
import { raiseUserVersions, scimUserNames } from '../repositories/scim-users.ts';
import { timeText } from '../repositories/users.ts';
import { testsBrokenBy } from '../routes/policy-guard.ts';
import { removeGroup } from '../routes/removals.ts';
import type { Services } from '../services.ts';
import type { Writing } from '../store/store.ts';
import { folded, textAt, type Values } from './attributes.ts';
import { requireVersion, writeAs, type ScimRequest } from './context.ts';
import { invalidValue, ScimFault } from './fault.ts';
import { filterOf, listResources } from './lists.ts';
import { requiredValue } from './matching.ts';
import { freeName, shortNameOf } from './names.ts';
import { patched } from './patch.ts';
import { readResource } from './resource.ts';
import { GROUP_SCHEMA } from './schemas.ts';

/** Members of all groups of one answer. */
const maxMembers = 100_000;

const all = (_name: string): boolean => true;

export async function listGroups(scim: ScimRequest): Promise<object> {
  const { request, services, client } = scim;
  const { db } = services.store;
  const filter = filterOf(request.url);
  const required = (name: string): string | undefined =>
    filter === undefined ? undefined : requiredValue(GROUP_SCHEMA, filter, name);
  const narrowed: ScimGroupFilter = { clientId: client.id, id: required('id'), externalId: required('externalId') };
  return listResources(GROUP_SCHEMA, request.url, filter, {
    count: () => countScimGroups(db, narrowed),
    page: (page) => pageOfScimGroups(db, narrowed, page),
    describe: (rows, has) => describeGroups(scim, rows, has),
  });
}

/** `has` says which attributes are wanted. */
export async function getGroup(scim: ScimRequest, id: string, has = all): Promise<Values> {
  const row = await findScimGroup(scim.services.store.db, scim.client.id, id);
  if (row === undefined) throw noGroup();
  return describeGroup(scim, row, has);
}

export async function createGroup(scim: ScimRequest, body: unknown): Promise<Values> {
  const resource = readResource(GROUP_SCHEMA, body);
  const row = await writeAs(scim, async (writing) => {
    const { db, audit, changed } = writing;
    const fields = fieldsOf(resource, writing.now);
    await requireFreeDisplayName(db, scim.client.id, fields.display_name);
    const group: GroupRow = {
      id: randomUUID(),
      name: await freeName(db, 'group', shortNameOf(fields.display_name, 'group')),
      description: fields.display_name,
      require_device_approval: 0,
      require_second_factor: 0,
      require_kill_switch: 0,
      require_region_id: null,
      require_gateway_id: null,
      session_lifetime_seconds: null,
      devices_per_user: null,
      bits_per_second: null,
      traffic_bytes_per_month: null,
      version: 1,
    };
    await db.insertInto('group').values(group).execute();
    await db
      .insertInto('scim_group')
      .values({ group_id: group.id, client_id: scim.client.id, ...fields })
      .execute();
    const members = await changeMembers(writing, scim.client.id, group.id, membersOf(resource));
    const after = { ...group, ...fields };
    await audit('group.create', { kind: 'group', id: group.id, name: group.name }, undefined, {
      ...auditedGroup(after),
      membersAdded: members.added,
    });
    changed('group', group.id);
    if (members.added.length > 0) await refuseForbiddenAccess(scim.services, writing);
    return after;
  });
  return describeGroup(scim, row, all);
}

export async function replaceGroup(scim: ScimRequest, id: string, body: unknown): Promise<Values> {
  const resource = readResource(GROUP_SCHEMA, body);
  return describeGroup(scim, await updateGroup(scim, id, () => resource), all);
}

/** The group is not given back: it may be large, and clients ask with `attributes` where they want to see it. */
export async function patchGroup(scim: ScimRequest, id: string, body: unknown): Promise<ScimGroupRow> {
  return updateGroup(scim, id, (before) => patched(GROUP_SCHEMA, before, body));
}

export async function deleteGroup(scim: ScimRequest, id: string): Promise<void> {
  await writeAs(scim, async (writing) => {
    const row = await findScimGroup(writing.db, scim.client.id, id);
    if (row === undefined) throw noGroup();
    requireVersion(scim.request, row.version);
    await removeGroup(writing, row);
  });
}

async function updateGroup(scim: ScimRequest, id: string, make: (before: Values) => Values): Promise<ScimGroupRow> {
  return writeAs(scim, async (writing) => {
    const { db, now, audit, changed } = writing;
    const before = await findScimGroup(db, scim.client.id, id);
    if (before === undefined) throw noGroup();
    requireVersion(scim.request, before.version);
    const members = (await scimMembers(db, scim.client.id, [id])).get(id) ?? [];
    const resource = make({
      ...(before.external_id === null ? {} : { externalId: before.external_id }),
      displayName: before.display_name,
      ...(members.length === 0 ? {} : { members: members.map((member) => ({ value: member.id })) }),
    });
    const fields = fieldsOf(resource, now);
    const isRenamed = fields.display_name !== before.display_name;
    if (folded(fields.display_name) !== folded(before.display_name)) {
      await requireFreeDisplayName(db, scim.client.id, fields.display_name);
    }
    const membership = await changeMembers(writing, scim.client.id, id, membersOf(resource));
    const { added, removed } = membership;
    if (!isRenamed && fields.external_id === before.external_id && added.length + removed.length === 0) return before;
    const shortName = shortNameOf(fields.display_name, 'group');
    const after: ScimGroupRow = {
      ...before,
      ...fields,
      name:
        shortName === shortNameOf(before.display_name, 'group') ? before.name : await freeName(db, 'group', shortName),
      // Unless somebody wrote another one here.
      description: before.description === before.display_name ? fields.display_name : before.description,
      version: before.version + 1,
    };
    const { name, description, version } = after;
    await db.updateTable('group').set({ name, description, version }).where('id', '=', id).execute();
    await db.updateTable('scim_group').set(fields).where('group_id', '=', id).execute();
    await audit(
      'group.update',
      { kind: 'group', id, name },
      { ...auditedGroup(before), ...(removed.length === 0 ? {} : { membersRemoved: removed }) },
      { ...auditedGroup(after), ...(added.length === 0 ? {} : { membersAdded: added }) },
    );
    changed('group', id);
    if (added.length > 0) await refuseForbiddenAccess(scim.services, writing);
    return after;
  });
}

/** Puts exactly these users of the client into a group, and answers the names of those who came and went. */
async function changeMembers(
  { db }: Writing,
  clientId: string,
  groupId: string,
  wanted: ReadonlySet<string>,
): Promise<{ readonly added: string[]; readonly removed: string[] }> {
  const before = new Map(
    ((await scimMembers(db, clientId, [groupId])).get(groupId) ?? []).map(({ id, name }) => [id, name]),
  );
  const added = [...wanted].filter((id) => !before.has(id));
  const removed = [...before.keys()].filter((id) => !wanted.has(id));
  const names = await scimUserNames(db, clientId, added);
  const unknown = added.find((id) => !names.has(id));
  if (unknown !== undefined) {
    throw invalidValue(
      'members',
      `${JSON.stringify(unknown)} is no user that this client keeps; groups in groups are not taken`,
    );
  }
  await addMembers(db, groupId, added);
  await removeMembers(db, groupId, removed);
  await raiseUserVersions(db, [...added, ...removed]);
  return { added: [...names.values()].sort(), removed: removed.map((id) => before.get(id)!).sort() };
}

/**
 * Refuses members who would get access that a policy test forbids. A test that somebody has access keeps nobody in a group:
 * who leaves at the identity provider must be able to leave here.
 */
async function refuseForbiddenAccess(services: Services, writing: Writing): Promise<void> {
  const forbidden = (await testsBrokenBy(services, writing)).find(({ test }) => test.expect === 'deny');
  if (forbidden === undefined) return;
  throw new ScimFault(
    409,
    undefined,
    `The policy test ${JSON.stringify(forbidden.test.name)} would fail: it says that somebody has no access, who would get it by this. An administrator here has to change the test or the rules.`,
  );
}

function noGroup(): ScimFault {
  return new ScimFault(404, undefined, 'There is no such group among those that this client keeps.');
}

/** Two of one name could not be told apart in rules. */
async function requireFreeDisplayName(db: Writing['db'], clientId: string, displayName: string): Promise<void> {
  const rows = await db.selectFrom('scim_group').select('display_name').where('client_id', '=', clientId).execute();
  const wanted = folded(displayName);
  if (!rows.some((row) => folded(row.display_name) === wanted)) return;
  throw new ScimFault(409, 'uniqueness', 'There is a group with this displayName already.');
}

function fieldsOf(resource: Values, now: number) {
  return {
    display_name: textAt(resource, 'displayName'),
    external_id: resource['externalId'] === undefined ? null : textAt(resource, 'externalId'),
    modified_at: now,
  };
}

function membersOf(resource: Values): ReadonlySet<string> {
  const members = (resource['members'] ?? []) as readonly Values[];
  return new Set(
    members.map(({ value }) => {
      if (typeof value !== 'string' || value === '') throw invalidValue('members.value', 'is required');
      return value;
    }),
  );
}

function auditedGroup(row: ScimGroupRow) {
  return { ...describeGroupRow(row), scim: { displayName: row.display_name, externalId: row.external_id } };
}

export async function describeGroup(
  scim: ScimRequest,
  row: ScimGroupRow,
  has: (name: string) => boolean,
): Promise<Values> {
  return (await describeGroups(scim, [row], has))[0];
}

async function describeGroups(
  { services, client, base }: ScimRequest,
  rows: readonly ScimGroupRow[],
  has: (name: string) => boolean,
): Promise<Values[]> {
  const ids = has('members') ? rows.map(({ id }) => id) : [];
  const members = await scimMembers(services.store.db, client.id, ids, maxMembers + 1);
  if ([...members.values()].reduce((sum, { length }) => sum + length, 0) > maxMembers) {
    throw new ScimFault(
      400,
      'tooMany',
      `An answer can have ${maxMembers} members at most: ask for fewer groups, or with excludedAttributes=members.`,
    );
  }
  return rows.map((row) => {
    const listed = members.get(row.id) ?? [];
    return {
      schemas: [GROUP_SCHEMA.urn],
      id: row.id,
      ...(row.external_id === null ? {} : { externalId: row.external_id }),
      displayName: row.display_name,
      ...(listed.length === 0
        ? {}
        : {
            members: listed.map(({ id, displayName }) => ({
              value: id,
              $ref: `${base}/Users/${id}`,
              ...(displayName === '' ? {} : { display: displayName }),
              type: 'User',
            })),
          }),
      meta: {
        resourceType: 'Group',
        lastModified: timeText(row.modified_at),
        location: `${base}/Groups/${row.id}`,
        version: `W/"${row.version}"`,
      },
    };
  });
}
