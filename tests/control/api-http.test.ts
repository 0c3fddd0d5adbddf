/** What happens to a request before it is served, and to its answer. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { allRoutes, route } from '@sallyport/api';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { z } from 'zod';
import { canonicalAddress, clientReader, limitKey } from '../../packages/control/src/http/client-address.ts';
import { ANONYMOUS } from '../../packages/control/src/http/caller.ts';
import { ApiError } from '../../packages/control/src/http/api-error.ts';
import { createApi } from '../../packages/control/src/http/api.ts';
import { implement } from '../../packages/control/src/http/implement.ts';
import { parseStrictJson } from '../../packages/control/src/http/strict-json.ts';
import { RateLimiter } from '../../packages/control/src/http/rate-limiter.ts';
import { apiWorld, PASSWORD } from './api-world.ts';
import { eventually } from './hub-world.ts';

let world: Awaited<ReturnType<typeof apiWorld>>;
before(async () => {
  world = await apiWorld();
});
after(() => world[Symbol.asyncDispose]());

const json = { 'content-type': 'application/json' };

/** Sends bytes as they are and reads all that comes until the connection ends. */
async function raw(port: number, ...parts: readonly (string | number)[]): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  socket.on('error', () => undefined);
  const closed = once(socket, 'close');
  for (const part of parts) {
    if (typeof part === 'number') await sleep(part);
    else socket.write(part);
  }
  await closed;
  return text;
}

describe('addresses and methods', () => {
  test('what is nowhere is 404, what takes other methods 405 with Allow', async () => {
    for (const path of ['/api', '/api/v1', '/api/v1/nothing', '/api/v1/users/a/b/c', '/api/v2/users', '/.env']) {
      const answer = await world.send('GET', path, { token: world.root });
      assert.equal(answer.status, 404, path);
      assert.equal(answer.body['code'], 'notFound');
    }
    const { status, headers, body } = await world.call(world.root, 'PUT', '/users', {});
    assert.equal(status, 405);
    assert.equal(headers['allow'], 'GET, POST');
    assert.equal(body['code'], 'methodNotAllowed');
    assert.equal((await world.send('POST', '/healthz')).status, 405);
    assert.equal((await world.send('OPTIONS', '/api/v1/users')).status, 405);
  });

  test('HEAD answers what GET does, without a body', async () => {
    const answer = await world.send('HEAD', '/api/v1/users', { token: world.root });
    assert.equal(answer.status, 200);
    assert.equal(answer.text, '');
  });

  test('every answer keeps browsers from keeping, guessing and framing it', async () => {
    for (const path of ['/api/v1/users', '/api/v1/nothing', '/healthz', '/setup', '/api/openapi.json']) {
      const { headers } = await world.send('GET', path, { token: world.root });
      assert.equal(headers['cache-control'], 'no-store', path);
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.equal(headers['referrer-policy'], 'no-referrer');
      assert.match(String(headers['content-security-policy']), /default-src 'none'.*frame-ancestors 'none'/);
      assert.equal(headers['strict-transport-security'], undefined);
      assert.equal(headers['access-control-allow-origin'], undefined);
      assert.equal(headers['x-powered-by'], undefined);
    }
  });
});

