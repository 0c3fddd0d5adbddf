/** Whether a page is as pages have to be: no fault, nothing sideways, nothing that keeps people out. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';

const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

interface Finding {
  readonly id: string;
  readonly impact: string;
  readonly nodes: readonly { readonly html: string; readonly failureSummary: string }[];
}

/** What axe-core calls serious or critical. */
async function seriousFindings(page: Page): Promise<string[]> {
  // As a script of the tester, not of the page, whose policy would refuse it; it is large, and there after the first time.
  if (await page.evaluate(() => !('axe' in globalThis))) await page.evaluate(axeSource);
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

/** Wide and light, then dark, then on a phone, then light again: all without another load, which takes longest. */
export async function assertSound(
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
    // What fades in has fainter colours meanwhile; where less motion is wanted nothing does.
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    await page.waitForFunction(() => document.querySelector('[role=status].loading') === null);
    assert.equal(await page.evaluate(() => document.getAnimations().length), 0, `${place} moves`);
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
