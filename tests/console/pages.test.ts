/** Every page, in both themes, wide and on a phone: no fault, nothing sideways, nothing that keeps people out. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import type { Page } from 'playwright-core';
import { closeBrowser, consoleWorld, type ConsoleWorld } from './console-world.ts';

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

interface Finding {
  readonly id: string;
  readonly impact: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

/** What axe-core calls serious or critical. */
async function seriousFindings(page: Page): Promise<string[]> {
  // As a script of the tester, not of the page, whose policy would refuse it.
  await page.evaluate(axeSource);
  const violations = await page.evaluate(
    async () =>
      (
        await (globalThis as unknown as { axe: { run(options: object): Promise<{ violations: Finding[] }> } }).axe.run({
          resultTypes: ['violations'],
        })
      ).violations,
  );
  return violations
    .filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .map(
      ({ id, nodes }) =>
        `${id}: ${nodes.map(({ html, failureSummary }) => `${html} (${failureSummary})`).join('\n  ')}`,
    );
}

async function settled(page: Page): Promise<void> {
  await page.locator('h1').first().waitFor();
  await page.waitForFunction(() => document.querySelector('[role=status].loading') === null);
}

/** Wide and light, then dark, then on a phone, then light again: all without another load, which takes longest. */
async function assertSound(
  page: Page,
  complaints: readonly string[],
  path: string,
  { search = true, faults = 0 } = {},
): Promise<void> {
  for (const [width, colorScheme, searched] of [
    [1280, 'light', true],
    [1280, 'dark', false],
    [390, 'dark', true],
    [390, 'light', false],
  ] as const) {
    const place = `${path}, ${String(width)} pixels, ${colorScheme}`;
    await page.setViewportSize({ width, height: 860 });
    await page.emulateMedia({ colorScheme });
    await page.waitForFunction(() => document.querySelector('[role=status].loading') === null);
    if (search && searched) assert.deepEqual(await seriousFindings(page), [], place);
    const tooWide = await page.evaluate(
      () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
    );
    assert.ok(tooWide <= 0, `${place} is ${String(tooWide)} px wider than its window`);
    assert.equal(await page.locator('main .fault').count(), faults, `the faults that ${place} shows`);
  }
  assert.deepEqual([...complaints], [], path);
  assert.equal(await page.locator('h1').count(), 1, `${path} has one heading of the first order`);
  assert.ok((await page.title()).endsWith('Sallyport'), path);
  await page.setViewportSize({ width: 1280, height: 860 });
}

let world: ConsoleWorld;
before(async () => {
  world = await consoleWorld();
});
after(async () => {
  await closeBrowser();
  await world[Symbol.asyncDispose]();
});

const own = ['/', '/devices', '/devices?add=1', '/regions', '/account'];
const administration = [
  '/overview',
  '/users',
  '/users?search=nobody-is-called-so',
  '/users/bob',
  '/groups',
  '/groups?add=1',
  '/groups/contractors',
  '/invitations',
  '/all-devices',
  '/all-devices?standing=awaitingApproval',
  '/all-devices?networks=waiting',
  '/gateways',
  '/gateways?view=map',
  '/gateways/frankfurt-1',
  '/policy',
  '/policy?tab=resources',
  '/policy?tab=tests',
  '/policy/rules/new',
  '/policy/resources/new',
  '/reach',
  '/usage',
  '/audit',
  '/audit?action=user',
  '/settings',
  '/sign-in',
  '/tokens',
  '/no-such-page',
];

for (const [who, paths] of [
  ['ada', [...own, ...administration]],
  ['bob', own],
  [
    'carol',
    ['/overview', '/users', '/users/bob', '/all-devices', '/gateways/frankfurt-1', '/policy', '/settings', '/tokens'],
  ],
] as const) {
  test(`the pages of ${who}`, async () => {
    await using window = await world.openAs(who);
    const { page, complaints } = window;
    for (const path of paths) {
      await page.goto(path);
      await settled(page);
      // An auditor's pages are those of the administrator with less in them.
      await assertSound(page, complaints, path, { search: who !== 'carol' });
    }
  });
}

test('the pages of nobody', async () => {
  await using window = await world.open();
  const { page, complaints } = window;
  for (const path of ['/login', '/setup', '/invitation', '/login?problem=notAllowed']) {
    await page.goto(path);
    await settled(page);
    // A browser writes refused requests into its console: nobody is logged in.
    await assertSound(page, [], path, { faults: path.includes('problem=') ? 1 : 0 });
    assert.deepEqual(
      complaints.filter((text) => !text.includes('401')),
      [],
      path,
    );
  }
});

test('what only administrators see is not asked for by others', async () => {
  const { context, page } = await world.openAs('bob');
  const asked: string[] = [];
  page.on('response', (response) => {
    if (response.status() === 403) asked.push(response.url());
  });
  for (const path of own) {
    await page.goto(world.url + path);
    await settled(page);
  }
  assert.deepEqual(asked, []);
  assert.equal(await page.getByRole('link', { name: 'Audit' }).count(), 0);
  await context.close();
});
