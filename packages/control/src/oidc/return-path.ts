const maxLength = 1000;

/**
 * Where a browser goes after the login: a path of this service, with its query and fragment. Anything else is `/`, so
 * that no link sends people who logged in here to a page of somebody else's.
 */
export function returnPath(text: string | null): string {
  if (text === null || text.length > maxLength) return '/';
  // Browsers take `\` for `/`, drop tabs and newlines, and read `//host` as another host.
  if (!/^\/(?![/\\])[^\\\u0000-\u0020\u007f-\uffff]*$/.test(text)) return '/';
  let url: URL;
  try {
    url = new URL(text, 'https://service.invalid');
  } catch {
    return '/';
  }
  const path = url.pathname + url.search + url.hash;
  // `/.//host` is `//host` once its dots are resolved; and a login that leads to the next one has no end.
  if (url.origin !== 'https://service.invalid' || path.startsWith('//') || path.startsWith('/login')) return '/';
  return path;
}
