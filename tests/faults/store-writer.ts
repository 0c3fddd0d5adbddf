/**
 * Writes to the SQLite database of the first argument, one change after the other, and prints the id of each that was
 * acknowledged. With a second argument, the path of a file that takes up space, it goes on until the disk is full, makes
 * sure that nothing but "unavailable" is answered, removes that file, and writes again.
 */
import assert from 'node:assert/strict';
import { rmSync, writeSync } from 'node:fs';
import { ApiError, openStore, verifyAudit } from '@sallyport/control';
import { addUser, administrator, quiet } from '../control/databases.ts';

const [path = '', filler] = process.argv.slice(2);
const store = await openStore({ url: `sqlite:${path}`, now: Date.now, log: quiet });
const prefix = `${process.pid}-${Date.now()}`;
let count = 0;

async function write(): Promise<void> {
  const id = `${prefix}-${count++}`;
  await store.write(administrator, async (writing) => {
    await addUser(writing, id);
    await writing.audit('user.update', { kind: 'user', id, name: id }, undefined, { padding: 'x'.repeat(2000) });
  });
  // Synchronous: what is acknowledged is said before anything else happens.
  writeSync(1, `${id}\n`);
}

if (filler === undefined) {
  for (;;) await write();
}

const isUnavailable = (error: unknown) => error instanceof ApiError && error.code === 'unavailable';
await assert.rejects(async () => {
  for (;;) await write();
}, isUnavailable);
const known = (await store.db.selectFrom('user').select('id').execute()).length;
assert.ok(known > 10);
for (let attempt = 0; attempt < 20; attempt++) await assert.rejects(write(), isUnavailable);
assert.equal((await store.db.selectFrom('user').select('id').execute()).length, known);
rmSync(filler);
for (let index = 0; index < 20; index++) await write();
assert.equal((await store.db.selectFrom('user').select('id').execute()).length, known + 20);
assert.equal((await verifyAudit(store.db)).ok, true);
await store.close();

// And once more by who starts anew.
const again = await openStore({ url: `sqlite:${path}`, now: Date.now, log: quiet });
assert.equal((await again.db.selectFrom('user').select('id').execute()).length, known + 20);
await again.close();
console.log('done');
