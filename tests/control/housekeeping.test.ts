/** What is kept for a time is gone after it, and nothing sooner. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openDirectory, SYSTEM } from '@sallyport/control';
import { sql } from 'kysely';
import { pino } from 'pino';
import { forgetOld } from '../../packages/control/src/housekeeping.ts';
import { addUser, onBothDatabases } from './databases.ts';

const DAY_MS = 86_400_000;

onBothDatabases('housekeeping', ({ create, open }) => {
  test('forgets usage, sessions, marks, answers and one-time tokens when their time is over', async () => {
    const log = pino({ level: 'silent' });
    const now = Date.UTC(2027, 0, 31, 12);
    const store = await open(await create(), { now: () => now });
    const directory = await openDirectory(store, { pool4: '10.64.0.0/16', pool6: 'fd00:5a11::/64', log });
    try {
      await store.write(SYSTEM, async (writing) => {
        await addUser(writing, 'u');
        const { db } = writing;
        const base = { user_id: 'u', created_at: 0 };
        for (const [name, ago] of [
          ['old', 1],
          ['new', -1],
        ] as const) {
          const id = name;
          const token_hash = name;
          const kept = (days: number): number => now - days * DAY_MS - ago;
          const traffic = { user_id: 'u', sent_bytes: 1, received_bytes: 1 };
          // The first of the days that are kept, and the one before it.
          const day = name === 'old' ? '2025-12-26' : '2025-12-27';
          await db
            .insertInto('usage')
            .values({ ...traffic, device_id: 'd', day })
            .execute();
          const session = { ...base, id, token_hash, client: '', last_used_at: 0, expires_at: kept(0) };
          await db.insertInto('session').values(session).execute();
          const client = { id: `${name} client`, token_hash: `${name} client`, kind: 'client' } as const;
          await db
            .insertInto('session')
            .values({ ...session, ...client })
            .execute();
          await db
            .insertInto('known_client')
            .values({ user_id: 'u', token_hash, expires_at: kept(0) })
            .execute();
          const answer = { key: name, request_hash: '', status: 200, body: '', created_at: kept(1) };
          await db.insertInto('idempotency').values(answer).execute();
          const invitation = { ...base, id, token_hash, created_by: 'u', expires_at: kept(30), used_at: null };
          await db.insertInto('invitation').values(invitation).execute();
          const join = { id, token_hash, region_id: null, created_at: 0, expires_at: kept(30), used_at: null };
          await db.insertInto('join_token').values(join).execute();
          const token = { ...base, id, token_hash, name, permissions: '[]', last_used_at: null };
          await db
            .insertInto('api_token')
            .values({ ...token, expires_at: kept(30) })
            .execute();
        }
        const token = { ...base, id: 'ever', token_hash: 'ever', name: 'ever', permissions: '[]', last_used_at: null };
        await db
          .insertInto('api_token')
          .values({ ...token, expires_at: null })
          .execute();
      });
      const services = { store, directory, log, now: () => now, publicUrl: () => '' };
      await forgetOld(services);
      const left = async (table: string, column: string): Promise<string[]> => {
        const { rows } = await sql<{ it: string }>`
          select ${sql.ref(column)} as it from ${sql.table(table)} order by it
        `.execute(store.db);
        return rows.map(({ it }) => it);
      };
      assert.deepEqual(await left('usage', 'day'), ['2025-12-27']);
      assert.deepEqual(await left('session', 'id'), ['new', 'new client']);
      assert.deepEqual(await left('known_client', 'token_hash'), ['new']);
      assert.deepEqual(await left('idempotency', 'key'), ['new']);
      assert.deepEqual(await left('invitation', 'id'), ['new']);
      assert.deepEqual(await left('join_token', 'id'), ['new']);
      assert.deepEqual(await left('api_token', 'id'), ['ever', 'new']);
    } finally {
      directory.close();
    }
  });
});
