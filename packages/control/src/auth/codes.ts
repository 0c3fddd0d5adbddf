/** Codes of authenticator apps (TOTP, RFC 6238) and recovery codes. */
import type { Secret as SealingKey } from '@sallyport/core';
import { createHash, randomBytes } from 'node:crypto';
import type { Kysely } from 'kysely';
import { Secret, TOTP } from 'otpauth';
import {
  isRecoveryCode,
  useRecoveryCode,
  useTotpStep,
  type SecondFactorCounts,
  type TotpRow,
} from '../repositories/second-factors.ts';
import type { Database } from '../store/schema.ts';
import { seal, unseal } from '../store/secrets.ts';
import type { Store } from '../store/store.ts';

/** What every authenticator app knows; some know nothing else. */
const kind = { algorithm: 'SHA1', digits: 6, period: 30 } as const;
/** Steps before and after the present one: clocks differ, and typing takes its time. */
const window = 1;
/** As RFC 4226 recommends for SHA-1. */
const secretBytes = 20;

const recoveryCodeCount = 10;
/** 80 bits, which nobody finds by their hash: 16 letters in four groups. */
const recoveryCodeBytes = 10;

/** A code that is right; {@link useCode} says whether it still counts. */
export type RightCode =
  { readonly method: 'code'; readonly step: number } | { readonly method: 'recoveryCode'; readonly hash: string };

/** A secret for an authenticator app, sealed for one user. */
export function newTotp(
  store: Store,
  user: { readonly id: string; readonly name: string },
  publicUrl: string,
): { readonly secret: string; readonly uri: string; readonly sealed: string } {
  const bytes = randomBytes(secretBytes);
  const secret = new Secret({ buffer: Uint8Array.from(bytes).buffer });
  const label = `${user.name}@${new URL(publicUrl).hostname}`;
  const totp = new TOTP({ ...kind, issuer: 'Sallyport', label, secret });
  return { secret: secret.base32, uri: totp.toString(), sealed: seal(sealingKey(store), aad(user.id), bytes) };
}

/** The time step of a code of this app; undefined where it is wrong or of another time. */
export function totpStepOf(store: Store, totp: TotpRow, code: string, now: number): number | undefined {
  const token = plain(code);
  if (!/^\d{6}$/.test(token)) return undefined;
  const bytes = unseal(sealingKey(store), aad(totp.user_id), totp.sealed_secret);
  if (bytes === undefined) throw new Error('The secret of an authenticator app in the database was changed');
  const secret = new Secret({ buffer: Uint8Array.from(bytes).buffer });
  const delta = TOTP.validate({ ...kind, secret, token, timestamp: now, window });
  return delta === null ? undefined : TOTP.counter({ period: kind.period, timestamp: now }) + delta;
}

/** Looks at a code of either kind. Undefined where it is wrong. */
export async function checkCode(
  store: Store,
  userId: string,
  { totp }: SecondFactorCounts,
  code: string,
  now: number,
): Promise<RightCode | undefined> {
  const step = totp === undefined ? undefined : totpStepOf(store, totp, code, now);
  if (step !== undefined) return step > totp!.last_step ? { method: 'code', step } : undefined;
  const hash = hashRecoveryCode(code);
  return (await isRecoveryCode(store.db, userId, hash)) ? { method: 'recoveryCode', hash } : undefined;
}

/** Uses a code up. Answers false where somebody was faster with it. */
export async function useCode(db: Kysely<Database>, userId: string, code: RightCode): Promise<boolean> {
  return code.method === 'code' ? useTotpStep(db, userId, code.step) : useRecoveryCode(db, userId, code.hash);
}

export function newRecoveryCodes(): string[] {
  return Array.from({ length: recoveryCodeCount }, () => {
    const letters = new Secret({ buffer: Uint8Array.from(randomBytes(recoveryCodeBytes)).buffer }).base32.toLowerCase();
    return letters.match(/.{4}/g)!.join('-');
  });
}

export function hashRecoveryCode(code: string): string {
  return createHash('sha256').update(plain(code).toLowerCase()).digest('hex');
}

/** Without the spaces and hyphens that people type. */
function plain(code: string): string {
  return code.replace(/[\s-]/g, '');
}

const aad = (userId: string): string => `totp ${userId}`;

function sealingKey({ masterKey }: Store): SealingKey<Buffer> {
  if (masterKey === undefined) throw new Error('The store was opened without a master key');
  return masterKey;
}
