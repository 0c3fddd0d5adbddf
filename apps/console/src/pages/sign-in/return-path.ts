/**
 * Where to go after the login: what the address says if it is a page of this console, else the start. Browsers read more
 * than `/` as the beginning of another site (`//`, `/\`, with tabs in between), so they themselves are asked.
 */
export function returnPath(wanted: string | undefined, origin: string): string {
  if (wanted === undefined || !wanted.startsWith('/')) return '/';
  const url = URL.parse(wanted, origin);
  if (url === null || url.origin !== origin || url.pathname.startsWith('//')) return '/';
  // The login itself would send there and back for ever.
  if (/^\/login(?:\/|$)/.test(url.pathname)) return '/';
  return url.pathname + url.search;
}
