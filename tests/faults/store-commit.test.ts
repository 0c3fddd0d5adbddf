import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError, openStore, verifyAudit } from '@sallyport/control';
import { PostgresServer } from '@sallyport/netlab';
import { sql } from 'kysely';
import { openDatabase } from '../../packages/control/src/store/open-store.ts';
import { addUser, administrator, quiet } from '../control/databases.ts';
import { proxy } from './postgres-proxy.ts';

test('a commit without an answer is made exactly once, whichever way it was lost', async () => {
  const server = await PostgresServer.start();
  const between = await proxy(server);
  try {
    const url = between.urlOf(await server.createDatabase());
    const store = await openStore({ url, now: Date.now, log: quiet });
    for (const [index, fault] of (['commit lost', 'answer lost', 'commit lost', 'answer lost'] as const).entries()) {
      between.control.fault = fault;
      let runs = 0;
      const heard: string[] = [];
      const stop = store.onChange((changes) => void heard.push(...changes.map(({ id }) => id)));
      await store.write(administrator, async (writing) => {
        runs += 1;
        await addUser(writing, `u${index}`);
      });
      stop();
      assert.equal(runs, fault === 'commit lost' ? 2 : 1);
      assert.equal(between.control.broken, index + 1);
      assert.deepEqual(heard, [`u${index}`]);
      const users = await store.db.selectFrom('user').select('id').execute();
      assert.equal(users.length, index + 1);
      const verdict = await verifyAudit(store.db);
      assert.deepEqual([verdict.ok, verdict.entries], [true, index + 1]);
    }

    // Nobody can be asked: the caller hears that it may have been made, and it isn't tried again.
    between.control.fault = 'answer lost';
    let runs = 0;
    await assert.rejects(
      store.write(administrator, async (writing) => {
        runs += 1;
        await addUser(writing, 'unsure');
        between.control.refuse = true;
      }),
      (error: unknown) =>
        error instanceof ApiError && error.code === 'unavailable' && /may have been/.test(error.detail),
    );
    assert.equal(runs, 1);
    between.control.refuse = false;
    assert.equal((await store.db.selectFrom('user').select('id').where('id', '=', 'unsure').execute()).length, 1);
    await store.close();
  } finally {
    between.close();
    await server.remove();
  }
});

for (const [others, what] of [
  [0, 'has not been given yet'],
  [20, "is another's by then"],
] as const)
  test(`a commit that a crash lost is made again, though its number ${what}`, async () => {
    const server = await PostgresServer.start();
    const between = await proxy(server);
    try {
      const direct = await server.createDatabase();
      const url = between.urlOf(direct);
      const store = await openStore({ url, now: Date.now, log: quiet });
      between.control.crash = async () => {
        await server.kill();
        await server.restart();
        const { db } = openDatabase(direct, quiet);
        for (let n = 0; n < others; n++) await sql`select pg_current_xact_id()`.execute(db);
        await db.destroy();
      };
      for (let round = 0; round < 3; round++) {
        between.control.fault = 'crash';
        let runs = 0;
        await store.write(administrator, async (writing) => {
          runs += 1;
          await addUser(writing, `u${round}`);
        });
        assert.equal(runs, 2);
        assert.equal((await store.db.selectFrom('user').select('id').execute()).length, round + 1);
      }
      assert.equal((await verifyAudit(store.db)).ok, true);
      await store.close();
    } finally {
      between.close();
      await server.remove();
    }
  });
