import type { Secret } from '@sallyport/core';
import { createHash, randomBytes } from 'node:crypto';
import type { Kysely } from 'kysely';
import type { Services } from '../services.ts';
import type { Database } from '../store/schema.ts';
import { seal, sealedSecret, unseal } from '../store/secrets.ts';

/** The longest that a challenge can last; its use is remembered as long. */
const MAX_TTL_MS = 3_600_000;

/** What a challenge may be for: none counts for anything else. */
export type ChallengePurpose = 'passkey-login' | 'passkey-create' | 'passkey-step-up' | 'oidc' | 'tunnel-code';

/**
 * What is handed to a browser and comes back with an answer: sealed, so that nothing is kept of those that never come
 * back, and good for one purpose, for a while, and once.
 */
export class Challenges {
  readonly #key: Secret<Buffer>;
  readonly #now: () => number;

  private constructor(key: Secret<Buffer>, now: () => number) {
    this.#key = key;
    this.#now = now;
  }

  static async open({ store, now }: Pick<Services, 'store' | 'now'>): Promise<Challenges> {
    return new Challenges(await sealedSecret(store, 'challenge-key', () => randomBytes(32)), now);
  }

  /** @param data JSON @param ttlMs at most an hour; answers base64url */
  issue(purpose: ChallengePurpose, data: unknown, ttlMs: number): string {
    const value = JSON.stringify({ expiresAt: this.#now() + Math.min(ttlMs, MAX_TTL_MS), data });
    return Buffer.from(seal(this.#key, aad(purpose), Buffer.from(value)), 'base64').toString('base64url');
  }

  /** What was issued; undefined where it is over, for another purpose, or none of this service's. */
  open(purpose: ChallengePurpose, challenge: string): unknown {
    const value = unseal(this.#key, aad(purpose), bytesOf(challenge).toString('base64'));
    if (value === undefined) return undefined;
    const { expiresAt, data } = JSON.parse(value.toString()) as { expiresAt: number; data: unknown };
    return expiresAt > this.#now() ? data : undefined;
  }

  /** Uses one up that was opened. Answers false where it was used before, at whichever control node. */
  async use(db: Kysely<Database>, challenge: string): Promise<boolean> {
    // Of the bytes: base64url writes the same ones in more than one way.
    const hash = createHash('sha256').update(bytesOf(challenge)).digest('hex');
    const { numInsertedOrUpdatedRows } = await db
      .insertInto('used_challenge')
      .values({ challenge_hash: hash, expires_at: this.#now() + MAX_TTL_MS })
      .onConflict((conflict) => conflict.column('challenge_hash').doNothing())
      .executeTakeFirst();
    return (numInsertedOrUpdatedRows ?? 0n) > 0n;
  }
}

const aad = (purpose: ChallengePurpose): string => `challenge ${purpose}`;

function bytesOf(challenge: string): Buffer {
  return Buffer.from(challenge, 'base64url');
}
