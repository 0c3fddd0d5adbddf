/** What is tried against logins by a provider: by other sites, other browsers, other providers, and the provider itself. */
import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { returnPath } from '../../packages/control/src/oidc/return-path.ts';
import { encode, hs256, rs256, startHostile, type HostileProvider } from './oidc-hostile.ts';
import {
  addProvider,
  atEnd,
  Browser,
  CLIENT_SECRET,
  oidcWorld,
  SERVICE,
  startProvider,
  whoAmI,
  type TestProvider,
} from './oidc-provider.ts';

type Oidc = Awaited<ReturnType<typeof oidcWorld>>;

const to = async (browser: Browser, url: URL | string): Promise<string> => {
  const arrival = await browser.go(String(url), atEnd);
  return arrival.url.pathname + arrival.url.search;
};

describe('answers of a real provider', () => {
  let it: Oidc;
  let second: TestProvider;
  let other = '';
  before(async () => {
    it = await oidcWorld({ api: { trustedProxies: [] } }, { createUsers: true });
    second = await startProvider(async (issuer) => {
      other = await addProvider(it.world, it.root, { name: 'Second', issuer, createUsers: true });
      return [{ id: 'sallyport', redirectUris: [`${SERVICE}/login/oidc/${other}/callback`] }];
    });
    for (const provider of [it.provider, second]) {
      provider.accounts.set('s', { preferred_username: 'alice' });
      provider.user = 's';
    }
  });
  after(async () => {
    await second[Symbol.asyncDispose]();
    await it[Symbol.asyncDispose]();
  });

  test('count once', async () => {
    const { world, id } = it;
    const browser = new Browser(world);
    const callback = await browser.upToCallback(id);
    const kept = browser.cookie('sallyport-oidc')!;
    assert.equal(await to(browser, callback), '/');
    assert.equal(await to(browser, callback), '/login?problem=expired', 'its cookie is gone');
    const thief = new Browser(world);
    thief.setCookie('sallyport-oidc', kept);
    assert.equal(await to(thief, callback), '/login?problem=providerRefused', 'the provider takes a code once');
    assert.equal(await whoAmI(world, thief), undefined);
  });

  test('count in the browser that asked, and nowhere else', async () => {
    const { world, id } = it;
    const attacker = new Browser(world);
    const callback = await attacker.upToCallback(id);
    const victim = new Browser(world);
    assert.equal(await to(victim, callback), '/login?problem=expired', 'without a login of its own');
    const own = await victim.upToCallback(id);
    assert.equal(await to(victim, callback), '/login?problem=mismatch', 'with a login of its own');
    assert.equal(await whoAmI(world, victim), undefined, 'nobody is logged in as somebody else');
    assert.equal(await to(victim, own), '/login?problem=expired', 'and that ends it');
    callback.searchParams.delete('state');
    assert.equal(await to(attacker, callback), '/login?problem=mismatch');
  });

  test('count for the provider that was asked: mix-up', async () => {
    const { world, id } = it;
    const there = new URL(`/login/oidc/${other}/callback`, SERVICE);
    const browser = new Browser(world);
    const first = await browser.upToCallback(id);
    there.search = first.search;
    assert.equal(await to(browser, there), '/login?problem=mismatch', 'the answer of one at the place of the other');
    // The same with a good transaction of the other one: its state, and the code and `iss` of the first.
    const both = new Browser(world);
    const code = await new Browser(world).upToCallback(id);
    const mixed = await both.upToCallback(other);
    mixed.searchParams.set('code', code.searchParams.get('code')!);
    mixed.searchParams.set('iss', code.searchParams.get('iss')!);
    const asked = second.requests.length;
    assert.equal(await to(both, mixed), '/login?problem=mismatch');
    assert.equal(second.requests.length, asked, 'the code of one provider goes to no other');
    const silent = new Browser(world);
    const without = await silent.upToCallback(id);
    without.searchParams.delete('iss');
    assert.equal(await to(silent, without), '/login?problem=mismatch', 'it announces that it sends iss');
    const twice = new Browser(world);
    const doubled = await twice.upToCallback(id);
    doubled.searchParams.append('code', 'x');
    assert.match(await to(twice, doubled), /problem=(mismatch|providerRefused)$/);
  });

  test('come with the cookie as it was given, within ten minutes', async () => {
    const { world, id } = it;
    const browser = new Browser(world);
    const callback = await browser.upToCallback(id);
    const cookie = browser.cookie('sallyport-oidc')!;
    const bytes = Buffer.from(cookie, 'base64url');
    for (const at of [0, 12, 30, bytes.length - 1]) {
      const altered = Buffer.from(bytes);
      altered[at] = altered[at] ^ 1;
      browser.setCookie('sallyport-oidc', altered.toString('base64url'));
      assert.equal(await to(browser, callback), '/login?problem=expired');
    }
    for (const junk of ['', 'x', 'A'.repeat(4000), '%00']) {
      browser.setCookie('sallyport-oidc', junk);
      assert.equal(await to(browser, callback), '/login?problem=expired');
    }
    // A challenge for something else counts for nothing here.
    const data = { providerId: id, state: callback.searchParams.get('state') };
    browser.setCookie('sallyport-oidc', world.identity.challenges.issue('passkey-login', data, 600_000));
    assert.equal(await to(browser, callback), '/login?problem=expired');
    browser.setCookie('sallyport-oidc', cookie);
    const { now } = world;
    try {
      world.now = now + 600_000;
      assert.equal(await to(browser, callback), '/login?problem=expired');
    } finally {
      world.now = now;
    }
    browser.setCookie('sallyport-oidc', cookie);
    assert.equal(await to(browser, callback), '/', 'and it would have been good');
  });

  test('a no is a no', async () => {
    const { world, id, provider } = it;
    provider.user = null;
    try {
      const browser = new Browser(world);
      assert.equal(await browser.logIn(id), '/login?problem=providerRefused');
      assert.equal(browser.cookie('sallyport-oidc'), undefined);
    } finally {
      provider.user = 's';
    }
  });

  test('the cookie is sealed to this host by TLS, and there is none without', async () => {
    const { world, id } = it;
    const path = `/login/oidc/${id}/start`;
    const { headers } = await world.send('GET', path);
    assert.match(headers['set-cookie']![0], /^sallyport-oidc=[\w-]+; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax$/);
    assert.equal(headers['cache-control'], 'no-store');
    assert.equal(headers['referrer-policy'], 'no-referrer');
    await using proxied = await oidcWorld({ api: { trustedProxies: ['127.0.0.1'] } });
    const start = (headers: Record<string, string>) =>
      proxied.world.send('GET', `/login/oidc/${proxied.id}/start`, { headers });
    const far = { 'x-forwarded-for': '203.0.113.9' };
    const secure = await start({ ...far, 'x-forwarded-proto': 'https' });
    assert.match(
      secure.headers['set-cookie']![0],
      /^__Host-sallyport-oidc=[\w-]+; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax; Secure$/,
    );
    const plain = await start({ ...far, 'x-forwarded-proto': 'http' });
    assert.equal(plain.headers.location, '/login?problem=insecure');
    assert.equal(plain.headers['set-cookie'], undefined);
  });

  test('nothing of a login gets into the log or the audit log', async () => {
    const { world, id } = it;
    const browser = new Browser(world);
    const callback = await browser.upToCallback(id);
    const cookie = browser.cookie('sallyport-oidc')!;
    callback.searchParams.set('iss', 'https://elsewhere.example');
    await to(browser, callback);
    const kept = [...world.logged, ...(await world.audit()).map(({ all }) => all)].join('\n');
    for (const secret of [
      callback.searchParams.get('code')!,
      callback.searchParams.get('state')!,
      cookie,
      CLIENT_SECRET,
    ]) {
      assert.ok(!kept.includes(secret));
    }
    assert.match(kept, /a login by an identity provider failed/);
  });
});

