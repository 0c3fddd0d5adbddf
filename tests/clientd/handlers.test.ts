/** What the daemon makes of requests: with an account and a service that answers, and the state machine in virtual time. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { Device } from '@sallyport/api';
import { viewOf } from '@sallyport/client';
import { AccountKeeper, DaemonFailure, handlersOf, openStateFolder, type Handlers } from '@sallyport/clientd';
import { configuration, homeNetwork, settings, World } from '../client/fixtures.ts';

const isRoot = process.getuid?.() === 0;
const folder = mkdtempSync(join(tmpdir(), 'sallyport-handlers-'));
const plain = configuration({
  device: { ...configuration().device, id: `dev_${'a'.repeat(20)}` },
  controlAddresses: [],
});

let server: Server;
let world: World;
let keeper: AccountKeeper;
let handlers: Handlers;
/** What networks the service was told, and how it takes that. */
let offered: string[][] = [];
let takesOffers = true;
let daemonStatus: () => object;

before(async () => {
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      const { method = '', url = '' } = request;
      const say = (status: number, value: unknown): void => {
        response.writeHead(status, { 'content-type': status < 400 ? 'application/json' : 'application/problem+json' });
        response.end(JSON.stringify(value));
      };
      if (url.endsWith('/advertised')) {
        const { prefixes } = JSON.parse(body) as { prefixes: string[] };
        offered.push(prefixes);
        if (takesOffers) say(200, { advertised: prefixes.map((prefix) => ({ prefix, approved: false })) });
        else say(422, { type: 'about:blank', title: 'no', status: 422, code: 'invalid', detail: 'it meets the pool' });
      } else if (method === 'POST' && url.endsWith('/me/devices')) say(201, addedDevice);
      else say(200, {});
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
after(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true, force: true });
});

const addedDevice: Device = {
  id: plain.device.id,
  userId: `usr_${'a'.repeat(20)}`,
  userName: 'ann',
  name: 'laptop',
  protocol: 'wireguard',
  publicKey: `${'A'.repeat(43)}=`,
  openvpn: null,
  ipv4: plain.device.ipv4,
  ipv6: plain.device.ipv6,
  standing: 'active',
  message: '',
  approved: true,
  expiresAt: null,
  bitsPerSecond: null,
  networks: [],
  createdAt: '2027-01-15T12:00:00.000Z',
  lastHandshakeAt: null,
  gatewayId: null,
  trafficBytesThisMonth: 0,
  version: 1,
};

