/** Somebody's login, or that of a Sallyport client, which lies on a machine and may do what the client needs alone. */
export type SessionKind = 'login' | 'client';

export interface SessionLifetime {
  /** From a login on, whatever happens. */
  readonly absoluteMs: number;
  /** Since a login was last used. */
  readonly idleMs: number;
  /** Since a client's session was last used, which has no other end by itself: a machine may be off for weeks. */
  readonly clientIdleMs: number;
}

const day = 24 * 60 * 60_000;

export const DEFAULT_SESSION_LIFETIME: SessionLifetime = { absoluteMs: 7 * day, idleMs: day, clientIdleMs: 90 * day };

/** The time of last use is written at most this often. */
export const LAST_USE_EVERY_MS = 60_000;

/** When a session ends that begins now, as `expires_at` has it; a client's moves on with each use. */
export function expiryOf(kind: SessionKind, now: number, { absoluteMs, clientIdleMs }: SessionLifetime): number {
  return now + (kind === 'client' ? clientIdleMs : absoluteMs);
}

/** When a session ends unless it is used; Unix milliseconds. */
export function endOfSession(
  session: { readonly kind: SessionKind; readonly expires_at: number; readonly last_used_at: number },
  { idleMs, clientIdleMs }: SessionLifetime,
): number {
  return Math.min(session.expires_at, session.last_used_at + (session.kind === 'client' ? clientIdleMs : idleMs));
}
