/** Pages that are kept up to date, over connections and servers that are not always there. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { routes } from '@sallyport/api';
import { until } from '@sallyport/netlab';
import type { BrowserContext, Page, Route } from 'playwright-core';
import { t } from '../../apps/console/src/strings/index.ts';
import { callIn, dialog, live, openPath, settled, toast } from './browsing.ts';
import { closeBrowser, consoleWorld, type ConsoleWorld } from './console-world.ts';

let world: ConsoleWorld;
before(async () => {
  world = await consoleWorld();
  // A second administrator.
  const { version } = await world.api.call(routes.getUser, { params: { userId: 'erin' } });
  await world.api.call(routes.updateUser, {
    params: { userId: 'erin' },
    body: { role: 'administrator' },
    ifMatch: version,
  });
});
after(async () => {
  await closeBrowser();
  await world[Symbol.asyncDispose]();
});

/** Far above what is promised, a second: machines that run tests are slow at times. The figure itself is printed. */
const patienceMs = 120_000;

/** The address of streams that were asked for in a browser, in this order. */
function streamsOf(context: BrowserContext): string[] {
  const streams: string[] = [];
  context.on('request', (request) => {
    if (new URL(request.url()).pathname === '/api/v1/events') streams.push(request.url());
  });
  return streams;
}

async function renameDevice(page: Page, name: string, to: string): Promise<void> {
  const text = t.account.devices;
  await page.getByRole('button', { name: text.renameTitle(name), exact: true }).click();
  const form = dialog(page, text.renameTitle(name));
  await form.getByLabel(text.name).fill(to);
  await form.getByRole('button', { name: text.rename, exact: true }).click();
}

describe("a change in one administrator's window is in another's", () => {
  const cases: readonly {
    readonly what: string;
    readonly from: string;
    readonly at: string;
    readonly make: (page: Page) => Promise<unknown>;
    /** What the other shows then. */
    readonly shows: (page: Page) => ReturnType<Page['locator']>;
  }[] = [
    {
      what: 'a renamed device',
      from: '/devices',
      at: '/all-devices',
      make: (page) => renameDevice(page, 'laptop', 'studio laptop'),
      shows: (page) => page.getByText('studio laptop'),
    },
    {
      what: 'a new user',
      from: '/users',
      at: '/users',
      make: async (page) => {
        const text = t.people.add;
        await page.getByRole('button', { name: t.people.users.add }).click();
        const form = dialog(page, text.title);
        await form.getByLabel(text.displayName).fill('Frank Abara');
        await form.getByLabel(text.invite).uncheck();
        await form.getByRole('button', { name: text.submit }).click();
      },
      shows: (page) => page.getByText('Frank Abara'),
    },
    {
      what: 'a new rule',
      from: '/policy',
      at: '/policy',
      make: (page) =>
        callIn(page, 'POST', '/rules', {
          body: { name: 'contractors-wiki', groups: ['contractors'], resources: ['wiki'] },
        }),
      shows: (page) => page.getByText('contractors-wiki'),
    },
    {
      what: 'a disabled user',
      from: '/users/dave',
      at: '/users?disabled=true',
      make: async (page) => {
        const text = t.people.user;
        await page.getByRole('button', { name: text.disable }).click();
        await dialog(page, text.disableTitle('Dave Okafor')).getByRole('button', { name: text.disable }).click();
      },
      shows: (page) => page.getByText('Dave Okafor'),
    },
    {
      what: 'a removed device',
      from: '/devices',
      at: '/all-devices?search=studio',
      make: async (page) => {
        await page.getByRole('button', { name: t.account.devices.removeTitle('studio laptop'), exact: true }).click();
        await page.getByRole('dialog').getByRole('button', { name: t.common.remove, exact: true }).click();
      },
      shows: (page) => page.getByRole('main').locator('.empty'),
    },
  ];
  for (const { what, from, at, make, shows } of cases) {
    test(what, async (context) => {
      await using one = await world.openAs('ada');
      await using other = await world.openAs('erin');
      await openPath(other.page, at);
      await live(other.page);
      await openPath(one.page, from);
      assert.equal(await shows(other.page).count(), 0);
      let startedAt = 0;
      one.page.on('request', (request) => {
        if (request.method() !== 'GET') startedAt = performance.now();
      });
      await make(one.page);
      await shows(other.page).first().waitFor({ timeout: patienceMs });
      context.diagnostic(`${what} after ${Math.round(performance.now() - startedAt)} ms`);
    });
  }
});

