import assert from 'node:assert/strict';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { sql } from 'kysely';
import { ApiError, describeDatabaseUrl, openStore, sealedSecret, type Change } from '@sallyport/control';
import { until } from '@sallyport/netlab';
import { addUser, administrator, onBothDatabases, quiet, userRow } from './databases.ts';

onBothDatabases('the store', ({ dialect, create, open, folder }) => {
  test('begins with what a new service has', async () => {
    const { db } = await open(await create());
    assert.deepEqual(await db.selectFrom('group').select(['id', 'name']).execute(), [
      { id: 'everyone', name: 'everyone' },
    ]);
    assert.deepEqual(await db.selectFrom('resource').select(['id', 'kind']).execute(), [
      { id: 'internet', kind: 'internet' },
    ]);
    assert.deepEqual(
      await db.selectFrom('rule').select(['id', 'groups', 'resources', 'gateways', 'enabled']).execute(),
      [{ id: 'everyone-internet', groups: '["everyone"]', resources: '["internet"]', gateways: '[]', enabled: 1 }],
    );
    assert.deepEqual(await db.selectFrom('region').selectAll().execute(), [
      { id: 'default', name: 'Default', version: 1 },
    ]);
    const { value } = await db.selectFrom('settings').select('value').executeTakeFirstOrThrow();
    assert.equal((JSON.parse(value) as { auditAddresses: boolean }).auditAddresses, false);
  });

  test('keeps numbers, nulls and text as they are', async () => {
    const { db } = await open(await create());
    const row = {
      ...userRow('u1'),
      display_name: 'Zoë "\u2028" \\ 🐘',
      traffic_bytes_per_month: Number.MAX_SAFE_INTEGER,
      expires_at: 1_790_000_000_123,
    };
    await db.insertInto('user').values(row).execute();
    assert.deepEqual(await db.selectFrom('user').selectAll().executeTakeFirst(), row);
    const updated = await db
      .updateTable('user')
      .set(({ eb }) => ({ version: eb('version', '+', 1) }))
      .returning('version')
      .executeTakeFirst();
    assert.deepEqual(updated, { version: 2 });
    const { count, sum } = await db
      .selectFrom('user')
      .select(({ fn }) => [fn.countAll().as('count'), fn.sum('version').as('sum')])
      .executeTakeFirstOrThrow();
    assert.deepEqual([count, sum], [1, 2]);
    const deleted = await db.deleteFrom('user').where('id', '=', 'u1').executeTakeFirst();
    assert.equal(deleted.numDeletedRows, 1n);
  });

  test('orders text by its bytes', async () => {
    const { db } = await open(await create());
    for (const id of ['b', 'a-c', 'ab', 'a.b', 'B']) await db.insertInto('user').values(userRow(id)).execute();
    const rows = await db.selectFrom('user').select('name').orderBy('name').execute();
    assert.deepEqual(
      rows.map(({ name }) => name),
      ['B', 'a-c', 'a.b', 'ab', 'b'],
    );
  });

  test('removes what belongs to a user with the user, and keeps a region that a gateway is in', async () => {
    const { db } = await open(await create());
    await db.insertInto('user').values(userRow('u1')).execute();
    await db
      .insertInto('session')
      .values({ id: 's', token_hash: 'h', user_id: 'u1', client: '', created_at: 1, last_used_at: 1, expires_at: 2 })
      .execute();
    await db.deleteFrom('user').where('id', '=', 'u1').execute();
    assert.deepEqual(await db.selectFrom('session').selectAll().execute(), []);
    await assert.rejects(
      db
        .insertInto('join_token')
        .values({ id: 'j', token_hash: 'h', region_id: 'nowhere', created_at: 1, expires_at: 2, used_at: null })
        .execute(),
      /foreign key/i,
    );
    await assert.rejects(
      db.insertInto('group_member').values({ group_id: 'everyone', user_id: 'u1' }).execute(),
      /check constraint/i,
    );
  });

  test('a change that fails leaves nothing', async () => {
    const store = await open(await create());
    const heard: Change[] = [];
    store.onChange((changes) => void heard.push(...changes));
    await assert.rejects(
      store.write(administrator, async (writing) => {
        await addUser(writing, 'u1');
        throw new Error('no, after all');
      }),
      /no, after all/,
    );
    await assert.rejects(
      store.write(administrator, async (writing) => {
        await addUser(writing, 'u2');
        await addUser(writing, 'u2');
      }),
      /unique/i,
    );
    // A fault that `work` ignores: PostgreSQL has given the transaction up, SQLite has not.
    await store
      .write(administrator, async (writing) => {
        await addUser(writing, 'u3');
        await addUser(writing, 'u3').catch(() => undefined);
        throw new Error('and no');
      })
      .catch(() => undefined);
    for (const table of ['user', 'audit', 'change'] as const) {
      assert.deepEqual(await store.db.selectFrom(table).selectAll().execute(), []);
    }
    assert.equal(heard.length, 0);
    await store.write(administrator, (writing) => addUser(writing, 'u4'));
    assert.deepEqual(
      heard.map(({ kind, id }) => `${kind} ${id}`),
      ['user u4'],
    );
  });

  test('nobody sees a change before it is committed', async () => {
    const store = await open(await create());
    await store.write(administrator, async (writing) => {
      await addUser(writing, 'u1');
      assert.equal((await writing.db.selectFrom('user').selectAll().execute()).length, 1);
      assert.equal((await store.db.selectFrom('user').selectAll().execute()).length, 0);
    });
    assert.equal((await store.db.selectFrom('user').selectAll().execute()).length, 1);
  });

  test('runs changes of several control nodes one after the other', async () => {
    const url = await create();
    const nodes = dialect === 'sqlite' ? [await open(url)] : [await open(url), await open(url), await open(url)];
    const expected = 60;
    await Promise.all(
      Array.from({ length: expected }, (_, index) =>
        nodes[index % nodes.length].write(administrator, async ({ db }) => {
          // Read, wait, write: two that overlapped would lose one.
          const row = await db.selectFrom('settings').select('version').executeTakeFirstOrThrow();
          await new Promise((resolve) => setImmediate(resolve));
          await db
            .updateTable('settings')
            .set({ version: row.version + 1 })
            .execute();
        }),
      ),
    );
    const row = await nodes[0].db.selectFrom('settings').select('version').executeTakeFirstOrThrow();
    assert.equal(row.version, expected + 1);
  });

  test('every node hears of every change, in order, and of its own before write settles', async () => {
    const url = await create();
    const stores = dialect === 'sqlite' ? [await open(url)] : [await open(url), await open(url)];
    const heard = stores.map((store) => {
      const list: Change[] = [];
      store.onChange((changes) => void list.push(...changes));
      return list;
    });
    await Promise.all(
      Array.from({ length: 40 }, async (_, index) => {
        const node = index % stores.length;
        await stores[node].write(administrator, (writing) => addUser(writing, `u${index}`));
        assert.ok(heard[node].some(({ id }) => id === `u${index}`));
      }),
    );
    await until('all of it everywhere', () => heard.every((list) => list.length >= 40));
    for (const list of heard) {
      assert.equal(new Set(list.map(({ id }) => id)).size, 40);
      assert.equal(list.length, 40);
      assert.ok(list.every(({ version }, index) => index === 0 || version > list[index - 1].version));
    }
    assert.deepEqual(heard.at(-1), heard[0]);
  });

  test('a change is heard of at another node within some tens of milliseconds', async (t) => {
    if (dialect === 'sqlite') return;
    const url = await create();
    const [writer, reader] = [await open(url), await open(url)];
    const delays: number[] = [];
    for (let index = 0; index < 20; index++) {
      const heard = new Promise<void>((resolve) => {
        const stop = reader.onChange(() => {
          stop();
          resolve();
        });
      });
      const start = performance.now();
      await writer.write(administrator, (writing) => addUser(writing, `u${index}`));
      await heard;
      delays.push(performance.now() - start);
    }
    delays.sort((a, b) => a - b);
    t.diagnostic(`median ${delays[10].toFixed(1)} ms from the call to the other node's listener`);
    // Without a notice it would be found by asking, every ten seconds.
    assert.ok(delays[10] < 1000);
  });

  test('what would wait for itself fails instead', { timeout: 120_000 }, async () => {
    const store = await open(await create());
    await assert.rejects(
      store.write(administrator, () => store.write(administrator, () => Promise.resolve())),
      /through its transaction/,
    );
    if (dialect === 'sqlite') {
      await assert.rejects(
        store.write(administrator, () => store.db.deleteFrom('user').execute()),
        /through its transaction/,
      );
    }
    await store.write(administrator, (writing) => addUser(writing, 'u1'));
  });

  test('changes that are a day old are removed', async () => {
    let now = Date.UTC(2026, 0, 1);
    const store = await open(await create(), { now: () => now });
    for (let index = 0; index < 20; index++)
      await store.write(administrator, (writing) => addUser(writing, `a${index}`));
    now += 25 * 3_600_000;
    for (let index = 0; index < 300; index++) {
      await store.write(administrator, ({ changed }) => {
        changed('user', `a${index % 20}`);
        return Promise.resolve();
      });
    }
    const { oldest } = await store.db
      .selectFrom('change')
      .select(({ fn }) => fn.min('at').as('oldest'))
      .executeTakeFirstOrThrow();
    assert.equal(oldest, now);
  });

  test('who was away for longer than changes are kept is told of everything', async () => {
    let now = Date.UTC(2026, 0, 1);
    const url = await create();
    const store = await open(url, { now: () => now });
    await store.write(administrator, (writing) => addUser(writing, 'u1'));
    const heard: { readonly changes: readonly Change[]; readonly complete: boolean }[] = [];
    store.onChange((changes, complete) => void heard.push({ changes, complete }));
    // The notice of its own change has come by then.
    await new Promise((resolve) => setTimeout(resolve, 1000));
    now += 13 * 3_600_000;
    await store.write(administrator, (writing) => addUser(writing, 'u2'));
    assert.equal(heard[0]?.complete, true);
    const names = heard[0].changes.map(({ kind, id }) => `${kind} ${id}`).sort();
    assert.deepEqual(names, [
      'group everyone',
      'region default',
      'resource internet',
      'rule everyone-internet',
      'settings settings',
      'user u1',
      'user u2',
    ]);
    await store.write(administrator, (writing) => addUser(writing, 'u3'));
    assert.equal(heard.at(-1)?.complete, false);
    assert.deepEqual(
      heard.at(-1)?.changes.map(({ id }) => id),
      ['u3'],
    );
  });

  test('where the database is not the one of before everything is told, whatever its versions are', async () => {
    const store = await open(await create(), { now: () => 1000 });
    await store.write(administrator, (writing) => addUser(writing, 'u1'));
    await store.write(administrator, (writing) => addUser(writing, 'u2'));
    const heard: { readonly version: number | undefined; readonly complete: boolean }[] = [];
    store.onChange((changes, complete) => void heard.push({ version: changes.at(-1)?.version, complete }));
    // As a standby that was behind and has gone on by itself: the same version, and another change.
    const { version } = store;
    await store.write(administrator, async (writing) => {
      await writing.db.updateTable('change').set({ id: 'u9' }).where('version', '=', version).execute();
      await addUser(writing, 'u3');
    });
    // And one that ends before.
    await store.write(administrator, async (writing) => {
      await writing.db.deleteFrom('change').where('version', '>=', version).execute();
      await addUser(writing, 'u4');
    });
    await store.write(administrator, (writing) => addUser(writing, 'u5'));
    assert.deepEqual(
      heard.map(({ complete }) => complete),
      [true, true, false],
    );
    assert.equal(heard.at(-1)?.version, store.version);
  });

  test('holds what it held when it is opened again', async () => {
    const url = await create();
    const store = await open(url);
    await store.write(administrator, (writing) => addUser(writing, 'u1'));
    const { version } = store;
    const again = await open(url);
    assert.equal(again.version, version);
    assert.equal((await again.db.selectFrom('user').selectAll().execute()).length, 1);
  });

  test('refuses a database of a newer version', async () => {
    const url = await create();
    const store = await open(url);
    await sql`insert into migration (number, at) values (99, 1)`.execute(store.db);
    await assert.rejects(open(url), /of version 99, this program knows versions up to \d+: start the newer/);
  });

  test('a sealed secret is made once, and only the right master key opens it', async () => {
    const url = await create();
    const masterKeyFile = join(folder(), 'master.key');
    const store = await open(url, { masterKeyFile });
    assert.equal(statSync(masterKeyFile).mode & 0o777, 0o600);
    assert.equal(statSync(masterKeyFile).size, 32);
    let made = 0;
    const secrets = await Promise.all(
      [1, 2, 3].map(() => sealedSecret(store, 'link', () => Buffer.from(`secret ${++made}`))),
    );
    assert.deepEqual(
      secrets.map((secret) => secret.reveal().toString()),
      ['secret 1', 'secret 1', 'secret 1'],
    );
    const { sealed } = await store.db
      .selectFrom('secret')
      .select('sealed')
      .where('name', '=', 'link')
      .executeTakeFirstOrThrow();
    assert.ok(!Buffer.from(sealed, 'base64').includes('secret'));

    const again = await open(url, { masterKeyFile });
    assert.equal((await sealedSecret(again, 'link', () => assert.fail('made again'))).reveal().toString(), 'secret 1');
    await assert.rejects(
      open(url, { masterKeyFile: join(folder(), 'none') }),
      /is missing, and the database holds keys/,
    );
    const wrong = join(folder(), 'wrong');
    writeFileSync(wrong, Buffer.alloc(32), { mode: 0o600 });
    await assert.rejects(open(url, { masterKeyFile: wrong }), /is not the one that the keys in the database/);
    writeFileSync(join(folder(), 'x'), '');
    const readable = join(folder(), 'readable');
    writeFileSync(readable, Buffer.alloc(32), { mode: 0o644 });
    await assert.rejects(open(url, { masterKeyFile: readable }), /can be read by others: chmod 600/);

    // One secret in the place of another is noticed.
    await store.db.updateTable('secret').set({ sealed }).where('name', '=', 'master-key-check').execute();
    await assert.rejects(open(url, { masterKeyFile }), /is not the one/);
  });
});

