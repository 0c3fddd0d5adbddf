import {
  allowInsecureRequests,
  ClientSecretBasic,
  ClientSecretPost,
  customFetch,
  discovery,
  enableNonRepudiationChecks,
  None,
  type ClientAuth,
  type Configuration,
} from 'openid-client';
import type { Secret } from '@sallyport/core';
import { clientSecretOf, type IdentityProviderRow } from '../repositories/identity-providers.ts';
import type { Services } from '../services.ts';
import { ANSWER_MS, boundedFetch, isAllowedAddress, NoAnswer } from './bounded-fetch.ts';

/** What a provider said about itself counts for so long. */
const KEEP_MS = 600_000;
/** A provider that failed is left alone for so long: anybody can begin a login, and none must make it more of them. */
const FAILED_MS = 10_000;

interface Entry {
  readonly version: number;
  readonly client: Promise<Configuration>;
  until: number;
}

/**
 * What is known of the providers: asked once for all logins at a time, kept for a while, and per version of the provider.
 * The keys of tokens are kept along with it by the library, which asks again where a token names one that it hasn't.
 */
export class ProviderClients {
  readonly #services: Pick<Services, 'store' | 'now'>;
  readonly #entries = new Map<string, Entry>();

  constructor(services: Pick<Services, 'store' | 'now'>) {
    this.#services = services;
  }

  /** Rejects with what {@link discover} throws. */
  clientOf(provider: IdentityProviderRow): Promise<Configuration> {
    const { store, now } = this.#services;
    const known = this.#entries.get(provider.id);
    if (known?.version === provider.version && known.until > now()) return known.client;
    const client = discover(provider, clientSecretOf(store, provider));
    const entry: Entry = { version: provider.version, client, until: Infinity };
    this.#entries.set(provider.id, entry);
    client.then(
      () => (entry.until = now() + KEEP_MS),
      () => (entry.until = now() + FAILED_MS),
    );
    return client;
  }
}

/**
 * Asks a provider for its configuration (OpenID Connect Discovery 1.0, section 4). Throws {@link NoAnswer} or what
 * openid-client throws.
 */
export async function discover(
  { issuer, client_id: clientId }: Pick<IdentityProviderRow, 'issuer' | 'client_id'>,
  secret: Secret<string> | undefined,
): Promise<Configuration> {
  const url = new URL(issuer);
  let client: Configuration;
  try {
    client = await discovery(url, clientId, {}, authenticationBy(secret), {
      [customFetch]: boundedFetch,
      timeout: ANSWER_MS / 1000,
      execute: [
        // Without this it trusts TLS alone for tokens that it fetched itself.
        enableNonRepudiationChecks,
        // Its name warns of plain HTTP; boundedFetch refuses that but on this machine.
        // eslint-disable-next-line @typescript-eslint/no-deprecated
        ...(url.protocol === 'http:' ? [allowInsecureRequests] : []),
      ],
    });
  } catch (error) {
    throw noAnswerIn(error) ?? error;
  }
  const { issuer: announced, authorization_endpoint: endpoint } = client.serverMetadata();
  // The library lets some providers' addresses for all of their customers pass, by which anybody's would come in.
  if (new URL(announced).href !== url.href) {
    throw new NoAnswer(`${url.host} calls itself ${JSON.stringify(announced.slice(0, 200))}, not ${issuer}`);
  }
  if (endpoint === undefined || !URL.canParse(endpoint) || !isAllowedAddress(new URL(endpoint))) {
    throw new NoAnswer(`${url.host} names no authorization_endpoint that is reached by https`);
  }
  return client;
}

/** What {@link boundedFetch} threw, which the library wraps. */
export function noAnswerIn(error: unknown): NoAnswer | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) if (cause instanceof NoAnswer) return cause;
  return undefined;
}

/** With a secret as the provider takes it; OpenID Connect Core 1.0, section 9. */
function authenticationBy(secret: Secret<string> | undefined): ClientAuth {
  if (secret === undefined) return None();
  return (server, client, body, headers) => {
    const methods = server.token_endpoint_auth_methods_supported ?? ['client_secret_basic'];
    const post = methods.includes('client_secret_post') && !methods.includes('client_secret_basic');
    const authenticate = post ? ClientSecretPost(secret.reveal()) : ClientSecretBasic(secret.reveal());
    authenticate(server, client, body, headers);
  };
}
