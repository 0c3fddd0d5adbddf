import { readFileSync } from 'node:fs';

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
  const read = (url: URL): string => readFileSync(url, 'utf8');
  const html: Page = {
    body: read(new URL('../pages/account.html', import.meta.url)),
    type: 'text/html; charset=utf-8',
    policy,
  };
  const script = read(new URL('../pages/account.js', import.meta.url));
  const style = read(new URL('../pages/account.css', import.meta.url));
  return new Map([
    ['/setup', html],
    ['/invitation', html],
    ['/account.js', { body: script, type: 'text/javascript; charset=utf-8', policy }],
    ['/account.css', { body: style, type: 'text/css; charset=utf-8', policy }],
  ]);
}
