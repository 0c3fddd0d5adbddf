import { ApiError } from '../http/api-error.ts';
import type { Client } from '../http/client-address.ts';

export type CookieName = 'session' | 'knownClient' | 'oidc';

const names: Readonly<Record<CookieName, string>> = {
  session: 'sallyport',
  knownClient: 'sallyport-client',
  oidc: 'sallyport-oidc',
};

/** Other sites' links and redirects bring a Lax one along: that of an identity provider has to. */
const sameSite: Readonly<Record<CookieName, 'Strict' | 'Lax'>> = {
  session: 'Strict',
  knownClient: 'Strict',
  oidc: 'Lax',
};

/**
 * The name of a cookie on this connection. `__Host-` makes browsers take it by TLS only, from this host only, for all of
 * it. They refuse that by plain HTTP, which is for trying out on one machine; elsewhere there are no cookies without TLS.
 */
function nameOf(cookie: CookieName, client: Client): string | undefined {
  if (client.secure) return `__Host-${names[cookie]}`;
  return client.loopback ? names[cookie] : undefined;
}

export function readCookie(header: string | undefined, cookie: CookieName, client: Client): string | undefined {
  const name = nameOf(cookie, client);
  if (header === undefined || name === undefined) return undefined;
  for (const pair of header.split(';')) {
    const at = pair.indexOf('=');
    if (at > 0 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim();
  }
  return undefined;
}

/** The value of Set-Cookie. `maxAgeSeconds` 0 removes it. Throws an ApiError where cookies can't be kept safe. */
export function setCookie(cookie: CookieName, client: Client, value: string, maxAgeSeconds: number): string {
  const name = nameOf(cookie, client);
  if (name === undefined) {
    throw new ApiError(
      'forbidden',
      'Without TLS, browsers log in on the machine of the service only: open it by https.',
    );
  }
  const secure = client.secure ? '; Secure' : '';
  return `${name}=${value}; Path=/; Max-Age=${Math.floor(maxAgeSeconds)}; HttpOnly; SameSite=${sameSite[cookie]}${secure}`;
}
