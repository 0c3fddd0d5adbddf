import type { IdentityProviderCheck } from '@sallyport/api';
import type { Secret } from '@sallyport/core';
import type { Configuration } from 'openid-client';
import { valueOf, type IdentityProviderRow } from '../repositories/identity-providers.ts';
import { boundedFetch, NoAnswer } from './bounded-fetch.ts';
import { faultOf } from './code-exchange.ts';
import { LoginFault } from './login-fault.ts';
import { discover } from './provider-clients.ts';

/** Asks a provider for its configuration and keys, now, and says what is wrong with them. */
export async function checkProvider(
  provider: IdentityProviderRow,
  secret: Secret<string> | undefined,
): Promise<IdentityProviderCheck> {
  const bad = (message: string): IdentityProviderCheck => ({ works: false, message });
  let client: Configuration;
  let keys: number;
  try {
    client = await discover(provider, secret);
    keys = await countKeys(client.serverMetadata().jwks_uri);
  } catch (error) {
    const fault = faultOf(error);
    if (!(fault instanceof LoginFault)) throw fault;
    return bad(
      `The provider gives no usable configuration: ${fault.message}. Its issuer is the address before /.well-known/openid-configuration.`,
    );
  }
  const { response_types_supported: types, scopes_supported: scopes } = client.serverMetadata();
  if (keys === 0) return bad('The provider publishes no key that tokens could be checked with, at its jwks_uri.');
  if (types !== undefined && !types.includes('code')) {
    return bad('The provider does not offer the authorization code flow (response type code).');
  }
  if (secret === undefined && !client.serverMetadata().supportsPKCE()) {
    return bad(
      'The provider does not announce PKCE with S256, which a client without a secret needs: give it a secret.',
    );
  }
  const unknown = valueOf(provider).scopes.filter((scope) => scopes !== undefined && !scopes.includes(scope));
  const hint = unknown.length === 0 ? '' : ` It does not list the scopes ${unknown.join(', ')}.`;
  return {
    works: true,
    message: `The provider answers, with ${keys} ${keys === 1 ? 'key' : 'keys'}. Whether it knows this client shows with a login.${hint}`,
  };
}

/** The keys of a JWK Set (RFC 7517) that signatures can be checked with. */
async function countKeys(address: string | undefined): Promise<number> {
  if (address === undefined || !URL.canParse(address)) throw new NoAnswer('it names no jwks_uri');
  const headers = { accept: 'application/json, application/jwk-set+json' };
  const response = await boundedFetch(address, { method: 'GET', headers, body: undefined, redirect: 'manual' });
  const { host } = new URL(address);
  if (response.status !== 200) throw new NoAnswer(`${host} answers HTTP ${response.status} for its keys`);
  let set: unknown;
  try {
    set = await response.json();
  } catch (error) {
    throw new NoAnswer(`${host} gives keys that are no JSON`, error);
  }
  const keys: unknown = (set as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(keys)) throw new NoAnswer(`${host} gives no JWK Set`);
  return (keys as { kty?: unknown; use?: unknown }[]).filter(
    (key) => ['RSA', 'EC', 'OKP'].includes(String(key?.kty)) && (key.use === undefined || key.use === 'sig'),
  ).length;
}
