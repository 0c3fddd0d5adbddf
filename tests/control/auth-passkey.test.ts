/** Passkeys, by one in software; and what is tried against them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { routes, type PasskeyRequest } from '@sallyport/api';
import { relyingPartyOf } from '../../packages/control/src/auth/passkeys.ts';
import { apiWorld, codeOf, PASSWORD } from './api-world.ts';
import { onBothDatabases } from './databases.ts';
import { SoftwarePasskey, type Bent, type CreationOptions, type RequestOptions } from './software-passkey.ts';

type World = Awaited<ReturnType<typeof apiWorld>>;
const ORIGIN = 'https://vpn.example.org';

async function addPasskey(world: World, token: string, name = 'laptop'): Promise<SoftwarePasskey> {
  const passkey = new SoftwarePasskey(ORIGIN);
  const client = world.client(token);
  const { challenge, options } = await client.call(routes.beginPasskey);
  await client.call(routes.addPasskey, { body: { challenge, response: passkey.create(options), name } });
  return passkey;
}

const begin = (world: World): Promise<PasskeyRequest> => world.client().call(routes.beginPasskeyLogin);

/** The code of the answer to a login, or `ok`. */
const finish = (world: World, challenge: string, response: Record<string, unknown>): Promise<string> =>
  codeOf(world.client().call(routes.logInWithPasskey, { body: { challenge, response } }));

async function logIn(world: World, passkey: SoftwarePasskey, bent: Bent = {}): Promise<string> {
  const { challenge, options } = await begin(world);
  return finish(world, challenge, passkey.get(options, bent));
}

