import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { allRoutes, PERMISSIONS, route, routes, TOKEN_SCOPES, type RouteContract } from '@sallyport/api';
import { implement, type RouteImplementation } from '../../packages/control/src/http/implement.ts';
import { checkDeclarations } from '../../packages/control/src/http/declarations.ts';
import { newPublicKey } from './access-world.ts';
import { apiWorld } from './api-world.ts';

/** Whoever adds a route that needs no login adds it here, too. */
const publicRoutes = [
  'acceptInvitation',
  'logIn',
  'setUp',
  'readEgressLink',
  'listSignInMethods',
  'beginPasskeyLogin',
  'logInWithPasskey',
  'startDeviceAuthorization',
  'redeemDeviceAuthorization',
];

let world: Awaited<ReturnType<typeof apiWorld>>;
let alice = '';
before(async () => {
  world = await apiWorld();
  alice = await world.addUser('alice');
});
after(() => world[Symbol.asyncDispose]());

/** With parameters that are nobody's and a body of the wrong kind: what is permitted is refused for that, and changes nothing. */
async function send(
  contract: RouteContract,
  token: string | undefined,
  params: Readonly<Record<string, string | undefined>> = {},
) {
  const path = contract.path.replace(/\{(\w+)\}/g, (_, name: string) => params[name] ?? 'nothing');
  if (contract.mediaType === 'text/event-stream') return beginStream(path, token);
  return world.call(token, contract.method, path, contract.body === undefined ? undefined : []);
}

