import { DropReason, Secret } from '@sallyport/core';
import { base64Decode, base64Encode, utf8Decode, utf8Encode } from './text.ts';

/*
 * A second question beside the password ("Challenge/Response Protocol" of the management interface). Static: asked at
 * once, password and answer come together. Dynamic: the login fails with the question, the next one has the answer for
 * its password.
 */

const STATIC = 'SCRV1:';
const DYNAMIC = 'CRV1:';
const DYNAMIC_RESPONSE = 'CRV1::';

export interface StaticResponse {
  readonly password: Secret<string>;
  readonly response: Secret<string>;
}

export interface DynamicChallenge {
  /** What comes back with the answer; no colon in it. */
  readonly state: string;
  /** With whom the answer comes back. */
  readonly userName: string;
  /** What to ask. */
  readonly text: string;
  /** Whether the answer may be seen while it is typed. */
  readonly echo: boolean;
  /** Otherwise the text is only shown, and the answer empty. */
  readonly responseRequired: boolean;
}

export interface DynamicResponse {
  readonly state: string;
  readonly response: Secret<string>;
}

/** What a client sends for its password where a static challenge was answered. */
export function encodeScrv1(password: string, response: string): string {
  return `${STATIC}${base64Encode(utf8Encode(password))}:${base64Encode(utf8Encode(response))}`;
}

/** Undefined where the password has no such answer with it; the `DropReason` where it is not what it says to be. */
export function decodeScrv1(password: string): StaticResponse | undefined | number {
  if (!password.startsWith(STATIC)) return undefined;
  const parts = password.slice(STATIC.length).split(':').map(base64Text);
  if (parts.length !== 2 || parts[0] === undefined || parts[1] === undefined) return DropReason.malformedPacket;
  return { password: new Secret(parts[0]), response: new Secret(parts[1]) };
}

/** The reason of an AUTH_FAILED that asks. */
export function encodeCrv1(challenge: DynamicChallenge): string {
  const flags = [challenge.responseRequired ? 'R' : '', challenge.echo ? 'E' : ''].filter((flag) => flag !== '');
  const userName = base64Encode(utf8Encode(challenge.userName));
  return `${DYNAMIC}${flags.join(',')}:${challenge.state}:${userName}:${challenge.text}`;
}

/** Undefined where the reason is no challenge, or none that can be answered. */
export function decodeCrv1(reason: string): DynamicChallenge | undefined {
  const parts = /^CRV1:([^:]*):([^:]*):([^:]*):(.*)$/s.exec(reason);
  if (parts === null) return undefined;
  const [, flagText, state, userNameText, text] = parts;
  const userName = base64Text(userNameText);
  if (userName === undefined) return undefined;
  const flags = flagText.split(',');
  return { state, userName, text, echo: flags.includes('E'), responseRequired: flags.includes('R') };
}

/** What a client sends for its password in the login after a challenge. */
export function encodeCrv1Response(state: string, response: string): string {
  return `${DYNAMIC_RESPONSE}${state}::${response}`;
}

/** Undefined where the password is no such answer. */
export function decodeCrv1Response(password: string): DynamicResponse | undefined {
  const parts = /^CRV1::([^:]*)::(.*)$/s.exec(password);
  return parts === null ? undefined : { state: parts[1], response: new Secret(parts[2]) };
}

function base64Text(text: string): string | undefined {
  const bytes = base64Decode(text);
  return bytes === undefined ? undefined : utf8Decode(bytes);
}
