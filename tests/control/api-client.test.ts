import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { ApiClient, ApiProblem, ApiUnreachable, apiPath, routes, type RouteContract } from '@sallyport/api';
import { makeSelfSigned } from '../../packages/control/src/tls/self-signed.ts';
import { apiWorld, PASSWORD } from './api-world.ts';

let world: Awaited<ReturnType<typeof apiWorld>>;
before(async () => {
  world = await apiWorld();
});
after(() => world[Symbol.asyncDispose]());

test('problems come as errors that say what to do', async () => {
  const error = await world
    .client()
    .call(routes.logIn, { body: { name: 'root', password: 'wrong' } })
    .then(() => undefined)
    .catch((reason: unknown) => reason);
  assert.ok(error instanceof ApiProblem);
  assert.equal(error.problem.code, 'loginFailed');
  assert.equal(error.message, error.problem.detail);
});

test('a server that is none, or is not there, is unreachable', async () => {
  const nobody = new ApiClient({ url: 'http://127.0.0.1:1' });
  await assert.rejects(nobody.call(routes.getMe, {}), ApiUnreachable);
  assert.throws(() => new ApiClient({ url: 'ftp://x' }), ApiUnreachable);
  const small = new ApiClient({ url: `http://127.0.0.1:${world.port}`, token: world.root, maxAnswerBytes: 10 });
  await assert.rejects(small.call(routes.getMe, {}), /too large/);
});

test('paths and queries are encoded', () => {
  const contract = routes.getUser as unknown as RouteContract;
  assert.equal(apiPath(contract, { params: { userId: '../a/b?c' } }), '/api/v1/users/..%2Fa%2Fb%3Fc');
  const list = routes.listUsers as unknown as RouteContract;
  assert.equal(
    apiPath(list, { query: { search: 'a&b=c', limit: 2, after: undefined } }),
    '/api/v1/users?search=a%26b%3Dc&limit=2',
  );
});

describe('a certificate that no authority signed', () => {
  test('is trusted where it is pinned; another is not, and gets no request', async () => {
    const certificate = makeSelfSigned(['127.0.0.1'], Date.now());
    const requests: string[] = [];
    const listener = world.server.listeners('request')[0] as (...all: unknown[]) => void;
    const server = createServer({ cert: certificate.chain, key: certificate.key.reveal() }, (request, response) => {
      requests.push(request.url ?? '');
      listener(request, response);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const fingerprint = new X509Certificate(certificate.chain).fingerprint256;
    const body = { name: 'root', password: PASSWORD };
    for (const certificateSha256 of [fingerprint, fingerprint.replaceAll(':', '').toLowerCase()]) {
      const client = new ApiClient({ url, certificateSha256 });
      assert.match((await client.call(routes.logIn, { body })).token!, /^sps_/);
    }
    const count = requests.length;
    const wrong = new ApiClient({ url, certificateSha256: 'ab'.repeat(32) });
    await assert.rejects(wrong.call(routes.logIn, { body }), /isn't the one that was pinned/);
    await assert.rejects(new ApiClient({ url }).call(routes.logIn, { body }), ApiUnreachable);
    assert.equal(requests.length, count);
    const byAuthority = new ApiClient({ url, ca: certificate.chain });
    assert.match((await byAuthority.call(routes.logIn, { body })).token!, /^sps_/);
    server.closeAllConnections();
    server.close();
  });
});
