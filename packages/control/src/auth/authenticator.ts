import type { TokenScope } from '@sallyport/api';
import { ApiError } from '../http/api-error.ts';
import type { IncomingRequest } from '../http/api.ts';
import { NOBODY, type Authenticated } from '../http/caller.ts';
import { findApiToken } from '../repositories/tokens.ts';
import { findSession } from '../repositories/sessions.ts';
import type { Services } from '../services.ts';
import { readCookie } from './cookies.ts';
import type { CsrfTokens } from './csrf.ts';
import { hasSecondFactor, methodsOf } from './login-methods.ts';
import { permissionsOf } from './roles.ts';
import { requireSameOrigin } from './same-origin.ts';
import { endOfSession, expiryOf, LAST_USE_EVERY_MS, type SessionLifetime } from './sessions.ts';
import { hashToken, TOKEN_PREFIX } from './tokens.ts';

/**
 * Says who sends a request, from the database each time: who is disabled, expired or demoted is so with the next request,
 * at every control node.
 */
export function createAuthenticator(
  services: Services,
  lifetime: SessionLifetime,
  csrf: CsrfTokens,
): (request: IncomingRequest) => Promise<Authenticated> {
  return async (request) => {
    const authorization = request.header('authorization');
    if (authorization !== undefined) {
      const token = /^Bearer +([A-Za-z0-9_-]{1,200})$/i.exec(authorization.trim())?.[1];
      const found =
        token === undefined
          ? undefined
          : token.startsWith(TOKEN_PREFIX.api)
            ? await byApiToken(services, token)
            : token.startsWith(TOKEN_PREFIX.session)
              ? await bySession(services, lifetime, token, false, request.unattended)
              : undefined;
      if (found === undefined) {
        throw new ApiError('loginRequired', 'This session or token is not valid, or not any more: log in again.');
      }
      return found;
    }
    const cookie = readCookie(request.header('cookie'), 'session', request.client);
    if (cookie === undefined) return NOBODY;
    const found = await bySession(services, lifetime, cookie, true, request.unattended);
    if (found === undefined) return NOBODY;
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      requireSameOrigin(request, services.publicUrl());
      if (!csrf.isOf(found.caller.credentialId, request.header('x-csrf-token'))) {
        throw new ApiError(
          'forbidden',
          'This change lacks the X-CSRF-Token of its session, which the login and GET /api/v1/me say. Load the page again.',
        );
      }
    }
    return found;
  };
}

async function bySession(
  services: Services,
  lifetime: SessionLifetime,
  token: string,
  byCookie: boolean,
  unattended = false,
): Promise<Authenticated | undefined> {
  const now = services.now();
  const session = await findSession(services.store.db, hashToken(token));
  if (session === undefined || endOfSession(session, lifetime) <= now || !isUsable(session, now)) return undefined;
  const { kind } = session;
  // Browsers send cookies by themselves, and a client is no browser.
  if (kind === 'client' && byCookie) return undefined;
  if (!unattended && now - session.last_used_at >= LAST_USE_EVERY_MS) {
    const moved = kind === 'client' ? { expires_at: expiryOf(kind, now, lifetime) } : {};
    await noteUse(services, (db) =>
      db
        .updateTable('session')
        .set({ last_used_at: now, ...moved })
        .where('id', '=', session.id)
        .execute(),
    );
  }
  const methods = methodsOf(session);
  const mustEnrol = session.demanded_by !== null && session.vouching_provider === null && !hasSecondFactor(methods);
  // A client has no more of an administrator's rights than of anybody's.
  const permissions = permissionsOf(kind === 'client' ? 'user' : session.role);
  return {
    caller: {
      kind: 'session',
      userId: session.user_id,
      userName: session.user_name,
      credentialId: session.id,
      permissions: mustEnrol ? new Set(['enrol']) : permissions,
      session: {
        kind,
        deviceId: session.device_id,
        methods,
        authenticatedAt: session.authenticated_at,
        providerId: session.provider_id,
        mustEnrol,
      },
    },
    secret: token,
    byCookie,
  };
}

async function byApiToken(services: Services, secret: string): Promise<Authenticated | undefined> {
  const now = services.now();
  const token = await findApiToken(services.store.db, hashToken(secret));
  if (token === undefined || !isUsable(token, now)) return undefined;
  if (token.token_expires_at !== null && token.token_expires_at <= now) return undefined;
  if (token.last_used_at === null || now - token.last_used_at >= LAST_USE_EVERY_MS) {
    await noteUse(services, (db) =>
      db.updateTable('api_token').set({ last_used_at: now }).where('id', '=', token.id).execute(),
    );
  }
  // Never more than its user may do now.
  const allowed = permissionsOf(token.role);
  const scopes = (JSON.parse(token.permissions) as TokenScope[]).filter((scope) => allowed.has(scope));
  return {
    caller: {
      kind: 'token',
      userId: token.user_id,
      userName: token.user_name,
      credentialId: token.id,
      permissions: new Set(scopes),
    },
    secret,
    byCookie: false,
  };
}

/** Whether a user may do anything. */
function isUsable(
  user: { readonly disabled: number; readonly expires_at_of_user: number | null },
  now: number,
): boolean {
  return user.disabled === 0 && (user.expires_at_of_user === null || user.expires_at_of_user > now);
}

/** That a full disk keeps the time of last use from being written is no reason not to answer. */
async function noteUse(
  { store, log }: Services,
  write: (db: Services['store']['db']) => Promise<unknown>,
): Promise<void> {
  try {
    await write(store.db);
  } catch (error) {
    log.warn({ err: error }, 'the time of last use could not be written');
  }
}
