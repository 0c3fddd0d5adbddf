import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname, join, relative, sep } from 'node:path';

type Encoding = 'identity' | 'gzip' | 'br';

interface File {
  readonly type: string;
  /** Made from its content; what its name says of it already needs none. */
  readonly etag: string | undefined;
  readonly bodies: Readonly<Partial<Record<Encoding, Uint8Array<ArrayBuffer>>>>;
}

/** What it holds of a request. */
export interface FileRequest {
  /** From the root on, as it came: nothing is decoded. */
  readonly path: string;
  /** Name in lower case. */
  readonly header: (name: string) => string | undefined;
}

const MAX_FILES = 1000;
const MAX_BYTES = 32 * 1024 * 1024;

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.webp': 'image/webp',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.json': 'application/json',
  '.webmanifest': 'application/manifest+json',
  '.txt': 'text/plain; charset=utf-8',
};

/** As Vite names what it built: `assets/NAME-HASH.EXTENSION`. */
const hashed = /^\/assets\/.*-[\w-]{8}\.\w+$/;

/** What belongs to programs: their mistakes are no pages. */
const noPages = /^\/(?:api|scim|login\/oidc|healthz|readyz|metrics|assets)(?:\/|$)/;

/** Only what the console itself brings runs, and no text becomes a script. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

/** What of the browser the console does without, and the passkeys that it uses. */
const PERMISSIONS = [
  ...[
    'accelerometer',
    'autoplay',
    'browsing-topics',
    'camera',
    'clipboard-read',
    'display-capture',
    'encrypted-media',
    'fullscreen',
    'gamepad',
    'geolocation',
    'gyroscope',
    'hid',
    'idle-detection',
    'local-fonts',
    'magnetometer',
    'microphone',
    'midi',
    'payment',
    'picture-in-picture',
    'screen-wake-lock',
    'serial',
    'usb',
    'xr-spatial-tracking',
  ].map((feature) => `${feature}=()`),
  'clipboard-write=(self)',
  'publickey-credentials-create=(self)',
  'publickey-credentials-get=(self)',
].join(', ');

const NOT_BUILT = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Sallyport</title>
<p>The console isn't built: run npm run console:build, and start the service again.</p>
</html>
`;

/**
 * The console as it was built, in memory: only what was there at the start can be asked for. Beside a file lie `FILE.br`
 * and `FILE.gz`, the same compressed.
 */
export class ConsoleFiles {
  readonly #files: ReadonlyMap<string, File>;

  /** By path from the root on; without /index.html every page says that there is no console. */
  constructor(files: ReadonlyMap<string, File> = new Map()) {
    this.#files = files;
  }

  /** The answer to a GET or HEAD; undefined where there is no such file, and no page can be meant. */
  answer({ path, header }: FileRequest, headers: Readonly<Record<string, string>>): Response | undefined {
    const isPage = this.#isPage(path, header('accept'));
    const file = this.#files.get(isPage ? '/index.html' : path);
    const common = { ...headers, 'content-security-policy': POLICY, 'permissions-policy': PERMISSIONS };
    if (file === undefined) {
      if (!isPage) return undefined;
      return new Response(NOT_BUILT, { status: 503, headers: { ...common, 'content-type': types['.html'] } });
    }
    const { type, etag, bodies } = file;
    const caching = {
      ...common,
      vary: 'accept-encoding',
      'cache-control': etag === undefined ? 'public, max-age=31536000, immutable' : 'no-cache',
      ...(etag === undefined ? {} : { etag }),
    };
    if (etag !== undefined && isKnown(etag, header('if-none-match'))) {
      return new Response(null, { status: 304, headers: caching });
    }
    const encoding = chooseEncoding(header('accept-encoding'), Object.keys(bodies) as Encoding[]);
    const body = bodies[encoding] ?? new Uint8Array();
    return new Response(body, {
      headers: {
        ...caching,
        'content-type': type,
        'content-length': String(body.length),
        ...(encoding === 'identity' ? {} : { 'content-encoding': encoding }),
      },
    });
  }

  /** Whether a path is one of the console's own pages, which one document shows all. */
  #isPage(path: string, accept: string | undefined): boolean {
    if (noPages.test(path) || (this.#files.has(path) && path !== '/index.html')) return false;
    const quality = qualities(accept ?? '*/*');
    if ((quality.get('text/html') ?? 0) > 0) return true;
    // Who takes anything may be asking for a file.
    const takesAnything = (quality.get('text/*') ?? quality.get('*/*') ?? 0) > 0 && !quality.has('text/html');
    return takesAnything && (!/\.[^/]*$/.test(path) || path === '/index.html');
  }
}

/** Reads the folder that Vite wrote; one that isn't there holds no console. Throws where it holds too much. */
export function loadConsole(folder: string): ConsoleFiles {
  const contents = readAll(folder);
  const files = new Map<string, File>();
  for (const [path, identity] of contents) {
    const type = types[extname(path)];
    if (type === undefined) continue;
    const gzip = contents.get(`${path}.gz`);
    const br = contents.get(`${path}.br`);
    files.set(path, {
      type,
      etag: hashed.test(path) ? undefined : etagOf(identity),
      bodies: { identity, ...(gzip === undefined ? {} : { gzip }), ...(br === undefined ? {} : { br }) },
    });
  }
  return new ConsoleFiles(files);
}

/** By path from the root on. */
function readAll(folder: string): Map<string, Uint8Array<ArrayBuffer>> {
  const found = new Map<string, Uint8Array<ArrayBuffer>>();
  let entries;
  try {
    entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return found;
    throw error;
  }
  let bytes = 0;
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const content = new Uint8Array(readFileSync(path));
    bytes += content.length;
    found.set(`/${relative(folder, path).split(sep).join('/')}`, content);
    if (found.size > MAX_FILES || bytes > MAX_BYTES) {
      throw new Error(`${folder} holds more than a console has: remove it, and run npm run console:build`);
    }
  }
  return found;
}

function etagOf(content: Uint8Array): string {
  // Weak: the same for each encoding.
  return `W/"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`;
}

function isKnown(etag: string, ifNoneMatch: string | undefined): boolean {
  if (ifNoneMatch === undefined) return false;
  const strong = (tag: string): string => tag.trim().replace(/^W\//, '');
  return ifNoneMatch.split(',').some((tag) => tag.trim() === '*' || strong(tag) === strong(etag));
}

/** The best of what there is that the client takes (RFC 9110, section 12.5.3); as it is where it takes nothing of that. */
function chooseEncoding(accepted: string | undefined, available: readonly Encoding[]): Encoding {
  const quality = qualities(accepted ?? '');
  let best: Encoding = 'identity';
  let highest = 0;
  for (const encoding of ['br', 'gzip', 'identity'] as const) {
    // Not named, it is as good as anything left: no better than what is named.
    const unnamed = encoding === 'identity' ? Number.MIN_VALUE : 0;
    const value = quality.get(encoding) ?? quality.get('*') ?? unnamed;
    if (value > highest && available.includes(encoding)) [best, highest] = [encoding, value];
  }
  return best;
}

/** A header such as Accept, its items in lower case with their quality, 0 to 1; what can't be read counts as 0. */
function qualities(header: string): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const item of header.toLowerCase().split(',').slice(0, 32)) {
    const [name = '', ...parameters] = item.split(';').map((part) => part.trim());
    if (name === '') continue;
    const q = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
    found.set(name, q === undefined ? 1 : /^(?:0(?:\.\d{0,3})?|1(?:\.0{0,3})?)$/.test(q) ? Number(q) : 0);
  }
  return found;
}
