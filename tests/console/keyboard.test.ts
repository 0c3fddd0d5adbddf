/** The console by the keyboard alone: nothing here clicks. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { routes } from '@sallyport/api';
import { generateKeys, until } from '@sallyport/netlab';
import type { Locator, Page } from 'playwright-core';
import { t } from '../../apps/console/src/strings/index.ts';
import { dialog, openPath, rowOf, toast } from './browsing.ts';
import { ADMINISTRATOR, closeBrowser, consoleWorld, type ConsoleWorld } from './console-world.ts';

let world: ConsoleWorld;
let offset = 0;
before(async () => {
  world = await consoleWorld({ now: () => Date.now() + offset });
});
after(async () => {
  await closeBrowser();
  await world[Symbol.asyncDispose]();
});

/** What has the focus, and whether people can see that. */
async function focusOf(
  page: Page,
): Promise<{ readonly what: string; readonly seen: boolean; readonly inDialog: boolean }> {
  return page.evaluate(() => {
    const element = document.activeElement!;
    // Between the last element and the first, browsers go through their own buttons.
    if (element === document.body) return { what: '', seen: true, inDialog: true };
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element);
    const { width, height, right, bottom, left, top } = element.getBoundingClientRect();
    const marked = (outlineStyle !== 'none' && Number.parseFloat(outlineWidth) >= 1) || boxShadow !== 'none';
    const inside = right > 0 && bottom > 0 && left < innerWidth && top < innerHeight && width > 1 && height > 1;
    return {
      what: element.outerHTML.slice(0, 160),
      seen: marked && inside,
      inDialog: element.closest('dialog') !== null,
    };
  });
}

/** Goes on by Tab until something has the focus; each stop on the way has to be seen. */
async function tabTo(page: Page, target: Locator, key: 'Tab' | 'Shift+Tab' = 'Tab'): Promise<void> {
  await target.waitFor({ state: 'attached' });
  for (let stops = 0; stops < 250; stops++) {
    if (await target.evaluate((element) => element === document.activeElement)) return;
    await page.keyboard.press(key);
    const { what, seen } = await focusOf(page);
    assert.ok(seen, `the focus can't be seen: ${what}`);
  }
  assert.fail(`Tab does not lead to ${String(target)}`);
}

async function press(page: Page, target: Locator, key = 'Enter'): Promise<void> {
  await tabTo(page, target);
  await page.keyboard.press(key);
}

async function type(page: Page, target: Locator, text: string): Promise<void> {
  await tabTo(page, target);
  await page.keyboard.press('Control+a');
  await page.keyboard.type(text);
}

/** Tab goes round in an open dialog, and never leaves it. */
async function assertTrapped(page: Page): Promise<void> {
  await page.locator('dialog[open]').first().waitFor();
  assert.ok((await focusOf(page)).inDialog, 'the focus is in the dialog from the start');
  for (const key of ['Tab', 'Shift+Tab']) {
    for (let stops = 0; stops < 12; stops++) {
      await page.keyboard.press(key);
      const { what, seen, inDialog } = await focusOf(page);
      assert.ok(inDialog, `${key} leaves the dialog for ${what}`);
      assert.ok(seen, `the focus can't be seen: ${what}`);
    }
  }
}

async function assertFocused(target: Locator): Promise<void> {
  await target.waitFor();
  assert.ok(
    await target.evaluate(async (element) => {
      for (let frames = 0; frames < 600 && element !== document.activeElement; frames++)
        await new Promise((resolve) => requestAnimationFrame(resolve));
      return element === document.activeElement;
    }),
    `${String(target)} has the focus again`,
  );
}