onBothDatabases('passkeys', ({ create }) => {
  const rates = {
    address: { burst: 1000, perSecond: 1 },
    account: { burst: 1000, perSecond: 1 },
    knownClient: { burst: 1000, perSecond: 1 },
  };
  const open = async (): Promise<World & { alice: string }> => {
    const world = await apiWorld({ url: await create(), identity: { loginRates: rates } });
    return Object.assign(world, { alice: await world.addUser('alice') });
  };

  test('one logs in by itself, as both factors; the password asks for it from then on', async () => {
    await using world = await open();
    const client = world.client(world.alice);
    const asked = await client.call(routes.beginPasskey);
    const creation = asked.options as unknown as CreationOptions;
    assert.equal(creation.rp.id, 'vpn.example.org');
    assert.deepEqual(
      [creation.authenticatorSelection.residentKey, creation.authenticatorSelection.userVerification],
      ['required', 'required'],
    );
    assert.equal(creation.attestation, 'none');
    const passkey = new SoftwarePasskey(ORIGIN);
    const body = { challenge: asked.challenge, response: passkey.create(creation), name: 'phone' };
    const added = await client.call(routes.addPasskey, { body });
    assert.deepEqual([added.name, added.synced, added.lastUsedAt], ['phone', false, null]);
    assert.equal(await codeOf(client.call(routes.addPasskey, { body })), 'invalidRequest', 'replayed');
    assert.ok((await client.call(routes.getMe)).session!.methods.includes('passkey'));
    const again = (await client.call(routes.beginPasskey)).options as unknown as CreationOptions;
    assert.deepEqual(
      again.excludeCredentials.map(({ id }) => id),
      [passkey.id],
    );

    const request = await begin(world);
    const options = request.options as unknown as RequestOptions;
    assert.equal(options.userVerification, 'required');
    assert.deepEqual(options.allowCredentials ?? [], []);
    const login = await world.client().call(routes.logInWithPasskey, {
      body: { challenge: request.challenge, response: passkey.get(options), client: 'firefox' },
    });
    assert.equal(login.user.name, 'alice');
    assert.equal(login.user.hasSecondFactor, true);
    assert.deepEqual((await world.client(login.token!).call(routes.getMe)).session!.methods, ['passkey']);
    const [listed] = (await client.call(routes.getMySecondFactors)).passkeys;
    assert.equal(listed.lastUsedAt, new Date(world.now).toISOString());

    const byPassword = await world.call(undefined, 'POST', '/login', { name: 'alice', password: PASSWORD });
    assert.equal(byPassword.body['code'], 'secondFactorRequired');
    assert.deepEqual(byPassword.body['methods'], ['passkey']);
    const { recoveryCodes } = await client.call(routes.createRecoveryCodes);
    const recovered = { name: 'alice', password: PASSWORD, code: recoveryCodes[0] };
    assert.equal((await world.call(undefined, 'POST', '/login', recovered)).status, 200);
    const actions = (await world.audit()).map(({ action }) => action);
    for (const action of ['passkey.add', 'recoveryCodes.create', 'login.succeed']) assert.ok(actions.includes(action));
  });

  test('by cookie only for pages of the service', async () => {
    await using world = await open();
    const passkey = await addPasskey(world, world.alice);
    const send = async (origin: string) => {
      const { challenge, options } = await begin(world);
      return world.send('POST', '/api/v1/login/passkey', {
        headers: { 'content-type': 'application/json', host: `127.0.0.1:${world.port}`, origin },
        body: JSON.stringify({ challenge, response: passkey.get(options), cookie: true }),
      });
    };
    assert.equal((await send('https://evil.example')).status, 403);
    const answer = await send(`http://127.0.0.1:${world.port}`);
    assert.equal(answer.status, 200);
    assert.equal(answer.body['token'], null);
    assert.match(String(answer.body['csrfToken']), /^[\w-]{43}$/);
    assert.match(answer.headers['set-cookie']![0], /^sallyport=sps_.*HttpOnly; SameSite=Strict/);
  });

  test('what is not as it should be logs nobody in, with one answer', async () => {
    await using world = await open();
    const passkey = await addPasskey(world, world.alice);
    await addPasskey(world, await world.addUser('bob'));
    const bob = await world.services.store.db
      .selectFrom('user')
      .select('id')
      .where('name', '=', 'bob')
      .executeTakeFirstOrThrow();
    const bents: [string, Bent][] = [
      ['a page of another origin', { origin: 'https://evil.example' }],
      ['a neighbour', { origin: 'https://www.vpn.example.org' }],
      ['without TLS', { origin: 'http://vpn.example.org' }],
      ['another relying party', { rpId: 'evil.example' }],
      ['nobody verified', { userVerified: false }],
      ['a creation', { type: 'webauthn.create' }],
      ['another challenge', { challenge: Buffer.alloc(32, 1).toString('base64url') }],
      ["another's name", { userHandle: Buffer.from(bob.id).toString('base64url') }],
      ['no name', { userHandle: null }],
    ];
    for (const [what, bent] of bents) assert.equal(await logIn(world, passkey, bent), 'loginFailed', what);
    assert.equal(await logIn(world, passkey), 'ok');
    // Of nobody here; and with another's key under this id.
    assert.equal(await logIn(world, new SoftwarePasskey(ORIGIN)), 'loginFailed');
    const { challenge, options } = await begin(world);
    const forged = { ...new SoftwarePasskey(ORIGIN).get(options), id: passkey.id, rawId: passkey.id };
    assert.equal(await finish(world, challenge, forged), 'loginFailed');
    for (const response of [{}, { id: passkey.id }, { id: 1, response: null }, { id: passkey.id, response: [] }]) {
      assert.equal(await finish(world, (await begin(world)).challenge, response), 'loginFailed');
    }
    const log = await world.audit();
    assert.ok(log.some(({ action, all }) => action === 'login.fail' && all.includes('passkey')));
  });

  test('an assertion counts once, though many come at once, and however its challenge is written', async () => {
    await using world = await open();
    // One that doesn't count its uses: its counter tells nothing.
    const passkey = new SoftwarePasskey(ORIGIN);
    const client = world.client(world.alice);
    const asked = await client.call(routes.beginPasskey);
    const created = passkey.create(asked.options, { counter: 0 });
    await client.call(routes.addPasskey, { body: { challenge: asked.challenge, response: created, name: 'key' } });
    const { challenge, options } = await begin(world);
    const response = passkey.get(options, { counter: 0 });
    const answers = await Promise.all(Array.from({ length: 5 }, () => finish(world, challenge, response)));
    assert.deepEqual(answers.sort(), ['loginFailed', 'loginFailed', 'loginFailed', 'loginFailed', 'ok']);
    for (const written of [`${challenge}=`, `${challenge}\n`, ` ${challenge}`, challenge.replaceAll('-', '+')]) {
      assert.equal(await finish(world, written, response), 'loginFailed');
    }
    assert.equal(await logIn(world, passkey, { counter: 0 }), 'ok');
  });

  test('a counter that does not grow is a copy', async () => {
    await using world = await open();
    const passkey = await addPasskey(world, world.alice);
    assert.equal(await logIn(world, passkey, { counter: 10 }), 'ok');
    assert.equal(await logIn(world, passkey, { counter: 10 }), 'loginFailed');
    assert.equal(await logIn(world, passkey, { counter: 3 }), 'loginFailed');
    assert.equal(await logIn(world, passkey, { counter: 0 }), 'loginFailed');
    assert.equal(await logIn(world, passkey, { counter: 11 }), 'ok');
  });

  test('a challenge is for its purpose and its session, and ends after five minutes', async () => {
    await using world = await open();
    const passkey = await addPasskey(world, world.alice);
    const client = world.client(world.alice);
    const late = await begin(world);
    const login = await begin(world);
    const stepUp = (await client.call(routes.beginStepUp)).passkey!;
    const creation = await client.call(routes.beginPasskey);
    assert.equal(await finish(world, stepUp.challenge, passkey.get(stepUp.options)), 'loginFailed');
    assert.equal(
      await finish(world, creation.challenge, passkey.get({ ...login.options, ...creation.options })),
      'loginFailed',
    );
    assert.equal(await finish(world, `${login.challenge.slice(0, -4)}AAAA`, passkey.get(login.options)), 'loginFailed');
    assert.equal(await finish(world, 'nonsense', passkey.get(login.options)), 'loginFailed');
    const prove = (token: string, challenge: string, response: Record<string, unknown>) =>
      codeOf(world.client(token).call(routes.stepUp, { body: { passkey: { challenge, response } } }));
    assert.equal(await prove(world.alice, login.challenge, passkey.get(login.options)), 'loginFailed');
    const made = {
      challenge: login.challenge,
      response: new SoftwarePasskey(ORIGIN).create(creation.options),
      name: 'x',
    };
    assert.equal(await codeOf(client.call(routes.addPasskey, { body: made })), 'invalidRequest');
    // The session that asked is the one that answers.
    const bob = await world.addUser('bob');
    const bobs = await addPasskey(world, bob);
    assert.equal(await prove(bob, stepUp.challenge, passkey.get(stepUp.options)), 'loginFailed');
    const foreign = (await world.client(bob).call(routes.beginStepUp)).passkey!;
    assert.equal(await prove(bob, foreign.challenge, passkey.get(foreign.options)), 'loginFailed', "another's passkey");
    assert.equal(await prove(bob, foreign.challenge, bobs.get(foreign.options, { userHandle: null })), 'ok');
    const third = {
      challenge: creation.challenge,
      response: new SoftwarePasskey(ORIGIN).create(creation.options),
      name: 'x',
    };
    assert.equal(await codeOf(world.client(bob).call(routes.addPasskey, { body: third })), 'invalidRequest');
    world.now += 300_000;
    assert.equal(await finish(world, late.challenge, passkey.get(late.options)), 'loginFailed');
    assert.equal(await codeOf(client.call(routes.addPasskey, { body: third })), 'invalidRequest');
  });

  test('new ones are checked as well, and belong to one user', async () => {
    await using world = await open();
    const client = world.client(world.alice);
    const add = async (passkey: SoftwarePasskey, bent: Bent = {}, token = world.alice) => {
      const { challenge, options } = await world.client(token).call(routes.beginPasskey);
      const body = { challenge, response: passkey.create(options, bent), name: 'x' };
      return codeOf(world.client(token).call(routes.addPasskey, { body }));
    };
    const passkey = new SoftwarePasskey(ORIGIN);
    for (const bent of [
      { origin: 'https://evil.example' },
      { rpId: 'evil.example' },
      { userVerified: false },
      { type: 'webauthn.get' },
      { challenge: 'AAAA' },
    ]) {
      assert.equal(await add(passkey, bent), 'invalidRequest', JSON.stringify(bent));
    }
    assert.equal(await add(passkey), 'ok');
    assert.equal(await add(passkey), 'conflict');
    assert.equal(await add(passkey, {}, await world.addUser('bob')), 'conflict');
    for (let i = 1; i < 20; i++) assert.equal(await add(new SoftwarePasskey(ORIGIN)), 'ok');
    assert.equal(await codeOf(client.call(routes.beginPasskey)), 'limitReached');
    const kept = await world.services.store.db.selectFrom('passkey').select('transports').executeTakeFirst();
    assert.equal(kept!.transports, '["internal"]', 'words that are known');
  });

  test('who is disabled or expired has the answer of who is unknown', async () => {
    await using world = await open();
    const passkey = await addPasskey(world, world.alice);
    const answer = async (one: SoftwarePasskey) => {
      const { challenge, options } = await begin(world);
      return (await world.call(undefined, 'POST', '/login/passkey', { challenge, response: one.get(options) })).text;
    };
    const unknown = await answer(new SoftwarePasskey(ORIGIN));
    const root = world.client(world.root);
    const change = (body: object, ifMatch: number) =>
      root.call(routes.updateUser, { params: { userId: 'alice' }, body, ifMatch });
    await change({ disabled: true }, 1);
    assert.equal(await answer(passkey), unknown);
    await change({ disabled: false, expiresAt: new Date(world.now - 1).toISOString() }, 2);
    assert.equal(await answer(passkey), unknown);
    await change({ expiresAt: null }, 3);
    assert.equal(await logIn(world, passkey), 'ok');
  });

  test('have names; to remove one ends the other sessions; the last stays where a group demands one', async () => {
    await using world = await open();
    const first = await addPasskey(world, world.alice, 'first');
    world.now += 1000;
    await addPasskey(world, world.alice, 'second');
    const client = world.client(world.alice);
    const [one, two] = (await client.call(routes.getMySecondFactors)).passkeys;
    assert.deepEqual([one.name, two.name], ['first', 'second']);
    const renamed = await client.call(routes.renamePasskey, { params: { passkeyId: one.id }, body: { name: 'old' } });
    assert.equal(renamed.name, 'old');
    const bob = await world.addUser('bob');
    const remove = (token: string, passkeyId: string) =>
      codeOf(world.client(token).call(routes.removePasskey, { params: { passkeyId } }));
    assert.equal(await remove(bob, one.id), 'notFound');
    const foreign = { params: { passkeyId: one.id }, body: { name: 'mine' } };
    assert.equal(await codeOf(world.client(bob).call(routes.renamePasskey, foreign)), 'notFound');
    const { challenge, options } = await begin(world);
    const login = { body: { challenge, response: first.get(options) } };
    const { token } = await world.client().call(routes.logInWithPasskey, login);
    assert.equal(await remove(world.alice, one.id), 'ok');
    assert.equal((await world.call(token!, 'GET', '/me')).status, 401);
    assert.equal(await logIn(world, first), 'loginFailed');
    const group = { params: { groupId: 'everyone' }, body: { requireSecondFactor: true } };
    await world.client(world.root).call(routes.updateGroup, { ...group, ifMatch: 1 });
    assert.equal(await remove(world.alice, two.id), 'conflict');
  });
});

