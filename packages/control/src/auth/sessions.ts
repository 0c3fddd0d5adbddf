export interface SessionLifetime {
  /** From the login on, whatever happens. */
  readonly absoluteMs: number;
  /** Since it was last used. */
  readonly idleMs: number;
}

const day = 24 * 60 * 60_000;

export const DEFAULT_SESSION_LIFETIME: SessionLifetime = { absoluteMs: 7 * day, idleMs: day };

/** The time of last use is written at most this often. */
export const LAST_USE_EVERY_MS = 60_000;

/** When a session ends unless it is used; Unix milliseconds. */
export function endOfSession(
  session: { readonly expires_at: number; readonly last_used_at: number },
  { idleMs }: SessionLifetime,
): number {
  return Math.min(session.expires_at, session.last_used_at + idleMs);
}
