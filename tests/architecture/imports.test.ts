import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, test } from 'node:test';
import ts from 'typescript';
import { faultsOf, packageRules } from './import-rules.ts';

const root = resolve(import.meta.dirname, '../..');

function sourcesBelow(...folders: string[]): string[] {
  return folders.flatMap((folder) =>
    globSync(`${folder}/**/*.{ts,tsx,js,mjs,cjs}`, {
      cwd: root,
      exclude: (name) => name === 'node_modules' || name === 'dist',
    }),
  );
}

function dependenciesOf(workspace: string): string[] {
  const manifest = JSON.parse(readFileSync(join(root, workspace, 'package.json'), 'utf8')) as {
    dependencies?: Record<string, string>;
    /** What is built into files that are sent is needed for building alone. */
    devDependencies?: Record<string, string>;
  };
  return Object.keys({ ...manifest.dependencies, ...manifest.devDependencies });
}

describe('the imports of the repository', () => {
  test('workspaces follow the arrows', () => {
    const files = sourcesBelow('packages', 'apps');
    assert.ok(files.some((file) => file.startsWith('packages/core/src/')));
    const dependencies = new Map(Object.keys(packageRules).map((place) => [place, dependenciesOf(place)]));
    const faults = files.flatMap((file) => {
      const place = file.split('/', 2).join('/');
      return faultsOf(file, readFileSync(join(root, file), 'utf8'), dependencies.get(place) ?? []);
    });
    assert.equal(faults.join('\n'), '');
  });

  test('scripts, bench and demo leave the workspaces for testing alone', () => {
    const files = sourcesBelow('scripts', 'bench', 'demo', 'tests');
    const faults = files.flatMap((file) => faultsOf(file, readFileSync(join(root, file), 'utf8'), []));
    assert.equal(faults.join('\n'), '');
  });

  for (const [place, rules] of Object.entries(packageRules)) {
    if (!rules?.pure) continue;
    test(`${place} compiles without the types of any platform`, () => {
      const path = join(root, place, 'tsconfig.json');
      const { config } = ts.readConfigFile(path, (file) => readFileSync(file, 'utf8')) as { config: unknown };
      const { options, errors } = ts.parseJsonConfigFileContent(config, ts.sys, join(root, place));
      assert.deepEqual(errors, []);
      assert.deepEqual(options.types, []);
      assert.deepEqual(options.lib, ['lib.es2023.d.ts']);
      assert.equal(options.strict, true);
    });
  }
});

