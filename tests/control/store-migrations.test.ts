import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { sql, type Kysely, type Transaction } from 'kysely';
import ts from 'typescript';
import {
  currentVersion,
  databaseVersion,
  migrate,
  migrations,
  type Migration,
} from '../../packages/control/src/store/migrations.ts';
import { openDatabase } from '../../packages/control/src/store/open-store.ts';
import type { Database } from '../../packages/control/src/store/schema.ts';
import { openDirectory } from '@sallyport/control';
import { onBothDatabases, quiet, userRow } from './databases.ts';

const first = [
  `insert into "user" (id, name, display_name, role, disabled, created_at, version)
      values ('u1', 'alice', 'Alice', 'administrator', 0, 1, 3)`,
  `insert into "group" (id, name, description, require_device_approval, version) values ('g1', 'staff', '', 1, 1)`,
  `insert into group_member (group_id, user_id) values ('g1', 'u1')`,
  `insert into device (id, user_id, name, public_key, ipv4, ipv6, approved, created_at, version)
      values ('d1', 'u1', 'phone', 'key', '10.0.0.9', 'fd00::9', 1, 1, 1)`,
];
const second = [
  ...first,
  `insert into session (id, token_hash, user_id, client, created_at, last_used_at, expires_at)
      values ('s1', 'hash', 'u1', 'browser', 1, 2, 3)`,
  `insert into identity_provider (id, name, issuer, client_id, scopes, enabled, create_users, email_domains,
      link_by_email, asks_second_factor, groups_claim, groups_by_name, group_mapping, version)
      values ('p1', 'Company', 'https://login.example', 'sallyport', '[]', 1, 0, '[]', 0, 0, 'groups', 0, '[]', 1)`,
  `insert into external_identity (provider_id, subject, user_id, created_at, last_login_at)
      values ('p1', 'subject', 'u1', 1, 1)`,
];
const third = [
  ...second,
  `update "group" set require_kill_switch = 1, require_region_id = 'default' where id = 'g1'`,
  `update device set networks = '[{"prefix":"10.20.0.0/16","approved":true}]' where id = 'd1'`,
  `insert into device_authorization (device_code_hash, user_code, client, address, state, user_id, created_at,
    expires_at, interval_seconds) values ('hash', 'BCDFGHJK', 'laptop', '192.0.2.7', 'approved', 'u1', 1, 2, 5)`,
  `insert into session (id, token_hash, user_id, client, created_at, last_used_at, expires_at, kind, device_id)
    values ('s2', 'another', 'u1', 'laptop', 1, 2, 3, 'client', 'd1')`,
  `insert into gateway (id, name, region_id, endpoint_host, endpoint_port, wireguard_public_key, link_key_hash, egress,
    addresses, draining, created_at, version) values ('g', 'g', 'default', 'h', 1, 'k', 'l', '[]', '[]', 0, 1, 1)`,
];
/**
 * What a database of each released version holds before it goes on to the present one, in SQL as that version had it (a
 * later version may not know these columns any more). A new migration needs an entry here.
 */
const contents: Readonly<Record<number, readonly string[]>> = {
  0: [],
  1: first,
  2: second,
  3: third,
  4: [
    ...third,
    `insert into device (id, user_id, name, public_key, ipv4, ipv6, approved, created_at, version, openvpn)
      values ('d2', 'u1', 'tablet', 'openvpn:d2', '10.0.0.10', 'fd00::10', 1, 1, 1,
        '{"login":"certificate","certificate":{"pem":"","sha256":"${'ab'.repeat(32)}","expiresAt":5}}')`,
    `insert into tunnel_login (code, device_id, user_id, gateway_id, client, address, state, created_at, expires_at)
      values ('BCDFGHJK', 'd2', 'u1', 'g', 'OpenVPN Connect', '192.0.2.7', 'pending', 1, 2)`,
    `update "user" set login_epoch = 'e' where id = 'u1'`,
  ],
};

