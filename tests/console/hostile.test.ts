/** What other people, other pages and other windows could do to who uses the console. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { routes, type ApiClient } from '@sallyport/api';
import { SYSTEM } from '@sallyport/control';
import { generateKeys } from '@sallyport/netlab';
import type { Page } from 'playwright-core';
import { t } from '../../apps/console/src/strings/index.ts';
import { closeServer, listen, startProvider } from '../control/oidc-provider.ts';
import { callIn, live, openPath, settled } from './browsing.ts';
import { ADMINISTRATOR, closeBrowser, consoleWorld, type ConsoleWorld, type Window } from './console-world.ts';

let world: ConsoleWorld;
before(async () => {
  world = await consoleWorld();
});
after(async () => {
  await closeBrowser();
  await world[Symbol.asyncDispose]();
});

/** Each would leave a mark, were it anything but text. */
const hostile = [
  '<img src=x onerror="window.pwned=1">',
  '"><script>window.pwned=1</script>',
  "'-(window.pwned=1)-'</textarea></title></style>",
  'javascript:window.pwned=1//',
  '${window.pwned=1}{{constructor.constructor("window.pwned=1")()}}',
  'W'.repeat(100),
] as const;
/** Where the API takes them: text that turns round what comes after it, and line breaks. */
const disguised = `${hostile[0]}\u202e\n${'W'.repeat(300)}`;
const longSlug = 'w'.repeat(63);

/** Puts hostile text into whatever a user, an administrator, a gateway or an identity provider can name. */
async function infest({ control, url, api }: ConsoleWorld): Promise<void> {
  const me = await api.call(routes.getMe);
  await api.call(routes.updateMe, {
    body: { displayName: hostile[0], email: `${'w'.repeat(64)}@${'example.'.repeat(20)}org` },
  });
  const anonymous = api.withToken(undefined);
  for (const [index, name] of hostile.entries()) {
    await api.call(routes.createUser, {
      body: { name: index === 0 ? longSlug : `hostile-${index}`, displayName: name },
    });
    await api.call(routes.addMyDevice, { body: { name, publicKey: generateKeys().publicKey } });
    await api.call(routes.createRegion, { body: { id: `hostile-${index}`, name } });
    await api.call(routes.createToken, { body: { name, permissions: ['self'] } });
    await api.call(routes.createScimClient, { body: { name } });
    await api.call(routes.createIdentityProvider, {
      body: { name, issuer: `https://login.example.com/${index}`, clientId: name },
    });
    await api.call(routes.createPolicyTest, {
      body: { name, user: 'erin', destination: '10.20.0.5', port: 22 + index, expect: 'deny' },
    });
    // A session of that name, and a login that failed in that name.
    await anonymous.call(routes.logIn, { body: { ...ADMINISTRATOR, client: name } });
    await anonymous.call(routes.logIn, { body: { name, password: 'not the password' } }).catch(() => undefined);
  }
  await anonymous.call(routes.logIn, { body: { ...ADMINISTRATOR, client: disguised.slice(0, 100) } });
  await api.call(routes.createInvitation, { body: { userId: longSlug } });
  await api.call(routes.createGroup, { body: { name: longSlug, description: disguised } });
  await api.call(routes.createResource, {
    body: {
      name: longSlug,
      description: disguised,
      kind: 'name',
      domain: `${'w'.repeat(63)}.${'w'.repeat(63)}.example`,
      services: [{ protocol: 'tcp', ports: ['443'] }],
    },
  });
  await api.call(routes.createRule, { body: { name: longSlug, groups: [longSlug], resources: [longSlug] } });
  for (const [gateway, city] of [
    ['frankfurt-1', hostile[0]],
    ['oslo-1', hostile[5]],
    ['singapore-1', disguised.slice(0, 100)],
  ] as const) {
    const { version } = await api.call(routes.getGateway, { params: { gatewayId: gateway } });
    await api.call(routes.updateGateway, { params: { gatewayId: gateway }, body: { city }, ifMatch: version });
  }
  await control.services.store.write(SYSTEM, async ({ db, now, changed }) => {
    for (const [index, name] of hostile.entries()) {
      await db
        .insertInto('passkey')
        .values({
          id: `passkey-${index}`,
          user_id: me.user.id,
          credential_id: randomBytes(16).toString('base64url'),
          public_key: randomBytes(32).toString('base64url'),
          sign_count: 0,
          transports: '[]',
          synced: 0,
          name,
          created_at: now,
          last_used_at: null,
        })
        .execute();
    }
    // What a gateway says of itself.
    await db
      .insertInto('gateway_status')
      .values({
        gateway_id: 'saopaulo-1',
        connected: 1,
        health: 'degraded',
        problems: JSON.stringify(hostile),
        load: null,
        latency_ms: 20,
        software: hostile[1],
        last_seen_at: now,
        node: 'here',
        state_version: 1,
        applied_version: 1,
        applied_digest: '',
        report_number: 1,
      })
      .execute();
    changed('user', me.user.id);
  });
  const { token } = await api.call(routes.createScimClient, { body: { name: 'Directory' } });
  for (const [index, name] of hostile.entries()) {
    const answer = await fetch(`${url}/scim/v2/Users`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/scim+json' },
      body: JSON.stringify({
        schemas: ['urn:ietf:params:scim:schemas:core:2.0:User'],
        userName: `${name}${index}`,
        displayName: name,
        name: { formatted: name, givenName: name, familyName: name },
        active: true,
      }),
    });
    assert.equal(answer.status, 201, await answer.text());
  }
}