describe('a bad import is found', () => {
  const declared = ['@sallyport/core', '@sallyport/io', '@sallyport/wireguard'];
  const bad: [path: string, text: string, fault: RegExp][] = [
    [
      'packages/core/src/a.ts',
      `import '@sallyport/wire';`,
      /^packages\/core\/src\/a\.ts:1 imports "@sallyport\/wire": .*arrows allow packages\/core to import nothing/,
    ],
    [
      'packages/core/src/a.ts',
      `\n\nimport { x } from 'node:crypto';`,
      /^packages\/core\/src\/a\.ts:3 imports "node:crypto": packages\/core is pure/,
    ],
    ['packages/core/src/a.ts', `import type { Socket } from 'node:net';`, /"node:net": .*pure/],
    ['packages/wire/src/a.ts', `import { x } from 'fs';`, /"fs": .*pure/],
    ['packages/wire/src/a.ts', `/// <reference types="node" />`, /a\.ts:1 imports "node": .*pure/],
    [
      'packages/wire/src/a.ts',
      `/// <reference path="../../io/src/b.ts" />`,
      /relative imports stay inside packages\/wire/,
    ],
    ['packages/wire/src/a.ts', `const x = process.getBuiltinModule('node:fs');`, /"node:fs": .*pure/],
    ['packages/wire/src/a.ts', `export * from '@sallyport/gateway';`, /arrows/],
    ['packages/wireguard/src/a.ts', `export { x } from '@sallyport/gateway';`, /arrows/],
    ['packages/wireguard/src/a.ts', `export type { X } from '@sallyport/gateway';`, /arrows/],
    ['packages/wireguard/src/a.ts', `type X = import('@sallyport/io').X;`, /arrows/],
    ['packages/wireguard/src/a.ts', `const x = await import('@sallyport/io');`, /arrows/],
    ['packages/wireguard/src/a.ts', 'const x = await import(`@sallyport/io`);', /arrows/],
    [
      'packages/gateway/src/a.ts',
      `import { x } from '@sallyport/wireguard';`,
      /arrows allow packages\/gateway to import core, wire/,
    ],
    ['packages/gateway/src/a.ts', `import { x } from 'koffi';`, /packages\/io is the only place with koffi/],
    [
      'packages/gateway/src/a.ts',
      `import { x } from '@noble/ciphers/chacha.js';`,
      /may import these npm packages: nothing/,
    ],
    ['packages/runtime/src/a.ts', `import koffi = require('koffi');`, /only place with koffi/],
    [
      'packages/runtime/src/a.ts',
      `const koffi = createRequire(import.meta.url); require('koffi');`,
      /only place with koffi/,
    ],
    ['packages/runtime/src/a.ts', `import.meta.resolve('koffi');`, /only place with koffi/],
    [
      'packages/runtime/src/a.ts',
      `import { x } from '@sallyport/wireguard';`,
      /may import types of wireguard, and nothing that runs/,
    ],
    ['packages/runtime/src/a.ts', `import { type X } from '@sallyport/wireguard';`, /nothing that runs/],
    [
      'packages/runtime/src/a.ts',
      `new Worker(new URL('../../io/src/worker.ts', import.meta.url));`,
      /relative imports stay inside packages\/runtime/,
    ],
    [
      'packages/runtime/src/a.ts',
      `import { x } from '../../io/src/arena.ts';`,
      /"\.\.\/\.\.\/io\/src\/arena\.ts": relative imports stay/,
    ],
    ['packages/runtime/src/a.ts', `import { x } from '/srv/x.ts';`, /relative imports stay/],
    ['packages/runtime/src/a.ts', `const name = 'koffi';\nawait import(name);`, /a\.ts:2 imports a computed name/],
    [
      'packages/runtime/src/a.ts',
      `import { x } from '@sallyport/gateway';`,
      /package\.json does not declare @sallyport\/gateway/,
    ],
    ['packages/runtime/src/a.ts', `import { x } from 'fs';`, /written "node:fs"/],
    ['packages/io/src/a.ts', `import { x } from 'koffi/indirect';`, /package\.json does not declare koffi/],
    ['packages/io/src/a.ts', `import { x } from '@sallyport/core/src/memory.ts';`, /its entry, or by \/packets/],
    ['packages/io/src/a.ts', `import { x } from '@sallyport/testkit';`, /testkit is imported only from tests$/],
    ['packages/netlab/src/a.ts', `import { x } from '@sallyport/testkit';`, /testkit is imported only from tests$/],
    ['apps/cli/src/a.ts', `import { x } from '@sallyport/netlab';`, /netlab is imported only from tests, bench, demo$/],
    ['bench/a.ts', `import { x } from '@sallyport/testkit';`, /testkit is imported only from tests$/],
    ['scripts/a.ts', `import { x } from '@sallyport/netlab';`, /netlab is imported only from/],
    ['packages/io/src/a.ts', `const x = process.env['X'];`, /a\.ts:1 reads process\.env/],
    ['packages/io/src/a.ts', `const x = globalThis.process.env;`, /reads process\.env/],
    ['packages/io/src/a.ts', `const x = process['env'];`, /reads process\.env/],
    ['packages/io/src/a.ts', `const { env: e } = process;`, /reads process\.env/],
    ['packages/io/src/a.ts', `import { env } from 'node:process';`, /reads process\.env/],
    ['packages/unheard/src/a.ts', `export {};`, /packages\/unheard has no rules yet/],
  ];
  for (const [path, text, fault] of bad) {
    test(`${path}: ${text.trim()}`, () => {
      const faults = faultsOf(path, text, declared);
      assert.equal(faults.length, 1, faults.join('\n'));
      assert.match(faults[0] ?? '', fault);
    });
  }
});

describe('a good import is left alone', () => {
  const good: [path: string, text: string][] = [
    ['packages/core/src/a.ts', `import { x } from './b.ts';\nexport * from './c/d.ts';`],
    ['packages/core/src/a.ts', `// import 'node:fs'\nconst text = "import 'node:fs'";`],
    ['packages/wireguard/src/a/b.ts', `import { x } from '../c.ts';\nimport { y } from '@sallyport/core';`],
    ['packages/runtime/src/a.ts', `import type { X } from '@sallyport/wireguard';\nimport { y } from '@sallyport/io';`],
    ['packages/runtime/src/a.ts', `new Worker(new URL('./worker.ts', import.meta.url));`],
    ['packages/netlab/src/a.ts', `new URL('../../../bin/sallyport', import.meta.url);`],
    ['packages/io/src/a.ts', `import koffi from 'koffi';\nimport { readFileSync } from 'node:fs';`],
    ['apps/cli/src/a.ts', `const x = process.env['X'];`],
    [
      'tests/wire/a.test.ts',
      `import { x } from '@sallyport/testkit';\nimport { y } from '../../packages/wire/src/y.ts';`,
    ],
    ['bench/a.ts', `import { x } from '@sallyport/netlab';\nawait import(name);`],
  ];
  for (const [path, text] of good) {
    test(`${path}: ${text.split('\n').join(' ')}`, () => {
      assert.deepEqual(faultsOf(path, text, ['@sallyport/core', '@sallyport/io', 'koffi']), []);
    });
  }
});
