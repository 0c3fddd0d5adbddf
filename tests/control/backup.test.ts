import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Secret } from '@sallyport/core';
import { sql } from 'kysely';
import { backup, openDirectory, restore, sealedSecret, verifyAudit, type Store } from '@sallyport/control';
import { addUser, administrator, deviceRow, onBothDatabases, quiet, userRow, type Databases } from './databases.ts';

/** What tells two databases apart: every table's rows. */
async function contentOf({ db }: Store, tables = compared): Promise<Record<string, unknown[]>> {
  const content: Record<string, unknown[]> = {};
  for (const table of tables) {
    const rows: unknown[] = await db.selectFrom(table).selectAll().execute();
    content[table] = rows.map((row) => JSON.stringify(row)).sort();
  }
  return content;
}

const compared = ['user', 'group', 'group_member', 'device', 'region', 'usage', 'settings', 'rule', 'secret'] as const;

async function fill(store: Store): Promise<void> {
  await store.write(administrator, async (writing) => {
    await addUser(writing, 'alice');
    await writing.db
      .insertInto('user')
      .values({ ...userRow('zoe'), display_name: 'Zoë \u2028\n"', traffic_bytes_per_month: 9007199254740991 })
      .execute();
    const numbers = Array.from({ length: 1500 }, (_, index) => index);
    for (const from of [0, 500, 1000]) {
      await writing.db
        .insertInto('device')
        .values(numbers.slice(from, from + 500).map((number) => deviceRow(number, 'alice')))
        .execute();
    }
    await writing.db
      .insertInto('session')
      .values({ id: 's', token_hash: 'h', user_id: 'alice', client: '', created_at: 1, last_used_at: 1, expires_at: 2 })
      .execute();
  });
  await sealedSecret(store, 'link', () => Buffer.from('the link key'));
}