test('tries are limited by address, and a right one costs nothing', async () => {
  await using world = await apiWorld();
  const passkey = await addPasskey(world, world.root);
  for (let i = 0; i < 25; i++) assert.equal(await logIn(world, passkey), 'ok');
  const answers: string[] = [];
  for (let i = 0; i < 25; i++) answers.push(await logIn(world, passkey, { userVerified: false }));
  assert.equal(answers.filter((answer) => answer === 'loginFailed').length, 20);
  assert.equal(await logIn(world, passkey), 'tooManyRequests');
});

describe('the relying party', () => {
  const near = { address: '127.0.0.1', secure: false, loopback: true };
  const far = { address: '203.0.113.1', secure: true, loopback: false };
  test('is the name in the public URL, by https; localhost on the machine itself; never an address', () => {
    const named = { id: 'vpn.example.org', origin: 'https://vpn.example.org:8443' };
    assert.deepEqual(relyingPartyOf('https://vpn.example.org:8443', far, 'evil.example'), named);
    assert.deepEqual(relyingPartyOf('https://vpn.example.org:8443', near, 'localhost:8443'), named);
    assert.equal(relyingPartyOf('http://vpn.example.org', far, 'vpn.example.org'), undefined);
    const local = { id: 'localhost', origin: 'http://localhost:8080' };
    for (const url of ['http://127.0.0.1:8080', 'http://[::1]:8080', 'http://localhost:8080', 'https://192.0.2.1']) {
      assert.deepEqual(relyingPartyOf(url, near, 'localhost:8080'), local, url);
      assert.equal(relyingPartyOf(url, near, '127.0.0.1:8080'), undefined, url);
      assert.equal(relyingPartyOf(url, near, undefined), undefined, url);
      assert.equal(relyingPartyOf(url, far, 'localhost:8080'), undefined, url);
    }
    assert.deepEqual(relyingPartyOf('https://127.0.0.1', { ...near, secure: true }, 'localhost'), {
      id: 'localhost',
      origin: 'https://localhost',
    });
  });

  test('is said before the login', async () => {
    await using world = await apiWorld({ setUp: false });
    const methods = await world.client().call(routes.listSignInMethods);
    assert.deepEqual(methods, { setupNeeded: true, passkeys: true, providers: [] });
  });
});