describe('bodies', () => {
  const post = (body: string | Buffer, headers: Record<string, string> = json) =>
    world.send('POST', '/api/v1/users', { token: world.root, headers, body });

  test('too large by its own account: refused before it is read', async () => {
    const text = await raw(
      world.port,
      `POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1048577\r\n\r\n`,
    );
    assert.match(text, /^HTTP\/1.1 413 /);
    assert.match(text, /"code":"tooLarge"/);
    assert.match(text, /connection: close/i);
  });

  test('too large without saying so: refused once it is', async () => {
    const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
    const text = await raw(
      world.port,
      'POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n',
      chunk.repeat(20),
    );
    assert.match(text, /^HTTP\/1.1 413 /);
  });

  test('just not too large: read', async () => {
    const body = `{"name":"big","displayName":"${'x'.repeat(1024 * 1024 - 50)}"}`;
    assert.equal((await post(body)).status, 400);
  });

  test('of another kind: 415', async () => {
    for (const type of [
      'text/plain',
      'application/x-www-form-urlencoded',
      'multipart/form-data',
      'application/jsonx',
      '',
    ]) {
      const answer = await post('{}', { 'content-type': type });
      assert.equal(answer.status, 415, type);
    }
    assert.equal((await post('{}', { ...json, 'content-encoding': 'gzip' })).status, 415);
    assert.equal((await post('{}', { 'content-type': 'application/json; charset=utf-8' })).status, 400);
  });

  test('no JSON, no UTF-8, fields twice, __proto__, too deep: 400 that names the fault', async () => {
    const cases: [string | Buffer, RegExp][] = [
      ['', /no JSON/],
      ['{', /no JSON/],
      ['{"name":"a"}}', /no JSON/],
      ['{"name":"a",}', /no JSON/],
      [Buffer.from([0x22, 0xff, 0x22]), /no UTF-8/],
      ['{"name":"a","name":"b"}', /"name" is given twice/],
      ['{"name":"a","n\\u0061me":"b"}', /"name" is given twice/],
      ['{"name":"a","groups":[{"x":1,"x":2}]}', /"x" is given twice/],
      ['{"__proto__":{"role":"administrator"},"name":"a"}', /__proto__/],
      ['{"\\u005f_proto__":{},"name":"a"}', /__proto__/],
      [`${'['.repeat(40)}${']'.repeat(40)}`, /deeper than 32/],
      [`${'{"a":'.repeat(40)}1${'}'.repeat(40)}`, /deeper than 32/],
    ];
    for (const [body, message] of cases) {
      const answer = await post(body);
      assert.equal(answer.status, 400, String(body));
      assert.match(answer.text.replaceAll('\\"', '"'), message);
    }
    assert.equal(({} as Record<string, unknown>)['role'], undefined);
  });

  test('fields named like parts of every object are fields that there are not', async () => {
    const answer = await post('{"name":"a","constructor":{"prototype":{"x":1}},"hasOwnProperty":1}');
    assert.deepEqual((answer.body['faults'] as { at: string }[]).map(({ at }) => at).sort(), [
      '/body/constructor',
      '/body/hasOwnProperty',
    ]);
  });

  test('all faults are named at once, with their places', async () => {
    const body = JSON.stringify({ name: 'No', role: 'king', groups: ['', 7], 'x/~y': 1, expiresAt: 'soon' });
    const answer = await world.send('POST', '/api/v1/users?z=1', { token: world.root, headers: json, body });
    assert.deepEqual((answer.body['faults'] as { at: string }[]).map(({ at }) => at).sort(), [
      '/body/expiresAt',
      '/body/groups/0',
      '/body/groups/1',
      '/body/name',
      '/body/role',
      '/body/x~1~0y',
      '/query/z',
    ]);
  });

  test('texts that no database takes are refused', async () => {
    for (const displayName of ['a\0b', '\ud800', '\udc00x']) {
      assert.equal((await post(JSON.stringify({ name: 'zero', displayName }))).status, 400);
    }
    assert.equal((await world.call(world.root, 'GET', '/users/%00')).status, 400);
    assert.equal((await world.call(world.root, 'GET', '/users?search=%00')).status, 400);
  });

  test('a token that is pasted into the wrong field is refused, not kept', async () => {
    const pasted = await world.addToken(world.root, ['users:read']);
    for (const body of [
      { name: 'pasted', displayName: `my token is ${pasted}` },
      { name: 'pasted', groups: [pasted] },
    ]) {
      const answer = await post(JSON.stringify(body));
      assert.equal(answer.status, 400);
      assert.ok(!answer.text.includes(pasted));
    }
    assert.equal((await world.call(world.root, 'POST', '/login', { name: 'root', password: pasted })).status, 401);
    assert.equal((await world.call(world.root, 'POST', '/login', { name: pasted, password: 'x' })).status, 400);
    await world.services.store.db.deleteFrom('api_token').execute();
  });

  test('strict JSON takes what JSON is', () => {
    for (const text of [
      '{"a":{"a":[{"a":1},{"a":2}]},"b":"a\\"b{[,"}',
      '["a","a",{"x":"}"},{"x":"{"}]',
      '"\\\\"',
      '{}',
      '[[],[]]',
    ]) {
      assert.deepEqual(parseStrictJson(text), JSON.parse(text));
    }
  });
});

