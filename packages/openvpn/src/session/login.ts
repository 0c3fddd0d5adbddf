import type { Secret } from '@sallyport/core';
import { decodeCrv1Response, decodeScrv1 } from '../wire/challenge.ts';
import type { KeyMethod2 } from '../wire/key-method.ts';
import type { AuthenticationRequest } from './authentication.ts';

type Login = Pick<AuthenticationRequest, 'password' | 'response' | 'challengeState'>;

const NOTHING: Login = { password: undefined, response: undefined, challengeState: undefined };

/** What a client put into its password: one, one with the answer to a static challenge, or the answer to a dynamic one. */
export function loginOf(message: KeyMethod2): Login | undefined {
  const password: Secret<string> | undefined = message.password;
  if (password === undefined) return NOTHING;
  const dynamic = decodeCrv1Response(password.reveal());
  if (dynamic !== undefined) return { ...NOTHING, response: dynamic.response, challengeState: dynamic.state };
  const joined = decodeScrv1(password.reveal());
  if (typeof joined === 'number') return undefined;
  if (joined !== undefined) return { ...NOTHING, password: joined.password, response: joined.response };
  return { ...NOTHING, password };
}
