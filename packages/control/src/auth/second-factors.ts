import type { Problem } from '@sallyport/api';
import { ApiError } from '../http/api-error.ts';
import type { Caller, CallerSession } from '../http/caller.ts';
import type { SecondFactorCounts } from '../repositories/second-factors.ts';
import { hasSecondFactor } from './login-methods.ts';

/** What a user can show besides the password; empty where they have set nothing up. */
export function offeredMethods({ totp, passkeys, recoveryCodes }: SecondFactorCounts): NonNullable<Problem['methods']> {
  if (totp === undefined && passkeys === 0) return [];
  return [
    ...(totp === undefined ? [] : ['code' as const]),
    ...(recoveryCodes === 0 ? [] : ['recoveryCode' as const]),
    ...(passkeys === 0 ? [] : ['passkey' as const]),
  ];
}

export function secondFactorRequired(methods: NonNullable<Problem['methods']>): ApiError {
  const words = {
    code: 'send this again with a code of your authenticator app',
    recoveryCode: 'send this again with a recovery code',
    passkey: 'log in with your passkey instead',
  };
  return new ApiError(
    'secondFactorRequired',
    `One more proof is needed: ${methods.map((m) => words[m]).join(', or ')}.`,
    {
      methods,
    },
  );
}

/** The caller's own login. Throws for API tokens and clients: one that leaked must not become a login for good. */
export function requireOwnSession(caller: Caller): { readonly session: CallerSession; readonly sessionId: string } {
  if (caller.session?.kind === 'login') return { session: caller.session, sessionId: caller.credentialId };
  throw new ApiError(
    'forbidden',
    'An API token or a client does not change how its user logs in: log in, and do it there.',
  );
}

/**
 * Throws where a session changes second factors though its user has one that it never showed: or whoever has the
 * password, or the account at the identity provider, would come past that one.
 */
export function requireShownFactor({ methods }: CallerSession, counts: SecondFactorCounts): void {
  if (offeredMethods(counts).length === 0 || hasSecondFactor(methods)) return;
  throw new ApiError(
    'stepUpRequired',
    'You have a second factor, which this session has not shown: do that first, at POST /api/v1/me/step-up.',
  );
}
