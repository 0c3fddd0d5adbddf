/** What tests do in windows of the console, by roles and labels and the console's own texts. */
import type { Locator, Page } from 'playwright-core';

/** Whether a page has all that it asked for first. */
export async function settled(page: Page): Promise<void> {
  await page.locator('h1').first().waitFor();
  await page.locator('[role=status].loading').first().waitFor({ state: 'detached' });
}

/** Until the page hears of changes: whoever holds the stream of events for all tabs answers who asks. */
export function live(page: Page): Promise<void> {
  return page.evaluate(
    () =>
      new Promise<void>((resolve) => {
        const channel = new BroadcastChannel('sallyport-events');
        channel.onmessage = ({ data }: MessageEvent<{ name: string }>) => {
          if (data.name !== 'hello') return;
          channel.close();
          resolve();
        };
        channel.postMessage({ name: 'asked' });
      }),
  );
}

export async function openPath(page: Page, path: string): Promise<void> {
  await page.goto(path);
  await settled(page);
}

/** Calls the API as the page itself would, with its cookie and its CSRF token; `csrf: false` leaves that out. */
export function callIn(
  page: Page,
  method: string,
  path: string,
  { body, ifMatch, csrf = true }: { readonly body?: object; readonly ifMatch?: number; readonly csrf?: boolean } = {},
): Promise<{ readonly status: number; readonly body: Record<string, unknown> }> {
  return page.evaluate(
    async (request) => {
      const headers: Record<string, string> = {};
      if (request.body !== undefined) headers['content-type'] = 'application/json';
      if (request.ifMatch !== undefined) headers['if-match'] = `"${request.ifMatch}"`;
      if (request.csrf) {
        const me = (await (await fetch('/api/v1/me')).json()) as { session?: { csrfToken: string } };
        headers['x-csrf-token'] = me.session?.csrfToken ?? '';
      }
      const response = await fetch(`/api/v1${request.path}`, {
        method: request.method,
        headers,
        body: request.body === undefined ? null : JSON.stringify(request.body),
      });
      const text = await response.text();
      return { status: response.status, body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>) };
    },
    { method, path, body, ifMatch, csrf },
  );
}

/** The row of a table whose first cell holds this text. */
export function rowOf(page: Page, text: string | RegExp): Locator {
  return page.getByRole('row').filter({ has: page.getByRole('rowheader').filter({ hasText: text }) });
}

export function dialog(page: Page, title: string): Locator {
  return page.getByRole('dialog', { name: title });
}

export function toast(page: Page, text: string): Locator {
  return page.locator('.toasts').getByText(text, { exact: true });
}
