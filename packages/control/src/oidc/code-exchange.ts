import {
  authorizationCodeGrant,
  AuthorizationResponseError,
  ClientError,
  fetchUserInfo,
  ResponseBodyError,
  WWWAuthenticateChallengeError,
  type Configuration,
} from 'openid-client';
import type { IdentityProviderRow } from '../repositories/identity-providers.ts';
import { readClaims, type Claims } from './claims.ts';
import { LoginFault } from './login-fault.ts';
import { noAnswerIn } from './provider-clients.ts';
import type { Transaction } from './transaction.ts';

/** How far a provider's clock may be off. */
const CLOCK_MS = 60_000;

/**
 * Gives the code of an answer for tokens, has the library check them (OpenID Connect Core 1.0, section 3.1.3.7: issuer,
 * audience, signature, algorithm, times, nonce; RFC 9207: `iss`), and asks for what else the provider says of the person.
 * Throws a {@link LoginFault}.
 *
 * @param back the whole address that the browser came back to, as it is registered at the provider
 */
export async function askProvider(
  clientOf: () => Promise<Configuration>,
  back: URL,
  { groups_claim: groupsClaim }: IdentityProviderRow,
  { state, nonce, codeVerifier, startedAt, stepUp }: Transaction,
): Promise<Claims> {
  try {
    const client = await clientOf();
    const tokens = await authorizationCodeGrant(client, back, {
      expectedState: state,
      expectedNonce: nonce,
      pkceCodeVerifier: codeVerifier,
      idTokenExpected: true,
    });
    const said: Record<string, unknown> = { ...tokens.claims() };
    if (stepUp !== undefined) {
      requireFresh(said['auth_time'], startedAt);
      return readClaims(said, groupsClaim);
    }
    if (client.serverMetadata().userinfo_endpoint === undefined) return readClaims(said, groupsClaim);
    const more: Record<string, unknown> = await fetchUserInfo(client, tokens.access_token, String(said['sub']));
    // That an address was verified is said of the one beside it.
    const { email, email_verified } = 'email' in said ? said : more;
    return readClaims({ ...more, ...said, email, email_verified }, groupsClaim);
  } catch (error) {
    throw faultOf(error);
  }
}

/** Not all providers say when somebody logged in, though `max_age` asks for it; those that do must say that it was now. */
function requireFresh(authTime: unknown, startedAt: number): void {
  if (authTime === undefined || (typeof authTime === 'number' && authTime * 1000 >= startedAt - CLOCK_MS)) return;
  throw new LoginFault('mismatch', 'the provider was asked for a new login and answered with an old one');
}

/** What is wrong, without anything of what the provider or the browser sent but the provider's error code. */
export function faultOf(error: unknown): unknown {
  if (error instanceof LoginFault) return error;
  const noAnswer = noAnswerIn(error);
  if (noAnswer !== undefined) return new LoginFault('providerUnreachable', noAnswer.message);
  if (error instanceof AuthorizationResponseError || error instanceof ResponseBodyError) {
    const code = /^[\w.-]{1,60}$/.exec(error.error)?.[0] ?? 'an unknown error';
    return new LoginFault('providerRefused', `the provider answered ${code}`);
  }
  if (error instanceof WWWAuthenticateChallengeError) {
    return new LoginFault('providerRefused', `the provider answered HTTP ${error.status}`);
  }
  if (!(error instanceof ClientError)) return error;
  const cause = error.cause instanceof Error ? `: ${error.cause.message}` : '';
  const detail = `${error.message}${cause}`.slice(0, 300);
  return new LoginFault(noAnswerCodes.has(error.code ?? '') ? 'providerUnreachable' : 'mismatch', detail);
}

/** Of oauth4webapi: answers that are none. */
const noAnswerCodes: ReadonlySet<string> = new Set([
  'OAUTH_RESPONSE_IS_NOT_CONFORM',
  'OAUTH_RESPONSE_IS_NOT_JSON',
  'OAUTH_PARSE_ERROR',
  'OAUTH_TIMEOUT',
  'OAUTH_ABORT',
]);