/** Every page that holds names, and what of them must be seen there: where it isn't, nothing was tried. */
const pagesOfNames: readonly (readonly [path: string, shows: string])[] = [
  ['/devices', hostile[1]],
  ['/regions', hostile[0]],
  ['/account', hostile[2]],
  ['/overview', hostile[0]],
  ['/users', hostile[3]],
  ['/users?search=%22%3E%3Cscript%3Ewindow.pwned%3D1%3C%2Fscript%3E', hostile[1]],
  [`/users/${longSlug}`, hostile[0]],
  ['/users/hostile-1', hostile[1]],
  ['/users/ada', hostile[2]],
  ['/groups', longSlug],
  [`/groups/${longSlug}`, hostile[0]],
  ['/invitations', longSlug],
  ['/all-devices', hostile[4]],
  ['/gateways', hostile[0]],
  ['/gateways?view=map', 'oslo-1'],
  ['/gateways?view=regions', hostile[3]],
  ['/gateways/saopaulo-1', hostile[1]],
  ['/gateways/singapore-1', 'singapore-1'],
  ['/policy', longSlug],
  ['/policy?tab=resources', longSlug],
  ['/policy?tab=tests', hostile[2]],
  [`/policy/rules/new`, longSlug],
  ['/reach?destination=%3Cimg%20src%3Dx%20onerror%3D%22window.pwned%3D1%22%3E&port=1', ''],
  ['/usage', hostile[0]],
  ['/audit', hostile[1]],
  ['/audit?search=javascript%3A&action=%3Cscript%3E', ''],
  ['/settings', ''],
  ['/sign-in', hostile[4]],
  ['/tokens', hostile[5]],
];

