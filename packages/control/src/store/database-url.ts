/** Where the database is. */
export type DatabaseLocation =
  { readonly dialect: 'sqlite'; readonly path: string } | { readonly dialect: 'postgresql'; readonly url: string };

/** @throws Error that names the fault and never holds a password. */
export function parseDatabaseUrl(url: string): DatabaseLocation {
  if (url.startsWith('sqlite:')) {
    const path = url.slice('sqlite:'.length);
    if (path === '' || path.startsWith(':')) {
      throw new Error('The database URL names no file: write sqlite:/var/lib/sallyport/sallyport.db, for example');
    }
    return { dialect: 'sqlite', path };
  }
  if (/^postgres(ql)?:\/\//.test(url)) return { dialect: 'postgresql', url };
  throw new Error('The database URL must begin with sqlite: or postgresql://');
}

/** The URL for people and logs: no password, no parameters. */
export function describeDatabaseUrl(url: string): string {
  if (url.startsWith('sqlite:')) return url;
  // Everything up to the last "@" goes, so that a password with unescaped characters goes as well.
  return `postgresql://${url.slice(Math.max(url.lastIndexOf('@'), url.indexOf('//') + 1) + 1).replace(/\?.*$/s, '')}`;
}
