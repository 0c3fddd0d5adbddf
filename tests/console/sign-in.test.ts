/** Logging in as people do: by password, code, recovery code, passkey and provider, and what is asked again. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { routes } from '@sallyport/api';
import { Secret, TOTP } from 'otpauth';
import type { Page } from 'playwright-core';
import { t } from '../../apps/console/src/strings/index.ts';
import { startProvider, type TestProvider } from '../control/oidc-provider.ts';
import { callIn, dialog, openPath, rowOf, toast } from './browsing.ts';
import { ADMINISTRATOR, closeBrowser, consoleWorld, type ConsoleWorld } from './console-world.ts';

/** Of the service; undefined: the machine's. */
let clock: number | undefined;
let world: ConsoleWorld;
before(async () => {
  world = await consoleWorld({ now: () => clock ?? Date.now() });
});
after(async () => {
  await closeBrowser();
  await world[Symbol.asyncDispose]();
});

const stepMs = 30_000;
const { password } = ADMINISTRATOR;

/** In the window that shows the login page. */
async function typePassword(page: Page, name: string, typed: string = password): Promise<void> {
  await page.getByLabel(t.signIn.name, { exact: true }).fill(name);
  await page.getByLabel(t.signIn.password, { exact: true }).fill(typed);
  await page.getByRole('button', { name: t.signIn.logIn, exact: true }).click();
}

async function logOut(page: Page): Promise<void> {
  // The page is loaded anew: what is done to the one before is lost.
  await Promise.all([page.waitForEvent('load'), page.getByRole('button', { name: t.shell.logOut }).click()]);
  await page.getByRole('heading', { level: 1, name: t.signIn.title }).waitFor();
}

function loggedIn(page: Page): Promise<void> {
  return page.getByRole('button', { name: t.shell.logOut }).waitFor();
}

/** What the page says of a try that failed, in which nobody was logged in. */
async function refused(page: Page): Promise<string> {
  const alert = page.getByRole('main').getByRole('alert');
  await alert.waitFor();
  assert.equal(new URL(page.url()).pathname, '/login');
  return alert.innerText();
}

async function typeCode(page: Page, code: string): Promise<void> {
  await page.getByLabel(t.signIn.code, { exact: true }).fill(code);
  await page.getByRole('button', { name: t.signIn.confirm, exact: true }).click();
}

function codeOf(secret: string, at: number): string {
  return new TOTP({ secret: Secret.fromBase32(secret.replaceAll(/\s/g, '')) }).generate({ timestamp: at });
}

/** In the dialog for an authenticator app, up to the recovery codes, which are answered with the secret. */
async function setUpApp(page: Page): Promise<{ readonly secret: string; readonly recoveryCodes: readonly string[] }> {
  const app = dialog(page, t.account.totp.title);
  const secret = await app.getByLabel(t.account.totp.secret, { exact: true }).innerText();
  await app.getByLabel(t.account.totp.code).fill(codeOf(secret, clock ?? Date.now()));
  await app.getByRole('button', { name: t.account.totp.confirm }).click();
  const codes = dialog(page, t.account.totp.codesTitle);
  await codes.waitFor();
  const recoveryCodes = await codes
    .getByRole('list', { name: t.account.totp.codes })
    .getByRole('listitem')
    .allInnerTexts();
  await codes.getByRole('button', { name: t.account.totp.kept }).click();
  return { secret, recoveryCodes };
}

test('the login says the same for a name that there is not and for a wrong password', async () => {
  await using window = await world.open();
  const { page } = window;
  await page.goto(`${world.url}/login`);
  await typePassword(page, 'nobody-of-this-name');
  const unknown = await refused(page);
  await typePassword(page, 'mallory', 'a wrong password');
  assert.equal(await refused(page), unknown);
  assert.doesNotMatch(unknown, /nobody|mallory/);
});

