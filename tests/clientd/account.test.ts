/** What the daemon takes from the control plane and from its own disk, and what it does where either is not as it should be. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { ApiProblem, ApiUnreachable, routes } from '@sallyport/api';
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
  const control = (url: string, addresses: string[] = []): ControlPlane =>
    new ControlPlane({
      url,
      fingerprint: null,
      token: 'secret',
      addresses,
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

  test(
    'is learned where an answer came, and not where somebody took a connection',
    { skip: isRoot ? false : 'takes root' },
    async () => {
      const { port } = server.address() as AddressInfo;
      const somebody = createTcpServer((socket) => {
        socket.on('error', () => undefined);
        socket.end('no answer of the API\r\n\r\n');
      });
      await new Promise<void>((resolve) => somebody.listen(port, '127.0.0.2', resolve));
      try {
        const [good, bad] = ['127.0.0.1', '127.0.0.2'] as const;
        const asked: string[] = [];
        server.on('request', ({ method, url }) => asked.push(`${method ?? ''} ${url ?? ''}`));
        answer = { status: 200, body: plain };
        const params = { deviceId: plain.device.id };
        const known = control(`http://${good}:${String(port)}`, [bad, good]);
        assert.equal((await known.call(routes.getClientConfiguration, { params })).device.id, plain.device.id);
        assert.deepEqual(known.addresses, [good, bad]);
        // Of what changes something there is one request, at an address that has answered.
        answer = { status: 200, body: { advertised: [] } };
        asked.length = 0;
        const other = control(`http://${good}:${String(port)}`, [bad, good]);
        await other.call(routes.advertiseNetworks, { params, body: { prefixes: [] } });
        assert.deepEqual(asked, ['GET /healthz', `PUT /api/v1/me/devices/${plain.device.id}/advertised`]);
        // A problem is an answer too.
        answer = { status: 404, body: { type: 'about:blank', title: 'no', status: 404, code: 'notFound', detail: '' } };
        const third = control(`http://${good}:${String(port)}`, [bad, good]);
        await assert.rejects(third.call(routes.getClientConfiguration, { params }), ApiProblem);
        assert.deepEqual(third.addresses, [good, bad]);
        const nobody = control(`http://${bad}:${String(port)}`);
        await assert.rejects(nobody.serverTime(), ApiUnreachable);
        assert.deepEqual(nobody.addresses, []);
      } finally {
        somebody.close();
      }
    },
  );
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

  test('takes no configuration that is too large, or whose addresses can be no device’s', async () => {
    const one = await keeper();
    const { device, tunnel, requirements } = plain;
    const many = (count: number): string[] => Array.from({ length: count }, (_, index) => `10.${String(index >> 8)}.${String(index & 255)}.0/24`); // prettier-ignore
    for (const [more, message] of [
      [{ tunnel: { ...tunnel, allowedIps: many(1001) } }, /1001 networks for the tunnel \(allowedIps\).* 1000 at most/],
      [{ tunnel: { ...tunnel, dnsServers: many(65) } }, /65 name servers/],
      [{ tunnel: { ...tunnel, searchDomains: many(65) } }, /65 search domains/],
      [
        { requirements: { ...requirements, regionIds: many(1001).map((_, index) => `r${String(index)}`) } },
        /1001 regions/,
      ],
      [{ advertised: many(1001).map((prefix) => ({ prefix, approved: true })) }, /1001 networks behind this machine/],
      [{ device: { ...device, message: 'x'.repeat(1001) } }, /a message/],
      // What only this machine reaches, or what is around it.
      [
        { device: { ...device, ipv4: '127.0.0.1' } },
        /"127\.0\.0\.1", which can be no address in its network 10\.200\.0\.0\/16/,
      ],
      [{ device: { ...device, ipv4: '192.168.1.2' } }, /"192\.168\.1\.2", which can be no/],
      [{ device: { ...device, ipv4: '127.0.0.2' }, tunnel: { ...tunnel, pool4: '0.0.0.0/0' } }, /can be no address/],
      [{ device: { ...device, ipv6: 'fe80::7' }, tunnel: { ...tunnel, pool6: '::/0' } }, /can be no address/],
      [{ tunnel: { ...tunnel, gateway4: '192.0.2.1' } }, /"192\.0\.2\.1"/],
      [{ tunnel: { ...tunnel, pool6: 'nonsense' } }, /can be no address in its network nonsense/],
    ] as const) {
      answer = { status: 200, body: { ...plain, ...more } };
      const [event] = await one.fetch();
      assert.equal(event?.kind, 'configurationFailed', JSON.stringify(more).slice(0, 100));
      assert.match(event.message, message);
    }
    // One that this machine has already, by an interface of another's.
    const taken = Object.values(networkInterfaces()).flatMap((all = []) => all).find(({ family, internal }) => family === 'IPv4' && !internal); // prettier-ignore
    if (taken !== undefined) {
      answer = { status: 200, body: { ...plain, device: { ...device, ipv4: taken.address }, tunnel: { ...tunnel, pool4: `${taken.address}/30`, gateway4: taken.address } } }; // prettier-ignore
      const [event] = await one.fetch();
      assert.match(event?.kind === 'configurationFailed' ? event.message : '', /has already by another interface/);
    }
    answer = { status: 200, body: { ...plain, tunnel: { ...tunnel, allowedIps: many(1000) } } };
    assert.equal((await one.fetch()).at(-1)?.kind, 'configuration');
    await openStateFolder(folder).configuration.write({ ...plain, tunnel: { ...tunnel, allowedIps: many(1001) } });
    const kept = await readRemembered(openStateFolder(folder), (message) => faults.push(message));
    assert.equal(kept.configuration, undefined);
    assert.match(faults.join(), /1001 networks/);
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