test('two administrators who change the same user at once are told, and neither loses what the other saved', async () => {
  const text = t.people.user;
  await using one = await world.openAs('ada');
  await using other = await world.openAs('erin');
  const forms = [];
  for (const { page } of [one, other]) {
    await openPath(page, '/users/carol');
    await page.getByRole('button', { name: text.edit, exact: true }).click();
    forms.push(dialog(page, text.editTitle('Carol Nakamura')));
  }
  const [first, second] = forms;
  await first.getByLabel(t.people.add.email).fill('nakamura@example.org');
  await second.getByLabel(t.people.add.displayName).fill('Carol N.');
  await first.getByRole('button', { name: t.common.save }).click();
  await toast(one.page, text.saved('Carol Nakamura')).waitFor();
  // The other page shows it already, behind the form that doesn't know it.
  await other.page.getByText('nakamura@example.org').waitFor({ timeout: patienceMs });
  await second.getByRole('button', { name: t.common.save }).click();
  await toast(other.page, t.common.changedMeanwhile).waitFor();
  const carol = await world.api.call(routes.getUser, { params: { userId: 'carol' } });
  assert.equal(carol.email, 'nakamura@example.org');
  assert.equal(carol.displayName, 'Carol Nakamura');
  // Once more, with the newest state in view.
  await other.page.getByRole('button', { name: text.edit, exact: true }).click();
  await second.getByLabel(t.people.add.displayName).fill('Carol N.');
  await second.getByRole('button', { name: t.common.save }).click();
  await toast(other.page, text.saved('Carol N.')).waitFor();
  const after = await world.api.call(routes.getUser, { params: { userId: 'carol' } });
  assert.deepEqual([after.email, after.displayName], ['nakamura@example.org', 'Carol N.']);
});

test('settings that somebody else saves do not take away what is being typed', async () => {
  const text = t.service.settings;
  await using one = await world.openAs('ada');
  const { page } = one;
  await openPath(page, '/settings');
  await live(page);
  const change = async (persistentKeepaliveSeconds: number): Promise<void> => {
    const { version } = await world.api.call(routes.getSettings);
    await world.api.call(routes.updateSettings, { body: { persistentKeepaliveSeconds }, ifMatch: version });
  };
  const keepalive = page.getByLabel(text.keepalive);
  await change(30);
  await until('the newest value', async () => (await keepalive.inputValue()) === '30');
  await page.getByLabel(text.searchDomains).fill('typed.example');
  await change(40);
  await page.waitForTimeout(1000);
  assert.equal(await page.getByLabel(text.searchDomains).inputValue(), 'typed.example');
  await page.getByRole('button', { name: t.common.save }).click();
  await toast(page, t.common.changedMeanwhile).waitFor();
  await until('what the other has saved', async () => (await keepalive.inputValue()) === '40');
  await page.getByLabel(text.searchDomains).fill('typed.example');
  await page.getByRole('button', { name: t.common.save }).click();
  await toast(page, text.saved).waitFor();
  const settings = await world.api.call(routes.getSettings);
  assert.deepEqual([settings.persistentKeepaliveSeconds, settings.dns.searchDomains], [40, ['typed.example']]);
});