onBothDatabases('a backup', (databases) => {
  const { dialect, create, open, folder } = databases;
  async function original(): Promise<{ store: Store; keyFile: string }> {
    const keyFile = join(folder(), 'master.key');
    const store = await open(await create(), { masterKeyFile: keyFile });
    await fill(store);
    return { store, keyFile };
  }

  async function targets(kinds: Databases): Promise<string[]> {
    const other = `sqlite:${join(folder(), 'other.db')}`;
    return dialect === 'sqlite' ? [await kinds.create()] : [await kinds.create(), other];
  }

  test('brings everything back, into either kind of database', async () => {
    const { store } = await original();
    const path = join(folder(), 'x.backup');
    const progress: [number, number][] = [];
    const { rows } = await backup(store, path, { onProgress: (done, of) => void progress.push([done, of]) });
    assert.equal(statSync(path).mode & 0o777, 0o600);
    assert.match(readFileSync(path, 'utf8').split('\n')[0], /SENSITIVE/);
    assert.deepEqual(progress.at(-1), [rows, rows]);
    assert.ok(progress.length > 1);
    for (const url of await targets(databases)) {
      const masterKeyFile = join(folder(), 'restored.key');
      const done: number[] = [];
      const options = {
        url,
        masterKeyFile,
        now: Date.now,
        log: quiet,
        onProgress: (count: number) => void done.push(count),
      };
      assert.equal((await restore(path, options)).rows, rows);
      assert.equal(done.at(-1), rows);
      assert.equal(statSync(masterKeyFile).mode & 0o777, 0o600);
      const restored = await open(url, { masterKeyFile });
      assert.deepEqual(await contentOf(restored), await contentOf(store));
      const secret = await sealedSecret(restored, 'link', () => assert.fail('it is there'));
      assert.equal(secret.reveal().toString(), 'the link key');
      // The chain goes on, and logins are not brought back.
      assert.equal((await verifyAudit(restored.db)).ok, true);
      await restored.write(administrator, (writing) => addUser(writing, 'after'));
      assert.equal((await verifyAudit(restored.db)).entries, (await verifyAudit(store.db)).entries + 2);
      assert.deepEqual(await restored.db.selectFrom('session').selectAll().execute(), []);
      assert.ok(restored.version > store.version);
    }
  });

  test('leads from SQLite to PostgreSQL and back', async () => {
    if (dialect === 'sqlite') return;
    const masterKeyFile = join(folder(), 'k');
    let store = await open(`sqlite:${join(folder(), 'first.db')}`, { masterKeyFile });
    await fill(store);
    const before = await contentOf(store);
    for (const url of [await create(), `sqlite:${join(folder(), 'last.db')}`]) {
      const path = join(folder(), 'x.backup');
      await backup(store, path);
      await restore(path, { url, masterKeyFile, now: Date.now, log: quiet });
      store = await open(url, { masterKeyFile });
    }
    assert.deepEqual(await contentOf(store), before);
    assert.equal((await verifyAudit(store.db)).ok, true);
  });

  test('holds one moment, while others go on writing', async () => {
    const { store } = await original();
    const path = join(folder(), 'x.backup');
    let stop = false;
    let written = 0;
    const writing = (async () => {
      while (!stop) {
        // Two rows that only come together.
        await store.write(administrator, async (change) => {
          await addUser(change, `left-${written}`);
          await addUser(change, `right-${written}`);
        });
        written += 1;
      }
    })();
    while (written < 3) await new Promise((resolve) => setTimeout(resolve, 1));
    await backup(store, path);
    stop = true;
    await writing;
    const [url] = await targets(databases);
    await restore(path, { url: url, masterKeyFile: join(folder(), 'k'), now: Date.now, log: quiet });
    const restored = await open(url);
    const names = (await restored.db.selectFrom('user').select('name').execute()).map(({ name }) => name);
    const count = (side: string) => names.filter((name) => name.startsWith(side)).length;
    assert.ok(count('left') >= 3 && count('left') <= written);
    assert.equal(count('left'), count('right'));
    const verdict = await verifyAudit(restored.db);
    assert.equal(verdict.ok, true);
    // One entry for each user that was added by addUser, and that of the restore.
    assert.equal(verdict.entries, count('left') * 2 + 1 + 1);
  });

  test('is refused where the database is not empty, and replaces it by force; who runs on it hears of that', async () => {
    const { store, keyFile } = await original();
    const path = join(folder(), 'x.backup');
    await backup(store, path);
    const before = await contentOf(store);
    const directory = await openDirectory(store, { pool4: '10.0.0.0/8', pool6: 'fd00::/64', log: quiet });
    await store.write(administrator, (writing) => addUser(writing, 'later'));
    assert.ok(directory.model.users.has('later'));
    const url = dialect === 'sqlite' ? `sqlite:${await fileOf(store)}` : await urlOf(store, databases);
    const options = { url, masterKeyFile: keyFile, now: Date.now, log: quiet };
    await assert.rejects(restore(path, options), /not empty: --force/);
    assert.ok((await store.db.selectFrom('user').select('id').execute()).some(({ id }) => id === 'later'));
    const otherKey = join(folder(), 'other.key');
    writeFileSync(otherKey, Buffer.alloc(32, 7), { mode: 0o600 });
    await assert.rejects(restore(path, { ...options, masterKeyFile: otherKey }), /another master key .* --force/);
    await restore(path, { ...options, masterKeyFile: otherKey, force: true });
    assert.deepEqual(readFileSync(`${otherKey}.replaced`), Buffer.alloc(32, 7));
    assert.deepEqual(readFileSync(otherKey), readFileSync(keyFile));
    assert.deepEqual(await contentOf(store), before);
    await store.write(administrator, (writing) => addUser(writing, 'again'));
    assert.equal(directory.model.users.has('later'), false);
    assert.ok(directory.model.users.has('again'));
    directory.close();
  });

  test('that is damaged touches nothing', async () => {
    const { store } = await original();
    const path = join(folder(), 'x.backup');
    await backup(store, path);
    const whole = readFileSync(path, 'utf8');
    const url = `sqlite:${join(folder(), 'never.db')}`;
    const masterKeyFile = join(folder(), 'never.key');
    const damages: [string, RegExp][] = [
      [whole.replace('"alice"', '"alicf"'), /checksum/],
      [whole.slice(0, -20), /its end is missing/],
      [whole.slice(0, whole.lastIndexOf('{"rows"')), /its end is missing/],
      [whole.replace(/\n\[[^\n]*alice[^\n]*\n/, '\n'), /checksum/],
      [`${whole}[]\n`, /something follows/],
      ['', /empty/],
      ['hello\n', /no backup of Sallyport/],
      ['{"format":"other"}\n', /no backup of Sallyport/],
      [whole.replace('"formatVersion":1', '"formatVersion":2'), /format 2/],
      ['x'.repeat(17 << 20), /too long/],
    ];
    for (const [text, message] of damages) {
      const damaged = join(folder(), 'damaged');
      writeFileSync(damaged, text);
      await assert.rejects(restore(damaged, { url, masterKeyFile, now: Date.now, log: quiet, force: true }), message);
    }
    assert.equal(existsSync(url.slice(7)), false);
    assert.equal(existsSync(masterKeyFile), false);
  });

  test('seals the master key with a passphrase', async () => {
    const { store, keyFile } = await original();
    const path = join(folder(), 'x.backup');
    await backup(store, path, { passphrase: new Secret('correct horse') });
    assert.ok(!readFileSync(path, 'utf8').includes(readFileSync(keyFile).toString('base64')));
    const [url] = await targets(databases);
    const options = { url: url, masterKeyFile: join(folder(), 'k'), now: Date.now, log: quiet };
    await assert.rejects(restore(path, options), /passphrase is needed/);
    await assert.rejects(restore(path, { ...options, passphrase: new Secret('wrong') }), /not the one/);
    await restore(path, { ...options, passphrase: new Secret('correct horse') });
    assert.deepEqual(readFileSync(options.masterKeyFile), readFileSync(keyFile));
  });

  test('that cannot be written leaves nothing behind', async () => {
    const { store } = await original();
    await assert.rejects(backup(store, join(folder(), 'nowhere', 'x.backup')), /ENOENT/);
    const path = join(folder(), 'x.backup');
    await assert.rejects(
      backup(store, path, {
        onProgress: () => {
          throw new Error('stop');
        },
      }),
      /stop/,
    );
    assert.deepEqual(readdirSync(join(path, '..')), []);
    await backup(store, path);
    assert.deepEqual(readdirSync(join(path, '..')), ['x.backup']);
  });
});

async function fileOf({ db }: Store): Promise<string> {
  const { rows } = await sql<{ file: string }>`select file from pragma_database_list`.execute(db);
  return rows[0].file;
}

async function urlOf({ db }: Store, { server }: Databases): Promise<string> {
  const { rows } = await sql<{ name: string }>`select current_database() as name`.execute(db);
  return server().url(rows[0].name);
}
