/** The data folder: one server's at a time. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { DataFolderError, lockDataFolder } from '../../apps/server/src/data-folders.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-data-'));
chmodSync(folder, 0o711);
after(() => {
  rmSync(folder, { recursive: true });
});

const isTaken = (error: unknown): boolean =>
  error instanceof DataFolderError && /another Sallyport server has the data folder/.test(error.message);

test('a data folder that a server has is refused to a second one, until the first lets it go', () => {
  const data = join(folder, 'one');
  const unlock = lockDataFolder(data);
  assert.throws(() => lockDataFolder(data), isTaken);
  lockDataFolder(join(folder, 'other'))();
  unlock();
  lockDataFolder(data)();
});

test('a server that is killed leaves no lock behind', async () => {
  const data = join(folder, 'two');
  const module = fileURLToPath(new URL('../../apps/server/src/data-folders.ts', import.meta.url));
  const code = `(await import(${JSON.stringify(module)})).lockDataFolder(${JSON.stringify(data)}); console.log('locked');
    setInterval(() => undefined, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  assert.throws(() => lockDataFolder(data), isTaken);
  child.kill('SIGKILL');
  await once(child, 'exit');
  lockDataFolder(data)();
});