describe('an identity provider', () => {
  const claims = { email: 'zoe@example.org', email_verified: true, name: 'Zoe Ortiz', preferred_username: 'zoe' };
  let provider: TestProvider;
  let id = '';
  before(async () => {
    const secret = randomBytes(24).toString('base64url');
    provider = await startProvider(async (issuer) => {
      const created = await world.api.call(routes.createIdentityProvider, {
        body: {
          name: 'Company',
          issuer,
          clientId: 'sallyport',
          clientSecret: secret,
          scopes: ['openid', 'profile', 'email', 'groups'],
          createUsers: true,
          groupsClaim: 'groups',
          groupsByName: true,
        },
      });
      id = created.id;
      return [{ id: 'sallyport', secret, redirectUris: [`${world.url}/login/oidc/${id}/callback`] }];
    });
    provider.accounts.set('of-zoe', { ...claims, groups: ['engineering', 'nothing known here'] });
    provider.user = 'of-zoe';
  });
  after(() => provider[Symbol.asyncDispose]());

  /** From the login page, by its button. */
  async function logInByProvider(page: Page, path: string): Promise<void> {
    await page.goto(world.url + path);
    const back = page.waitForRequest((request) => request.url().includes(`/login/oidc/${id}/callback`));
    await page.getByRole('link', { name: t.signIn.withProvider('Company') }).click();
    await back;
  }

  test('logs in who never came before, with the groups of the claim, to the page that was asked for', async () => {
    await using window = await world.open();
    const { page } = window;
    await logInByProvider(page, '/regions');
    await loggedIn(page);
    await page.getByRole('heading', { level: 1, name: t.account.regions.title }).waitFor();
    assert.equal(new URL(page.url()).pathname, '/regions');
    const zoe = await world.api.call(routes.getUser, { params: { userId: 'zoe' } });
    assert.equal(zoe.displayName, 'Zoe Ortiz');
    const { items } = await world.api.call(routes.listGroups);
    assert.deepEqual(
      zoe.groups.map((group) => items.find((one) => one.id === group)?.name),
      ['engineering'],
    );
  });

  test('that says no is told in words', async () => {
    await using window = await world.open();
    provider.user = null;
    await logInByProvider(window.page, '/login');
    provider.user = 'of-zoe';
    const text = t.signIn.problems['providerRefused'];
    assert.ok((await refused(window.page)).includes(text));
  });

  test('does not log in who is disabled here', async () => {
    const { version } = await world.api.call(routes.getUser, { params: { userId: 'zoe' } });
    await world.api.call(routes.updateUser, { params: { userId: 'zoe' }, body: { disabled: true }, ifMatch: version });
    await using window = await world.open();
    await logInByProvider(window.page, '/login?return=/devices');
    assert.ok((await refused(window.page)).includes(t.signIn.problems['disabled']));
  });

  test('that is switched off has no button, and old links to it lead nowhere', async () => {
    const { version } = await world.api.call(routes.getIdentityProvider, { params: { providerId: id } });
    await world.api.call(routes.updateIdentityProvider, {
      params: { providerId: id },
      body: { enabled: false },
      ifMatch: version,
    });
    await using window = await world.open();
    const { page } = window;
    await page.goto(`${world.url}/login`);
    await page.getByLabel(t.signIn.name, { exact: true }).waitFor();
    assert.equal(await page.getByRole('link', { name: t.signIn.withProvider('Company') }).count(), 0);
    await page.goto(`${world.url}/login/oidc/${id}/start?return=/`);
    assert.ok((await refused(page)).includes(t.signIn.problems['providerDisabled']));
  });
});

