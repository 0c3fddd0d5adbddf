import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Secret } from '@sallyport/core';
import { entities } from '@sallyport/api';
import { expireAudit, exportAudit, verifyAudit, SYSTEM, type Store } from '@sallyport/control';
import fc from 'fast-check';
import { canonicalJson } from '../../packages/control/src/audit/canonical-json.ts';
import { addUser, administrator, onBothDatabases } from './databases.ts';

const target = { kind: 'user', id: 'u1', name: 'alice' };

onBothDatabases('the audit log', ({ create, open }) => {
  async function filled(count: number): Promise<Store> {
    const store = await open(await create());
    for (let index = 0; index < count; index++) {
      await store.write(administrator, (writing) => addUser(writing, `u${index}`));
    }
    return store;
  }

  test('chains its entries, several in one change as well, and keeps what before and after', async () => {
    const store = await filled(3);
    await store.write(administrator, async ({ audit }) => {
      await audit('user.update', target, { b: 1, a: 'Zoë \u2028' }, { a: null, b: [undefined, true] });
      await audit('user.delete', target);
    });
    const verdict = await verifyAudit(store.db);
    assert.deepEqual({ ...verdict, newest: verdict.newest?.number }, { ok: true, entries: 5, expired: 0, newest: 5 });
    const lines: string[] = [];
    for await (const line of exportAudit(store.db)) lines.push(line);
    assert.equal(lines.length, 5);
    const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    for (const { expires, salt, digest, ...entry } of parsed) {
      assert.deepEqual([expires, salt, digest], [false, null, null]);
      entities.auditEntry.parse(entry);
    }
    assert.deepEqual(parsed[3]['before'], { b: 1, a: 'Zoë \u2028' });
    assert.deepEqual(parsed[3]['after'], { a: null, b: [null, true] });
    assert.equal(parsed[4]['after'], null);
    assert.deepEqual(parsed[0]['actor'], { kind: 'user', id: 'u-admin', name: 'admin' });
  });

  test('keeps addresses only where the settings say so', async () => {
    const store = await filled(1);
    await store.write(administrator, async ({ db, audit }) => {
      const { value } = await db.selectFrom('settings').select('value').executeTakeFirstOrThrow();
      const settings = JSON.parse(value) as object;
      await db
        .updateTable('settings')
        .set({ value: JSON.stringify({ ...settings, auditAddresses: true }) })
        .execute();
      await audit('settings.update', { kind: 'settings', id: null, name: 'settings' });
    });
    const rows = await store.db.selectFrom('audit').select('origin').orderBy('number').execute();
    assert.deepEqual(
      rows.map(({ origin }) => (JSON.parse(origin) as { address: string | null }).address),
      [null, '203.0.113.7'],
    );
  });

  test('every way of changing it is noticed, at the entry where it begins', async () => {
    const changes: [string, number, (store: Store) => Promise<unknown>][] = [
      [
        'an action',
        4,
        ({ db }) => db.updateTable('audit').set({ action: 'user.update' }).where('number', '=', 4).execute(),
      ],
      [
        'an actor',
        2,
        ({ db }) =>
          db
            .updateTable('audit')
            .set({ actor: '{"id":null,"kind":"system","name":"x"}' })
            .where('number', '=', 2)
            .execute(),
      ],
      ['a time', 3, ({ db }) => db.updateTable('audit').set({ at: 5 }).where('number', '=', 3).execute()],
      ['content', 1, ({ db }) => db.updateTable('audit').set({ after: 'null' }).where('number', '=', 1).execute()],
      ['the first removed', 1, ({ db }) => db.deleteFrom('audit').where('number', '=', 1).execute()],
      ['one removed', 4, ({ db }) => db.deleteFrom('audit').where('number', '=', 4).execute()],
      [
        'a hash',
        5,
        ({ db }) =>
          db
            .updateTable('audit')
            .set({ hash: '0'.repeat(64) })
            .where('number', '=', 5)
            .execute(),
      ],
      [
        'content passed off as expired',
        2,
        ({ db }) =>
          db
            .updateTable('audit')
            .set({ digest: 'f'.repeat(64) })
            .where('number', '=', 2)
            .execute(),
      ],
      [
        'and as expiring',
        2,
        ({ db }) =>
          db
            .updateTable('audit')
            .set({ digest: 'f'.repeat(64), expires: 1 })
            .where('number', '=', 2)
            .execute(),
      ],
    ];
    for (const [what, number, change] of changes) {
      const store = await filled(6);
      await change(store);
      const verdict = await verifyAudit(store.db);
      assert.equal(verdict.ok, false, what);
      assert.equal(verdict.firstFault?.number, number, what);
      assert.equal(verdict.entries, number - 1, what);
    }
  });

  test('lets entries about connections expire without breaking the chain, and no others', async () => {
    let now = 1000;
    const store = await open(await create(), { now: () => now });
    const connect = (name: string) =>
      store.write(SYSTEM, async ({ audit }) => {
        await audit('connection.up', { kind: 'device', id: name, name }, undefined, { gateway: 'vienna' });
        await audit('user.update', { kind: 'user', id: name, name });
      });
    for (const name of ['first', 'second', 'third']) {
      await connect(name);
      now += 1000;
    }
    assert.equal(await expireAudit(store, 2500), 2);
    assert.equal(await expireAudit(store, 2500), 0);
    const verdict = await verifyAudit(store.db);
    assert.deepEqual([verdict.ok, verdict.entries, verdict.expired], [true, 6, 2]);
    const rows = await store.db.selectFrom('audit').selectAll().orderBy('number').execute();
    const text = JSON.stringify(rows.filter(({ action }) => action.startsWith('connection')));
    assert.doesNotMatch(text, /first|second/);
    assert.match(text, /third/);
    assert.deepEqual(
      rows.map(({ salt }) => salt === null),
      [true, true, true, true, false, true],
    );
    for await (const line of exportAudit(store.db)) {
      const { expires: _expires, salt: _salt, digest: _digest, ...entry } = JSON.parse(line) as Record<string, unknown>;
      entities.auditEntry.parse(entry);
    }
    // What has expired still can't be changed or removed.
    await store.db
      .updateTable('audit')
      .set({ digest: 'f'.repeat(64) })
      .where('number', '=', 3)
      .execute();
    assert.equal((await verifyAudit(store.db)).firstFault?.number, 3);
  });

  test('takes no secret, and the change with it is undone', async () => {
    const store = await filled(1);
    const secrets: unknown[] = [
      new Secret('x'),
      { deep: [{ key: new Secret('x') }] },
      { password: 'x' },
      { newPassword: 'x' },
      { password_hash: 'x' },
      { joinToken: 'x' },
      { privateKey: 'x' },
      { private: 'x' },
      { presharedKey: 'x' },
      { nested: { token: ['x'] } },
      { note: '$argon2id$v=19$m=1,t=1,p=1$abc$def' },
      { note: 'use spj_c2FtcGxlc2FtcGxlc2FtcGxl' },
      { key: Buffer.from('x') },
      { map: new Map() },
      { when: new Date(0) },
      { call: () => 1 },
      { big: 1n },
      { nan: Number.NaN },
    ];
    for (const secret of secrets) {
      await assert.rejects(
        store.write(administrator, async (writing) => {
          await addUser(writing, 'u9');
          await writing.audit('user.update', target, undefined, secret);
        }),
        TypeError,
      );
    }
    assert.equal((await store.db.selectFrom('user').selectAll().execute()).length, 1);
    await store.write(administrator, ({ audit }) =>
      audit('token.create', target, undefined, { hasPassword: true, tokenId: 't1', token: null, publicKey: 'k' }),
    );
    assert.equal((await verifyAudit(store.db)).entries, 2);
  });

  test('is verified in pages, also where it is long', async () => {
    const store = await open(await create());
    await store.write(administrator, async ({ audit }) => {
      for (let index = 0; index < 1203; index++) await audit('user.update', target, { index });
    });
    assert.equal((await verifyAudit(store.db)).entries, 1203);
  });
});

describe('canonical JSON', () => {
  test('is the same for equal values and is what JSON reads back', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        let text: string;
        try {
          text = canonicalJson(value);
        } catch (error) {
          return error instanceof TypeError;
        }
        assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(value)));
        assert.equal(canonicalJson(JSON.parse(text)), text);
        return true;
      }),
    );
    assert.equal(canonicalJson({ b: 1, a: { d: [], c: undefined } }), '{"a":{"d":[]},"b":1}');
    assert.throws(() => canonicalJson(JSON.parse('['.repeat(50) + ']'.repeat(50))), /levels/);
  });
});
