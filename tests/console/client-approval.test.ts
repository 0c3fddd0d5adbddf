/** Letting in a client that shows a code, from the link that it gives. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { routes } from '@sallyport/api';
import type { Page } from 'playwright-core';
import { t } from '../../apps/console/src/strings/index.ts';
import { dialog, openPath } from './browsing.ts';
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

const text = t.signIn.client;
const minuteMs = 60_000;

const start = (client: string) => world.api.call(routes.startDeviceAuthorization, { body: { client } });
const redeem = (deviceCode: string) => world.api.call(routes.redeemDeviceAuthorization, { body: { deviceCode } });
const heading = (page: Page, name: string) => page.getByRole('heading', { name, exact: true });

test('who isn’t logged in logs in first, comes back to the client, and lets it in', async () => {
  const begun = await start('bob-laptop');
  await using window = await world.open();
  const { page, complaints } = window;
  await page.goto(begun.verificationUriComplete);
  await page.getByLabel(t.signIn.name, { exact: true }).fill('bob');
  await page.getByLabel(t.signIn.password, { exact: true }).fill(ADMINISTRATOR.password);
  await page.getByRole('button', { name: t.signIn.logIn, exact: true }).click();
  await heading(page, text.compare).waitFor();
  assert.equal(await page.locator('.user-code').innerText(), begun.userCode);
  const shown = await page.getByRole('main').innerText();
  for (const word of ['bob-laptop', '127.0.0.1', text.warning]) assert.ok(shown.includes(word), word);
  assert.deepEqual(await redeem(begun.deviceCode), { state: 'pending' }, 'looking lets nobody in');
  await page.getByRole('button', { name: text.approve }).click();
  await heading(page, text.approved('bob-laptop')).waitFor();
  const answer = await redeem(begun.deviceCode);
  assert.ok(answer.state === 'approved');
  assert.equal(answer.userName, 'bob');
  // It stands among the user's sessions under its name.
  await page.getByRole('link', { name: text.toAccount }).click();
  const row = page.getByRole('row').filter({ hasText: 'bob-laptop' });
  await row.getByText(t.account.account.isClient, { exact: true }).waitFor();
  // Before the login the page asks who is there.
  assert.deepEqual(
    complaints.filter((complaint) => !complaint.includes('401')),
    [],
  );
});

test('a code can be typed, and a client sent away', async () => {
  const begun = await start('a stranger’s');
  await using window = await world.openAs('carol');
  const { page, complaints } = window;
  await openPath(page, '/client');
  await page.getByLabel(text.code).fill(begun.userCode.replace('-', ' ').toLowerCase());
  await page.getByRole('button', { name: text.find }).click();
  await heading(page, text.compare).waitFor();
  await page.getByRole('button', { name: text.deny }).click();
  await heading(page, text.denied('a stranger’s')).waitFor();
  assert.deepEqual(await redeem(begun.deviceCode), { state: 'denied' });
  assert.deepEqual(complaints, []);
});

test('a code that nobody waits with says so, and leads to another try', async () => {
  await using window = await world.openAs('carol');
  const { page } = window;
  await openPath(page, '/client?code=BCDF-GHJK');
  await page.getByText(/No client waits with this code/).waitFor();
  await page.getByRole('link', { name: text.other }).click();
  await page.getByLabel(text.code).waitFor();
});

test('a login of long ago is not enough: the password is asked for again', async () => {
  await using window = await world.openAs('erin');
  const { page } = window;
  clock = Date.now() + 30 * minuteMs;
  try {
    const begun = await start('erin-laptop');
    await openPath(page, `/client?code=${begun.userCode}`);
    await page.getByRole('button', { name: text.approve }).click();
    const proof = dialog(page, t.shell.proveTitle);
    await proof.waitFor();
    assert.deepEqual(await redeem(begun.deviceCode), { state: 'pending' });
    await proof.getByLabel(t.shell.password, { exact: true }).fill(ADMINISTRATOR.password);
    await proof.getByRole('button', { name: t.shell.prove }).click();
    await heading(page, text.approved('erin-laptop')).waitFor();
    assert.equal((await redeem(begun.deviceCode)).state, 'approved');
  } finally {
    clock = undefined;
  }
});
