import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';

const root = resolve(import.meta.dirname, '../..');
/** What the scripts need of the system, without a Node. */
const systemPrograms = ['cat', 'dirname', 'mkdir', 'readlink', 'sh'];

describe('bin/sallyport and scripts/node', () => {
  let folder: string;
  let checkout: string;
  let path: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport launcher '));
    checkout = join(folder, 'outer', 'checkout');
    path = join(folder, 'system');
    mkdirSync(path);
    for (const name of systemPrograms) symlinkSync(whereIs(name), join(path, name));
    for (const file of ['bin/sallyport', 'scripts/node']) {
      mkdirSync(dirname(join(checkout, file)), { recursive: true });
      copyFileSync(join(root, file), join(checkout, file));
    }
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  /** A program in Node's place: it states `version` and otherwise prints its name and its arguments. */
  function placeNode(file: string, version: string, name: string): void {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(
      file,
      `#!/bin/sh\nif [ "$*" = --version ]; then echo ${version}; exit; fi\nprintf '%s|' ${name} "$@"\nexit 7\n`,
    );
    chmodSync(file, 0o755);
  }

  function launch(program: string, args: string[] = []): { status: number | null; stdout: string; stderr: string } {
    return spawnSync(program, args, { cwd: '/', env: { PATH: path }, encoding: 'utf8' });
  }

  test('arguments, the exit status and a symbolic link pass through', () => {
    placeNode(join(checkout, 'node_modules/node/bin/node'), 'v26.10.0', 'own');
    const link = join(folder, 'link');
    symlinkSync('outer/checkout/bin/sallyport', link);
    const { status, stdout } = launch(link, ['wg', 'up', 'a b', '', '*', '--help']);
    assert.equal(stdout, `own|${checkout}/apps/cli/src/main.ts|wg|up|a b||*|--help|`);
    assert.equal(status, 7);
  });

  test('the Node of the installation goes before one on the PATH', () => {
    placeNode(join(checkout, 'node_modules/node/bin/node'), 'v26.0.0', 'own');
    placeNode(join(path, 'node'), 'v27.0.0', 'system');
    assert.match(launch(join(checkout, 'bin/sallyport')).stdout, /^own\|/);
  });

  test('an installation above the checkout is found', () => {
    placeNode(join(folder, 'outer/node_modules/.bin/node'), 'v26.0.0', 'hoisted');
    assert.match(launch(join(checkout, 'bin/sallyport')).stdout, /^hoisted\|/);
  });

  test('an old Node is passed over for a newer one further along the PATH', () => {
    placeNode(join(checkout, 'node_modules/node/bin/node'), 'v24.1.0', 'own');
    placeNode(join(path, 'node'), 'v20.20.2', 'first');
    placeNode(join(folder, 'second/node'), 'v26.1.0', 'second');
    path += `:${join(folder, 'second')}`;
    assert.match(launch(join(checkout, 'bin/sallyport')).stdout, /^second\|/);
  });

  describe('where compiled code is kept, for a user who is not root', () => {
    const nobody = 65534;
    let caches: string;

    beforeEach(() => {
      chmodSync(folder, 0o755);
      caches = join(folder, 'caches');
      mkdirSync(caches);
      chownSync(caches, nobody, nobody);
      const node = join(checkout, 'node_modules/node/bin/node');
      mkdirSync(dirname(node), { recursive: true });
      writeFileSync(
        node,
        '#!/bin/sh\nif [ "$*" = --version ]; then echo v26.1.0; else echo "$NODE_COMPILE_CACHE"; fi\n',
      );
      chmodSync(node, 0o755);
    });

    function cacheWith(environment: Record<string, string>): string {
      const env = { PATH: path, ...environment };
      const options = { cwd: '/', env, uid: nobody, gid: nobody, encoding: 'utf8' } as const;
      const { status, stdout, stderr } = spawnSync(join(checkout, 'bin/sallyport'), ['status'], options);
      assert.deepEqual([status, stderr], [0, '']);
      return stdout.trim();
    }

    test('is a folder of that user alone, which is made', () => {
      const folder = join(caches, '.cache/sallyport');
      assert.equal(cacheWith({ HOME: caches }), folder);
      assert.equal(statSync(folder).mode & 0o777, 0o700);
      assert.equal(cacheWith({ HOME: '/', XDG_CACHE_HOME: caches }), join(caches, 'sallyport'));
    });

    test('is none that somebody else made, nor one where none can be', () => {
      mkdirSync(join(caches, 'sallyport'), { mode: 0o777 });
      assert.equal(cacheWith({ XDG_CACHE_HOME: caches }), '');
      assert.equal(cacheWith({ HOME: '/nowhere' }), '');
      assert.equal(cacheWith({}), '');
      assert.ok(!existsSync('/nowhere'));
    });

    test('is the one that the environment names', () => {
      assert.equal(cacheWith({ HOME: caches, NODE_COMPILE_CACHE: '/elsewhere' }), '/elsewhere');
    });
  });

  test('without a Node that is new enough it says what to do', () => {
    placeNode(join(path, 'node'), 'v20.20.2', 'old');
    const { status, stdout, stderr } = launch(join(checkout, 'bin/sallyport'), ['genkey']);
    assert.equal(status, 69);
    assert.equal(stdout, '');
    assert.match(stderr, /needs Node 26 or later and finds none; the PATH has v20\.20\.2\./);
    assert.ok(stderr.includes(`Run 'npm ci' in ${checkout}`), stderr);
  });

  test('without any Node it says what to do', () => {
    const { status, stderr } = launch(join(checkout, 'scripts/node'), ['x.ts']);
    assert.equal(status, 69);
    assert.match(stderr, /needs Node 26 or later and finds none\.\n/);
  });
});

function whereIs(program: string): string {
  return spawnSync('sh', ['-c', 'command -v "$0"', program], { encoding: 'utf8' }).stdout.trim();
}
