/**
 * Takes pictures of pages: `scripts/node tests/console/screenshots.ts FOLDER PATH...` as the administrator, narrow and wide,
 * light and dark. `--as NAME` takes them as another user, `--nobody` logged out, `--new` from a service without anybody.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ADMINISTRATOR, closeBrowser, consoleWorld } from './console-world.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    as: { type: 'string', default: ADMINISTRATOR.name },
    nobody: { type: 'boolean' },
    new: { type: 'boolean' },
  },
});
const [folder = '', ...paths] = positionals;
if (folder === '' || paths.length === 0) throw new Error('screenshots.ts FOLDER PATH...');
mkdirSync(folder, { recursive: true });
await using world = await consoleWorld({ organisation: values.new !== true });
const setup = values.new === true ? new URL((await world.control.createSetupUrl())!).hash : '';
for (const theme of ['light', 'dark'] as const) {
  for (const width of [1280, 390]) {
    const { context, page, complaints } =
      values.nobody === true || values.new === true
        ? await world.open({ theme, width })
        : await world.openAs(values.as, { theme, width });
    for (const path of paths) {
      await page.goto(world.url + path + (path === '/setup' ? setup : ''));
      await page.waitForLoadState('load');
      await page.waitForTimeout(1200);
      const name = `${path.replace(/[^a-z0-9]+/gi, '_')}-${width}-${theme}.png`;
      await page.screenshot({ path: join(folder, name), fullPage: true });
      const wide = await page.evaluate(
        () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
      );
      console.log(`${name}${wide > 0 ? `: ${wide} px too wide` : ''}`);
    }
    for (const complaint of new Set(complaints)) console.log(`  complaint: ${complaint}`);
    await context.close();
  }
}
await closeBrowser();