/** An answer that would not end by itself. */
async function beginStream(path: string, token: string | undefined) {
  const answer = await fetch(`http://127.0.0.1:${world.port}/api/v1${path}`, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
  const { status, headers } = answer;
  if (status === 200) {
    await answer.body!.cancel();
    return { status, text: '', body: {}, headers: Object.fromEntries(headers) };
  }
  const text = await answer.text();
  return { status, text, body: JSON.parse(text) as Record<string, unknown>, headers: Object.fromEntries(headers) };
}

test('no route is public by oversight', () => {
  const found = allRoutes.filter(({ permission }) => permission === 'public').map(({ id }) => id);
  assert.deepEqual(
    found.filter((id) => !publicRoutes.includes(id)),
    [],
  );
});

for (const contract of allRoutes) {
  const { id, method, path, permission } = contract;
  describe(`${method} ${path} (${id})`, () => {
    if (permission === 'public') {
      test('is served without a login', async () => {
        const { status, body } = await send(contract, undefined);
        assert.ok(status !== 403 && body['code'] !== 'loginRequired', `${status}`);
      });
      return;
    }
    const isOwn = permission === 'self' || permission === 'enrol';
    test('is refused without a login, or with one that is none', async () => {
      for (const token of [undefined, 'nonsense', `sps_${'A'.repeat(43)}`, `spt_${'A'.repeat(43)}`]) {
        const { status, body, headers } = await send(contract, token);
        assert.equal(status, 401);
        assert.equal(body['code'], 'loginRequired');
        assert.equal(headers['www-authenticate'], 'Bearer realm="sallyport"');
      }
    });
    test('is refused with every permission but the right one', async () => {
      const others = TOKEN_SCOPES.filter((scope) => scope !== permission && !(isOwn && scope === 'self'));
      const { status, body } = await send(contract, await world.addToken(world.root, others));
      assert.equal(status, 403);
      assert.equal(body['code'], 'forbidden');
      if (!isOwn) assert.equal((await send(contract, alice)).status, 403);
      await world.services.store.db.deleteFrom('api_token').execute();
    });
    test('is served with the right permission alone', async () => {
      const token = isOwn ? alice : await world.addToken(world.root, [permission]);
      const { status, text } = await send(contract, token);
      assert.ok(status < 500 && status !== 401 && status !== 403, `${status} ${text}`);
      if (contract.body !== undefined) assert.equal(status, 400);
      await world.services.store.db.deleteFrom('api_token').execute();
      if (id === 'logOut' || id === 'endMyOtherSessions') alice = await world.logIn('alice');
    });
  });
}

test('an auditor may read everything and change nothing', async () => {
  const auditor = await world.addUser('auditor', 'auditor');
  for (const contract of allRoutes.filter(({ permission }) =>
    (PERMISSIONS as readonly string[]).includes(permission),
  )) {
    const { status } = await send(contract, auditor);
    if (contract.permission.endsWith(':read')) assert.notEqual(status, 403, contract.id);
    else assert.equal(status, 403, contract.id);
  }
});

/** Whoever lets clients call another route adds it here, too; the daemon calls each of them. */
const clientRoutes = [
  'logOut',
  'addMyDevice',
  'getMyDevice',
  'removeMyDevice',
  'getClientConfiguration',
  'advertiseNetworks',
];

describe('a client’s session', () => {
  /** That was let in by an administrator, who may do everything, and made a device. */
  const letIn = async (): Promise<{ token: string; deviceId: string }> => {
    const root = world.client(await world.logIn('root'));
    const { userCode, deviceCode } = await world
      .client()
      .call(routes.startDeviceAuthorization, { body: { client: 'laptop' } });
    await root.call(routes.decideDeviceAuthorization, { params: { userCode }, body: { decision: 'approve' } });
    const answer = await world.client().call(routes.redeemDeviceAuthorization, { body: { deviceCode } });
    assert.ok(answer.state === 'approved');
    const { token } = answer;
    const body = { name: randomUUID(), publicKey: newPublicKey() };
    const { id: deviceId } = await world.client(token).call(routes.addMyDevice, { body });
    return { token, deviceId };
  };

  test('reaches what its contracts mark, and nothing else', async () => {
    let { token, deviceId } = await letIn();
    const reached: string[] = [];
    for (const contract of allRoutes.filter(({ permission }) => permission !== 'public')) {
      const { status, body } = await send(contract, token, { deviceId });
      assert.ok(status < 500 && status !== 401, `${contract.id}: ${status}`);
      if (status !== 403) reached.push(contract.id);
      else assert.match(String(body['detail']), /session of a Sallyport client/, contract.id);
      if (contract.id === 'logOut') ({ token, deviceId } = await letIn());
    }
    assert.deepEqual(
      reached,
      allRoutes.filter(({ client }) => client === true).map(({ id }) => id),
    );
    assert.deepEqual(reached.sort(), clientRoutes.sort());
  });

  test('reaches what the daemon calls, all of it and no more', () => {
    const folder = join(import.meta.dirname, '../../apps/clientd/src');
    const sources = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
    const called = sources.flatMap((name) =>
      [...readFileSync(join(folder, name), 'utf8').matchAll(/\broutes\.(\w+)/g)].map(([, id]) => id),
    );
    const needed = allRoutes.filter(({ id, permission }) => permission !== 'public' && called.includes(id));
    assert.deepEqual(needed.map(({ id }) => id).sort(), clientRoutes.sort());
  });
});

describe('declarations', () => {
  const a = route({ id: 'a', method: 'GET', path: '/a', summary: '', permission: 'self', tag: 't' });
  const serve = (contract: RouteContract): RouteImplementation => implement(contract, () => Promise.resolve(undefined));
  const contract = a;

  const faulty: [string, readonly RouteContract[], readonly RouteImplementation[], RegExp][] = [
    ['a contract without a function', [contract], [], /a is not implemented/],
    ['a function without a contract', [], [serve(contract)], /no contract/],
    ['two functions for one', [contract], [serve(contract), serve(contract)], /twice/],
    ['no permission', [{ ...contract, permission: undefined } as unknown as RouteContract], [], /no permission/],
    [
      'a permission that there is not',
      [{ ...contract, permission: 'all' } as unknown as RouteContract],
      [],
      /no permission/,
    ],
    [
      'a route for clients that needs a permission',
      [{ ...contract, permission: 'users:read', client: true }],
      [],
      /a is for clients, which have no permission/,
    ],
    ['two routes at one place', [contract, { ...contract, id: 'b' }], [], /two contracts are at GET \/a/],
    ['two routes with one id', [contract, { ...contract, path: '/b' }], [], /two contracts have the id a/],
    ['a parameter that is not declared', [{ ...contract, path: '/{x}' }], [], /parameters x in its path/],
  ];
  for (const [what, contracts, implementations, message] of faulty) {
    test(`${what} does not start`, () => {
      assert.throws(() => checkDeclarations(contracts, implementations), message);
    });
  }
});
