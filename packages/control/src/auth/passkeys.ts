/** Passkeys: Web Authentication Level 3, of which the library checks what comes from the browser. */
import type { PasskeyRequest } from '@sallyport/api';
import {
  generateAuthenticationOptions,
  generateRegistrationOptions,
  verifyAuthenticationResponse,
  verifyRegistrationResponse,
  type AuthenticationResponseJSON,
  type RegistrationResponseJSON,
  type VerifiedRegistrationResponse,
} from '@simplewebauthn/server';
import { randomBytes } from 'node:crypto';
import { isIP } from 'node:net';
import type { Kysely } from 'kysely';
import type { Client } from '../http/client-address.ts';
import { findCredential, type PasskeyRow } from '../repositories/passkeys.ts';
import type { UserRow } from '../repositories/users.ts';
import type { Database } from '../store/schema.ts';
import type { ChallengePurpose, Challenges } from './challenges.ts';

/** How long somebody may look for their key. */
export const PASSKEY_MS = 300_000;
/** COSE: EdDSA, ES256, RS256. */
const algorithms = [-8, -7, -257];

/** Whom passkeys are made for: the name by which they are found, and the pages that may ask for them. */
export interface RelyingParty {
  readonly id: string;
  readonly origin: string;
}

/**
 * The relying party is the name in the public URL. Browsers know no passkeys for addresses, nor without TLS; for trying out
 * on one machine, there is `localhost`. Undefined where there can be no passkeys.
 */
export function relyingPartyOf(
  publicUrl: string,
  client: Client,
  hostHeader: string | undefined,
): RelyingParty | undefined {
  const url = new URL(publicUrl);
  const isName = url.hostname !== 'localhost' && isIP(url.hostname.replace(/^\[|\]$/g, '')) === 0;
  if (isName) return url.protocol === 'https:' ? { id: url.hostname, origin: url.origin } : undefined;
  if (!client.loopback) return undefined;
  const here = URL.parse(`${client.secure ? 'https' : 'http'}://${hostHeader ?? ''}`);
  return here?.hostname === 'localhost' ? { id: 'localhost', origin: here.origin } : undefined;
}

/** What a challenge of ours holds. */
interface ChallengeData {
  /** Base64url, as the passkey signs it. */
  readonly challenge: string;
  /** The session that asked; empty for logins. */
  readonly sessionId: string;
}

/** What a passkey has to sign. `passkeys` are those that may; none: any that the browser finds. */
export async function askForPasskey(
  challenges: Challenges,
  { id }: RelyingParty,
  purpose: 'passkey-login' | 'passkey-step-up',
  sessionId = '',
  passkeys: readonly PasskeyRow[] = [],
): Promise<PasskeyRequest> {
  const bytes = Uint8Array.from(randomBytes(32));
  const options = await generateAuthenticationOptions({
    rpID: id,
    challenge: bytes,
    timeout: PASSKEY_MS,
    userVerification: 'required',
    allowCredentials: passkeys.map(credentialOf),
  });
  return requestOf(challenges, purpose, { challenge: options.challenge, sessionId }, options);
}

/** An assertion that holds; it counts once its challenge and counter were used. */
export interface Assertion {
  readonly passkey: PasskeyRow;
  readonly signCount: number;
  readonly synced: boolean;
}

/** What the browser answered, checked. Undefined where anything about it is wrong. */
export async function verifyAssertion(
  db: Kysely<Database>,
  challenges: Challenges,
  { id, origin }: RelyingParty,
  purpose: 'passkey-login' | 'passkey-step-up',
  answer: { readonly challenge: string; readonly response: object },
  sessionId = '',
): Promise<Assertion | undefined> {
  const asked = openChallenge(challenges, purpose, answer.challenge, sessionId);
  const response = answer.response as AuthenticationResponseJSON;
  if (asked === undefined || typeof response.id !== 'string') return undefined;
  const passkey = await findCredential(db, response.id);
  if (passkey === undefined) return undefined;
  try {
    // Who logs in is told from the passkey alone, which names its user then (7.2, step 6); else it need not.
    const handle = response.response.userHandle;
    const isOwner = handle === Buffer.from(passkey.user_id).toString('base64url');
    if (!isOwner && (purpose === 'passkey-login' || (handle !== undefined && handle !== null))) return undefined;
    const { verified, authenticationInfo } = await verifyAuthenticationResponse({
      response,
      expectedChallenge: asked.challenge,
      expectedOrigin: origin,
      expectedRPID: id,
      credential: {
        id: passkey.credential_id,
        publicKey: Uint8Array.from(Buffer.from(passkey.public_key, 'base64url')),
        counter: passkey.sign_count,
      },
      requireUserVerification: true,
    });
    if (!verified) return undefined;
    return { passkey, signCount: authenticationInfo.newCounter, synced: authenticationInfo.credentialBackedUp };
  } catch {
    // The library throws for whatever is not as it should be.
    return undefined;
  }
}