describe('tabs of one browser', () => {
  test('are live all of them, though nothing happens', async () => {
    await using window = await world.openAs('bob');
    const second = await window.context.newPage();
    for (const page of [window.page, second]) await openPath(page, '/devices');
    // That a connection is missing is said after some seconds only.
    await second.waitForTimeout(5500);
    for (const page of [window.page, second]) await page.getByText(t.shell.notLive).waitFor({ state: 'detached' });
  });

  test('share one stream, which another takes over when its tab is closed', async () => {
    await using window = await world.openAs('ada');
    const streams = streamsOf(window.context);
    const first = window.page;
    await openPath(first, '/devices');
    const second = await window.context.newPage();
    await second.goto(`${world.url}/devices`);
    await settled(second);
    await renameDevice(first, 'phone', 'red phone');
    await second.getByRole('rowheader', { name: 'red phone' }).waitFor({ timeout: patienceMs });
    assert.equal(streams.length, 1, 'one for both');
    await first.close();
    await until('the second tab opens its own', () => streams.length > 1);
    assert.equal(streams.length, 2);
    const { items } = await world.api.call(routes.listMyDevices);
    const phone = items.find(({ name }) => name === 'red phone')!;
    await world.api.call(routes.updateMyDevice, {
      params: { deviceId: phone.id },
      body: { name: 'green phone' },
      ifMatch: phone.version,
    });
    await second.getByRole('rowheader', { name: 'green phone' }).waitFor({ timeout: patienceMs });
  });

  test('are ten if wanted', async () => {
    await using window = await world.openAs('ada');
    const streams = streamsOf(window.context);
    const pages = [window.page];
    while (pages.length < 10) pages.push(await window.context.newPage());
    for (const page of pages) {
      await page.goto(`${world.url}/devices`);
      await settled(page);
    }
    const { items } = await world.api.call(routes.listMyDevices);
    const phone = items.find(({ name }) => name === 'green phone')!;
    const renamed = await world.api.call(routes.updateMyDevice, {
      params: { deviceId: phone.id },
      body: { name: 'phone of ten tabs' },
      ifMatch: phone.version,
    });
    await Promise.all(pages.map((page) => page.getByRole('rowheader', { name: 'phone of ten tabs' }).waitFor()));
    assert.equal(streams.length, 1);
    await world.api.call(routes.updateMyDevice, {
      params: { deviceId: phone.id },
      body: { name: 'phone' },
      ifMatch: renamed.version,
    });
  });
});

describe('an open page while the server is away', () => {
  test('says so, keeps what it has and what is typed, and comes back by itself with what changed', async () => {
    await using window = await world.openAs('ada');
    const { page, context } = window;
    await openPath(page, '/devices');
    // The stream is there, or the loss of it would be no news.
    await renameDevice(page, 'phone', 'my phone');
    await page.getByRole('rowheader', { name: 'my phone' }).waitFor();
    await page.getByRole('button', { name: t.account.devices.renameTitle('my phone') }).click();
    const form = dialog(page, t.account.devices.renameTitle('my phone'));
    await form.getByLabel(t.account.devices.name).fill('typed meanwhile');
    await world.stop();
    await form.getByRole('button', { name: t.account.devices.rename, exact: true }).click();
    await form.getByRole('alert').getByText(t.common.unreachable).waitFor();
    assert.equal(await form.getByLabel(t.account.devices.name).inputValue(), 'typed meanwhile');
    await page.getByText(t.shell.notLive).waitFor();
    assert.ok(await page.getByRole('rowheader', { name: 'my phone' }).isVisible());
    // Nothing reaches the page before something has changed without it.
    const refuse = (route: Route): Promise<void> => route.abort();
    await context.route('**/api/v1/**', refuse);
    await world.start();
    await world.api.call(routes.addMyDevice, {
      body: { name: 'added meanwhile', publicKey: Buffer.alloc(32, 9).toString('base64') },
    });
    assert.equal(await page.getByText('added meanwhile').count(), 0);
    await context.unroute('**/api/v1/**', refuse);
    await page.getByRole('rowheader', { name: 'added meanwhile' }).waitFor();
    await page.getByText(t.shell.notLive).waitFor({ state: 'detached' });
    await form.getByRole('button', { name: t.account.devices.rename, exact: true }).click();
    await page.getByRole('rowheader', { name: 'typed meanwhile' }).waitFor();
  });

  test('offers to be loaded again where newer software has come', async () => {
    await using window = await world.openAs('ada');
    const { page } = window;
    await openPath(page, '/regions');
    const offer = page.getByText(t.shell.old);
    await live(page);
    assert.equal(await offer.count(), 0);
    await world.stop();
    await world.start({ version: '1.0.1' });
    await offer.waitFor();
    await page.getByRole('button', { name: t.shell.reload }).click();
    await settled(page);
    await page.waitForTimeout(500);
    assert.equal(await offer.count(), 0);
  });
});

