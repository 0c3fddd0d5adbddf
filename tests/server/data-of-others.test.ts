/** What root does in the folders of processes that somebody may have taken over: nothing to files that are elsewhere. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { openStore } from '@sallyport/control';
import { pino } from 'pino';
import { backupTo, restoreFrom, verify } from '../../apps/server/src/commands/storage.ts';
import { prepareDataFolders } from '../../apps/server/src/data-folders.ts';

const USER = 64_871;
let folder: string;
let data: string;
let control: string;
let victim: string;

const skip = process.geteuid?.() !== 0 && 'it takes root';

describe("root, in the control plane's folder", { skip }, () => {
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-root-'));
    chmodSync(folder, 0o711);
    data = join(folder, 'data');
    ({ control } = prepareDataFolders(data, { control: USER }));
    victim = join(folder, 'victim');
    mkdirSync(victim, { mode: 0o755 });
    writeFileSync(join(victim, 'file'), "root's", { mode: 0o600 });
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  const assertUntouched = (): void => {
    assert.deepEqual(readdirSync(victim), ['file']);
    assert.equal(readFileSync(join(victim, 'file'), 'utf8'), "root's");
    assert.deepEqual([statSync(victim).uid, statSync(join(victim, 'file')).uid], [0, 0]);
    assert.equal(statSync(victim).mode & 0o777, 0o755);
  };

  test('gives away what is there, and nothing that a link leads to', () => {
    mkdirSync(join(control, 'tls'));
    writeFileSync(join(control, 'tls', 'key.pem'), '');
    symlinkSync(victim, join(control, 'folder'));
    symlinkSync(join(victim, 'file'), join(control, 'tls', 'link'));
    symlinkSync(join(victim, 'none'), join(control, 'dangling'));
    linkSync(join(victim, 'file'), join(control, 'tls', 'second-name'));
    prepareDataFolders(data, { control: USER });
    for (const path of [control, join(control, 'tls'), join(control, 'tls', 'key.pem')])
      assert.equal(lstatSync(path).uid, USER, path);
    assert.equal(statSync(control).mode & 0o777, 0o700);
    unlinkSync(join(control, 'tls', 'second-name'));
    assertUntouched();
  });

  test('refuses a folder that is a link', () => {
    rmSync(control, { recursive: true });
    symlinkSync(victim, control);
    assert.throws(() => prepareDataFolders(data, { control: USER }), /can't be used/);
    assertUntouched();
  });

  test('reads and writes the database as its user, and a backup as itself', async () => {
    const log = pino({ level: 'silent' });
    const options = { url: `sqlite:${join(control, 'sallyport.db')}`, masterKeyFile: join(control, 'master.key') };
    const store = await openStore({ ...options, now: Date.now, log });
    await store.close();
    prepareDataFolders(data, { control: USER });
    const file = join(folder, 'backup');
    chmodSync(folder, 0o711);
    await backupTo({ data }, file);
    assert.deepEqual([statSync(file).uid, statSync(file).mode & 0o777], [0, 0o600]);
    const second = join(folder, 'second');
    await restoreFrom({ data: second }, file, {});
    assert.deepEqual([process.geteuid?.(), process.getegid?.()], [0, 0]);
    for (const name of readdirSync(join(second, 'control')))
      assert.equal(statSync(join(second, 'control', name)).uid, USER, name);
    assert.ok((await verify({ data: second })).ok);

    // What somebody who took the process over could lay there.
    for (const name of ['sallyport.db', 'sallyport.db-wal', 'sallyport.db-shm'])
      rmSync(join(control, name), { force: true });
    symlinkSync(join(victim, 'new'), join(control, 'sallyport.db'));
    await assert.rejects(backupTo({ data }, join(folder, 'other')));
    await assert.rejects(restoreFrom({ data }, file, { force: true }));
    assert.equal(process.geteuid?.(), 0);
    unlinkSync(join(control, 'sallyport.db'));
    symlinkSync(join(victim, 'file'), join(control, 'sallyport.db'));
    await assert.rejects(verify({ data }));
    await assert.rejects(restoreFrom({ data }, file, { force: true }));
    assert.ok(!existsSync(join(folder, 'other')));
    assertUntouched();
  });
});