test('a passkey logs in alone, and no more once it is removed', async () => {
  await using window = await world.openAs('carol');
  const { page, context } = window;
  const browser = await context.newCDPSession(page);
  await browser.send('WebAuthn.enable');
  await browser.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
  // It answers at once, so that a page which offers passkeys by itself would have logged in before the button is pressed.
  await context.addInitScript(() => {
    PublicKeyCredential.isConditionalMediationAvailable = () => Promise.resolve(false);
  });
  const text = t.account.account;
  await openPath(page, '/account');
  await page.getByRole('button', { name: text.addPasskey }).click();
  const adding = dialog(page, text.addPasskey);
  await adding.getByLabel(text.name).fill('yellow key');
  await adding.getByRole('button', { name: text.addPasskey }).click();
  await toast(page, text.passkeyAdded('yellow key')).waitFor();
  await rowOf(page, 'yellow key').waitFor();
  await logOut(page);
  await page.getByRole('button', { name: t.signIn.withPasskey }).click();
  await loggedIn(page);
  const me = await callIn(page, 'GET', '/me');
  assert.deepEqual((me.body['session'] as { methods: unknown }).methods, ['passkey']);
  assert.equal((me.body['user'] as { name: unknown }).name, 'carol');

  // Ten minutes later that is asked for again.
  clock = Date.now() + 11 * 60_000;
  await openPath(page, '/account');
  await page.getByRole('button', { name: text.removePasskeyTitle('yellow key') }).click();
  await dialog(page, text.removePasskeyTitle('yellow key')).getByRole('button', { name: t.common.remove }).click();
  await dialog(page, t.shell.proveTitle).getByRole('button', { name: t.shell.provePasskey }).click();
  await toast(page, text.passkeyRemoved('yellow key')).waitFor();
  clock = undefined;
  await logOut(page);
  await page.getByRole('button', { name: t.signIn.withPasskey }).click();
  await page.locator('.toast.fault').first().waitFor();
  assert.equal((await callIn(page, 'GET', '/me', { csrf: false })).status, 401);
});

describe('a group that requires a second factor', () => {
  test('lets its members set one up, and nothing else before', async () => {
    const { version } = await world.api.call(routes.getGroup, { params: { groupId: 'finance' } });
    await world.api.call(routes.updateGroup, {
      params: { groupId: 'finance' },
      body: { requireSecondFactor: true },
      ifMatch: version,
    });
    await using window = await world.open();
    const { page } = window;
    await page.goto(`${world.url}/devices`);
    await typePassword(page, 'erin');
    const enrol = page.getByRole('heading', { level: 1, name: t.signIn.enrol.title });
    await enrol.waitFor();
    for (const path of ['/', '/devices', '/account', '/users', '/no-such-page']) {
      await page.goto(world.url + path);
      await enrol.waitFor();
      assert.equal(await page.getByRole('navigation').count(), 0, path);
    }
    for (const [method, path, body] of [
      ['GET', '/me/devices', undefined],
      ['POST', '/me/devices', { name: 'mine', publicKey: randomBytes(32).toString('base64') }],
      ['PATCH', '/me', { displayName: 'Another' }],
      ['GET', '/events', undefined],
    ] as const) {
      const answer = await callIn(page, method, path, body === undefined ? {} : { body });
      assert.equal(answer.body['code'], 'enrolmentRequired', `${method} ${path}`);
    }
    await page.goto(`${world.url}/devices`);
    await page.getByRole('button', { name: t.signIn.enrol.setUpApp }).click();
    await setUpApp(page);
    await page.getByRole('heading', { level: 1, name: t.account.devices.title }).waitFor();
    await loggedIn(page);
  });
});