/** What a browser needs to make a passkey that can log in by itself. */
export async function askForNewPasskey(
  challenges: Challenges,
  { id }: RelyingParty,
  user: UserRow,
  sessionId: string,
  present: readonly PasskeyRow[],
): Promise<PasskeyRequest> {
  const options = await generateRegistrationOptions({
    rpName: 'Sallyport',
    rpID: id,
    userID: Uint8Array.from(Buffer.from(user.id)),
    userName: user.name,
    userDisplayName: user.display_name,
    challenge: Uint8Array.from(randomBytes(32)),
    timeout: PASSKEY_MS,
    attestationType: 'none',
    excludeCredentials: present.map(credentialOf),
    authenticatorSelection: { residentKey: 'required', userVerification: 'required' },
    supportedAlgorithmIDs: algorithms,
  });
  return requestOf(challenges, 'passkey-create', { challenge: options.challenge, sessionId }, options);
}

export type NewCredential = Pick<PasskeyRow, 'credential_id' | 'public_key' | 'sign_count' | 'transports' | 'synced'>;

/** The credential that a browser made. Undefined where anything about it is wrong. */
export async function verifyNewPasskey(
  challenges: Challenges,
  { id, origin }: RelyingParty,
  answer: { readonly challenge: string; readonly response: object },
  sessionId: string,
): Promise<NewCredential | undefined> {
  const asked = openChallenge(challenges, 'passkey-create', answer.challenge, sessionId);
  if (asked === undefined) return undefined;
  const response = answer.response as RegistrationResponseJSON;
  let result: VerifiedRegistrationResponse;
  try {
    result = await verifyRegistrationResponse({
      response,
      expectedChallenge: asked.challenge,
      expectedOrigin: origin,
      expectedRPID: id,
      requireUserVerification: true,
      supportedAlgorithmIDs: algorithms,
    });
  } catch {
    return undefined;
  }
  if (!result.verified) return undefined;
  const { credential, credentialBackedUp } = result.registrationInfo;
  return {
    credential_id: credential.id,
    public_key: Buffer.from(credential.publicKey).toString('base64url'),
    sign_count: credential.counter,
    transports: JSON.stringify(transportsOf(response)),
    synced: credentialBackedUp ? 1 : 0,
  };
}

function requestOf(
  challenges: Challenges,
  purpose: ChallengePurpose,
  data: ChallengeData,
  options: object,
): PasskeyRequest {
  return { challenge: challenges.issue(purpose, data, PASSKEY_MS), options: { ...options } };
}

function openChallenge(
  challenges: Challenges,
  purpose: ChallengePurpose,
  challenge: string,
  sessionId: string,
): ChallengeData | undefined {
  const data = challenges.open(purpose, challenge) as ChallengeData | undefined;
  return data?.sessionId === sessionId ? data : undefined;
}

function credentialOf({ credential_id: id, transports }: PasskeyRow): { id: string; transports: string[] } {
  return { id, transports: JSON.parse(transports) as string[] };
}

/** How the browser says that it reaches the passkey: hints for later, of which a few known words are kept. */
function transportsOf({ response }: RegistrationResponseJSON): string[] {
  const known = ['ble', 'cable', 'hybrid', 'internal', 'nfc', 'smart-card', 'usb'];
  const said: unknown = response.transports;
  return Array.isArray(said) ? known.filter((transport) => said.includes(transport)) : [];
}