describe('opening a store', () => {
  test('says what is wrong with the URL and never its password', async () => {
    const faults: [string, RegExp][] = [
      ['mysql://root:hunter2hunter2@localhost/x', /must begin with sqlite: or postgresql:/],
      ['sqlite:', /names no file/],
      ['sqlite::memory:', /names no file/],
      ['sqlite:/nowhere/at/all.db', /mkdir -p \/nowhere\/at/],
      ['postgresql://root:hunter2hunter2@[::1/x', /cannot be read|cannot be used/],
      [
        'postgresql://root:hunter2hunter2@127.0.0.1:1/x',
        /The database postgresql:\/\/127\.0\.0\.1:1\/x cannot be used/,
      ],
      ['postgresql://root:hunter2@hunter2@127.0.0.1:1/x?password=hunter2', /cannot be used/],
    ];
    for (const [url, message] of faults) {
      await assert.rejects(openStore({ url, now: Date.now, log: quiet }), (error: Error) => {
        assert.match(error.message, message);
        for (let fault: unknown = error; fault instanceof Error; fault = fault.cause) {
          assert.doesNotMatch(`${fault.stack ?? ''} ${JSON.stringify(fault)}`, /hunter2/);
        }
        return true;
      });
    }
    assert.equal(describeDatabaseUrl('postgresql://a:b@c@host:5/db?password=x'), 'postgresql://host:5/db');
    assert.equal(describeDatabaseUrl('postgres://host/db'), 'postgresql://host/db');
  });

  test('a server that cannot be reached is unavailable', async () => {
    await assert.rejects(
      openStore({ url: 'postgresql://127.0.0.1:1/x', now: Date.now, log: quiet }),
      (error: Error) => error.cause instanceof ApiError && error.cause.code === 'unavailable',
    );
  });
});
