/**
 * Answers of requests that bear an Idempotency-Key, for a day. An answer can hold a token that is shown once and of which
 * the database otherwise has the hash only; so it is sealed with a key that is made from the caller's own credential.
 */
import { createCipheriv, createDecipheriv, createHash, hkdfSync, randomBytes } from 'node:crypto';
import { idempotencyKeyPattern } from '@sallyport/api';
import type { Store } from '../store/store.ts';
import { ApiError } from './api-error.ts';
import type { Authenticated } from './caller.ts';

/** How long answers are kept. */
export const IDEMPOTENCY_MS = 24 * 60 * 60_000;
const maxRows = 50_000;
const maxAnswerBytes = 256 * 1024;
const sweepEveryMs = 60_000;
/** The status of a row whose request has not been answered yet. */
const running = 0;

export interface KeptAnswer {
  readonly status: number;
  /** JSON, or empty. */
  readonly body: string;
}

export interface IdempotentRequest {
  /** What the first request with this key was answered; the handler must not run. */
  readonly replay?: KeptAnswer;
  /** Keeps the answer. */
  finish(answer: KeptAnswer): Promise<void>;
  /** The request failed and made nothing: the key is free again. */
  abandon(): Promise<void>;
}

export class Idempotency {
  readonly #store: Store;
  readonly #now: () => number;
  #sweptAt = 0;

  constructor(store: Store, now: () => number) {
    this.#store = store;
    this.#now = now;
  }

  /** Throws an ApiError where the key is faulty, its first request still running, or its first request was another. */
  async begin(
    header: string,
    by: Authenticated,
    request: { readonly method: string; readonly path: string; readonly body: Buffer },
  ): Promise<IdempotentRequest> {
    if (!idempotencyKeyPattern.test(header)) {
      throw new ApiError('invalidRequest', 'An Idempotency-Key has 16 to 128 letters, digits, "-" and "_".', {
        faults: [{ at: '/headers/idempotency-key', message: '16 to 128 letters, digits, "-" and "_"' }],
      });
    }
    const now = this.#now();
    await this.#sweep(now);
    const key = sha256(`${by.caller.credentialId}\n${header}`);
    const requestHash = sha256(`${request.method} ${request.path}\n`, request.body);
    const { db } = this.#store;
    const { numInsertedOrUpdatedRows } = await db
      .insertInto('idempotency')
      .values({ key, request_hash: requestHash, status: running, body: '', created_at: now })
      .onConflict((conflict) => conflict.column('key').doNothing())
      .executeTakeFirst();
    if ((numInsertedOrUpdatedRows ?? 0n) > 0n) {
      const sealKey = sealKeyOf(by.secret, header);
      return {
        finish: async ({ status, body }) => {
          // Too large to keep: the key stays taken, so that the request is still done only once.
          const sealed = body.length > maxAnswerBytes ? '' : seal(sealKey, key, body);
          if (sealed === '') return;
          await db.updateTable('idempotency').set({ status, body: sealed }).where('key', '=', key).execute();
        },
        abandon: async () => {
          await db.deleteFrom('idempotency').where('key', '=', key).execute();
        },
      };
    }
    const row = await db.selectFrom('idempotency').selectAll().where('key', '=', key).executeTakeFirst();
    if (row === undefined) throw stillRunning();
    if (row.request_hash !== requestHash) {
      throw new ApiError(
        'idempotencyMismatch',
        'This Idempotency-Key came with another request before: use a new one for each request.',
      );
    }
    if (row.status === running) throw stillRunning();
    const body = unseal(sealKeyOf(by.secret, header), key, row.body);
    if (body === undefined) throw stillRunning();
    const nothing = (): Promise<void> => Promise.resolve();
    return { replay: { status: row.status, body }, finish: nothing, abandon: nothing };
  }

  async #sweep(now: number): Promise<void> {
    if (now - this.#sweptAt < sweepEveryMs) return;
    this.#sweptAt = now;
    const { db } = this.#store;
    await db
      .deleteFrom('idempotency')
      .where('created_at', '<', now - IDEMPOTENCY_MS)
      .execute();
    const beyond = await db
      .selectFrom('idempotency')
      .select('created_at')
      .orderBy('created_at', 'desc')
      .offset(maxRows)
      .limit(1)
      .executeTakeFirst();
    if (beyond !== undefined) {
      await db.deleteFrom('idempotency').where('created_at', '<=', beyond.created_at).execute();
    }
  }
}

function stillRunning(): ApiError {
  return new ApiError(
    'conflict',
    'The first request with this Idempotency-Key has not been answered; wait, and where that does not help, look at ' +
      'whether it was done and send a new key.',
    { retryAfter: 1 },
  );
}

function sha256(...parts: readonly (string | Buffer)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

function sealKeyOf(secret: string, header: string): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, header, 'sallyport idempotency answer', 32));
}

/** AES-256-GCM: nonce, ciphertext, tag in base64. */
function seal(key: Buffer, about: string, text: string): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(about));
  return Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()]).toString('base64');
}

function unseal(key: Buffer, about: string, sealed: string): string | undefined {
  const bytes = Buffer.from(sealed, 'base64');
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12))
      .setAAD(Buffer.from(about))
      .setAuthTag(bytes.subarray(-16));
    return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]).toString('utf8');
  } catch {
    return undefined;
  }
}
