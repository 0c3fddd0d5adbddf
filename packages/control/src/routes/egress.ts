import { randomBytes, randomUUID } from 'node:crypto';
import { gatewayRoutes as contracts } from '@sallyport/api';
import type { Kysely } from 'kysely';
import { permissionsOf } from '../auth/roles.ts';
import { hashToken } from '../auth/tokens.ts';
import { ApiError } from '../http/api-error.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { egressAddresses, plainAddresses, type EgressFilter } from '../repositories/gateways.ts';
import { References } from '../repositories/references.ts';
import type { Database } from '../store/schema.ts';
import { found } from './answers.ts';
import { lastMomentOf, requireRoom } from './tokens.ts';

/**
 * A link stands in the configuration of a firewall and in the logs of proxies. So it opens nothing but this list: it
 * is kept among the API tokens, where it is listed and revoked with them and ends with its user, but by a hash that
 * no request's credential has, so that it is of no use as an API token.
 */
const ID_PREFIX = 'egress-';
const TOKEN_PREFIX = 'spe_';
const LAST_USE_EVERY_MS = 300_000;

function hashOf(token: string): string {
  return hashToken(`egress link ${token}`);
}

interface EgressQuery {
  readonly group?: string | undefined;
  readonly gateway?: string | undefined;
}

async function filterOf(db: Kysely<Database>, { group, gateway }: EgressQuery): Promise<EgressFilter> {
  const references = await References.read(db, ['group', 'gateway']);
  return {
    groupId: group === undefined ? undefined : found(references.idOf('group', group), 'group'),
    gatewayId: gateway === undefined ? undefined : found(references.idOf('gateway', gateway), 'gateway'),
  };
}

async function plainList(db: Kysely<Database>, query: EgressQuery): Promise<string> {
  const addresses = plainAddresses(await egressAddresses(db, await filterOf(db, query)));
  return addresses.map((address) => `${address}\n`).join('');
}

export const egressRoutes: readonly RouteImplementation[] = [
  implement(contracts.listEgress, async ({ services, query }) => {
    const { db } = services.store;
    return { items: await egressAddresses(db, await filterOf(db, query)), next: null };
  }),

  implement(contracts.exportEgress, ({ services, query }) => plainList(services.store.db, query)),

  implement(contracts.listEgressLinks, async ({ services }) => {
    const rows = await services.store.db
      .selectFrom('api_token')
      .selectAll()
      .where('id', 'like', `${ID_PREFIX}%`)
      .orderBy('name')
      .orderBy('id')
      .execute();
    return { items: rows.map(linkOf), next: null };
  }),

  implement(contracts.createEgressLink, async ({ services, origin, caller, body }) => {
    const token = TOKEN_PREFIX + randomBytes(32).toString('base64url');
    if (!caller.permissions.has('gateways:read'))
      throw new ApiError('forbidden', 'Your token may not read gateways, so it can not make a link that does.');
    return await services.store.write(origin, async ({ db, now, audit }) => {
      await requireRoom(db, caller.userId, now);
      const row = {
        id: `${ID_PREFIX}${randomUUID()}`,
        token_hash: hashOf(token),
        name: body.name,
        user_id: caller.userId,
        permissions: JSON.stringify(['gateways:read']),
        created_at: now,
        expires_at: await lastMomentOf(db, caller),
        last_used_at: null,
      };
      await db.insertInto('api_token').values(row).execute();
      await audit('egressLink.create', { kind: 'egressLink', id: row.id, name: row.name });
      return { ...linkOf(row), url: `${services.publicUrl()}/api/v1/egress/lists/${token}` };
    });
  }),

  implement(contracts.revokeEgressLink, ({ services, origin, params }) =>
    services.store.write(origin, async ({ db, audit }) => {
      const query = db.selectFrom('api_token').select('name').where('id', '=', params.linkId);
      const row = params.linkId.startsWith(ID_PREFIX) ? await query.executeTakeFirst() : undefined;
      const { name } = found(row, 'egress link');
      await db.deleteFrom('api_token').where('id', '=', params.linkId).execute();
      await audit('egressLink.revoke', { kind: 'egressLink', id: params.linkId, name });
    }),
  ),

  implement(contracts.readEgressLink, async ({ services, params, query }) => {
    const { db } = services.store;
    const now = services.now();
    const row = await db
      .selectFrom('api_token')
      .innerJoin('user', 'user.id', 'api_token.user_id')
      .select(['api_token.id', 'api_token.expires_at', 'api_token.last_used_at'])
      .select(['user.disabled', 'user.role', 'user.expires_at as user_expires_at'])
      .where('token_hash', '=', hashOf(params.token))
      .executeTakeFirst();
    const valid =
      row?.disabled === 0 &&
      (row.expires_at ?? Infinity) > now &&
      (row.user_expires_at ?? Infinity) > now &&
      permissionsOf(row.role).has('gateways:read');
    if (!valid) throw new ApiError('notFound', 'There is no such link, or it is no longer valid.');
    if (now - (row.last_used_at ?? 0) > LAST_USE_EVERY_MS)
      await db.updateTable('api_token').set({ last_used_at: now }).where('id', '=', row.id).execute();
    return await plainList(db, query);
  }),
];

function linkOf(row: { id: string; name: string; created_at: number; last_used_at: number | null }) {
  return {
    id: row.id,
    name: row.name,
    createdAt: new Date(row.created_at).toISOString(),
    lastUsedAt: row.last_used_at === null ? null : new Date(row.last_used_at).toISOString(),
  };
}