describe('an authenticator app', () => {
  let secret = '';
  let recoveryCodes: readonly string[] = [];
  /** The middle of a step, so that none begins while a code is on its way. */
  before(() => {
    clock = Math.floor(Date.now() / stepMs) * stepMs + stepMs / 2;
  });
  after(() => {
    clock = undefined;
  });
  const now = (): number => clock!;

  async function atSecondStep(page: Page): Promise<void> {
    await page.goto(`${world.url}/login`);
    await typePassword(page, 'bob');
    await page.getByRole('heading', { level: 1, name: t.signIn.factorTitle }).waitFor();
  }

  test('is set up on the account page', async () => {
    await using window = await world.openAs('bob');
    const { page } = window;
    await openPath(page, '/account');
    await page.getByRole('button', { name: t.account.account.setUpApp, exact: true }).click();
    ({ secret, recoveryCodes } = await setUpApp(page));
    await toast(page, t.account.totp.done).waitFor();
    assert.ok(recoveryCodes.length >= 8);
    await page.getByText(t.account.account.recoveryLeft(recoveryCodes.length)).waitFor();
    await logOut(page);
  });

  test('logs in by a code of now, of the step before or after, each once', async () => {
    await using window = await world.open();
    const { page } = window;
    await atSecondStep(page);
    const refuse = async (code: string, why: string): Promise<void> => {
      await typeCode(page, code);
      assert.notEqual(await refused(page), '', why);
      // The message of the next try is another element.
      await page.getByRole('button', { name: t.signIn.back }).click();
      await typePassword(page, 'bob');
    };
    await refuse(codeOf(secret, now()), 'it was used to set the app up');
    await refuse(codeOf(secret, now() + 2 * stepMs), 'two steps early');
    await refuse(codeOf(secret, now() - 2 * stepMs), 'two steps late');
    await typeCode(page, codeOf(secret, now() + stepMs));
    await loggedIn(page);
    await logOut(page);

    clock = now() + 2 * stepMs;
    await atSecondStep(page);
    await refuse(codeOf(secret, now() - stepMs), 'it was used already');
    clock = now() + stepMs;
    await typeCode(page, codeOf(secret, now() - stepMs));
    await loggedIn(page);
    await logOut(page);
  });

  test('can be done without by each recovery code once', async () => {
    await using window = await world.open();
    const { page } = window;
    const typeRecoveryCode = async (): Promise<void> => {
      await atSecondStep(page);
      await page.getByRole('button', { name: t.signIn.useRecoveryCode }).click();
      await page.getByLabel(t.signIn.recoveryCode, { exact: true }).fill(recoveryCodes[0]);
      await page.getByRole('button', { name: t.signIn.confirm, exact: true }).click();
    };
    await typeRecoveryCode();
    await loggedIn(page);
    await openPath(page, '/account');
    await page.getByText(t.account.account.recoveryLeft(recoveryCodes.length - 1)).waitFor();
    await logOut(page);
    await typeRecoveryCode();
    await refused(page);
  });

  test('is asked for with the password, before a user is deleted', async () => {
    const { version } = await world.api.call(routes.getUser, { params: { userId: 'bob' } });
    await world.api.call(routes.updateUser, {
      params: { userId: 'bob' },
      body: { role: 'administrator' },
      ifMatch: version,
    });
    await using window = await world.open();
    const { page } = window;
    // Wrong codes of the tests before are forgiven by then.
    clock = now() + 3_600_000;
    await atSecondStep(page);
    await typeCode(page, codeOf(secret, now()));
    await loggedIn(page);
    const text = t.people.user;
    const remove = async (name: string, displayName: string): Promise<void> => {
      await openPath(page, `/users/${name}`);
      await page.getByRole('button', { name: text.remove, exact: true }).click();
      const question = dialog(page, text.removeTitle(displayName));
      await question.getByLabel(text.removeConfirm(name)).fill(name);
      await question.getByRole('button', { name: text.removeAction }).click();
    };
    // The login is proof enough for some minutes.
    await remove('mallory', 'Mallory Quinn');
    await toast(page, text.removed('Mallory Quinn')).waitFor();
    clock = now() + 11 * 60_000;
    await remove('dave', 'Dave Okafor');
    const proof = dialog(page, t.shell.proveTitle);
    await proof.getByLabel(t.shell.password).fill('not the password');
    await proof.getByLabel(t.shell.code).fill(codeOf(secret, now()));
    await proof.getByRole('button', { name: t.shell.prove }).click();
    await proof.getByRole('alert').waitFor();
    await world.api.call(routes.getUser, { params: { userId: 'dave' } });
    await proof.getByLabel(t.shell.password).fill(password);
    await proof.getByRole('button', { name: t.shell.prove }).click();
    await toast(page, text.removed('Dave Okafor')).waitFor();
    await assert.rejects(world.api.call(routes.getUser, { params: { userId: 'dave' } }), /no such user/);
  });
});