describe('a hostile provider', () => {
  let it: Oidc;
  let hostile: HostileProvider;
  let id = '';
  let token = '';
  before(async () => {
    it = await oidcWorld();
    token = await it.world.addToken(it.root, ['settings:write']);
    hostile = await startHostile();
  });
  after(async () => {
    await hostile[Symbol.asyncDispose]();
    await it[Symbol.asyncDispose]();
  });

  let count = 0;
  /** Logs in at it, which is new to the service each time, and as it is by default but for `set`. */
  const logIn = async (
    set: Partial<Pick<HostileProvider, 'metadata' | 'claims' | 'userinfo' | 'sign' | 'answer' | 'instead'>> = {},
    fields: Record<string, unknown> = {},
  ): Promise<string> => {
    const { issuer, key } = hostile;
    Object.assign(hostile, { metadata: {}, claims: {}, userinfo: {}, answer: {}, instead: undefined });
    hostile.sign = (claims) => rs256(key, claims);
    Object.assign(hostile, set);
    const name = `hostile ${++count}`;
    id = await addProvider(it.world, token, { name, issuer, createUsers: true, ...fields });
    // Failed ones are counted by address.
    it.world.now += 60_000;
    const browser = new Browser(it.world);
    const where = await browser.logIn(id);
    assert.equal((await whoAmI(it.world, browser)) !== undefined, where === '/', where);
    return where;
  };
  const mismatch = '/login?problem=mismatch';
  const unreachable = '/login?problem=providerUnreachable';

  test('is let in where it behaves', async () => {
    assert.equal(await logIn(), '/');
    assert.equal(await logIn({}, { clientSecret: CLIENT_SECRET }), '/');
    assert.match(hostile.lastToken!.authorization!, /^Basic /);
    assert.match(hostile.lastToken!.body.get('code_verifier')!, /^[\w-]{43,}$/);
  });

  test('cannot have an answer count twice, though it takes its codes twice', async () => {
    assert.equal(await logIn(), '/');
    const browser = new Browser(it.world);
    const callback = await browser.upToCallback(id);
    const kept = browser.cookie('sallyport-oidc')!;
    assert.equal(await to(browser, callback), '/');
    const thief = new Browser(it.world);
    thief.setCookie('sallyport-oidc', kept);
    assert.equal(await to(thief, callback), '/login?problem=expired');
    assert.equal(await whoAmI(it.world, thief), undefined);
  });

  test('gets no code of another provider, though that one sends no iss', async () => {
    assert.equal(await logIn(), '/');
    const { world, provider, id: honest } = it;
    provider.accounts.set('s', {});
    provider.user = 's';
    const browser = new Browser(world);
    const callback = await browser.upToCallback(honest);
    const here = new URL(`/login/oidc/${id}/callback`, SERVICE);
    here.search = callback.search;
    here.searchParams.delete('iss');
    const asked = hostile.asked.get('/token');
    assert.equal(await to(browser, here), mismatch);
    assert.equal(hostile.asked.get('/token'), asked);
  });

  for (const [what, claims] of [
    ['of another nonce', { nonce: 'another' }],
    ['without a nonce', { nonce: undefined }],
    ['for somebody else', { aud: 'another-client' }],
    ['for us and others, without azp', { aud: ['sallyport', 'another-client'] }],
    ['for us and others, meant for the others', { aud: ['sallyport', 'another-client'], azp: 'another-client' }],
    ['of another issuer', { iss: 'https://login.example.com' }],
    ['that is over', { exp: 1 }],
    ['from the future', { nbf: 4_000_000_000 }],
    ['without an end', { exp: undefined }],
    ['about nobody', { sub: undefined }],
    ['about an empty name', { sub: '' }],
    ['about a number', { sub: 7 }],
    ['about somebody with control characters', { sub: 'mal\u0000lory' }],
    ['about somebody with a very long name', { sub: 'm'.repeat(256) }],
  ] as const) {
    test(`a token ${what}`, async () => {
      assert.equal(await logIn({ claims, userinfo: 'sub' in claims ? { sub: claims.sub } : {} }), mismatch);
    });
  }

  test('tokens with other signatures', async () => {
    const { key } = hostile;
    const none = (claims: Record<string, unknown>) => `${encode({ alg: 'none' })}.${encode(claims)}.`;
    assert.equal(await logIn({ sign: none }), mismatch);
    assert.equal(await logIn({ sign: (claims) => hs256(key, claims) }), mismatch);
    assert.equal(await logIn({ sign: (claims) => hs256(key, claims) }, { clientSecret: CLIENT_SECRET }), mismatch);
    const cut = (claims: Record<string, unknown>) => rs256(key, claims).slice(0, -6) + 'AAAAAA';
    assert.equal(await logIn({ sign: cut }), mismatch);
    const unsigned = (claims: Record<string, unknown>) => rs256(key, claims).replace(/[^.]*$/, '');
    assert.equal(await logIn({ sign: unsigned }), mismatch);
    await using stranger = await startHostile();
    assert.equal(await logIn({ sign: (claims) => rs256(stranger.key, claims) }), mismatch);
    const unknown = (claims: Record<string, unknown>) => rs256(key, claims, { alg: 'RS256', kid: 'new' });
    assert.equal(await logIn({ sign: unknown }), mismatch);
    const embedded = (claims: Record<string, unknown>) =>
      rs256(stranger.key, claims, { alg: 'RS256', jwk: { kty: 'RSA' }, jku: `${stranger.issuer}/jwks` });
    assert.equal(await logIn({ sign: embedded }), mismatch);
    assert.equal(stranger.asked.size, 0, 'keys come from where the provider said');
  });

  test('claims about somebody else, or of one place for the other', async () => {
    assert.equal(await logIn({ userinfo: { sub: 'somebody else' } }), mismatch);
    const email = { email: 'owner@corp.example' };
    const owner = { name: 'owner', ...email };
    assert.equal((await it.world.call(it.root, 'POST', '/users', owner)).status, 201);
    const pair = { claims: email, userinfo: { email: 'mallory@corp.example', email_verified: true } };
    const fields = { linkByEmail: true, createUsers: false };
    assert.equal(await logIn(pair, fields), '/login?problem=notAllowed', 'another address was verified');
    assert.equal(
      await logIn({ claims: email, userinfo: { ...email, email_verified: true } }, fields),
      '/login?problem=notAllowed',
    );
    assert.equal(await logIn({ userinfo: { ...email, email_verified: true } }, fields), '/');
  });

  test('answers that are too large, too slow, or lead elsewhere', async () => {
    const large = (path: string) => (asked: string, response: ServerResponse) => {
      if (asked !== path) return false;
      response.setHeader('content-type', 'application/json');
      // Sent on and on, without a length.
      const more = (): void => {
        if (!response.destroyed) response.write('"' + 'x'.repeat(65_536) + '",', () => setImmediate(more));
      };
      response.write('{"a":[');
      more();
      return true;
    };
    const redirect = (path: string) => (asked: string, response: ServerResponse) => {
      if (asked !== path) return false;
      response.writeHead(302, { location: `${hostile.issuer}/elsewhere` }).end();
      return true;
    };
    for (const path of ['/.well-known/openid-configuration', '/token', '/jwks', '/userinfo']) {
      assert.equal(await logIn({ instead: large(path) }), unreachable, path);
      assert.equal(await logIn({ instead: redirect(path) }), unreachable, path);
    }
    assert.equal(hostile.asked.get('/elsewhere'), undefined, 'no redirect is followed');
    const dripping = (asked: string, response: ServerResponse) => {
      if (asked !== '/token') return false;
      response.setHeader('content-type', 'application/json');
      const timer = setInterval(() => response.write(' '), 200);
      response.on('close', () => clearInterval(timer));
      return true;
    };
    const begun = performance.now();
    assert.equal(await logIn({ instead: dripping }), unreachable);
    const took = performance.now() - begun;
    assert.ok(took > 4000 && took < 60_000, `${took} ms`);
  });

  test('answers that are none', async () => {
    const answering = (path: string, status: number, type: string, body: string) => ({
      instead: (asked: string, response: ServerResponse) => {
        if (asked !== path) return false;
        response.writeHead(status, { 'content-type': type }).end(body);
        return true;
      },
    });
    const discovery = '/.well-known/openid-configuration';
    assert.equal(await logIn(answering(discovery, 500, 'text/html', '<h1>')), unreachable);
    assert.equal(await logIn(answering(discovery, 200, 'text/html', '<h1>')), unreachable);
    assert.equal(await logIn(answering(discovery, 200, 'application/json', 'null')), mismatch);
    assert.equal(await logIn(answering('/token', 200, 'application/json', '{"access_token":')), unreachable);
    const refusal = '{"error":"invalid_client","error_description":"the secret is 123"}';
    assert.equal(await logIn(answering('/token', 401, 'application/json', refusal)), '/login?problem=providerRefused');
    const last = it.world.logged.at(-1)!;
    assert.match(last, /the provider answered invalid_client/);
    assert.ok(!last.includes('123'), 'what else it says is not repeated');
  });

  test('a configuration that names others', async () => {
    assert.equal(await logIn({ metadata: { issuer: 'https://login.example.com' } }), mismatch);
    assert.equal(await logIn({ metadata: { issuer: `${hostile.issuer}/other` } }), mismatch);
    for (const address of ['http://192.0.2.1/token', 'file:///etc/passwd', 'javascript:alert(1)']) {
      assert.match(await logIn({ metadata: { token_endpoint: address } }), /problem=(mismatch|providerUnreachable)$/);
      const before = hostile.asked.get('/authorize');
      assert.match(
        await logIn({ metadata: { authorization_endpoint: address } }),
        /^\/login\?problem=(mismatch|providerUnreachable)$/,
      );
      assert.equal(hostile.asked.get('/authorize'), before);
    }
    assert.equal(await logIn({ metadata: { authorization_endpoint: undefined } }), unreachable);
    assert.equal(await logIn({ metadata: { authorization_response_iss_parameter_supported: true } }), mismatch);
    assert.equal(await logIn({ answer: { iss: 'https://login.example.com' } }), mismatch);
    assert.equal(
      await logIn({ answer: { error: 'server_error', error_description: '<b>' } }),
      '/login?problem=providerRefused',
    );
  });

  test('is asked once for many who begin at the same time, and left alone for a while where it fails', async () => {
    assert.equal(await logIn(), '/');
    const discovery = '/.well-known/openid-configuration';
    const start = async (): Promise<string> =>
      (await it.world.send('GET', `/login/oidc/${id}/start`)).headers.location!;
    const asked = (): number => hostile.asked.get(discovery) ?? 0;
    const count = asked();
    it.world.now += 599_000;
    await Promise.all(Array.from({ length: 50 }, start));
    assert.equal(asked(), count, 'it is still known');
    it.world.now += 2000;
    await Promise.all(Array.from({ length: 50 }, start));
    assert.equal(asked(), count + 1);
    it.world.now += 601_000;
    hostile.instead = (path, response) => {
      if (path !== discovery) return false;
      response.writeHead(503).end();
      return true;
    };
    for (let i = 0; i < 5; i++) {
      const answers = await Promise.all(Array.from({ length: 10 }, start));
      assert.deepEqual(new Set(answers), new Set(['/login?problem=providerUnreachable']));
    }
    assert.equal(asked(), count + 2);
    hostile.instead = undefined;
    it.world.now += 10_001;
    assert.match(await start(), /\/authorize\?/);
  });

  test('cannot be asked on and on by who has no login there', async () => {
    assert.equal(await logIn(), '/');
    hostile.instead = (path, response) => {
      if (path !== '/token') return false;
      response.writeHead(400, { 'content-type': 'application/json' }).end('{"error":"invalid_grant"}');
      return true;
    };
    const before = hostile.asked.get('/token') ?? 0;
    const ends: string[] = [];
    for (let i = 0; i < 25; i++) ends.push(await new Browser(it.world).logIn(id));
    assert.equal(ends.at(-1), '/login?problem=tooManyRequests');
    assert.ok((hostile.asked.get('/token') ?? 0) - before <= 20);
  });
});