describe('slow clients', () => {
  test('a body that does not come ends its connection, and holds nobody up', async () => {
    const api = world.server.listeners('request')[0] as Parameters<typeof createServer>[1];
    const server = createServer({ requestTimeout: 300, headersTimeout: 300, connectionsCheckingInterval: 50 }, api);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const slow = Array.from({ length: 20 }, () =>
      raw(
        port,
        'POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"na',
      ),
    );
    const half = raw(port, 'GET /healthz HTTP/1.1\r\nHos');
    // That one who says all is answered: it counts for them too, though, how soon the server comes to read.
    await eventually('an answer', async () => (await fetch(`http://127.0.0.1:${port}/healthz`)).status === 200);
    for (const text of await Promise.all([...slow, half])) assert.match(text, /^HTTP\/1.1 408 /);
    server.closeAllConnections();
    server.close();
  });

  test('a client that goes away in the middle leaves nothing behind', async () => {
    const errors = world.logged.filter((line) => line.includes('"level":50')).length;
    const socket = connect(world.port, '127.0.0.1');
    socket.write(
      'POST /api/v1/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"na',
    );
    await sleep(50);
    socket.destroy();
    await sleep(50);
    assert.equal((await world.send('GET', '/healthz')).status, 200);
    assert.equal(world.logged.filter((line) => line.includes('"level":50')).length, errors);
  });
});

describe('headers', () => {
  test('a request cannot put a header into its answer', async () => {
    for (const path of [
      '/users/a%0d%0aset-cookie:%20x=1',
      '/users?search=%0d%0aset-cookie:%20x=1',
      '/%0d%0aset-cookie:x=1',
    ]) {
      const { headers, status } = await world.call(world.root, 'GET', path);
      assert.equal(headers['set-cookie'], undefined);
      assert.ok(status < 500);
    }
    const user = await world.call(world.root, 'POST', '/users', { name: 'a\r\nset-cookie: x=1' });
    assert.equal(user.status, 400);
  });

  test('a Host or a target that is none is refused as a problem', async () => {
    for (const head of [
      'GET /healthz HTTP/1.1\r\nHost: a b/c?\r\n',
      'GET http:// HTTP/1.1\r\nHost: x\r\n',
      'GET //[ HTTP/1.1\r\nHost: [\r\n',
    ]) {
      const text = await raw(world.port, `${head}Connection: close\r\n\r\n`);
      assert.match(text, /^HTTP\/1.1 4\d\d /, head);
    }
  });

  test('X-Forwarded-For and -Proto count from trusted proxies only, from the nearest hop on', () => {
    const request = (remoteAddress: string, headers: Record<string, string>) =>
      ({ socket: { remoteAddress }, headers }) as unknown as Parameters<ReturnType<typeof clientReader>>[0];
    const read = clientReader(['10.0.0.0/8', '127.0.0.1', 'fd00::/8']);
    const forwarded = { 'x-forwarded-for': '6.6.6.6, 203.0.113.7, 10.1.2.3', 'x-forwarded-proto': 'https' };
    assert.deepEqual(read(request('10.0.0.1', forwarded)), { address: '203.0.113.7', secure: true, loopback: false });
    assert.deepEqual(read(request('::ffff:10.0.0.1', forwarded)).address, '203.0.113.7');
    assert.deepEqual(read(request('198.51.100.1', forwarded)), {
      address: '198.51.100.1',
      secure: false,
      loopback: false,
    });
    assert.equal(read(request('127.0.0.1', { 'x-forwarded-for': 'evil, 2001:DB8::1' })).address, '2001:db8::1');
    assert.equal(read(request('127.0.0.1', { 'x-forwarded-for': '203.0.113.7, evil' })).address, '127.0.0.1');
    assert.equal(read(request('fd00::1', {})).address, 'fd00::1');
    assert.throws(() => clientReader(['10.0.0.0/33']), /10.0.0.0\/33/);
    assert.throws(() => clientReader(['proxy.example']), /proxy.example/);
  });

  test('by TLS, answers ask browsers to stay with it', async () => {
    await using behindProxy = await apiWorld({ api: { trustedProxies: ['127.0.0.1'] } });
    const { headers } = await behindProxy.send('GET', '/healthz', { headers: { 'x-forwarded-proto': 'https' } });
    assert.equal(headers['strict-transport-security'], 'max-age=31536000');
  });
});

