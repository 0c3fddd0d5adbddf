/**
 * The first minute: from the start of the service by its one-time link to an administrator, a device whose keys the
 * browser made, and a phone that connects by the QR code. The key never leaves the browser.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Laboratory, PATIENCE_MS, wireguardGo, type NetworkNamespace } from '@sallyport/netlab';
import { chromium, type Browser, type Request } from 'playwright-core';
import { t as texts } from '../../apps/console/src/strings/index.ts';
import { App } from '../../demo/scenarios/service/person.ts';
import { startService } from '../../demo/scenarios/service/servers.ts';
import {
  ADDRESSES,
  buildServiceWorld,
  seenFrom,
  startMirror,
  type ServiceWorld,
} from '../../demo/scenarios/service/world.ts';

let laboratory: Laboratory;
let world: ServiceWorld;
before(async () => {
  laboratory = Laboratory.open();
  world = await buildServiceWorld(laboratory);
  await startMirror(world.internet);
});
after(() => laboratory.close());

/** A browser on a machine of the laboratory. */
async function browserAt(machine: NetworkNamespace): Promise<Browser> {
  const program = machine.laboratory.file(
    'browser',
    `#!/bin/sh\nexec ip netns exec ${machine.name} /usr/bin/chromium "$@"\n`,
  );
  await machine.laboratory.run(['chmod', '+x', program]);
  return chromium.launch({
    executablePath: program,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--disable-background-networking',
      '--disable-component-update',
    ],
  });
}

test('within sixty seconds of the start a phone is connected, and no request held its key', async (t) => {
  const start = Date.now();
  const service = await startService(world);
  const browser = await browserAt(world.admin);
  try {
    const context = await browser.newContext({
      ignoreHTTPSErrors: true,
      acceptDownloads: true,
      viewport: { width: 1280, height: 900 },
    });
    context.setDefaultTimeout(PATIENCE_MS);
    const page = await context.newPage();
    const requests: Request[] = [];
    context.on('request', (request) => requests.push(request));

    await page.goto(service.link);
    await page.getByLabel(texts.signIn.setUp.name, { exact: true }).fill('root');
    await page.locator('input[type=password]').fill('correct horse battery');
    await page.getByRole('button', { name: texts.signIn.setUp.create }).click();

    const dialog = page.getByRole('dialog');
    await dialog.getByLabel(texts.account.add.name).fill('phone');
    await dialog.getByRole('button', { name: texts.account.add.submit }).click();
    const code = dialog.getByRole('img', { name: texts.account.add.qr('phone') });
    await code.waitFor();

    const picture = laboratory.file('qr.png', '');
    await code.screenshot({ path: picture });
    const { stdout: scanned } = await laboratory.run(['zbarimg', '--quiet', '--raw', picture]);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      dialog.getByText(texts.account.add.download('phone.conf')).click(),
    ]);
    const configuration = readFileSync(await download.path(), 'utf8');
    assert.match(download.suggestedFilename(), /^[a-zA-Z0-9_=+.-]{1,15}\.conf$/);
    // The code leaves out what is for people only.
    const meant = configuration.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
    assert.deepEqual(scanned.trim().split(/\n+/), meant);
    assert.ok((await dialog.innerText()).includes(texts.account.add.once));

    const router = { ipv4: '192.0.2.9', ipv6: '2001:db8:1:1::1' };
    const phone = await App.start(world.alice, wireguardGo, scanned, router);
    await phone.connected();
    assert.equal(await seenFrom(world.alice, ADDRESSES.internet.ipv4), ADDRESSES.gateway1.ipv4);
    const seconds = (Date.now() - start) / 1000;
    t.diagnostic(`connected ${seconds.toFixed(1)} s after the start`);
    assert.ok(seconds < 60);
    // The page says so as soon as it is.
    await dialog
      .getByText(texts.account.add.connectedThrough('phone', 'local'))
      .or(dialog.getByText(texts.account.add.connected('phone')))
      .waitFor();

    const [, privateKey = ''] = /^PrivateKey = (.+)$/m.exec(configuration) ?? [];
    const key = Buffer.from(privateKey, 'base64');
    assert.equal(key.length, 32);
    const forms = [privateKey, key.toString('base64url'), key.toString('hex'), encodeURIComponent(privateKey)];
    assert.ok(requests.some((request) => request.url().endsWith('/api/v1/me/devices') && request.method() === 'POST'));
    for (const request of requests) {
      const sent = `${request.url()}\n${JSON.stringify(await request.allHeaders())}\n${request.postData() ?? ''}`;
      for (const form of forms)
        assert.ok(!sent.includes(form), `${request.method()} ${request.url()} holds the private key`);
      assert.ok(request.url().startsWith(service.url), `asks elsewhere: ${request.url()}`);
    }
    // Nor does the page keep it once the dialog is closed.
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    const kept = JSON.stringify(await context.storageState()) + (await page.content());
    for (const form of forms) assert.ok(!kept.includes(form));
    await page.locator('main').getByText(texts.account.devices.connected, { exact: true }).waitFor();
  } finally {
    await browser.close();
  }
});
