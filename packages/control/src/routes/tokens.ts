import { routes } from '@sallyport/api';
import { randomUUID } from 'node:crypto';
import type { Kysely } from 'kysely';
import { permissionsOf, requireCovers } from '../auth/roles.ts';
import { hashToken, newToken } from '../auth/tokens.ts';
import { ApiError } from '../http/api-error.ts';
import type { Caller } from '../http/caller.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { describeApiToken, findApiTokenById, listApiTokens } from '../repositories/tokens.ts';
import { getUser } from '../repositories/users.ts';
import type { Database } from '../store/schema.ts';

/**
 * When what a caller makes must have ended: nothing that a token makes outlives it, or one that leaked would be good for
 * ever. Null: whenever. Throws where the token was revoked meanwhile.
 */
export async function lastMomentOf(db: Kysely<Database>, caller: Caller): Promise<number | null> {
  if (caller.kind !== 'token') return null;
  const own = await findApiTokenById(db, caller.credentialId);
  if (own === undefined) throw new ApiError('loginRequired', 'This token is not valid any more.');
  return own.expires_at;
}

/** Tokens that one user can have, links to the egress addresses among them. */
const maxTokens = 100;

/** Throws an ApiError where a user has as many tokens as one can have; those that have expired are removed. */
export async function requireRoom(db: Kysely<Database>, userId: string, now: number): Promise<void> {
  await db.deleteFrom('api_token').where('user_id', '=', userId).where('expires_at', '<=', now).execute();
  const { count } = await db
    .selectFrom('api_token')
    .select(({ fn }) => fn.countAll().as('count'))
    .where('user_id', '=', userId)
    .executeTakeFirstOrThrow();
  if (Number(count) >= maxTokens) {
    throw new ApiError(
      'limitReached',
      `You have ${maxTokens} API tokens and egress links; revoke some that are no longer needed.`,
    );
  }
}

export function tokenRoutes(): RouteImplementation[] {
  return [
    implement(routes.listTokens, async ({ query, services }) => {
      const { items, next } = await listApiTokens(services.store.db, query);
      return { items: items.map(describeApiToken), next };
    }),
    implement(routes.createToken, async ({ body, caller, services, origin }) => {
      const scopes = [...new Set(body.permissions)];
      for (const scope of scopes) {
        if (!caller.permissions.has(scope)) {
          throw new ApiError(
            'forbidden',
            `You or your token don't have the permission ${scope}, so a new token can't either.`,
          );
        }
      }
      const expiresAt = body.expiresAt === null || body.expiresAt === undefined ? null : Date.parse(body.expiresAt);
      if (expiresAt !== null && expiresAt <= services.now()) {
        throw new ApiError('invalidRequest', 'The request is faulty: /body/expiresAt: lies in the past.', {
          faults: [{ at: '/body/expiresAt', message: 'lies in the past' }],
        });
      }
      const token = newToken('api');
      return services.store.write(origin, async ({ db, now, audit, changed }) => {
        const latest = await lastMomentOf(db, caller);
        if (latest !== null && expiresAt !== null && expiresAt > latest) {
          const message = `lies after the end of the token that asks, ${new Date(latest).toISOString()}`;
          throw new ApiError('invalidRequest', `The request is faulty: /body/expiresAt: ${message}.`, {
            faults: [{ at: '/body/expiresAt', message }],
          });
        }
        await requireRoom(db, caller.userId, now);
        const row = {
          id: randomUUID(),
          token_hash: hashToken(token),
          name: body.name,
          user_id: caller.userId,
          permissions: JSON.stringify(scopes),
          created_at: now,
          expires_at: expiresAt ?? latest,
          last_used_at: null,
        };
        await db.insertInto('api_token').values(row).execute();
        const described = describeApiToken({ ...row, user_name: caller.userName });
        await audit('token.create', { kind: 'token', id: row.id, name: row.name }, undefined, described);
        changed('token', row.id);
        return { ...described, token };
      });
    }),
    implement(routes.deleteToken, async ({ params, caller, services, origin }) => {
      await services.store.write(origin, async ({ db, audit, changed }) => {
        const row = await findApiTokenById(db, params.tokenId);
        if (row === undefined) throw new ApiError('notFound', 'There is no such token.');
        // A narrow token may not take away those of who may do more.
        const user = await getUser(db, row.user_id);
        if (caller.userId !== user.id || permissionsOf(user.role).size > caller.permissions.size) {
          requireCovers(caller, user.role);
        }
        await db.deleteFrom('api_token').where('id', '=', row.id).execute();
        await audit('token.revoke', { kind: 'token', id: row.id, name: row.name }, describeApiToken(row));
        changed('token', row.id);
      });
    }),
  ];
}