describe('hostile names', () => {
  let narrow: Window;
  before(async () => {
    // Before there are passkeys, which logging in would ask for.
    narrow = await world.openAs('ada', { width: 390 });
    await infest(world);
  });

  test('stay text on every page, and within its width', async () => {
    await using window = narrow;
    const { page, context, complaints } = window;
    const dialogs: string[] = [];
    page.on('dialog', (box) => {
      dialogs.push(box.message());
      void box.dismiss();
    });
    await context.addInitScript(() => {
      const own = globalThis as unknown as { violations: string[]; document: EventTarget };
      own.violations = [];
      own.document.addEventListener('securitypolicyviolation', (event) => {
        const { violatedDirective, blockedURI } = event as Event & { violatedDirective: string; blockedURI: string };
        own.violations.push(`${violatedDirective} ${blockedURI}`);
      });
    });
    const faults: string[] = [];
    const look = async (where: string): Promise<void> => {
      const { pwned, violations, tooWide, widest } = await page.evaluate(() => {
        const own = globalThis as unknown as { pwned?: unknown; violations: string[] };
        const { scrollWidth, clientWidth } = document.documentElement;
        const over = [...document.querySelectorAll('body *')].filter(
          (one) => one.getBoundingClientRect().right > clientWidth + 1,
        );
        return {
          pwned: own.pwned,
          violations: own.violations,
          tooWide: scrollWidth - clientWidth,
          widest: over.at(-1)?.outerHTML.slice(0, 300),
        };
      });
      if (pwned !== undefined) faults.push(`${where} ran what was written`);
      if (tooWide > 0) faults.push(`${where} is ${tooWide} px wider than its window: ${widest}`);
      faults.push(...[...violations, ...complaints, ...dialogs].map((what) => `${where}: ${what}`));
      complaints.length = 0;
      dialogs.length = 0;
    };
    for (const [path, shows] of pagesOfNames) {
      await openPath(page, path);
      // Text of the page, or the value of a field.
      const isShown = page.waitForFunction(
        (text) =>
          document.body.textContent.includes(text) ||
          [...document.querySelectorAll('input, textarea')].some((one) =>
            (one as HTMLInputElement).value.includes(text),
          ),
        shows,
      );
      await isShown.catch(() => faults.push(`${path} does not show ${shows}`));
      await look(path);
    }
    // Questions hold names as well.
    await openPath(page, '/devices');
    for (const name of hostile) {
      await page.getByRole('button', { name: t.account.devices.removeTitle(name), exact: true }).click();
      await look('a question on /devices');
      await page.getByRole('dialog').getByRole('button', { name: t.common.cancel }).click();
    }
    assert.deepEqual(faults, []);
  });

  test('of identity providers stay text on the login page', async () => {
    await using window = await world.open({ width: 390 });
    const { page } = window;
    for (const path of ['/login', '/login?problem=%3Cimg%20src=x%20onerror=window.pwned=1%3E', '/setup#<img>']) {
      await page.goto(world.url + path);
      await settled(page);
      assert.equal(await page.evaluate(() => (globalThis as { pwned?: unknown }).pwned), undefined);
      assert.equal(
        await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth),
        0,
        path,
      );
    }
    await page.goto(`${world.url}/login`);
    await page.getByRole('link', { name: t.signIn.withProvider(hostile[1]), exact: true }).waitFor();
  });
});

/** A page of somebody else, on a port of the same machine: for cookies that is even the same site. */
async function evilPage(): Promise<AsyncDisposable & { readonly url: string }> {
  const server = createServer((request, response) => {
    // The browser asks for an icon when it likes to: that answer must not look like the service's.
    response.statusCode = request.url === '/' ? 200 : 404;
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><title>Win a phone</title><h1>Win a phone</h1>');
  });
  const url = (await listen(server)).replace('127.0.0.1', 'localhost');
  return { url, [Symbol.asyncDispose]: () => closeServer(server) };
}