test('logins lead to pages of this service only', async () => {
  await using it = await oidcWorld({}, { createUsers: true });
  const { world, provider, id } = it;
  provider.accounts.set('s', {});
  provider.user = 's';
  const elsewhere = [
    '//evil.example',
    '/\\evil.example',
    '\\\\evil.example',
    '/\t/evil.example',
    '/\n/evil.example',
    '/%09/evil.example\r\nset-cookie: a=b',
    'https://evil.example',
    'https:evil.example',
    'javascript:alert(1)',
    'evil',
    '',
    ' /x',
    '/.//evil.example',
    '/x/..//evil.example',
    '/./\\evil.example',
    '/%2e//evil.example',
    '/\u0000',
    '/é',
    '/\u202e',
    `/${'x'.repeat(1000)}`,
    '/login/oidc/x/start',
    '/login',
  ];
  for (const path of elsewhere) assert.equal(returnPath(path), '/', JSON.stringify(path));
  assert.equal(returnPath(null), '/');
  for (const path of ['/', '/devices', '/users?search=a%2Fb&page=2#top', '/%2F%2Fevil.example', '/a//b', '/%5Cevil']) {
    assert.equal(returnPath(path), path);
  }
  for (const path of ['//evil.example', '/\\evil.example', 'https://evil.example', '/x/..//evil.example']) {
    const browser = new Browser(world);
    const callback = await browser.upToCallback(id, `?return=${encodeURIComponent(path)}`);
    const { headers } = await world.send('GET', callback.pathname + callback.search, {
      headers: { cookie: `sallyport-oidc=${browser.cookie('sallyport-oidc')!}` },
    });
    assert.equal(headers.location, '/');
  }
});
