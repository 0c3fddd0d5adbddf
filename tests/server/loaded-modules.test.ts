/** What the gateway's threads load of Node: each module is memory, in every thread. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

/** The modules of Node's own that are there when `file`, which gets no configuration, has loaded its program and ends. */
function loadedBy(file: string): string[] {
  const tell = "process.on('exit', () => console.log(`loaded:${process.moduleLoadList.join()}`))";
  const path = fileURLToPath(new URL(`../../apps/server/src/gateway/${file}`, import.meta.url));
  const { stdout } = spawnSync(
    process.execPath,
    ['--import', `data:text/javascript,${encodeURIComponent(tell)}`, path],
    {
      input: '',
      encoding: 'utf8',
    },
  );
  const list = /^loaded:(.*)$/m.exec(stdout)?.[1];
  assert.ok(list !== undefined, 'it ends with a list');
  return list.split(',').map((name) => name.replace(/^NativeModule /, ''));
}

test('a worker loads neither TLS nor what sessions and set-up take', () => {
  const loaded = loadedBy('gateway-worker.ts');
  assert.ok(loaded.includes('worker_threads'));
  const sessionsOnly = ['crypto', 'tls', 'child_process'];
  assert.deepEqual(
    loaded.filter((name) => sessionsOnly.includes(name)),
    [],
  );
});

test("the gateway's main thread leaves Node's fetch alone, of which node:http has names", () => {
  const loaded = loadedBy('gateway-process.ts');
  assert.ok(loaded.includes('_http_client'));
  assert.deepEqual(
    loaded.filter((name) => name.includes('undici')),
    [],
  );
});
