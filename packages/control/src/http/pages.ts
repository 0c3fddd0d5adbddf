import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface Page {
  readonly body: string;
  readonly type: string;
  /** Its Content-Security-Policy. */
  readonly policy: string;
}

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "form-action 'none'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** The page that sets up the first administrator and takes invitations, read from the disk once. */
export function loadPages(): ReadonlyMap<string, Page> {
  const read = (name: string): string =>
    readFileSync(fileURLToPath(new URL(`../pages/${name}`, import.meta.url)), 'utf8');
  const html: Page = { body: read('account.html'), type: 'text/html; charset=utf-8', policy };
  return new Map([
    ['/setup', html],
    ['/invitation', html],
    ['/account.js', { body: read('account.js'), type: 'text/javascript; charset=utf-8', policy }],
    ['/account.css', { body: read('account.css'), type: 'text/css; charset=utf-8', policy }],
  ]);
}
