import { mkdtempSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { until, type Process } from '@sallyport/netlab';
import { chromium, type Browser, type Page } from 'playwright-core';
import { Pairs, type BenchContext, type Comparison, type Figure } from '../figure.ts';

const devices = 10_000;
/** The browser has a core to itself, and so has the server. */
const [SERVER_CORE, BROWSER_CORE] = ['0', '1'];
const dist = join(import.meta.dirname, '../../apps/console/dist');

/** The console in Chromium. */
export const console: Figure = {
  names: ['console-size', 'console-ready', 'console-change', 'console-frames'],
  about: `the console: JavaScript of its first page; overview and tables with ${String(devices)} devices; when another's change shows`,
  timeoutMs: ({ pairs }) => 120_000 + pairs * 60_000,
  async run(context): Promise<readonly Comparison[]> {
    const server = await startServer(context);
    const browser = await startBrowser(context);
    try {
      const sizes = new Pairs();
      const ready = new Pairs();
      const change = new Pairs();
      const frames = new Pairs();
      for (let pair = 0; pair < context.pairs; pair++) {
        context.progress(`pair ${String(pair + 1)} of ${String(context.pairs)}`);
        sizes.add('ours', 'login', await scriptSize(browser, server, '/login', false));
        sizes.add('ours', 'my devices', await scriptSize(browser, server, '/devices', true));
        sizes.add('ours', 'overview', await scriptSize(browser, server, '/overview', true));
        ready.add('ours', 'overview', await readyAfter(browser, server, '/overview', '.uplot'));
        ready.add('ours', 'devices', await readyAfter(browser, server, '/all-devices', 'tbody tr'));
        change.add('ours', 'a device is renamed', await changeAfter(browser, server, pair));
        frames.add('ours', 'a table is scrolled', await longestFrame(browser, server));
      }
      return [
        ...sizes.comparisons({
          figure: 'console-size',
          unit: 'kB gzip',
          reference: '',
          goal: { of: 'ours', atMost: 120 },
        }),
        ...ready.comparisons({
          figure: 'console-ready',
          unit: 'ms',
          reference: '',
          goal: { of: 'ours', atMost: 1000 },
        }),
        ...change.comparisons({
          figure: 'console-change',
          unit: 'ms',
          reference: '',
          goal: { of: 'ours', atMost: 1000 },
        }),
        ...frames.comparisons({
          figure: 'console-frames',
          unit: 'ms a frame',
          reference: '',
          goal: { of: 'ours', atMost: 50 },
        }),
      ];
    } finally {
      await browser.close();
    }
  },
};

interface Serving {
  readonly url: string;
  readonly session: string;
  readonly process: Process;
}

async function startServer({ laboratory }: BenchContext): Promise<Serving> {
  if (!readdirSync(dist).includes('index.html')) throw new Error('build the console first: npm run console:build');
  const folder = mkdtempSync(join(laboratory.folder, 'console-'));
  const script = join(import.meta.dirname, '..', 'service', 'console-server.ts');
  const server = await laboratory.start([
    'taskset',
    '-c',
    SERVER_CORE,
    process.execPath,
    script,
    folder,
    String(devices),
  ]);
  await until(
    'the console',
    () => {
      if (server.exit !== undefined) throw new Error(`the server ended: ${server.stderr}`);
      return server.stdout.includes('\n');
    },
    60_000,
  );
  return { ...(JSON.parse(server.stdout) as { url: string; session: string }), process: server };
}

async function startBrowser({ laboratory }: BenchContext): Promise<Browser> {
  // A program of its own that pins the browser with all its processes to one core.
  const program = laboratory.file('browser', `#!/bin/sh\nexec taskset -c ${BROWSER_CORE} /usr/bin/chromium "$@"\n`);
  await laboratory.run(['chmod', '+x', program]);
  return chromium.launch({
    executablePath: program,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update'],
  });
}

/** A window that knows nothing yet, with or without a session. */
async function withPage<T>(
  browser: Browser,
  { url, session }: Serving,
  loggedIn: boolean,
  work: (page: Page) => Promise<T>,
): Promise<T> {
  const browsing = await browser.newContext({ viewport: { width: 1280, height: 860 } });
  if (loggedIn)
    await browsing.addCookies([{ name: 'sallyport', value: session, url, httpOnly: true, sameSite: 'Strict' }]);
  try {
    return await work(await browsing.newPage());
  } finally {
    await browsing.close();
  }
}

/** The JavaScript that a page loads, compressed as any server would; kB. */
function scriptSize(browser: Browser, server: Serving, path: string, loggedIn: boolean): Promise<number> {
  return withPage(browser, server, loggedIn, async (page) => {
    const scripts = new Set<string>();
    page.on('request', (request) => {
      if (request.resourceType() === 'script') scripts.add(new URL(request.url()).pathname);
    });
    await page.goto(server.url + path);
    await page.locator('h1').waitFor();
    await page.waitForLoadState('networkidle').catch(() => undefined);
    let bytes = 0;
    for (const script of scripts) bytes += gzipSync(readFileSync(join(dist, script)), { level: 9 }).length;
    return bytes / 1000;
  });
}

/** From the first byte asked for until what the page is for is there and a click is answered; milliseconds. */
function readyAfter(browser: Browser, server: Serving, path: string, content: string): Promise<number> {
  return withPage(browser, server, true, async (page) => {
    await page.goto(server.url + path, { waitUntil: 'commit' });
    await page.locator(content).first().waitFor();
    // Behind everything that still waits for the main thread.
    return page.evaluate<number>(
      'new Promise((resolve) => requestAnimationFrame(() => setTimeout(() => resolve(performance.now()))))',
    );
  });
}

/** From another administrator's change until a page shows it; milliseconds. */
function changeAfter(browser: Browser, server: Serving, pair: number): Promise<number> {
  return withPage(browser, server, true, async (page) => {
    await page.goto(`${server.url}/all-devices?user=u1`);
    await page.locator('tbody tr').first().waitFor();
    // The stream of events is open by then.
    await page.waitForTimeout(1500);
    const name = `renamed-${String(pair)}`;
    const seen = page.evaluate<number>(
      `new Promise((resolve) => {
        const look = () =>
          document.body.innerText.includes('${name}') ? resolve(Date.now()) : requestAnimationFrame(look);
        look();
      })`,
    );
    const start = Date.now();
    server.process.signal('SIGUSR2');
    return (await seen) - start;
  });
}

/** The longest time between two frames while a full page of the table is scrolled from end to end; milliseconds. */
function longestFrame(browser: Browser, server: Serving): Promise<number> {
  return withPage(browser, server, true, async (page) => {
    await page.goto(`${server.url}/all-devices`);
    await page.locator('tbody tr').nth(50).waitFor();
    await page.waitForTimeout(500);
    return page.evaluate<number>(
      `new Promise((resolve) => {
        let last = performance.now();
        let longest = 0;
        const step = () => {
          const now = performance.now();
          longest = Math.max(longest, now - last);
          last = now;
          const before = scrollY;
          scrollBy(0, 60);
          if (scrollY === before) resolve(longest);
          else requestAnimationFrame(step);
        };
        requestAnimationFrame(step);
      })`,
    );
  });
}