test('logging in, the way past the menu, and the appearance', async () => {
  await using window = await world.open();
  const { page } = window;
  await page.goto('/login');
  await type(page, page.getByLabel(t.signIn.name, { exact: true }), 'ada');
  await type(page, page.getByLabel(t.signIn.password, { exact: true }), ADMINISTRATOR.password);
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: t.shell.logOut }).waitFor();
  await openPath(page, '/devices');
  await page.keyboard.press('Tab');
  const skip = page.getByRole('link', { name: t.shell.skip });
  await tabTo(page, skip, 'Shift+Tab');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'content');
  await page.keyboard.press('Tab');
  assert.ok(await page.locator('main').evaluate((main) => main.contains(document.activeElement)), 'past the menu');
  const appearance = page.getByLabel(t.shell.theme);
  await tabTo(page, appearance, 'Shift+Tab');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('ArrowDown');
  await page.locator('html[data-theme=dark]').waitFor();
});

test('the menu of a narrow window', async () => {
  await using window = await world.openAs('ada', { width: 390 });
  const { page } = window;
  await openPath(page, '/devices');
  const button = page.getByRole('button', { name: t.shell.menu });
  const link = page.getByRole('link', { name: t.shell.regions, exact: true });
  assert.ok(!(await link.isVisible()));
  await tabTo(page, button, 'Shift+Tab');
  assert.equal(await button.getAttribute('aria-expanded'), 'false');
  await page.keyboard.press('Enter');
  await until('an open menu', async () => (await button.getAttribute('aria-expanded')) === 'true');
  await tabTo(page, link);
  await tabTo(page, button, 'Shift+Tab');
  await page.keyboard.press('Space');
  await link.waitFor({ state: 'hidden' });
  await page.keyboard.press('Enter');
  await press(page, link);
  await page.getByRole('heading', { level: 1, name: t.account.regions.title }).waitFor();
  // It closes behind who goes.
  await link.waitFor({ state: 'hidden' });
});

describe('devices', () => {
  test('are added, removed after a question, and brought back', async () => {
    const text = t.account.devices;
    await using window = await world.openAs('ada');
    const { page } = window;
    await openPath(page, '/devices');
    const add = page.getByRole('button', { name: text.add });
    await press(page, add);
    const adding = dialog(page, t.account.add.title);
    await adding.getByLabel(t.account.add.name).waitFor();
    await assertTrapped(page);
    await page.keyboard.press('Escape');
    await assertFocused(add);
    await page.keyboard.press('Enter');
    await type(page, adding.getByLabel(t.account.add.name), 'by keyboard');
    await tabTo(page, adding.getByLabel(t.account.add.makeKey));
    await page.keyboard.press('ArrowDown');
    await type(page, adding.getByRole('textbox', { name: t.account.add.publicKey }), generateKeys().publicKey);
    await page.keyboard.press('Enter');
    const ready = dialog(page, t.account.add.ready('by keyboard'));
    await ready.waitFor();
    await assertTrapped(page);
    await page.keyboard.press('Escape');
    await ready.waitFor({ state: 'detached' });
    await assertFocused(add);

    // What stands for eight seconds would be gone before a busy machine has come to it by Tab.
    await page.evaluate(() => {
      const later = setTimeout;
      const longer = (work: () => void, ms: number): number =>
        later(work, ms === 8000 ? 120_000 : ms) as unknown as number;
      Object.assign(globalThis, { setTimeout: longer });
    });
    const remove = page.getByRole('button', { name: text.removeTitle('by keyboard') });
    await press(page, remove);
    await assertTrapped(page);
    await page.keyboard.press('Escape');
    await assertFocused(remove);
    await page.keyboard.press('Enter');
    await press(page, dialog(page, text.removeTitle('by keyboard')).getByRole('button', { name: t.common.remove }));
    await toast(page, text.removed('by keyboard')).waitFor();
    await rowOf(page, 'by keyboard').waitFor({ state: 'detached' });
    await press(page, page.locator('.toasts').getByRole('button', { name: t.common.undo }));
    await rowOf(page, 'by keyboard').waitFor();
  });
});

