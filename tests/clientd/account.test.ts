/** What the daemon takes from the control plane and from its own disk, and what it does where either is not as it should be. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { clientSettings } from '@sallyport/client';
import { AccountKeeper, ControlPlane, openStateFolder, readRemembered } from '@sallyport/clientd';
import { configuration } from '../client/fixtures.ts';

const isRoot = process.getuid?.() === 0;
let folder = '';
let server: Server;
/** What the control plane answers with. */
let answer: { readonly status: number; readonly body: unknown };

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-account-'));
  server = createServer((_, response) => {
    const kind = answer.status < 400 ? 'application/json' : 'application/problem+json';
    response.writeHead(answer.status, { 'content-type': kind }).end(JSON.stringify(answer.body));
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true, force: true });
});

const plain = configuration({
  device: { ...configuration().device, id: `dev_${'a'.repeat(20)}` },
  gateways: [],
  controlAddresses: [],
});

describe('the way to the control plane', () => {
  const control = (url: string): ControlPlane =>
    new ControlPlane({
      url,
      fingerprint: null,
      token: 'secret',
      addresses: [],
      mayAskNames: () => true,
      userAgent: '',
    });

  test('is encrypted, but on this machine', () => {
    for (const url of [
      'http://vpn.example.org',
      'http://192.0.2.1:8080',
      'http://localhost',
      'http://[::2]',
      'http://128.0.0.1',
    ])
      assert.throws(() => control(url), /is not encrypted.*use https:\/\//, url);
    for (const url of ['https://vpn.example.org', 'http://127.0.0.1:1', 'http://127.9.9.9', 'http://[::1]:80'])
      control(url);
  });
});

describe('who is logged in', { skip: isRoot ? false : 'takes root' }, () => {
  const faults: string[] = [];

  async function keeper(): Promise<AccountKeeper> {
    faults.length = 0;
    const state = openStateFolder(folder);
    const made = new AccountKeeper(
      state,
      () => true,
      'test',
      (message) => faults.push(message),
    );
    const { port } = server.address() as AddressInfo;
    await made.set({
      url: `http://127.0.0.1:${String(port)}`,
      fingerprint: null,
      token: 'secret',
      tokenKind: 'session',
      userName: 'ann',
      deviceId: plain.device.id,
      deviceName: 'laptop',
      ipv4: plain.device.ipv4,
      ipv6: plain.device.ipv6,
      privateKey: '',
      publicKey: '',
      controlAddresses: ['127.0.0.1'],
    });
    return made;
  }

  const problem = (status: number, code: string): typeof answer => ({
    status,
    body: { type: 'about:blank', title: 'no', status, code, detail: '' },
  });

  test('hears that the login has ended as something else than that the device may not', async () => {
    const one = await keeper();
    const reasonFor = async (given: typeof answer): Promise<unknown> => {
      answer = given;
      const [event] = await one.fetch();
      return event?.kind === 'configurationFailed' ? event.reason : event?.kind;
    };
    assert.equal(await reasonFor(problem(401, 'loginRequired')), 'loginEnded');
    assert.equal(await reasonFor(problem(404, 'notFound')), 'refused');
    assert.equal(await reasonFor(problem(500, 'internal')), 'unreachable');
    assert.equal(await reasonFor({ status: 200, body: plain }), 'configuration');
  });

  test('goes on with a configuration that the disk does not take', async () => {
    const one = await keeper();
    answer = { status: 200, body: plain };
    // As good as full: nothing can be renamed into its place.
    mkdirSync(join(folder, 'configuration.json/in the way'), { recursive: true });
    const [event] = await one.fetch();
    assert.equal(event?.kind, 'configuration');
    assert.match(faults.join(), /can't be kept/);
  });
});

describe('what the last daemon kept', { skip: isRoot ? false : 'takes root' }, () => {
  test('is read; damage never makes the protection less', async () => {
    const state = openStateFolder(folder);
    await state.settings.write(clientSettings.parse({ killSwitch: false, autoConnect: true, via: 'oslo-1' }));
    await state.configuration.write(plain);
    const read = (): ReturnType<typeof readRemembered> => readRemembered(state, () => undefined);
    const whole = await read();
    assert.equal(whole.settings?.killSwitch, false);
    assert.deepEqual(whole.configuration, plain);
    assert.deepEqual(whole.intent, { target: 'fastest', via: 'oslo-1' });
    // An administrator's demand may have been in it.
    writeFileSync(state.configuration.path, '{"device":');
    const damaged = await read();
    assert.deepEqual([damaged.settings?.killSwitch, damaged.configuration], [true, undefined]);
    for (const file of [state.settings, state.intent]) {
      await file.remove();
      writeFileSync(file.path, '{"killSwitch":"maybe"}');
      await assert.rejects(read(), /is damaged/);
      await file.remove();
    }
  });
});