describe("another origin's page", () => {
  /** What must stay as it is. */
  async function stateOf(api: ApiClient): Promise<unknown> {
    const { user } = await api.call(routes.getMe);
    const devices = await api.call(routes.listMyDevices);
    return {
      user: { ...user, lastLoginAt: null },
      devices: devices.items.map((device) => ({ ...device, lastHandshakeAt: null })),
    };
  }

  test('changes nothing with the cookies of who looks at it', async () => {
    await using evil = await evilPage();
    await using window = await world.openAs('bob');
    const { page } = window;
    const api = world.api.withToken(
      (await world.api.call(routes.logIn, { body: { name: 'bob', password: ADMINISTRATOR.password } })).token!,
    );
    const before = await stateOf(api);
    const { items } = await api.call(routes.listMyDevices);
    await page.goto(evil.url);
    // What the browser sends and gets, even where it keeps the answer from the page.
    const statuses: number[] = [];
    let withCookie = 0;
    const network = await window.context.newCDPSession(page);
    await network.send('Network.enable');
    network.on('Network.responseReceivedExtraInfo', ({ statusCode }) => statuses.push(statusCode));
    network.on('Network.requestWillBeSentExtraInfo', ({ associatedCookies }) => {
      if (
        associatedCookies.some(
          ({ cookie, blockedReasons }) => cookie.name === 'sallyport' && blockedReasons.length === 0,
        )
      )
        withCookie++;
    });
    const device = { name: 'not mine', publicKey: randomBytes(32).toString('base64') };
    // As forms and scripts can send without asking, and as scripts would like to.
    await page.evaluate(
      async ({ origin, device, deviceId }) => {
        const json = JSON.stringify(device);
        const send = (path: string, init: RequestInit): Promise<unknown> =>
          fetch(`${origin}/api/v1${path}`, { credentials: 'include', ...init }).catch(() => undefined);
        for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', '']) {
          const headers: Record<string, string> = type === '' ? {} : { 'content-type': type };
          await send('/me/devices', { method: 'POST', mode: 'no-cors', headers, body: json });
        }
        await send('/me/devices', { method: 'POST', mode: 'no-cors', body: new Blob([json]) });
        navigator.sendBeacon(`${origin}/api/v1/me/devices`, new Blob([json], { type: 'text/plain' }));
        await send('/logout', { method: 'POST', mode: 'no-cors' });
        await send('/me/devices', { method: 'POST', headers: { 'content-type': 'application/json' }, body: json });
        await send(`/me/devices/${deviceId}`, { method: 'DELETE', headers: { 'if-match': '"1"' } });
        await send('/me', { method: 'PATCH', body: '{"displayName":"Robbed"}' });
        await send('/logout?_method=POST', { method: 'GET', mode: 'no-cors' });
      },
      { origin: world.url, device, deviceId: items[0].id },
    );
    // And a form that leaves the page.
    await page.evaluate((origin) => {
      const form = document.createElement('form');
      form.method = 'post';
      form.action = `${origin}/api/v1/logout`;
      form.enctype = 'text/plain';
      document.body.append(form);
      form.submit();
    }, world.url);
    await page.waitForURL(`${world.url}/api/v1/logout`);
    assert.ok(withCookie >= 6, `${withCookie} reached the service with the cookie`);
    assert.ok(statuses.length >= withCookie);
    assert.deepEqual(
      // A preflight is answered as what it is, a method that there is not.
      statuses.filter((status) => status < 400),
      [],
    );
    assert.deepEqual(await stateOf(api), before);
    await openPath(page, `${world.url}/devices`);
    await page.getByRole('rowheader', { name: 'workstation' }).waitFor();
  });

  test('can not read an answer, nor show the console in a frame', async () => {
    await using evil = await evilPage();
    await using window = await world.openAs('carol');
    const { page } = window;
    await page.goto(evil.url);
    const read = await page.evaluate(
      (origin) =>
        fetch(`${origin}/api/v1/me`, { credentials: 'include' }).then(
          (answer) => answer.text(),
          () => 'refused',
        ),
      world.url,
    );
    assert.equal(read, 'refused');
    await page.evaluate((origin) => {
      const frame = document.createElement('iframe');
      frame.src = `${origin}/devices`;
      document.body.append(frame);
      return new Promise((resolve) => (frame.onload = resolve));
    }, world.url);
    const [, frame] = page.frames();
    assert.ok(frame !== undefined);
    assert.ok(!frame.url().startsWith(world.url), 'the frame holds no page of the console');
    assert.equal(await frame.locator('#app').count(), 0);
  });
});