describe('rates', () => {
  test('an address that sends too much waits; others do not', async () => {
    await using limited = await apiWorld({
      setUp: false,
      api: { rate: { burst: 5, perSecond: 1 }, trustedProxies: ['127.0.0.1'] },
    });
    const from = (address: string) => limited.send('GET', '/healthz', { headers: { 'x-forwarded-for': address } });
    for (let i = 0; i < 5; i++) assert.equal((await from(`2001:db8::${i}`)).status, 200);
    const refused = await from('2001:db8::ffff');
    assert.equal(refused.status, 429);
    assert.equal(refused.headers['retry-after'], '1');
    assert.equal((await from('2001:db8:0:1::1')).status, 200);
    assert.equal((await from('192.0.2.1')).status, 200);
    limited.now += 2_000;
    assert.equal((await from('2001:db8::1')).status, 200);
  });

  test('as many addresses as there are take no more memory than is set', () => {
    const limiter = new RateLimiter({ burst: 2, perSecond: 1 }, 100);
    for (let i = 0; i < 10_000; i++) limiter.take(String(i), 0);
    assert.equal(limiter.size, 100);
    assert.equal(limiter.take('9999', 0), 0);
    assert.equal(limiter.take('9999', 0), 1000);
    // A clock that goes back gives no tries.
    assert.ok(limiter.take('9999', -1_000_000) > 0);
  });

  test('an address counts by itself, an IPv6 address by its /64', () => {
    assert.equal(canonicalAddress('::FFFF:192.0.2.1'), '192.0.2.1');
    assert.equal(canonicalAddress('::ffff:c000:201'), '192.0.2.1');
    assert.equal(canonicalAddress('fe80::1%eth0'), 'fe80::1');
    assert.equal(canonicalAddress('1.2.3'), undefined);
    assert.equal(limitKey('2001:db8:1:2:3:4:5:6'), limitKey('2001:db8:1:2::'));
    assert.notEqual(limitKey('2001:db8:1:2::1'), limitKey('2001:db8:1:3::1'));
    assert.notEqual(limitKey('192.0.2.1'), limitKey('192.0.2.2'));
  });
});

describe('versions', () => {
  test('a change needs the version that was seen', async () => {
    const created = await world.call(world.root, 'POST', '/groups', { name: 'versions' });
    assert.equal(created.headers['etag'], '"1"');
    const path = `/groups/${String(created.body['id'])}`;
    const change = { description: 'x' };
    const without = await world.call(world.root, 'PATCH', path, change);
    assert.equal(without.status, 428);
    assert.equal(without.body['code'], 'versionRequired');
    for (const bad of ['1', '"x"', '*', '"1", "2"']) {
      const { status } = await world.send('PATCH', `/api/v1${path}`, {
        token: world.root,
        headers: { ...json, 'if-match': bad },
        body: '{}',
      });
      assert.equal(status, 400, bad);
    }
    const changed = await world.call(world.root, 'PATCH', path, change, 1);
    assert.equal(changed.headers['etag'], '"2"');
    const late = await world.call(world.root, 'PATCH', path, { description: 'y' }, 1);
    assert.equal(late.status, 412);
    assert.equal(late.body['code'], 'versionMismatch');
    assert.equal((await world.call(world.root, 'DELETE', path, undefined, 1)).status, 412);
    assert.equal((await world.call(world.root, 'GET', path)).body['description'], 'x');
    const seen = await world.send('GET', `/api/v1${path}`, {
      token: world.root,
      headers: { 'if-none-match': 'W/"2"' },
    });
    assert.equal(seen.status, 304);
    assert.equal((await world.call(world.root, 'DELETE', path, undefined, 2)).status, 204);
  });

  test('of two changes to one version at once, one is made', async () => {
    const { body } = await world.call(world.root, 'POST', '/groups', { name: 'race' });
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, i) =>
        world.call(world.root, 'PATCH', `/groups/${String(body['id'])}`, { description: String(i) }, 1),
      ),
    );
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 412, 412, 412, 412, 412, 412, 412]);
  });
});