/** Numbers from 0 to 1 that are the same in each run (mulberry32). */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

const places = [
  t.shell.overview,
  t.shell.users,
  t.shell.groups,
  t.shell.allDevices,
  t.shell.gateways,
  t.shell.policy,
  t.shell.audit,
  t.shell.settings,
  t.shell.tokens,
  t.shell.devices,
] as const;

async function follow(page: Page, place: string): Promise<void> {
  await page.getByRole('navigation', { name: t.shell.menu }).getByRole('link', { name: place, exact: true }).click();
}

describe('a network', () => {
  test('that is slow shows every page in the end, and nothing twice', async (context) => {
    await using window = await world.openAs('ada');
    const { page } = window;
    const session = await window.context.newCDPSession(page);
    const slow = (kilobits: number): Promise<unknown> =>
      session.send('Network.emulateNetworkConditions', {
        offline: false,
        latency: 400,
        downloadThroughput: (kilobits * 1000) / 8,
        uploadThroughput: (kilobits * 1000) / 8,
      });
    await slow(50);
    const startedAt = performance.now();
    await openPath(page, '/devices');
    await page.getByRole('rowheader').first().waitFor();
    context.diagnostic(`the first page by 50 kbit/s and 400 ms: ${Math.round(performance.now() - startedAt)} ms`);
    // So that the test comes to an end.
    await slow(400);
    for (const place of places.filter((_, index) => index % 2 === 0)) {
      await follow(page, place);
      await page.getByRole('heading', { level: 1, name: place, exact: true }).waitFor();
      await settled(page);
      assert.equal(await page.locator('main .fault').count(), 0, place);
    }
    await follow(page, t.shell.users);
    await page.getByRole('button', { name: t.people.users.add }).click();
    const text = t.people.add;
    const form = dialog(page, text.title);
    await form.getByLabel(text.displayName).fill('Grace Impatient');
    await form.getByLabel(text.invite).uncheck();
    let created = 0;
    page.on('request', (request) => {
      if (request.method() === 'POST' && request.url().endsWith('/api/v1/users')) created++;
    });
    await form.getByRole('button', { name: text.submit }).dblclick();
    await toast(page, text.added('Grace Impatient')).waitFor();
    assert.equal(created, 1);
    const { items } = await world.api.call(routes.listUsers, { query: { search: 'impatient' } });
    assert.equal(items.length, 1);
  });

  test('that loses one request of three leaves sound pages', async () => {
    await using window = await world.openAs('ada');
    const { page, complaints } = window;
    const next = numbers(4);
    let lost = 0;
    await page.route('**/api/v1/**', (route) => {
      if (next() > 1 / 3) return route.continue();
      lost++;
      return route.abort('connectionreset');
    });
    for (const place of places) {
      if ((await page.getByRole('navigation').count()) === 0) await page.goto(world.url);
      const retry = page.getByRole('button', { name: t.common.retry });
      while (!(await page.getByRole('navigation').first().isVisible())) {
        if (await retry.isVisible()) await retry.click();
        await page.waitForTimeout(100);
      }
      await follow(page, place);
      await page.getByRole('heading', { level: 1, name: place, exact: true }).waitFor();
    }
    assert.ok(lost > 0);
    await page.unroute('**/api/v1/**');
    for (const place of places) {
      await follow(page, place);
      await page.getByRole('heading', { level: 1, name: place, exact: true }).waitFor();
      await settled(page);
      const retry = page.locator('main').getByRole('button', { name: t.common.retry });
      await until('all of the page', async () => {
        for (const button of await retry.all()) await button.click({ timeout: 1000 }).catch(() => undefined);
        await settled(page);
        return (await page.locator('main .fault').count()) === 0;
      });
    }
    assert.deepEqual(
      complaints.filter((text) => !text.includes('net::ERR_')),
      [],
    );
  });
});