test("a change by cookie without its session's token is refused", async () => {
  await using bob = await world.openAs('bob');
  await using dave = await world.openAs('dave');
  for (const { page } of [bob, dave]) await openPath(page, '/devices');
  const body = { displayName: 'Robbed' };
  assert.equal((await callIn(bob.page, 'PATCH', '/me', { body, csrf: false })).status, 403);
  const [cookie] = (await bob.context.cookies()).filter(({ name }) => name === 'sallyport');
  const { csrfToken } = (await callIn(dave.page, 'GET', '/me')).body['session'] as { csrfToken: string };
  for (const headers of [
    {},
    { 'x-csrf-token': '' },
    { 'x-csrf-token': csrfToken },
    { 'x-csrf-token': 'A'.repeat(43) },
  ] as Record<string, string>[]) {
    const answer = await fetch(`${world.url}/api/v1/me`, {
      method: 'PATCH',
      headers: {
        ...headers,
        cookie: `sallyport=${cookie.value}`,
        origin: world.url,
        'sec-fetch-site': 'same-origin',
        'content-type': 'application/json',
      },
      body: JSON.stringify(body),
    });
    assert.equal(answer.status, 403, JSON.stringify(headers));
  }
  assert.equal((await callIn(bob.page, 'PATCH', '/me', { body: { displayName: 'Bob Reyes' } })).status, 200);
});

describe('the way back after the login', () => {
  /** More of them are tried against the functions that decide, where no browser is needed. */
  const elsewhere = [
    '/\\evil.example',
    'https:evil.example',
    '%2f%2fevil.example',
    '/%2f%2fevil.example',
    '/\t/evil.example',
    '/a/..//evil.example',
    'java\nscript:window.pwned=1',
    'data:text/html,<script>window.pwned=1</script>',
  ];

  test('stays on the origin, however it is spelled', async () => {
    await using window = await world.open();
    const { page, complaints } = window;
    await page.goto(`${world.url}/login?return=${encodeURIComponent('//evil.example/')}`);
    await page.getByLabel(t.signIn.name, { exact: true }).fill('bob');
    await page.getByLabel(t.signIn.password, { exact: true }).fill(ADMINISTRATOR.password);
    await page.getByRole('button', { name: t.signIn.logIn, exact: true }).click();
    await page.getByRole('button', { name: t.shell.logOut }).waitFor();
    assert.equal(page.url(), `${world.url}/`);
    complaints.length = 0;
    // Who is logged in already is led on at once.
    for (const path of elsewhere) {
      await page.goto(`${world.url}/login?return=${encodeURIComponent(path)}`);
      await page.getByRole('button', { name: t.shell.logOut }).waitFor();
      assert.equal(new URL(page.url()).origin, world.url, path);
      assert.equal(await page.evaluate(() => (globalThis as { pwned?: unknown }).pwned), undefined, path);
    }
    assert.deepEqual(complaints, []);
    await page.goto(`${world.url}/login?return=${encodeURIComponent('/regions')}`);
    await page.getByRole('heading', { level: 1, name: t.account.regions.title }).waitFor();
  });

  test('does so by an identity provider', async () => {
    let id = '';
    await using provider = await startProvider(async (issuer) => {
      ({ id } = await world.api.call(routes.createIdentityProvider, {
        body: { name: 'Friend', issuer, clientId: 'sallyport', createUsers: true },
      }));
      return [{ id: 'sallyport', redirectUris: [`${world.url}/login/oidc/${id}/callback`] }];
    });
    provider.accounts.set('of-yves', { preferred_username: 'yves', name: 'Yves' });
    provider.user = 'of-yves';
    await using window = await world.open();
    const { page, complaints } = window;
    for (const path of [...elsewhere, '/regions']) {
      await page.goto(`${world.url}/login/oidc/${id}/start?return=${encodeURIComponent(path)}`);
      await page.getByRole('button', { name: t.shell.logOut }).waitFor();
      const { origin, pathname } = new URL(page.url());
      assert.equal(origin, world.url, path);
      if (path === '/regions') assert.equal(pathname, '/regions');
    }
    assert.deepEqual(
      complaints.filter((text) => text.startsWith('asks elsewhere') && !text.includes(provider.issuer)),
      [],
    );
  });
});