describe('idempotency keys', () => {
  const post = (key: string, body: object, token = world.root, path = '/api/v1/tokens') =>
    world.send('POST', path, { token, headers: { ...json, 'idempotency-key': key }, body: JSON.stringify(body) });
  const body = { name: 'ci', permissions: ['users:read'] };

  test('the same request again gets the same answer, and is done once', async () => {
    const first = await post('key-0123456789abcdef', body);
    const second = await post('key-0123456789abcdef', body);
    assert.equal(first.status, 201);
    assert.equal(second.status, 201);
    assert.equal(second.text, first.text);
    assert.equal(second.headers['idempotency-replayed'], 'true');
    assert.equal(first.headers['idempotency-replayed'], undefined);
    const { items } = (await world.call(world.root, 'GET', '/tokens')).body as { items: unknown[] };
    assert.equal(items.length, 1);
  });

  test('the answer that is kept holds no token that could be read', async () => {
    const { body: created } = await post('key-sealed-0123456789', body);
    const rows = await world.services.store.db.selectFrom('idempotency').selectAll().execute();
    assert.ok(rows.length > 0);
    const kept = JSON.stringify(rows) + rows.map((row) => Buffer.from(row.body, 'base64').toString('latin1')).join();
    assert.ok(!kept.includes(String(created['token']).slice(0, 12)));
  });

  test('another request with the same key is refused', async () => {
    await post('key-mismatch-01234567', body);
    const other = await post('key-mismatch-01234567', { ...body, name: 'other' });
    assert.equal(other.status, 422);
    assert.equal(other.body['code'], 'idempotencyMismatch');
  });

  test('the same key of another session is another key', async () => {
    const first = await post('key-session-012345678', body);
    const second = await post('key-session-012345678', body, await world.logIn('root'));
    assert.notEqual(first.body['token'], second.body['token']);
  });

  test('of many at once one is done; the others wait or get its answer', async () => {
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => post('key-at-once-012345678', { name: 'once' }, world.root, '/api/v1/groups')),
    );
    const made = answers.filter(({ status }) => status === 201);
    assert.ok(made.length >= 1);
    assert.equal(new Set(made.map(({ text }) => text)).size, 1);
    for (const { status, headers } of answers.filter((answer) => answer.status !== 201)) {
      assert.equal(status, 409);
      assert.equal(headers['retry-after'], '1');
    }
  });

  test('a request that failed can be sent again with its key', async () => {
    const group = { name: 'taken' };
    await world.call(world.root, 'POST', '/groups', group);
    const first = await post('key-again-0123456789', group, world.root, '/api/v1/groups');
    assert.equal(first.body['code'], 'nameTaken');
    const { body: found } = await world.call(world.root, 'GET', '/groups/taken');
    await world.call(world.root, 'DELETE', '/groups/taken', undefined, Number(found['version']));
    assert.equal((await post('key-again-0123456789', group, world.root, '/api/v1/groups')).status, 201);
  });

  test('a request that failed after it had made something is not done again', async () => {
    const { store } = world.services;
    const write = store.write.bind(store);
    const group = { name: 'made' };
    // As where what was made can't be read afterwards.
    Object.assign(store, {
      write: async (...made: Parameters<typeof write>) => {
        await write(...made);
        throw new ApiError('unavailable', 'the database went away');
      },
    });
    const first = await post('key-made-0123456789a', group, world.root, '/api/v1/groups');
    Object.assign(store, { write });
    assert.equal(first.status, 503);
    const second = await post('key-made-0123456789a', { ...group }, world.root, '/api/v1/groups');
    assert.deepEqual([second.status, second.body['code']], [409, 'conflict']);
    assert.equal((await world.call(world.root, 'GET', '/groups/made')).status, 200);
  });

  test('a key is forgotten after a day, and is none where it is short or strange', async () => {
    await post('key-day-0123456789abc', body);
    world.now += 24 * 3_600_000 + 61_000;
    const token = await world.logIn('root');
    assert.equal((await post('key-day-0123456789abc', body, token)).status, 201);
    const { count } = await world.services.store.db
      .selectFrom('idempotency')
      .select(({ fn }) => fn.countAll().as('count'))
      .executeTakeFirstOrThrow();
    assert.equal(Number(count), 1);
    for (const key of ['short', 'x'.repeat(200), 'with spaces in between'])
      assert.equal((await post(key, body, token)).status, 400);
    Object.assign(world, { root: token });
  });
});

