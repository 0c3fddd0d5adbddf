/** The daemon's folders: who may enter them, whatever the umask. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { ensureFolder } from '../../apps/clientd/src/state-folder.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-folders-'));
const umask = process.umask(0o077);
after(() => {
  process.umask(umask);
  rmSync(folder, { recursive: true });
});

test('the group enters the folder of the socket, and nobody else does', () => {
  const path = join(folder, 'run');
  ensureFolder(path, 0o750, 12_345);
  const { mode, uid, gid } = statSync(path);
  assert.deepEqual([mode & 0o777, uid, gid], [0o750, 0, 12_345]);
  // As an earlier daemon left it.
  chmodSync(path, 0o700);
  ensureFolder(path, 0o750, 12_345);
  assert.equal(statSync(path).mode & 0o777, 0o750);
});

test('what the group may enter by mistake is root’s alone again, and what others may write is refused', () => {
  const path = join(folder, 'state');
  ensureFolder(path, 0o700, 0);
  chmodSync(path, 0o755);
  ensureFolder(path, 0o700, 0);
  assert.equal(statSync(path).mode & 0o777, 0o700);
  chmodSync(path, 0o777);
  assert.throws(() => {
    ensureFolder(path, 0o700, 0);
  }, /nobody else can write/);
});
