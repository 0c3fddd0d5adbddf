/** Every page, in both themes, wide and on a phone: no fault, nothing sideways, nothing that keeps people out. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, describe, test } from 'node:test';
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

async function assertSound(page: Page, complaints: readonly string[], path: string, searched: boolean): Promise<void> {
  assert.deepEqual([...complaints], [], path);
  if (searched) assert.deepEqual(await seriousFindings(page), [], path);
  assert.equal(await page.locator('h1').count(), 1, `${path} has one heading of the first order`);
  const tooWide = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  assert.ok(tooWide <= 0, `${path} is ${String(tooWide)} px wider than its window`);
  assert.equal(await page.locator('main .fault').count(), 0, `${path} shows a fault`);
  assert.ok((await page.title()).endsWith('Sallyport'), path);
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
  '/groups/contractors',
  '/invitations',
  '/all-devices',
  '/all-devices?standing=awaitingApproval',
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

for (const theme of ['light', 'dark'] as const) {
  for (const width of [1280, 390]) {
    // The search takes longest by far: each theme once, each width once.
    const searched = (theme === 'light') === (width === 1280);
    describe(`${theme}, ${String(width)} pixels wide:`, () => {
      for (const [who, paths] of [
        ['ada', [...own, ...administration]],
        ['bob', own],
        ['carol', width === 390 ? [] : administration],
      ] as const) {
        test(`the pages of ${who}`, async () => {
          const { context, page, complaints } = await world.openAs(who, { theme, width });
          for (const path of paths) {
            await page.goto(world.url + path);
            await settled(page);
            await assertSound(page, complaints, path, searched);
          }
          await context.close();
        });
      }

      test('the pages of nobody', async () => {
        const { context, page, complaints } = await world.open({ theme, width });
        for (const path of ['/login', '/setup', '/invitation', '/login?problem=notAllowed']) {
          await page.goto(world.url + path);
          await settled(page);
          // A browser writes refused requests into its console: nobody is logged in.
          assert.deepEqual(
            complaints.filter((text) => !text.includes('401')),
            [],
            path,
          );
          if (searched) assert.deepEqual(await seriousFindings(page), [], path);
        }
        await context.close();
      });
    });
  }
}

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
