// Makes apps/console/dist of apps/console/src where it is missing or older than that: node scripts/build-console.ts
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import type { build } from 'vite';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const root = join(import.meta.dirname, '..');
const app = join(root, 'apps/console');
const dist = join(app, 'dist');
/** In the folder that was built: what it was built of. It is written last. */
const STAMP = '.built';
/** What the console is made of. */
const sources = [
  'apps/console/src',
  'apps/console/public',
  'apps/console/index.html',
  'apps/console/vite.config.ts',
  'apps/console/package.json',
  'packages/api/src',
  'package-lock.json',
  'scripts/build-console.ts',
];
const LEFT_OVER_MS = 3_600_000;

/** A digest of all that the console is made of. */
export function digestOfSources(folder = root): string {
  const hash = createHash('sha256');
  for (const source of sources) {
    const path = join(folder, source);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) continue;
    const files = stat.isDirectory()
      ? readdirSync(path, { recursive: true, withFileTypes: true })
          .filter((entry) => entry.isFile())
          .map((entry) => join(entry.parentPath, entry.name))
          .sort()
      : [path];
    for (const file of files) {
      const content = readFileSync(file);
      hash.update(`${file.slice(folder.length)} ${content.length}\n`).update(content);
    }
  }
  return hash.digest('hex');
}

/** Puts FILE.br and FILE.gz beside each file that is smaller so. */
export function compressAll(folder: string): void {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !/^\.(?:html|js|css|svg|json|webmanifest|txt)$/.test(extname(entry.name))) continue;
    const path = join(entry.parentPath, entry.name);
    const content = readFileSync(path);
    const brotli = brotliCompressSync(content, {
      params: {
        [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY,
        [constants.BROTLI_PARAM_SIZE_HINT]: content.length,
      },
    });
    const gzip = gzipSync(content, { level: constants.Z_BEST_COMPRESSION });
    if (brotli.length < content.length) writeFileSync(`${path}.br`, brotli);
    if (gzip.length < content.length) writeFileSync(`${path}.gz`, gzip);
  }
}

/**
 * Puts a folder that is whole into the place of another. Of several that do so at once one wins, and no reader ever sees
 * half of one.
 */
export function replaceFolder(folder: string, target: string): void {
  const old = `${folder}.old`;
  try {
    renameSync(target, old);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  try {
    renameSync(folder, target);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
    // Another was a moment faster.
    rmSync(folder, { recursive: true, force: true });
  }
  rmSync(old, { recursive: true, force: true });
}

function stampOf(folder: string): string | undefined {
  try {
    return readFileSync(join(folder, STAMP), 'utf8');
  } catch {
    return undefined;
  }
}

/** What builds that were broken off have left. */
function removeLeftOvers(): void {
  for (const name of readdirSync(app)) {
    if (!/^dist\.\d+(?:\.old)?$/.test(name)) continue;
    const path = join(app, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat !== undefined && Date.now() - stat.mtimeMs > LEFT_OVER_MS) rmSync(path, { recursive: true, force: true });
  }
}

/** Vite, or undefined where the packages for development aren't installed. */
async function loadVite(): Promise<{ readonly build: typeof build } | undefined> {
  try {
    return await import('vite');
  } catch (error) {
    const missing = error instanceof Error && (error as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND';
    if (missing && error.message.includes("'vite'")) return undefined;
    throw error;
  }
}

async function main(): Promise<void> {
  const digest = digestOfSources();
  const stamp = stampOf(dist);
  if (stamp === digest) return;
  const vite = await loadVite();
  if (vite === undefined) {
    // As the package brought it.
    if (stamp !== undefined) return;
    throw new Error("it isn't built, and what builds it isn't installed: run npm ci, then npm run console:build");
  }
  process.stderr.write('Building the console, once …\n');
  const building = `${dist}.${process.pid}`;
  removeLeftOvers();
  mkdirSync(building);
  try {
    await vite.build({
      root: app,
      configFile: join(app, 'vite.config.ts'),
      logLevel: 'error',
      build: { outDir: building, emptyOutDir: true },
    });
    compressAll(building);
    writeFileSync(join(building, STAMP), digest);
    replaceFolder(building, dist);
  } finally {
    rmSync(building, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    process.stderr.write(`The console can't be built: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
