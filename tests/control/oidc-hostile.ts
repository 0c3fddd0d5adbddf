/** A provider that does what it likes: the attacker of the tests. */
import { createHmac, createPublicKey, createSign, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { closeServer, listen } from './oidc-provider.ts';

export interface HostileProvider extends AsyncDisposable {
  readonly issuer: string;
  readonly key: KeyObject;
  /** Takes the place of what it announces. */
  metadata: Record<string, unknown>;
  /** Claims that take the place of good ones; undefined removes one. */
  claims: Record<string, unknown>;
  userinfo: Record<string, unknown>;
  /** Makes the ID token of its claims. */
  sign: (claims: Record<string, unknown>) => string;
  /** Parameters that take the place of those in its answer to the browser. */
  answer: Record<string, string>;
  /** Answers a path instead of it. */
  instead: ((path: string, response: ServerResponse) => boolean) | undefined;
  /** How often each path was asked for. */
  readonly asked: Map<string, number>;
  /** What was last sent to its token endpoint. */
  lastToken: { readonly body: URLSearchParams; readonly authorization: string | undefined } | undefined;
}

export const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

export function rs256(
  key: KeyObject,
  claims: Record<string, unknown>,
  header: object = { alg: 'RS256', kid: 'k' },
): string {
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${createSign('sha256').update(input).sign(key, 'base64url')}`;
}

/** The confusion of keys: what is public to everybody taken for a secret. */
export function hs256(key: KeyObject, claims: Record<string, unknown>): string {
  const input = `${encode({ alg: 'HS256', kid: 'k' })}.${encode(claims)}`;
  const secret = createPublicKey(key).export({ type: 'spki', format: 'pem' });
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

export async function startHostile(): Promise<HostileProvider> {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const server = createServer();
  const issuer = await listen(server);
  let nonce = '';
  const self: HostileProvider = {
    issuer,
    key: privateKey,
    metadata: {},
    claims: {},
    userinfo: {},
    sign: (claims) => rs256(privateKey, claims),
    answer: {},
    instead: undefined,
    asked: new Map(),
    lastToken: undefined,
    [Symbol.asyncDispose]: () => closeServer(server),
  };
  const json = (response: ServerResponse, value: unknown): void => {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(value));
  };
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const url = new URL(request.url ?? '/', issuer);
    const path = url.pathname;
    self.asked.set(path, (self.asked.get(path) ?? 0) + 1);
    if (self.instead?.(path, response) === true) return;
    const now = Math.floor(Date.now() / 1000);
    if (path === '/.well-known/openid-configuration') {
      json(response, {
        issuer,
        authorization_endpoint: `${issuer}/authorize`,
        token_endpoint: `${issuer}/token`,
        userinfo_endpoint: `${issuer}/userinfo`,
        jwks_uri: `${issuer}/jwks`,
        response_types_supported: ['code'],
        subject_types_supported: ['public'],
        code_challenge_methods_supported: ['S256'],
        id_token_signing_alg_values_supported: ['RS256', 'HS256', 'none'],
        ...self.metadata,
      });
    } else if (path === '/jwks') {
      json(response, { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k', use: 'sig' }] });
    } else if (path === '/authorize') {
      nonce = url.searchParams.get('nonce') ?? '';
      const back = new URL(url.searchParams.get('redirect_uri') ?? '');
      const state = url.searchParams.get('state') ?? '';
      for (const [name, value] of Object.entries({ code: 'a-code-of-its-own', state, ...self.answer })) {
        back.searchParams.set(name, value);
      }
      response.writeHead(302, { location: back.href }).end();
    } else if (path === '/token') {
      let body = '';
      for await (const chunk of request) body += String(chunk);
      self.lastToken = { body: new URLSearchParams(body), authorization: request.headers.authorization };
      const claims = { iss: issuer, sub: 'mallory', aud: 'sallyport', iat: now, exp: now + 300, nonce, ...self.claims };
      json(response, { access_token: 'an-access-token-of-its-own', token_type: 'Bearer', id_token: self.sign(claims) });
    } else if (path === '/userinfo') {
      json(response, { sub: 'mallory', ...self.userinfo });
    } else response.writeHead(404).end();
  };
  server.on('request', (request, response) => void serve(request, response));
  return self;
}
