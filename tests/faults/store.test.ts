import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ApiError, openStore, verifyAudit, type Change, type Store } from '@sallyport/control';
import { PostgresServer, Process, until } from '@sallyport/netlab';
import { addUser, administrator, quiet } from '../control/databases.ts';

const writer = join(import.meta.dirname, 'store-writer.ts');

describe('SQLite', () => {
  test('killed in the middle of changes, it has all that was acknowledged', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-killed-'));
    try {
      const path = join(folder, 'test.db');
      const acknowledged: string[] = [];
      for (const [round, count] of [1, 5, 12, 20].entries()) {
        const child = await Process.start([process.execPath, writer, path]);
        // Some more, and part of another, follow until it is looked at.
        await until(
          'some changes',
          () => child.stdout.split('\n').length > count || child.exit !== undefined,
          undefined,
          7,
        );
        child.signal('SIGKILL');
        await child.exited;
        assert.equal(child.exit?.signal, 'SIGKILL', child.stderr);
        // The last line may have been cut off.
        acknowledged.push(...child.stdout.split('\n').slice(0, -1));
        const store = await openStore({ url: `sqlite:${path}`, now: Date.now, log: quiet });
        const stored = new Set((await store.db.selectFrom('user').select('id').execute()).map(({ id }) => id));
        assert.deepEqual(
          acknowledged.filter((id) => !stored.has(id)),
          [],
        );
        // At most the change that was under way each time is there without having been acknowledged.
        assert.ok(stored.size <= acknowledged.length + round + 1);
        const verdict = await verifyAudit(store.db);
        assert.deepEqual([verdict.ok, verdict.entries], [true, stored.size * 2]);
        await store.close();
      }
      assert.ok(acknowledged.length > 20);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('with the disk full, it says that it is unavailable, loses nothing, and goes on when there is space', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-full-'));
    try {
      // A small disk that only this process sees, half of it taken up.
      const script =
        'mount -t tmpfs -o size=8m tmpfs "$1" && head -c 4000000 /dev/zero >"$1/filler" && ' +
        'exec "$2" "$3" "$1/test.db" "$1/filler"';
      const child = await Process.start([
        ...['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh'],
        ...[folder, process.execPath, writer],
      ]);
      const { code } = await child.end();
      assert.equal(code, 0, child.stderr);
      assert.match(child.stdout, /\ndone\n$/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('PostgreSQL', () => {
  test('stopped, started and killed under load, nothing acknowledged is lost and every node hears of all', async (t) => {
    const server = await PostgresServer.start();
    const stores: Store[] = [];
    try {
      const url = await server.createDatabase();
      for (let node = 0; node < 2; node++) stores.push(await openStore({ url, now: Date.now, log: quiet }));
      const heard = stores.map((store) => {
        const list: Change[] = [];
        store.onChange((changes) => void list.push(...changes));
        return list;
      });
      const acknowledged: string[] = [];
      const refused: string[] = [];
      const faults: unknown[] = [];
      let stop = false;
      const load = Array.from({ length: 8 }, async (_, index) => {
        for (let count = 0; !stop; count++) {
          const id = `w${index}-${count}`;
          try {
            await stores[index % 2].write(administrator, (writing) => addUser(writing, id));
            acknowledged.push(id);
          } catch (error) {
            refused.push(id);
            if (!(error instanceof ApiError) || error.code !== 'unavailable') faults.push(error);
            await new Promise((resolve) => setTimeout(resolve, 20));
          }
          // What only reads says that it is unavailable as well.
          await stores[index % 2].db
            .selectFrom('user')
            .select('id')
            .limit(1)
            .execute()
            .catch((error: unknown) => {
              if (!(error instanceof ApiError) || error.code !== 'unavailable') faults.push(error);
            });
        }
      });
      const working = async (): Promise<void> => {
        const { length } = acknowledged;
        await until('changes go through', () => acknowledged.length > length + 20);
      };
      await working();
      // Gone for a moment: who waits gets through. Gone for longer: they are told.
      for (const [end, pauseMs] of [
        ['stop', 0],
        ['kill', 0],
        ['stop', 3000],
        ['kill', 3000],
      ] as const) {
        await server[end]();
        await new Promise((resolve) => setTimeout(resolve, pauseMs));
        await server.restart();
        await working();
      }
      stop = true;
      await Promise.all(load);
      assert.deepEqual(faults, []);
      const { db } = stores[0];
      const stored = new Set((await db.selectFrom('user').select('id').execute()).map(({ id }) => id));
      assert.deepEqual(
        acknowledged.filter((id) => !stored.has(id)),
        [],
      );
      const unsaid = refused.filter((id) => stored.has(id)).length;
      t.diagnostic(
        `${acknowledged.length} acknowledged, ${refused.length} refused as unavailable, of which ${unsaid} were made`,
      );
      assert.ok(refused.length > 0);
      const verdict = await verifyAudit(db);
      assert.deepEqual([verdict.ok, verdict.entries], [true, stored.size]);
      const changes = (await db.selectFrom('change').select('id').orderBy('version').execute()).map(({ id }) => id);
      for (const list of heard) {
        await until('every node hears of every change', () => list.length >= changes.length);
        assert.deepEqual(
          list.map(({ id }) => id),
          changes,
        );
      }
    } finally {
      await Promise.all(stores.map((store) => store.close()));
      await server.remove();
    }
  });
});