onBothDatabases('migrations', ({ dialect, create, open }) => {
  for (let version = 0; version <= currentVersion; version++) {
    test(`lead from version ${version} to the present one and keep what there is`, async () => {
      const statements = contents[version];
      assert.ok(statements, `no contents for version ${version}: add them to this file`);
      const url = await create();
      await inTransaction(url, async (db) => {
        await migrate(db, dialect, 1, version);
        for (const statement of statements) await sql.raw(statement).execute(db);
        assert.equal(await databaseVersion(db, dialect), version);
      });
      const store = await open(url);
      assert.equal(await databaseVersion(store.db, dialect), currentVersion);
      const directory = await openDirectory(store, { pool4: '10.0.0.0/8', pool6: 'fd00::/64', log: quiet });
      directory.close();
      if (version === 0) return;
      assert.deepEqual([...directory.model.users.get('u1')!.groups], ['g1']);
      assert.equal(directory.model.devices.get('d1')?.ipv6, 'fd00::9');
      assert.equal(directory.model.devices.get('d1')?.publicKey, 'key');
      const { certificate } = directory.model.devices.get('d2')?.openvpn ?? {};
      assert.equal(certificate?.expiresAt, version < 4 ? undefined : 5);
      assert.equal(directory.model.users.get('u1')?.loginEpoch, version < 4 ? '' : 'e');
      // What was a login stays one; a client's session goes with its device.
      const kinds = async (): Promise<unknown> =>
        (await store.db.selectFrom('session').select('kind').orderBy('id').execute()).map(({ kind }) => kind);
      assert.deepEqual(await kinds(), ['login', 'client'].slice(0, Math.max(0, version - 1)));
      await store.db.deleteFrom('device').where('id', '=', 'd1').execute();
      assert.deepEqual(await kinds(), version === 1 ? [] : ['login']);
    });
  }

  test('a migration that fails leaves the version before it, whole', async () => {
    const url = await create();
    const next: Migration = {
      number: currentVersion + 1,
      statements: ({ integer }) => [`ALTER TABLE "user" ADD COLUMN shoe_size ${integer}`, `UPDATE nothing SET x = 1`],
    };
    await inTransaction(url, (db) => migrate(db, dialect, 1));
    await assert.rejects(
      inTransaction(url, (db) => migrate(db, dialect, 2, undefined, [...migrations, next])),
      /nothing/,
    );
    const store = await open(url);
    await store.db.insertInto('user').values(userRow('u1')).execute();
    assert.equal(
      Object.keys((await store.db.selectFrom('user').selectAll().executeTakeFirstOrThrow()) as object).includes(
        'shoe_size',
      ),
      false,
    );
  });

  test('a later migration finds what the earlier ones made, and an earlier program refuses its database', async () => {
    const url = await create();
    const next: Migration = {
      number: currentVersion + 1,
      statements: ({ integer }) => [
        `ALTER TABLE "user" ADD COLUMN shoe_size ${integer} NOT NULL DEFAULT 42`,
        `UPDATE "user" SET shoe_size = 43 WHERE name = 'alice'`,
      ],
    };
    await inTransaction(url, async (db) => {
      await migrate(db, dialect, 1);
      for (const statement of contents[1]) await sql.raw(statement).execute(db);
    });
    await inTransaction(url, async (db) => {
      assert.deepEqual(await migrate(db, dialect, 2, undefined, [...migrations, next]), {
        from: currentVersion,
        to: currentVersion + 1,
      });
      const { rows } = await sql<{ shoe_size: number }>`select shoe_size from ${sql.table('user')}`.execute(db);
      assert.deepEqual(rows, [{ shoe_size: 43 }]);
    });
    await assert.rejects(open(url), /this program knows versions up to/);
  });

  test('make the tables that the types describe', async () => {
    const { db } = await open(await create());
    const tables = await db.introspection.getTables();
    const made = tables.filter(({ name }) => name !== 'migration');
    // SQLite calls a key of numbers nullable, although it never is.
    const text = dialect === 'sqlite' ? ({ name }: { readonly name: string }) => name : columnText;
    const described = Object.entries(describedTables()).map(([name, columns]) => [
      name,
      columns.map((column) => text(column)).sort(),
    ]);
    assert.deepEqual(
      Object.fromEntries(made.map(({ name, columns }) => [name, columns.map((column) => text(column)).sort()])),
      Object.fromEntries(described),
    );
  });

  test('are numbered one after the other', () => {
    assert.deepEqual(
      migrations.map(({ number }) => number),
      migrations.map((_, index) => index + 1),
    );
  });

  test('two nodes that start at the same time migrate once', async () => {
    const url = await create();
    if (dialect === 'sqlite') return;
    const stores = await Promise.all([open(url), open(url), open(url)]);
    const { rows } = await sql<{ number: number }>`select number from migration`.execute(stores[0].db);
    assert.equal(rows.length, currentVersion);
  });
});

function columnText({ name, isNullable }: { readonly name: string; readonly isNullable: boolean }): string {
  return `${name}${isNullable ? ' | null' : ''}`;
}

/** The tables of schema.ts with their columns. */
function describedTables(): Record<string, { readonly name: string; readonly isNullable: boolean }[]> {
  const path = join(import.meta.dirname, '../../packages/control/src/store/schema.ts');
  const source = ts.createSourceFile(path, readFileSync(path, 'utf8'), ts.ScriptTarget.ESNext, true);
  const interfaces = new Map(
    source.statements.filter(ts.isInterfaceDeclaration).map((declaration) => [declaration.name.text, declaration]),
  );
  const fields = (name: string) =>
    interfaces
      .get(name)!
      .members.filter(ts.isPropertySignature)
      .map((member) => ({ name: member.name.getText(), type: member.type!.getText() }));
  return Object.fromEntries(
    fields('Database').map(({ name, type }) => [
      name,
      fields(type).map((field) => ({ name: field.name, isNullable: field.type.endsWith('| null') })),
    ]),
  );
}

async function inTransaction(url: string, work: (db: Transaction<Database>) => Promise<unknown>): Promise<void> {
  const { db }: { db: Kysely<Database> } = openDatabase(url, quiet);
  try {
    await db.transaction().execute(work);
  } finally {
    await db.destroy();
  }
}
