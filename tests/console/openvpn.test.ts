/** Devices of OpenVPN in the console: their profiles, as programs take them, and logins that they ask for. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { routes, type Device } from '@sallyport/api';
import { SYSTEM } from '@sallyport/control';
import { parseProfile } from '@sallyport/openvpn';
import type { Locator, Page } from 'playwright-core';
import { t } from '../../apps/console/src/strings/index.ts';
import { addTunnelLogin } from '../../packages/control/src/repositories/tunnel-logins.ts';
import { dialog, openPath, rowOf, toast } from './browsing.ts';
import { ADMINISTRATOR, closeBrowser, consoleWorld, type ConsoleWorld } from './console-world.ts';
import { assertSound } from './sound.ts';

/** Of the service; undefined: the machine's. */
let clock: number | undefined;
let world: ConsoleWorld;
const folder = mkdtempSync(join(tmpdir(), 'sallyport-console-openvpn-'));
before(async () => {
  world = await consoleWorld({ now: () => clock ?? Date.now() });
});
after(async () => {
  await closeBrowser();
  await world[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const text = t.account.add;
const minuteMs = 60_000;

async function deviceOf(user: string, name: string): Promise<Device> {
  const { items } = await world.api.call(routes.listDevices, { query: { user } });
  const device = items.find((one) => one.name === name);
  assert.ok(device !== undefined, `${user} has no ${name}`);
  return device;
}

function newPublicKey(): string {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
}

/** What a browser saves. */
async function download(page: Page, button: Locator): Promise<{ readonly name: string; readonly content: string }> {
  const [file] = await Promise.all([page.waitForEvent('download'), button.click()]);
  return { name: file.suggestedFilename(), content: readFileSync(await file.path(), 'utf8') };
}

function block(profile: string, name: string): string {
  return new RegExp(`<${name}>\n([^<]*)</${name}>`).exec(profile)?.[1] ?? '';
}

function certificateOf(profile: string): X509Certificate {
  return new X509Certificate(block(profile, 'cert'));
}

const fingerprintOf = (profile: string): string =>
  certificateOf(profile).fingerprint256.replaceAll(':', '').toLowerCase();

/** The one that the service lets in. */
const fingerprintInForce = ({ id }: Device): string | undefined =>
  world.control.services.directory.model.devices.get(id)?.openvpn?.certificate?.sha256;

/** Debian's OpenVPN reads the profile, sets up its TLS by it, and finds nobody at a port of this machine. */
async function assertTaken(profile: string): Promise<void> {
  const file = join(folder, 'profile.ovpn');
  const login = join(folder, 'login.txt');
  writeFileSync(file, profile.replace(/^remote .*\n/gm, ''), { mode: 0o600 });
  writeFileSync(login, 'bob\nsecret\n', { mode: 0o600 });
  const asksLogin = /^auth-user-pass$/m.test(profile);
  const once = ['--connect-retry-max', '1', '--connect-retry', '1', '1', '--dev', 'null'];
  const words = ['--config', file, '--remote', '127.0.0.1', '9', 'tcp', ...once];
  const output = await new Promise<string>((resolve) => {
    execFile(
      'openvpn',
      [...words, ...(asksLogin ? ['--auth-user-pass', login] : [])],
      { timeout: 120_000 },
      (_, out) => {
        resolve(out);
      },
    );
  });
  assert.match(output, /Attempting to establish TCP connection with \[AF_INET\]127\.0\.0\.1:9/, output);
  assert.doesNotMatch(output, /Options error|Cannot load|does not match|WARNING: Ignoring/i, output);
}

describe('a device of OpenVPN', () => {
  for (const login of ['certificate', 'password', 'web'] as const)
    test(`that logs in by ${login} is added, with a profile whose key was made in the browser`, async () => {
      await using window = await world.openAs('bob');
      const { page, complaints } = window;
      const sent: string[] = [];
      page.on('request', (request) => sent.push(`${request.url()} ${request.postData() ?? ''}`));
      const name = `by ${login}`;
      await openPath(page, '/devices?add=1');
      const form = dialog(page, text.title);
      await form.getByLabel(text.name).fill(name);
      await form.getByRole('radio', { name: text.openvpn }).check();
      await form.getByLabel(text.login).selectOption(login);
      await form.getByText(text.loginHints[login]).waitFor();
      await form.getByLabel(text.gateway, { exact: true }).selectOption(login === 'web' ? 'oslo-1' : '');
      if (login === 'web') await assertSound(page, complaints, 'the form for a device of OpenVPN');
      await form.getByRole('button', { name: text.submit }).click();

      const ready = dialog(page, text.ready(name));
      const button = ready.getByRole('button', { name: text.download(`by-${login}.ovpn`) });
      await button.waitFor();
      const command = login === 'web' ? text.openvpnWebCommand : text.openvpnCommand;
      await ready.getByText(command(`by-${login}.ovpn`)).waitFor();
      if (login === 'web') await assertSound(page, complaints, 'the profile of a new device');
      const { name: fileName, content } = await download(page, button);
      assert.equal(fileName, `by-${login}.ovpn`);
      // Nothing is lost by closing now.
      await ready.getByRole('button', { name: t.common.close }).click();
      await ready.waitFor({ state: 'detached' });
      await rowOf(page, name).getByText(text.openvpn, { exact: true }).waitFor();

      const device = await deviceOf('bob', name);
      assert.equal(device.openvpn?.login, login);
      assert.equal(fingerprintInForce(device), fingerprintOf(content));
      const privateKey = createPrivateKey(block(content, 'key'));
      assert.ok(certificateOf(content).checkPrivateKey(privateKey), 'the key belongs to the certificate');
      const secret = block(content, 'key').split('\n')[1] ?? '';
      assert.ok(secret.length === 64 && sent.every((request) => !request.includes(secret)), 'the key was sent');
      const parsed = parseProfile(content);
      assert.ok(parsed.ok, JSON.stringify(parsed));
      assert.deepEqual(
        content.match(/^remote .*/gm),
        login === 'web'
          ? ['remote 198.51.100.12 1194 udp']
          : ['remote 198.51.100.10 1194 udp', 'remote 198.51.100.12 1194 udp', 'remote 198.51.100.10 443 tcp'],
      );
      await assertTaken(content);
      assert.deepEqual(complaints, []);
    });

  test('is offered no password by whom has none', async () => {
    await using window = await world.openAs('carol');
    const { page } = window;
    const { db } = world.control.services.store;
    await db.updateTable('user').set({ password_hash: null }).where('name', '=', 'carol').execute();
    await openPath(page, '/devices?add=1');
    await page.getByRole('radio', { name: text.openvpn }).check();
    const login = page.getByLabel(text.login);
    await login.getByRole('option', { name: text.logins.password }).waitFor({ state: 'detached' });
    assert.deepEqual(await login.getByRole('option').allInnerTexts(), [text.logins.certificate, text.logins.web]);
  });

  test('gets a new profile, and the one before is worth nothing; one that would be lost is asked about', async () => {
    await using window = await world.openAs('ada');
    const { page, complaints } = window;
    const before = fingerprintInForce(await deviceOf('ada', 'old tablet'));
    await openPath(page, '/devices');
    const open = page.getByRole('button', { name: t.account.devices.profileOf('old tablet') });
    await open.click();
    const profile = dialog(page, t.account.devices.profileOf('old tablet'));
    await profile.getByText(/^The certificate is good until .*\d{4}\.$/).waitFor();
    await assertSound(page, complaints, 'the profile of a device');
    await profile.getByRole('button', { name: t.account.profile.make }).click();
    const button = profile.getByRole('button', { name: text.download('old-tablet.ovpn') });
    await button.waitFor();
    await profile.getByRole('button', { name: t.common.close }).last().click();
    const question = dialog(page, text.leaveProfileTitle);
    await question.getByRole('button', { name: t.common.cancel }).click();
    const { content } = await download(page, button);
    await profile.getByRole('button', { name: t.common.close }).last().click();
    await profile.waitFor({ state: 'detached' });
    const device = await deviceOf('ada', 'old tablet');
    assert.equal(fingerprintInForce(device), fingerprintOf(content));
    assert.notEqual(fingerprintInForce(device), before);
    assert.ok(certificateOf(content).checkPrivateKey(createPrivateKey(block(content, 'key'))));
    // Its version has changed, and its certificate: nothing of before may come back.
    await open.click();
    await profile.getByRole('button', { name: t.account.profile.make }).click();
    const again = await download(page, button);
    assert.equal(fingerprintInForce(device), fingerprintOf(again.content));
    assert.deepEqual(complaints, []);
  });

  test('whose certificate has ended says so, and comes back by a new profile', async () => {
    await world.api.call(routes.createOpenVpnDevice, {
      body: { user: 'bob', name: 'forgotten', publicKey: newPublicKey() },
    });
    const { id } = await deviceOf('bob', 'forgotten');
    await world.control.services.store.write(SYSTEM, async ({ db, now, changed }) => {
      const row = await db.selectFrom('device').select('openvpn').where('id', '=', id).executeTakeFirstOrThrow();
      const stored = JSON.parse(row.openvpn ?? '') as { certificate: object };
      const openvpn = JSON.stringify({ ...stored, certificate: { ...stored.certificate, expiresAt: now - minuteMs } });
      await db.updateTable('device').set({ openvpn }).where('id', '=', id).execute();
      changed('device', id);
    });
    await using window = await world.openAs('bob');
    const { page, complaints } = window;
    await openPath(page, '/devices');
    await rowOf(page, 'forgotten').getByText(t.account.devices.standing.certificateExpired, { exact: true }).waitFor();
    await page.getByRole('button', { name: t.account.devices.profileOf('forgotten') }).click();
    const profile = dialog(page, t.account.devices.profileOf('forgotten'));
    await profile.locator('.notice').waitFor();
    await profile.getByRole('button', { name: t.account.profile.make }).click();
    await profile.getByRole('button', { name: text.download('forgotten.ovpn') }).waitFor();
    // Nothing is wrong any more.
    await profile.locator('.notice').waitFor({ state: 'detached' });
    assert.equal((await deviceOf('bob', 'forgotten')).standing, 'active');
    assert.deepEqual(complaints, []);
  });

  test('without a certificate has a profile to download at any time', async () => {
    await world.api.call(routes.createOpenVpnDevice, { body: { user: 'bob', name: 'kiosk', login: 'password' } });
    await using window = await world.openAs('bob');
    const { page, complaints } = window;
    await openPath(page, '/devices');
    await page.getByRole('button', { name: t.account.devices.profileOf('kiosk') }).click();
    const profile = dialog(page, t.account.devices.profileOf('kiosk'));
    await profile.getByText(t.account.profile.fetchIntro).waitFor();
    const { content } = await download(page, profile.getByRole('button', { name: text.download('kiosk.ovpn') }));
    assert.equal(block(content, 'cert'), '');
    await assertTaken(content);
    await profile.getByRole('button', { name: t.common.close }).last().click();
    await profile.waitFor({ state: 'detached' });
    assert.deepEqual(complaints, []);
  });

  test('is removed without a way back, by its user and by administrators', async () => {
    await using window = await world.openAs('ada');
    const { page, complaints } = window;
    const own = t.account.devices;
    await world.api.call(routes.addMyOpenVpnDevice, { body: { name: 'spare', login: 'web' } });
    await openPath(page, '/devices');
    await rowOf(page, 'spare')
      .getByRole('button', { name: own.removeTitle('spare') })
      .click();
    const question = dialog(page, own.removeTitle('spare'));
    await question.getByText(own.removeProfileText).waitFor();
    await question.getByRole('button', { name: t.common.remove }).click();
    await toast(page, own.removed('spare')).waitFor();
    assert.equal(await page.getByRole('button', { name: t.common.undo }).count(), 0);

    await world.api.call(routes.createOpenVpnDevice, { body: { user: 'erin', name: 'lent', login: 'web' } });
    const all = t.people.devices;
    await openPath(page, '/all-devices');
    await page.getByRole('button', { name: all.removeLabel('lent', 'erin') }).click();
    const second = dialog(page, all.removeTitle('lent', 'erin'));
    await second.getByText(all.removeProfileText).waitFor();
    await second.getByRole('button', { name: t.common.remove }).click();
    await toast(page, all.removed('lent', 'erin')).waitFor();
    assert.equal(await page.getByRole('button', { name: t.common.undo }).count(), 0);
    assert.deepEqual(complaints, []);
  });
});

test('administrators see what a device speaks, how its user logs in, and until when its certificate is good', async () => {
  await using window = await world.openAs('ada');
  const { page, complaints } = window;
  const all = t.people.devices;
  await openPath(page, '/all-devices');
  await rowOf(page, 'chromebook').getByText(all.openvpn, { exact: true }).waitFor();
  await page.getByRole('button', { name: all.editLabel('chromebook', 'erin') }).click();
  const edit = dialog(page, all.editTitle('chromebook'));
  await edit.getByText(/^Asks its user to log in by a browser\. Its certificate is good until .*\d{4}\.$/).waitFor();
  assert.equal(await edit.getByText(all.key, { exact: true }).count(), 0);
  await assertSound(page, complaints, 'a device of OpenVPN');
});

test('settings of OpenVPN are saved, and what is wrong with them is said at their place', async () => {
  await using window = await world.openAs('ada');
  const { page } = window;
  const settings = t.service.settings;
  await openPath(page, '/settings');
  const ciphers = page.getByLabel(settings.dataCiphers);
  assert.equal(await ciphers.inputValue(), 'AES-256-GCM\nAES-128-GCM\nCHACHA20-POLY1305');
  await ciphers.fill('CHACHA20-POLY1305\nBF-CBC\n');
  await page.getByRole('button', { name: t.common.save }).click();
  const field = page.locator('.field', { has: ciphers });
  await field.locator('.field-fault').waitFor();
  await ciphers.fill('CHACHA20-POLY1305\n\n AES-256-GCM ');
  await page.getByLabel(settings.oldClients).check();
  await page.getByRole('button', { name: t.common.save }).click();
  await page.locator('.toasts').getByText(settings.saved, { exact: true }).waitFor();
  const { openvpn } = await world.api.call(routes.getSettings);
  assert.deepEqual(openvpn, { dataCiphers: ['CHACHA20-POLY1305', 'AES-256-GCM'], oldClients: true });
});

test('whom all gateways that are left offer WireGuard alone is not asked which app', async () => {
  const { store } = world.control.services;
  const withOpenVpn = async (port: number): Promise<void> => {
    await store.write(SYSTEM, async ({ db, changed }) => {
      for (const name of ['frankfurt-1', 'oslo-1']) {
        const transports = JSON.stringify({
          amneziawg: null,
          tls: null,
          openvpn: port === 0 ? null : { port, tcpPort: 0 },
        });
        await db.updateTable('gateway').set({ transports }).where('id', '=', name).execute();
        changed('gateway', name);
      }
    });
  };
  await withOpenVpn(0);
  try {
    await using window = await world.openAs('bob');
    const { page } = window;
    await openPath(page, '/devices?add=1');
    await dialog(page, text.title).getByLabel(text.gateway, { exact: true }).waitFor();
    assert.equal(await page.getByText(text.app, { exact: true }).count(), 0);
  } finally {
    await withOpenVpn(1194);
  }
});

describe('a login that a tunnel waits for', () => {
  const words = t.signIn.tunnelLogin;
  const heading = (page: Page, name: string) => page.getByRole('heading', { name, exact: true });

  /** As a gateway asks for it; answers with the code that the app's link has. */
  async function begin(user: string, device: string, client = 'OpenVPN Connect 3.5'): Promise<string> {
    const { id, userId } = await deviceOf(user, device);
    const asking = { device_id: id, user_id: userId, gateway_id: 'oslo-1', client, address: '198.51.100.77' };
    const { code } = await world.control.services.store.write(SYSTEM, ({ db, now }) => addTunnelLogin(db, asking, now));
    return code;
  }

  async function stateOf(code: string): Promise<string | undefined> {
    const { db } = world.control.services.store;
    const row = await db.selectFrom('tunnel_login').select('state').where('code', '=', code).executeTakeFirst();
    return row?.state;
  }

  test('is approved by its user, who logs in first', async () => {
    const code = await begin('erin', 'chromebook');
    await using window = await world.open();
    const { page, complaints } = window;
    await page.goto(`/tunnel-login?code=${code}`);
    await page.getByLabel(t.signIn.name, { exact: true }).fill('erin');
    await page.getByLabel(t.signIn.password, { exact: true }).fill(ADMINISTRATOR.password);
    await page.getByRole('button', { name: t.signIn.logIn, exact: true }).click();
    await heading(page, words.compare).waitFor();
    const shown = await page.getByRole('main').innerText();
    for (const word of ['chromebook', 'oslo-1', 'OpenVPN Connect 3.5', '198.51.100.77', 'erin', words.warning])
      assert.ok(shown.includes(word), word);
    assert.equal(await stateOf(code), 'pending', 'looking lets nobody in');
    const unasked = complaints.filter((complaint) => !complaint.includes('401'));
    await assertSound(page, unasked, 'a login that a tunnel waits for');
    await page.getByRole('button', { name: words.approve }).click();
    await heading(page, words.approved('chromebook')).waitFor();
    assert.equal(await stateOf(code), 'approved');
  });

  test('is refused', async () => {
    const code = await begin('erin', 'chromebook');
    await using window = await world.openAs('erin');
    const { page, complaints } = window;
    await openPath(page, `/tunnel-login?code=${code}`);
    await page.getByRole('button', { name: words.deny }).click();
    await heading(page, words.denied('chromebook')).waitFor();
    assert.equal(await stateOf(code), 'denied');
    assert.deepEqual(complaints, []);
  });

  test('takes a fresh proof: a session that was left open is not enough', async () => {
    await using window = await world.openAs('erin');
    const { page } = window;
    clock = Date.now() + 30 * minuteMs;
    try {
      const code = await begin('erin', 'chromebook');
      await openPath(page, `/tunnel-login?code=${code}`);
      await page.getByRole('button', { name: words.approve }).click();
      const proof = dialog(page, t.shell.proveTitle);
      await proof.waitFor();
      assert.equal(await stateOf(code), 'pending');
      await proof.getByLabel(t.shell.password, { exact: true }).fill(ADMINISTRATOR.password);
      await proof.getByRole('button', { name: t.shell.prove }).click();
      await heading(page, words.approved('chromebook')).waitFor();
      assert.equal(await stateOf(code), 'approved');
    } finally {
      clock = undefined;
    }
  });

  test('of somebody else, or of nobody, is not shown', async () => {
    const code = await begin('erin', 'chromebook');
    await using window = await world.openAs('bob');
    const { page } = window;
    for (const other of [code, 'BCDF-GHJK']) {
      await openPath(page, `/tunnel-login?code=${other}`);
      await page.getByText(/None of your devices waits with this code/).waitFor();
      assert.equal(await page.getByRole('button', { name: words.approve }).count(), 0);
    }
    await openPath(page, '/tunnel-login');
    await heading(page, words.incomplete).waitFor();
    assert.equal(await stateOf(code), 'pending');
  });
});
