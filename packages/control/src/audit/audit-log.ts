/** Appends to the audit log, reads it, verifies it, and lets entries about connections expire. */
import type { AuditEntry } from '@sallyport/api';
import type { Kysely, Transaction } from 'kysely';
import type { AuditTable, Database } from '../store/schema.ts';
import { SYSTEM, type Origin, type Store } from '../store/store.ts';
import { canonicalJson } from './canonical-json.ts';
import { chain, digestOf, EXPIRED, expires, FIRST_HASH, hashOf } from './audit-chain.ts';

const pageSize = 500;

export interface AuditTarget {
  readonly kind: string;
  readonly id: string | null;
  readonly name: string;
}

/** Appends one entry within a transaction, of which there is one at a time. @throws TypeError where a secret would get in */
export async function appendAudit(
  db: Transaction<Database>,
  at: number,
  origin: Origin,
  action: string,
  target: AuditTarget,
  before?: unknown,
  after?: unknown,
): Promise<void> {
  const { kind, id, name } = origin.actor;
  const address = origin.address !== null && (await keepsAddresses(db)) ? origin.address : null;
  const content = {
    actor: canonicalJson({ kind, id, name }),
    origin: canonicalJson({ via: origin.via, address }),
    action,
    target: canonicalJson({ kind: target.kind, id: target.id, name: target.name }),
    before: canonicalJson(before),
    after: canonicalJson(after),
  };
  const newest = await newestEntry(db);
  await db
    .insertInto('audit')
    .values(chain(newest ?? { number: 0, hash: FIRST_HASH }, at, content))
    .execute();
}

async function newestEntry(db: Kysely<Database>): Promise<{ number: number; hash: string } | undefined> {
  return db.selectFrom('audit').select(['number', 'hash']).orderBy('number', 'desc').limit(1).executeTakeFirst();
}

async function keepsAddresses(db: Kysely<Database>): Promise<boolean> {
  const row = await db.selectFrom('settings').select('value').executeTakeFirst();
  return row !== undefined && (JSON.parse(row.value) as { auditAddresses?: unknown }).auditAddresses === true;
}

export interface AuditVerdict {
  readonly ok: boolean;
  /** Entries that hold, the expired ones included. */
  readonly entries: number;
  /** Entries whose content was removed when its time was over. */
  readonly expired: number;
  /** The newest entry; kept elsewhere, it shows whether entries at the end were removed. */
  readonly newest: { readonly number: number; readonly hash: string } | null;
  readonly firstFault?: { readonly number: number; readonly reason: string };
}

/** Follows the chain from the first entry to the newest one. */
export async function verifyAudit(db: Kysely<Database>): Promise<AuditVerdict> {
  let newest = { number: 0, hash: FIRST_HASH };
  let expired = 0;
  const verdict = (reason?: string): AuditVerdict => ({
    ok: reason === undefined,
    entries: newest.number,
    expired,
    newest: newest.number === 0 ? null : newest,
    ...(reason !== undefined && { firstFault: { number: newest.number + 1, reason } }),
  });
  for await (const row of auditRows(db)) {
    if (row.number !== newest.number + 1) return verdict('it is missing');
    if (row.digest !== null) {
      if (row.expires !== 1) return verdict('its content was removed, although it does not expire');
      expired += 1;
    } else if (row.expires !== (expires(row.action) ? 1 : 0)) {
      return verdict('it was changed');
    }
    const hash = hashOf(newest.hash, { ...row, digest: row.digest ?? digestOf(row) });
    if (hash !== row.hash) return verdict('it was changed, or the one before it was replaced');
    newest = { number: row.number, hash };
  }
  return verdict();
}

/** The log as JSON lines, each an entry as the API has it, with what is needed to verify it. */
export async function* exportAudit(db: Kysely<Database>, after = 0): AsyncGenerator<string> {
  for await (const row of auditRows(db, after)) {
    const { salt, digest, expires: expiring } = row;
    yield `${JSON.stringify({ ...auditEntry(row), expires: expiring === 1, salt, digest })}\n`;
  }
}

/** An entry as the API answers it. */
export function auditEntry(row: AuditTable): AuditEntry {
  return {
    number: row.number,
    at: new Date(row.at).toISOString(),
    actor: JSON.parse(row.actor) as AuditEntry['actor'],
    origin: JSON.parse(row.origin) as AuditEntry['origin'],
    action: row.action,
    target: JSON.parse(row.target) as AuditEntry['target'],
    before: JSON.parse(row.before),
    after: JSON.parse(row.after),
    hash: row.hash,
  };
}

/** Removes the content of entries about connections from before `before`. Returns how many. */
export async function expireAudit(store: Store, before: number): Promise<number> {
  let count = 0;
  for (;;) {
    const removed = await store.write(SYSTEM, async ({ db }) => {
      const rows = await db
        .selectFrom('audit')
        .selectAll()
        .where('expires', '=', 1)
        .where('digest', 'is', null)
        .where('at', '<', before)
        .orderBy('at')
        .limit(pageSize)
        .execute();
      for (const row of rows) {
        await db
          .updateTable('audit')
          .set({ ...EXPIRED, digest: digestOf(row) })
          .where('number', '=', row.number)
          .execute();
      }
      return rows.length;
    });
    count += removed;
    if (removed < pageSize) return count;
  }
}

async function* auditRows(db: Kysely<Database>, after = 0): AsyncGenerator<AuditTable> {
  for (let from = after; ;) {
    const rows = await db
      .selectFrom('audit')
      .selectAll()
      .where('number', '>', from)
      .orderBy('number')
      .limit(pageSize)
      .execute();
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined) return;
    from = last.number;
    // SQLite answers at once; others get their turn between two pages.
    await new Promise((resolve) => setImmediate(resolve));
  }
}
