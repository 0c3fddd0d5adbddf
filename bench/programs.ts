import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const execute = promisify(execFile);
const peerModule = 'golang.zx2c4.com/wireguard@latest';

/** The full path of a program on the PATH. */
export function findProgram(name: string): string | undefined {
  if (name.includes('/')) return existsSync(name) ? name : undefined;
  return (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find((path) => existsSync(path));
}

/** Says what a wireguard-go is: its own words and, where Go's tool can tell, the module's version. */
export async function peerVersion(path: string): Promise<string> {
  const said = (await capture(path, ['--version'])).split('\n')[0]?.trim() ?? '';
  const built = /\bmod\s+\S+\s+(\S+)/.exec(await capture('go', ['version', '-m', path]))?.[1];
  return [said === '' ? 'unknown version' : said, ...(built === undefined ? [] : [`module ${built}`])].join(', ');
}

async function capture(command: string, args: readonly string[]): Promise<string> {
  try {
    return (await execute(command, args)).stdout;
  } catch {
    return '';
  }
}

/**
 * Builds the current wireguard-go with Go's own tool into the user's cache folder and returns its path.
 * @throws Error when Go is missing or the build fails.
 */
export async function installPeer(): Promise<string> {
  const folder = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sallyport');
  mkdirSync(folder, { recursive: true });
  if (findProgram('go') === undefined) throw new Error('--install-peer needs Go: install it from https://go.dev/dl/');
  await execute('go', ['install', peerModule], { env: { ...process.env, GOBIN: folder } });
  return join(folder, 'wireguard');
}

/** The version that this checkout's package.json carries. */
export function ourVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
