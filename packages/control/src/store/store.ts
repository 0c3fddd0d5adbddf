import type { Secret } from '@sallyport/core';
import type { Kysely, Transaction } from 'kysely';
import type { Database } from './schema.ts';

/** Who does something, and how it came; what the audit log keeps of it. */
export interface Origin {
  readonly actor: {
    readonly kind: 'user' | 'token' | 'system' | 'setup';
    readonly id: string | null;
    readonly name: string;
  };
  /** `api`, `cli`, `console`, `system`. */
  readonly via: string;
  /** Kept only where the settings say so. */
  readonly address: string | null;
  /** Set by `write`: something was made for this request, or nobody knows that it was not. */
  readonly outcome?: { written: boolean };
}

export const SYSTEM: Origin = { actor: { kind: 'system', id: null, name: 'system' }, via: 'system', address: null };

/** The kinds of entities whose changes other parts and other control nodes hear of. */
export type EntityKind =
  | 'user'
  | 'group'
  | 'device'
  | 'region'
  | 'gateway'
  | 'resource'
  | 'rule'
  | 'policyTest'
  | 'settings'
  | 'invitation'
  | 'token'
  | 'session'
  | 'identityProvider'
  | 'scimClient'
  /** A user's traffic went over, or came back under, what is allowed. */
  | 'usage';

export interface Change {
  readonly version: number;
  readonly kind: EntityKind;
  readonly id: string;
}

/** A transaction that changes something. All of it is done, with its audit entries, or nothing. */
export interface Writing {
  readonly db: Transaction<Database>;
  /** Unix milliseconds. */
  readonly now: number;
  /** Appends to the audit log. `before` and `after` must hold no secret; undefined is kept as null. */
  readonly audit: (
    action: string,
    target: { readonly kind: string; readonly id: string | null; readonly name: string },
    before?: unknown,
    after?: unknown,
  ) => Promise<void>;
  /** Says that an entity was created, changed or removed. `group` stands for its members as well. */
  readonly changed: (kind: EntityKind, id: string) => void;
  /** What `changed` was told so far. */
  readonly pending: readonly Omit<Change, 'version'>[];
}

/**
 * Hears of changes, in order. `complete` is true when some were missed: then `changes` names everything that there is, and
 * what it does not name is gone. `write` waits where a listener returns a promise, so that one must not wait for `write`.
 */
export type ChangeListener = (changes: readonly Change[], complete: boolean) => unknown;

/** The database of the control plane. */
export interface Store {
  readonly dialect: 'sqlite' | 'postgresql';
  /** For reading, and for writing what neither the audit log nor other nodes need to hear of (counters, last use). */
  readonly db: Kysely<Database>;
  /** The last change that listeners were told of. */
  readonly version: number;
  /** Unix milliseconds. */
  readonly now: () => number;
  /** What the service's keys are sealed with; absent where the store was opened without. */
  readonly masterKey: Secret<Buffer> | undefined;
  /**
   * Runs one change after the other, over all control nodes. Settles once it is durable and this node's listeners have
   * heard of it. `work` may run again where the database undid it, so it does nothing outside of its transaction.
   * @throws ApiError `unavailable` when the database does not serve
   */
  write<T>(origin: Origin, work: (writing: Writing) => Promise<T>): Promise<T>;
  /** Hears of every change of every control node, its own included, in order, after it is durable. */
  onChange(listener: ChangeListener): () => void;
  /** Reads the whole database as it is at one moment, while others go on writing. */
  snapshot<T>(work: (db: Kysely<Database>) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}
