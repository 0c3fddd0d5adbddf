/** Tells listeners of changes in the order of their versions, whichever control node made them. */
import type { Kysely, Selectable } from 'kysely';
import type { Logger } from 'pino';
import type { ChangeTable, Database } from './schema.ts';
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

export type ChangeRow = Selectable<ChangeTable>;

export function newestChange(db: Kysely<Database>): Promise<ChangeRow | undefined> {
  return db.selectFrom('change').selectAll().orderBy('version', 'desc').limit(1).executeTakeFirst();
}

export class ChangeFeed {
  readonly #db: Kysely<Database>;
  readonly #now: () => number;
  readonly #log: Pick<Logger, 'error'>;
  readonly #listeners = new Set<ChangeListener>();
  readonly #timer: NodeJS.Timeout;
  /** The last that listeners were told of. */
  #last: ChangeRow | undefined;
  #caughtUpAt: number;
  /** The round that was begun or asked for last, and the one that is not begun yet. */
  #round = Promise.resolve();
  #next: Promise<void> | undefined;
  #closed = false;

  constructor(db: Kysely<Database>, last: ChangeRow | undefined, now: () => number, log: Pick<Logger, 'error'>) {
    this.#db = db;
    this.#last = last;
    this.#now = now;
    this.#log = log;
    this.#caughtUpAt = now();
    this.#timer = setInterval(() => void this.catchUp(), pollMs).unref();
  }

  /** The last change that listeners were told of. */
  get version(): number {
    return this.#last?.version ?? 0;
  }

  listen(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Settles once listeners were told of everything that was committed before the call, or that failed; never rejects. */
  catchUp(): Promise<void> {
    this.#next ??= this.#round.then(() => {
      this.#next = undefined;
      return this.#pages();
    });
    return (this.#round = this.#next);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
  }

  async #pages(): Promise<void> {
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
    if (this.#now() - this.#caughtUpAt > changeRetentionMs / 2) return this.#takeEverything();
    const rows = await this.#db
      .selectFrom('change')
      .selectAll()
      .where('version', '>=', this.version)
      .orderBy('version')
      .limit(pageSize)
      .execute();
    // Gone, or another: the database is not the one of before (a standby that was behind, a backup), or others' clocks are.
    const [known] = this.#last === undefined ? [] : rows.splice(0, 1);
    if (!isSame(known, this.#last) || rows.some(({ kind }) => kind === EVERYTHING)) return this.#takeEverything();
    const last = rows.at(-1);
    if (last === undefined) return false;
    this.#last = last;
    await this.#announce(rows as readonly Change[], false);
    return rows.length >= pageSize - 1;
  }

  async #takeEverything(): Promise<false> {
    const newest = await newestChange(this.#db);
    const changes = await this.#everything(newest?.version ?? 0);
    this.#last = newest;
    this.#caughtUpAt = this.#now();
    await this.#announce(changes, true);
    return false;
  }

  async #everything(version: number): Promise<Change[]> {
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

function isSame(one: ChangeRow | undefined, other: ChangeRow | undefined): boolean {
  return one?.version === other?.version && one?.kind === other?.kind && one?.id === other?.id && one?.at === other?.at;
}