describe('a session', () => {
  async function logIn(page: Page, name: string): Promise<void> {
    await page.goto(`${world.url}/login`);
    await page.getByLabel(t.signIn.name, { exact: true }).fill(name);
    await page.getByLabel(t.signIn.password, { exact: true }).fill(ADMINISTRATOR.password);
    await page.getByRole('button', { name: t.signIn.logIn, exact: true }).click();
    await page.getByRole('button', { name: t.shell.logOut }).waitFor();
  }

  test('is in cookies that no script reads, and nowhere else', async () => {
    await using window = await world.open();
    const { page, context } = window;
    await logIn(page, 'bob');
    await openPath(page, '/account');
    const cookies = await context.cookies();
    assert.deepEqual(cookies.map(({ name }) => name).sort(), ['sallyport', 'sallyport-client']);
    for (const { name, httpOnly, sameSite, path } of cookies) {
      assert.deepEqual({ httpOnly, sameSite, path }, { httpOnly: true, sameSite: 'Strict', path: '/' }, name);
    }
    const kept = await page.evaluate(async () => {
      const databases = await indexedDB.databases();
      return JSON.stringify([
        document.cookie,
        Object.entries(localStorage),
        Object.entries(sessionStorage),
        databases,
        history.state,
      ]);
    });
    assert.doesNotMatch(kept, /sp[a-z]_|password|correct horse/);
    for (const { value } of cookies) assert.ok(!kept.includes(value));
    assert.equal(await page.evaluate(() => document.cookie), '');
  });

  test('leaves nothing behind the Back button once it is over', async () => {
    await using window = await world.open();
    const { page } = window;
    await logIn(page, 'bob');
    await openPath(page, '/devices');
    await page.getByRole('rowheader', { name: 'workstation' }).waitFor();
    await page.getByRole('button', { name: t.shell.logOut }).click();
    await page.getByRole('heading', { level: 1, name: t.signIn.title }).waitFor();
    await page.goBack();
    await page.getByRole('heading', { level: 1, name: t.signIn.title }).waitFor();
    assert.equal(await page.getByText('workstation').count(), 0);
    assert.equal((await callIn(page, 'GET', '/me/devices', { csrf: false })).status, 401);
  });

  test('that is revoked empties its open pages within seconds', async (context) => {
    await using window = await world.open();
    const { page } = window;
    await logIn(page, 'bob');
    await openPath(page, '/devices');
    const second = await window.context.newPage();
    await second.goto(`${world.url}/account`);
    await settled(second);
    // Both have to hear of it by the stream, so it must be there.
    await live(second);
    const { items } = await world.api.call(routes.listDevices, { query: { user: 'bob' } });
    const phone = items.find(({ name }) => name === 'phone')!;
    await world.api.call(routes.updateDevice, {
      params: { deviceId: phone.id },
      body: { name: 'blue phone' },
      ifMatch: phone.version,
    });
    await page.getByRole('rowheader', { name: 'blue phone' }).waitFor();
    const startedAt = performance.now();
    await world.api.call(routes.endUserSessions, { params: { userId: 'bob' } });
    for (const one of [page, second]) {
      await one.getByRole('heading', { level: 1, name: t.signIn.title }).waitFor();
      assert.equal(await one.getByRole('button', { name: t.shell.logOut }).count(), 0);
      assert.equal(await one.getByText('workstation').count(), 0);
    }
    context.diagnostic(`both tabs are empty after ${Math.round(performance.now() - startedAt)} ms`);
  });
});
