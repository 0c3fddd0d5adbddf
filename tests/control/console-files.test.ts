import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { loadConsole } from '../../packages/control/src/http/console-files.ts';
import { compressAll, digestOfSources, replaceFolder } from '../../scripts/build-console.ts';
import { apiWorld } from './api-world.ts';

const html = `<!doctype html><title>Sallyport</title>${' '.repeat(500)}<script type="module" src="/assets/index-Ab_-1234.js"></script>`;
const script = `console.log("${'hello '.repeat(200)}")`;

const folder = mkdtempSync(join(tmpdir(), 'sallyport-dist-'));
const dist = join(folder, 'dist');
let world: Awaited<ReturnType<typeof apiWorld>>;
before(async () => {
  mkdirSync(join(dist, 'assets'), { recursive: true });
  writeFileSync(join(dist, 'index.html'), html);
  writeFileSync(join(dist, 'favicon.svg'), '<svg xmlns="http://www.w3.org/2000/svg"/>');
  writeFileSync(join(dist, 'assets/index-Ab_-1234.js'), script);
  writeFileSync(join(dist, 'assets/world.json'), '{}');
  writeFileSync(join(folder, 'secret.txt'), 'secret');
  symlinkSync(join(folder, 'secret.txt'), join(dist, 'link.txt'));
  compressAll(dist);
  writeFileSync(join(dist, '.built'), 'digest');
  world = await apiWorld({ api: { console: loadConsole(dist) } });
});
after(async () => {
  await world[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const browser = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' };
const get = (path: string, headers: Record<string, string> = {}) => world.send('GET', path, { headers });

describe('pages', () => {
  test('are one document wherever a browser is', async () => {
    const paths = [
      '/',
      '/setup',
      '/invitation',
      '/login',
      '/users/7',
      '/users/a.smith',
      '/index.html',
      '/apis',
      '/x%2F..',
    ];
    for (const path of paths) {
      const { status, headers, text } = await get(path, browser);
      assert.equal(status, 200, path);
      assert.equal(headers['content-type'], 'text/html; charset=utf-8');
      assert.equal(text, html);
      assert.equal(headers['cache-control'], 'no-cache');
    }
    assert.equal((await get('/users')).text, html, 'who says nothing of what they take');
  });

  test('say in their headers that only what is their own runs', async () => {
    for (const path of ['/', '/assets/index-Ab_-1234.js', '/favicon.svg']) {
      const { headers } = await get(path);
      assert.equal(
        headers['content-security-policy'],
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; " +
          "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; " +
          "require-trusted-types-for 'script'; trusted-types 'none'",
      );
      assert.match(String(headers['permissions-policy']), /camera=\(\).*publickey-credentials-get=\(self\)/);
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.equal(headers['cross-origin-opener-policy'], 'same-origin');
      assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
      assert.equal(headers['referrer-policy'], 'no-referrer');
      assert.equal(headers['x-frame-options'], 'DENY');
    }
  });

  test('are not sent again while they are the same', async () => {
    const { etag } = (await get('/login', browser)).headers;
    assert.match(String(etag), /^W\/"[\w-]{22}"$/);
    for (const tag of [String(etag), String(etag).slice(2), `"x", ${String(etag)}`, '*']) {
      const again = await get('/users', { ...browser, 'if-none-match': tag });
      assert.equal(again.status, 304, tag);
      assert.equal(again.text, '');
      assert.equal(again.headers['etag'], etag);
    }
    assert.equal((await get('/users', { ...browser, 'if-none-match': '"x"' })).status, 200);
  });

  test('are none where programs ask', async () => {
    const paths = ['/api', '/api/v1/nothing', '/api/users', '/scim/v2/Nothing', '/login/oidc/nothing', '/healthz/x'];
    for (const path of [...paths, '/metrics/x', '/readyz/x', '/assets/x', '/assets/index-00000000.js', '/assets/']) {
      const { status, headers } = await get(path, browser);
      assert.equal(status, 404, path);
      assert.equal(headers['content-type'], 'application/problem+json');
    }
    assert.equal((await get('/users', { accept: 'application/json' })).status, 404);
    assert.equal((await get('/users', { accept: 'text/html;q=0' })).status, 404);
    assert.equal((await get('/nothing.js', { accept: '*/*' })).status, 404);
    assert.equal((await world.send('POST', '/users', { headers: browser })).status, 404);
  });

  test('answer HEAD like GET, without the body', async () => {
    const { status, headers, text } = await world.send('HEAD', '/users', { headers: browser });
    assert.equal(status, 200);
    assert.equal(headers['content-length'], String(html.length));
    assert.equal(text, '');
  });
});

describe('files', () => {
  test('with a hash in their name are kept for good, others are asked for again', async () => {
    const asset = await get('/assets/index-Ab_-1234.js');
    assert.equal(asset.text, script);
    assert.equal(asset.headers['content-type'], 'text/javascript; charset=utf-8');
    assert.equal(asset.headers['cache-control'], 'public, max-age=31536000, immutable');
    for (const [path, type] of [
      ['/favicon.svg', 'image/svg+xml'],
      ['/assets/world.json', 'application/json'],
    ] as const) {
      const { status, headers } = await get(path);
      assert.equal(status, 200);
      assert.equal(headers['content-type'], type);
      assert.equal(headers['cache-control'], 'no-cache');
      assert.equal((await get(path, { 'if-none-match': String(headers['etag']) })).status, 304);
    }
  });

  test('are only those that were built', async () => {
    const outside = [
      '/../secret.txt',
      '/%2e%2e/secret.txt',
      '/..%2fsecret.txt',
      '/assets/../../secret.txt',
      '/link.txt',
    ];
    const inside = ['/.built', '/index.html.br', '/assets/index-Ab_-1234.js.gz', '//assets/index-Ab_-1234.js'];
    for (const path of [...outside, ...inside]) {
      const { text } = await get(path, { accept: '*/*' });
      assert.doesNotMatch(text, /^secret|^digest|hello/, path);
    }
    assert.equal((await get('/.built', { accept: '*/*' })).status, 404);
  });

  test('come in the best encoding that is taken', async () => {
    const cases: [string, string | undefined][] = [
      ['br, gzip', 'br'],
      ['gzip, deflate, br;q=0.9', 'gzip'],
      ['GZIP', 'gzip'],
      ['gzip;q=0.5, br;q=0.8', 'br'],
      ['*', 'br'],
      ['br;q=0, *;q=0.1', 'gzip'],
      ['identity, gzip;q=0.5', undefined],
      ['deflate', undefined],
      ['br;q=0, gzip;q=0', undefined],
      ['identity;q=0', undefined],
      ['gzip;q=nonsense', undefined],
      ['', undefined],
    ];
    for (const path of ['/assets/index-Ab_-1234.js', '/']) {
      const plain = readFileSync(join(dist, path === '/' ? 'index.html' : path));
      for (const [accepted, encoding] of cases) {
        const response = await fetchRaw(path, accepted);
        assert.equal(response.encoding, encoding, accepted);
        assert.equal(response.vary, 'accept-encoding');
        const unpack = encoding === 'br' ? brotliDecompressSync : encoding === 'gzip' ? gunzipSync : undefined;
        assert.deepEqual(unpack === undefined ? response.body : unpack(response.body), plain);
      }
    }
  });
});

test('without a build every page says what to do, and the API serves', async () => {
  await using bare = await apiWorld({ api: { console: loadConsole(join(folder, 'nowhere')) } });
  for (const path of ['/', '/setup', '/users/1']) {
    const { status, headers, text } = await bare.send('GET', path, { headers: browser });
    assert.equal(status, 503);
    assert.equal(headers['content-type'], 'text/html; charset=utf-8');
    assert.equal(headers['cache-control'], 'no-store');
    assert.match(text, /The console isn't built: run npm run console:build/);
  }
  assert.equal((await bare.call(bare.root, 'GET', '/users')).status, 200);
  assert.equal((await bare.send('GET', '/assets/x.js')).status, 404);
});

test('a folder that holds more than a console is refused', () => {
  const large = join(folder, 'large');
  mkdirSync(large);
  writeFileSync(join(large, 'large.bin'), Buffer.alloc(33 * 1024 * 1024));
  assert.throws(() => loadConsole(large), /holds more than a console has/);
});

describe('the build', () => {
  test('is of what its digest says', () => {
    const root = join(folder, 'checkout');
    mkdirSync(join(root, 'apps/console/src'), { recursive: true });
    writeFileSync(join(root, 'apps/console/src/a.ts'), 'a');
    const first = digestOfSources(root);
    assert.equal(digestOfSources(root), first);
    writeFileSync(join(root, 'apps/console/src/a.ts'), 'b');
    const second = digestOfSources(root);
    assert.notEqual(second, first);
    writeFileSync(join(root, 'apps/console/src/b.ts'), '');
    assert.notEqual(digestOfSources(root), second);
    writeFileSync(join(root, 'README.md'), 'x');
    rmSync(join(root, 'apps/console/src/b.ts'));
    assert.equal(digestOfSources(root), second);
  });

  test('puts a whole folder in the place of the one before, whoever else does', () => {
    const target = join(folder, 'target');
    for (const name of ['one', 'two']) {
      const built = join(folder, name);
      mkdirSync(built);
      writeFileSync(join(built, name), name);
      replaceFolder(built, target);
      assert.equal(readFileSync(join(target, name), 'utf8'), name);
    }
    assert.throws(() => readFileSync(join(target, 'one')), { code: 'ENOENT' });
  });
});

function fetchRaw(path: string, accepted: string) {
  return new Promise<{ encoding: string | undefined; vary: string | undefined; body: Buffer }>((resolve, reject) => {
    request({ port: world.port, host: '127.0.0.1', path, headers: { 'accept-encoding': accepted } }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => {
        const { 'content-encoding': encoding, vary } = response.headers;
        resolve({ encoding, vary, body: Buffer.concat(chunks) });
      });
    })
      .on('error', reject)
      .end();
  });
}
