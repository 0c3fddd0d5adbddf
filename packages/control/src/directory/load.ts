/** Reads parts of the access model: whole tables, or what belongs to certain ids. */
import type { AccessModel } from '@sallyport/policy';
import type { Kysely } from 'kysely';
import { bytesOf, sumOf } from '../repositories/usage.ts';
import type { Database } from '../store/schema.ts';
import * as rows from './rows.ts';

/** Ids in one statement; where there are more, reading the whole table is faster. */
const idLimit = 500;

/** Undefined stands for all there are. */
export type Ids = ReadonlySet<string> | undefined;

/** The maps of the access model. */
export type Part = Exclude<keyof AccessModel, 'pool4' | 'pool6' | 'names' | 'openvpn'>;
export type Entity<P extends Part> = AccessModel[P] extends ReadonlyMap<string, infer E> ? E : never;

/** What the database holds of a part, by id. `month` (`2026-01`, UTC) is that of the users' traffic. */
export const load: {
  readonly [P in Part]: (db: Kysely<Database>, ids: Ids, month: string) => Promise<Map<string, Entity<P>>>;
} = {
  users: loadUsers,
  groups: async (db, ids) => {
    const query = db.selectFrom('group').selectAll();
    return byId(await (few(ids) ? query.where('id', 'in', [...ids]) : query).execute(), rows.groupModel);
  },
  devices: async (db, ids) => {
    const query = db.selectFrom('device').selectAll();
    return byId(await (few(ids) ? query.where('id', 'in', [...ids]) : query).execute(), rows.deviceModel);
  },
  gateways: async (db, ids) => {
    const query = db.selectFrom('gateway').selectAll();
    return byId(await (few(ids) ? query.where('id', 'in', [...ids]) : query).execute(), rows.gatewayModel);
  },
  resources: async (db, ids) => {
    const query = db.selectFrom('resource').selectAll();
    return byId(await (few(ids) ? query.where('id', 'in', [...ids]) : query).execute(), rows.resourceModel);
  },
  rules: async (db, ids) => {
    const query = db.selectFrom('rule').selectAll();
    return byId(await (few(ids) ? query.where('id', 'in', [...ids]) : query).execute(), rows.ruleModel);
  },
  tests: async (db, ids) => {
    const query = db.selectFrom('policy_test').selectAll();
    return byId(await (few(ids) ? query.where('id', 'in', [...ids]) : query).execute(), rows.policyTestModel);
  },
};

async function loadUsers(db: Kysely<Database>, ids: Ids, month: string): Promise<Map<string, Entity<'users'>>> {
  let users = db.selectFrom('user').selectAll();
  let members = db.selectFrom('group_member').selectAll();
  let usage = db
    .selectFrom('usage')
    .select(['user_id', sumOf('sent_bytes').as('sent'), sumOf('received_bytes').as('received')])
    .where('day', '>=', `${month}-01`)
    .where('day', '<=', `${month}-31`)
    .groupBy('user_id');
  if (few(ids)) {
    users = users.where('id', 'in', [...ids]);
    members = members.where('user_id', 'in', [...ids]);
    usage = usage.where('user_id', 'in', [...ids]);
  }
  const groups = new Map<string, Set<string>>();
  for (const { user_id, group_id } of await members.execute()) {
    const set = groups.get(user_id);
    if (set === undefined) groups.set(user_id, new Set([group_id]));
    else set.add(group_id);
  }
  const traffic = new Map<string, number>();
  for (const { user_id, sent, received } of await usage.execute()) {
    traffic.set(user_id, bytesOf(sent, received));
  }
  return byId(await users.execute(), (row) =>
    rows.userModel(row, groups.get(row.id) ?? new Set(), traffic.get(row.id) ?? 0),
  );
}

/** The members that a group has now. */
export async function loadMembers(db: Kysely<Database>, groupId: string): Promise<Set<string>> {
  const members = await db.selectFrom('group_member').select('user_id').where('group_id', '=', groupId).execute();
  return new Set(members.map(({ user_id }) => user_id));
}

function few(ids: Ids): ids is ReadonlySet<string> {
  return ids !== undefined && ids.size <= idLimit;
}

function byId<R extends { readonly id: string }, E>(found: readonly R[], toEntity: (row: R) => E): Map<string, E> {
  return new Map(found.map((row) => [row.id, toEntity(row)]));
}