describe('users', () => {
  test('are added, found and disabled', async () => {
    const text = t.people.add;
    await using window = await world.openAs('ada');
    const { page } = window;
    await openPath(page, '/users');
    await press(page, page.getByRole('button', { name: t.people.users.add }));
    const form = dialog(page, text.title);
    await form.waitFor();
    await assertTrapped(page);
    await type(page, form.getByLabel(text.displayName), 'Heidi Typed');
    await tabTo(page, form.getByLabel(text.role));
    await page.keyboard.press('ArrowDown');
    await press(page, form.getByLabel('finance'), 'Space');
    await press(page, form.getByLabel(text.invite), 'Space');
    await press(page, form.getByRole('button', { name: text.submit }));
    await toast(page, text.added('Heidi Typed')).waitFor();
    const { items } = await world.api.call(routes.listUsers, { query: { search: 'heidi' } });
    assert.deepEqual(
      items.map(({ role, groups }) => [role, groups.length]),
      [['auditor', 1]],
    );

    await type(page, page.getByLabel(t.people.users.search), 'heidi');
    await page.waitForURL('**/users?search=heidi');
    await tabTo(page, page.getByLabel(t.people.users.role));
    await page.keyboard.press('ArrowDown');
    await page.waitForURL('**/users?search=heidi&role=administrator');
    await page.getByRole('heading', { name: t.people.users.noneFound }).waitFor();
    await press(page, page.getByRole('button', { name: t.people.clearFilters }));
    await page.waitForURL('**/users');
    await press(page, page.getByRole('link', { name: 'Heidi Typed' }));
    await page.getByRole('heading', { level: 1, name: 'Heidi Typed' }).waitFor();
    const disable = page.getByRole('button', { name: t.people.user.disable, exact: true });
    await press(page, disable);
    const question = dialog(page, t.people.user.disableTitle('Heidi Typed'));
    await press(page, question.getByRole('button', { name: t.people.user.disable }));
    await toast(page, t.people.user.disabled('Heidi Typed')).waitFor();
    const [heidi] = (await world.api.call(routes.listUsers, { query: { search: 'heidi' } })).items;
    assert.equal(heidi?.disabled, true);
  });

  test('are paged', async () => {
    for (let number = 0; number < 120; number++)
      await world.api.call(routes.createUser, { body: { name: `paged-${String(number).padStart(3, '0')}` } });
    await using window = await world.openAs('ada');
    const { page } = window;
    await openPath(page, '/users?search=paged');
    await rowOf(page, 'paged-000').waitFor();
    await press(page, page.getByRole('button', { name: t.common.next, exact: true }));
    await rowOf(page, 'paged-119').waitFor();
    assert.equal(await rowOf(page, 'paged-000').count(), 0);
    await press(page, page.getByRole('button', { name: t.common.previous, exact: true }));
    await rowOf(page, 'paged-000').waitFor();
  });

  test('are deleted after the question whether it is still the same person', async () => {
    const text = t.people.user;
    await using window = await world.openAs('ada');
    const { page } = window;
    offset += 11 * 60_000;
    await openPath(page, '/users/mallory');
    await press(page, page.getByRole('button', { name: text.remove, exact: true }));
    const question = dialog(page, text.removeTitle('Mallory Quinn'));
    await type(page, question.getByLabel(text.removeConfirm('mallory')), 'mallory');
    await page.keyboard.press('Enter');
    const proof = dialog(page, t.shell.proveTitle);
    await proof.getByLabel(t.shell.password).waitFor();
    await assertTrapped(page);
    await type(page, proof.getByLabel(t.shell.password), ADMINISTRATOR.password);
    await page.keyboard.press('Enter');
    await toast(page, text.removed('Mallory Quinn')).waitFor();
    await page.waitForURL('**/users');
    const { items } = await world.api.call(routes.listUsers, { query: { search: 'mallory' } });
    assert.deepEqual(items, []);
  });
});
