/** Tells listeners of changes in the order of their versions, whichever control node made them. */
import type { Kysely } from 'kysely';
import type { Logger } from 'pino';
import type { Database } from './schema.ts';
import type { Change, ChangeListener, EntityKind } from './store.ts';

const pageSize = 1000;
/** How soon a lost notification is made up for. */
const pollMs = 10_000;
/** How long changes are kept for nodes that were away. */
export const changeRetentionMs = 24 * 3_600_000;

/** The kind of a change that stands for all: the database was restored from a backup. */
export const EVERYTHING = 'everything';

/** Where the entities of each kind are found, for listeners that missed changes. */
const entities: readonly (readonly [
  EntityKind,
  'user' | 'group' | 'device' | 'region' | 'gateway' | 'resource' | 'rule' | 'policy_test',
])[] = [
  ['user', 'user'],
  ['group', 'group'],
  ['device', 'device'],
  ['region', 'region'],
  ['gateway', 'gateway'],
  ['resource', 'resource'],
  ['rule', 'rule'],
  ['policyTest', 'policy_test'],
];

export class ChangeFeed {
  readonly #db: Kysely<Database>;
  readonly #now: () => number;
  readonly #log: Pick<Logger, 'error'>;
  readonly #listeners = new Set<ChangeListener>();
  readonly #timer: NodeJS.Timeout;
  #version: number;
  #caughtUpAt: number;
  /** The round that was begun or asked for last, and the one that is not begun yet. */
  #last = Promise.resolve();
  #next: Promise<void> | undefined;
  #closed = false;

  constructor(db: Kysely<Database>, version: number, now: () => number, log: Pick<Logger, 'error'>) {
    this.#db = db;
    this.#version = version;
    this.#now = now;
    this.#log = log;
    this.#caughtUpAt = now();
    this.#timer = setInterval(() => void this.catchUp(), pollMs).unref();
  }

  /** The last change that listeners were told of. */
  get version(): number {
    return this.#version;
  }

  listen(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Settles once listeners were told of everything that was committed before the call, or that failed; never rejects. */
  catchUp(): Promise<void> {
    this.#next ??= this.#last.then(() => {
      this.#next = undefined;
      return this.#round();
    });
    return (this.#last = this.#next);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
  }

  async #round(): Promise<void> {
    try {
      let begun: number;
      do {
        if (this.#closed) return;
        begun = this.#now();
      } while (await this.#page());
      this.#caughtUpAt = begun;
    } catch (error) {
      // The poll tries again; a lost connection does so as soon as it is back.
      if (!this.#closed) this.#log.error({ err: error }, 'changes could not be read from the database');
    }
  }

  async #page(): Promise<boolean> {
    // After half the retention changes may be gone before they are seen.
    let complete = this.#now() - this.#caughtUpAt > changeRetentionMs / 2;
    let changes: readonly { version: number; kind: string; id: string }[] = [];
    if (!complete) {
      changes = await this.#db
        .selectFrom('change')
        .select(['version', 'kind', 'id'])
        .where('version', '>', this.#version)
        .orderBy('version')
        .limit(pageSize)
        .execute();
      complete = changes.some(({ kind }) => kind === EVERYTHING);
    }
    if (complete) changes = await this.#everything();
    const last = changes.at(-1);
    if (last === undefined) return false;
    this.#version = last.version;
    if (complete) this.#caughtUpAt = this.#now();
    await this.#announce(changes as readonly Change[], complete);
    return !complete && changes.length === pageSize;
  }

  async #everything(): Promise<Change[]> {
    const newest = await this.#db
      .selectFrom('change')
      .select(({ fn }) => fn.max('version').as('version'))
      .executeTakeFirst();
    const version = newest?.version ?? this.#version;
    const changes: Change[] = [{ version, kind: 'settings', id: 'settings' }];
    for (const [kind, table] of entities) {
      const rows = await this.#db.selectFrom(table).select('id').execute();
      for (const { id } of rows) changes.push({ version, kind, id });
    }
    return changes;
  }

  async #announce(changes: readonly Change[], complete: boolean): Promise<void> {
    const heard = [...this.#listeners].map(async (listener) => {
      try {
        await listener(changes, complete);
      } catch (error) {
        this.#log.error({ err: error }, 'a listener failed to take changes in');
      }
    });
    await Promise.all(heard);
  }
}