const url = (): string => `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;

beforeEach(() => {
  offered = [];
  takesOffers = true;
  daemonStatus = () => ({ message: '' });
  world = new World();
  world.send({ kind: 'network', network: homeNetwork });
  const state = openStateFolder(folder);
  keeper = new AccountKeeper(
    state,
    () => true,
    'test',
    () => undefined,
  );
  // What the handlers use of the daemon: its state machine is the world's.
  const machine = {
    get state() {
      return world.state;
    },
    take: (event: Parameters<World['send']>[0]) => {
      world.send(event);
    },
    until: (holds: (state: World['state']) => boolean) => {
      world.run(60_000, () => holds(world.state));
      return Promise.resolve(holds(world.state));
    },
    listen: () => () => undefined,
  };
  const daemon = {
    machine,
    keeper,
    folder: state,
    isBlocking: false,
    status: () => daemonStatus(),
    noteIntent: () => undefined,
    inForce: () => Promise.resolve(),
    settled: () => Promise.resolve(),
  };
  handlers = handlersOf(daemon as never, { group: true });
});

const call = { caller: { uid: 0, pid: 1 }, tell: () => undefined, signal: new AbortController().signal };
const refusedAs = (code: string, message: RegExp) => (error: unknown) =>
  error instanceof DaemonFailure && error.code === code && message.test(error.message);

const lastOffered = (): string[] | undefined => offered.at(-1);
const logIn = (): Promise<{ message: string }> =>
  handlers.login({ url: url(), fingerprint: null, token: 't'.repeat(30), deviceName: 'laptop' }, call);
const connect = (advertise: string[] | null): Promise<unknown> =>
  handlers.connect({ target: null, via: null, advertise }, call);

describe('networks behind this machine', { skip: isRoot ? false : 'takes root' }, () => {
  test('that were set before the login are offered after it, and again whenever they are named', async () => {
    const networks = ['10.88.0.0/24', 'fd10::/64'];
    await handlers.set(settings({ advertise: networks }), call);
    assert.deepEqual(offered, []);
    assert.equal((await logIn()).message, '');
    assert.deepEqual(offered, [networks]);
    await connect(null);
    assert.equal(offered.length, 1);
    await connect(networks);
    assert.equal(offered.length, 2);
    await handlers.set(world.state.settings, call);
    assert.equal(offered.length, 3);
    await handlers.set({ ...world.state.settings, mtu: 1400 }, call);
    assert.equal(offered.length, 3, 'of another setting the service hears nothing');
    await connect([]);
    assert.deepEqual(lastOffered(), []);
  });

  test('that the service does not take are no reason not to log in', async () => {
    takesOffers = false;
    await handlers.set(settings({ advertise: ['10.200.0.0/24'] }), call);
    const { message } = await logIn();
    assert.match(
      message,
      /could not be offered \(it meets the pool\).*sallyport connect --advertise 10\.200\.0\.0\/24/,
    );
    assert.ok(keeper.record !== undefined);
    await assert.rejects(connect(['10.200.0.0/24']), refusedAs('refused', /meets the pool/));
  });

  test('are not everything, nor nothing', async () => {
    for (const everything of ['0.0.0.0/0', '::/0', '10.0.0.0/0'])
      await assert.rejects(handlers.set(settings({ advertise: [everything] }), call), refusedAs('badRequest', /is everything.*name its networks/)); // prettier-ignore
    await logIn();
    await assert.rejects(connect(['10.1.0.0/24', '0.0.0.0/0']), refusedAs('badRequest', /is everything/));
    await assert.rejects(connect(['office']), refusedAs('badRequest', /office is no network/));
    assert.deepEqual([offered, world.state.settings.advertise], [[], []]);
  });
});

describe('what can never be', { skip: isRoot ? false : 'takes root' }, () => {
  const to = (target: string | null, via: string | null, tell: (event: unknown) => void = () => undefined): Promise<unknown> => handlers.connect({ target, via, advertise: null }, { ...call, tell }); // prettier-ignore

  test('is refused, and what was there before goes on', async () => {
    await logIn();
    await to('gateway-3', 'gateway-1');
    for (const [target, via] of [
      ['gateway-1', 'gateway-1'],
      ['gateway-1', 'gw_1'],
      ['nowhere', null],
      ['gateway-1', 'nowhere'],
    ] as const)
      await assert.rejects(to(target, via), refusedAs('badRequest', /can’t be entered and left at once|is called nowhere/)); // prettier-ignore
    for (const wrong of [{ target: 'nowhere' }, { via: 'nowhere' }])
      await assert.rejects(handlers.set(settings(wrong), call), refusedAs('badRequest', /is called nowhere/));
    await handlers.set(settings({ via: 'gateway-1' }), call);
    await assert.rejects(to('gateway-1', null), refusedAs('badRequest', /--via none/));
    assert.deepEqual([world.state.phase, world.state.intent], ['connected', { target: 'gateway-3', via: 'gateway-1' }]);
    await to('gateway-1', 'none');
  });

  test('and what was before is no step of what comes', async () => {
    await logIn();
    await to('gateway-3', null);
    const told: boolean[] = [];
    daemonStatus = () => ({ steps: viewOf(world.state).steps });
    await to('gateway-1', null, (status) => {
      told.push((status as ReturnType<typeof viewOf>).steps.every(({ state }) => state === 'done'));
    });
    assert.equal(told[0], false);
  });
});

test(
  'a device that the service does not let in is refused, what may come later is awaited',
  { skip: isRoot ? false : 'takes root' },
  async () => {
    await logIn();
    world.control = { kind: 'configurationFailed', reason: 'unreachable', message: 'no answer' };
    world.state = { ...world.state, configuration: undefined, configurationAt: 0 };
    await assert.rejects(connect(null), refusedAs('blocked', /no answer/));
    const standing = { ...plain.device, standing: 'userDisabled', message: 'You were locked out' } as const;
    world.control = { kind: 'configuration', configuration: { ...plain, device: standing } };
    world.run(60_000, () => world.state.block?.reason === 'refused');
    await assert.rejects(connect(null), refusedAs('notPermitted', /^You were locked out; nothing leaves .*sallyport disconnect$/)); // prettier-ignore
  },
);