describe('what goes wrong within', () => {
  const result = z.strictObject({ value: z.string() });
  const contracts = (['fails', 'lies', 'leaks'] as const).map((id) =>
    route({ id, method: 'GET', path: `/${id}`, summary: '', permission: 'public', tag: 't', result }),
  );
  const serve = async (checkResults: boolean) => {
    const lines: string[] = [];
    const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(line) });
    const [fails, lies, leaks] = contracts as [(typeof contracts)[0], (typeof contracts)[0], (typeof contracts)[0]];
    const server = createServer(
      createApi({
        services: { ...world.services, log },
        contracts: contracts,
        implementations: [
          implement(fails, () => Promise.reject(new Error('the password of the database is hunter2'))),
          implement(lies, () => Promise.resolve({ value: 7 } as unknown as { value: string })),
          implement(leaks, () => Promise.resolve({ value: 'x', passwordHash: 'y' })),
        ],
        authenticate: () => Promise.resolve({ caller: ANONYMOUS, secret: '', byCookie: false }),
        metrics: new Registry(),
        readiness: [],
        version: '0',
        checkResults,
      }),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    return {
      lines,
      get: (id: string) => fetch(`http://127.0.0.1:${port}/api/v1/${id}`),
      [Symbol.dispose]: () => {
        server.closeAllConnections();
        server.close();
      },
    };
  };

  test('is said to the log under a number, and to the caller as that number', async () => {
    using served = await serve(true);
    const answer = await served.get('fails');
    assert.equal(answer.status, 500);
    assert.equal(answer.headers.get('content-type'), 'application/problem+json');
    const text = await answer.text();
    assert.doesNotMatch(text, /hunter2|Error|at .*\.ts/);
    const id = answer.headers.get('x-request-id')!;
    assert.ok(text.includes(id));
    assert.ok(served.lines.some((line) => line.includes(id) && line.includes('hunter2')));
  });

  test('an answer that its contract does not allow is not given where answers are checked', async () => {
    using served = await serve(true);
    assert.equal((await served.get('lies')).status, 500);
    assert.equal((await served.get('leaks')).status, 500);
  });
});

describe('health, metrics and the document', () => {
  test('ready says which checks fail, and nothing more', async () => {
    let broken = false;
    await using checked = await apiWorld({
      setUp: false,
      api: {
        readiness: [
          { name: 'store', check: () => Promise.resolve() },
          { name: 'link', check: () => (broken ? Promise.reject(new Error('secret reason')) : Promise.resolve()) },
        ],
      },
    });
    const ready = await checked.send('GET', '/readyz');
    assert.equal(ready.status, 200);
    assert.deepEqual(ready.body, { status: 'ready', checks: { store: 'ok', link: 'ok' } });
    broken = true;
    checked.now += 1000;
    const not = await checked.send('GET', '/readyz');
    assert.equal(not.status, 503);
    assert.deepEqual(not.body, { status: 'notReady', checks: { store: 'ok', link: 'failed' } });
    assert.equal((await checked.send('GET', '/healthz')).status, 200);
  });

  test('metrics need their permission', async () => {
    assert.equal((await world.send('GET', '/metrics')).status, 401);
    const others = await world.addToken(world.root, ['users:read', 'self']);
    assert.equal((await world.send('GET', '/metrics', { token: others })).status, 403);
    const right = await world.addToken(world.root, ['metrics:read']);
    const { status, text } = await world.send('GET', '/metrics', { token: right });
    assert.equal(status, 200);
    assert.match(text, /sallyport_http_request_duration_seconds_count\{method="GET",route="\/users",status="200"\} \d/);
    // Routes are named by their pattern: no id and no name gets into a label.
    assert.doesNotMatch(text, /route="[^"]*root/);
  });

  test('the document is served to everybody', async () => {
    const { status, body } = await world.send('GET', '/api/openapi.json');
    assert.equal(status, 200);
    assert.equal(
      Object.values(body['paths'] as object).flatMap((methods: object) => Object.keys(methods)).length,
      allRoutes.length,
    );
  });

  test('nothing that is secret gets into the log', async () => {
    const session = await world.logIn('root');
    await world.call(session, 'POST', '/login', { name: 'root', password: 'a wrong password' });
    const all = world.logged.join('\n');
    for (const secret of [session, PASSWORD, 'a wrong password']) assert.ok(!all.includes(secret));
  });
});
