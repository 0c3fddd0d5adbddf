/** Debian's openvpn as the client of our gateway: ciphers, families, certificates, revocation, moves and restarts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { iperf, pingSteadily, until } from '@sallyport/netlab';
import { TestAuthority } from '../openvpn/authority.ts';
import type { Observed } from './openvpn-gateway-child.ts';
import {
  assertKeysServed,
  assertPassesUnderLoad,
  connected,
  INNER4,
  INNER6,
  OUTER4,
  OUTER6,
  saying,
  withOpenVpnRig,
} from './openvpn-rig.ts';

for (const outer of [OUTER4, OUTER6])
  test(`certificate, by way of ${outer}: both families pass both ways`, () =>
    withOpenVpnRig(async (rig) => {
      const device = await rig.service.device();
      const gateway = await rig.startGateway({ devices: [device.plan] });
      const client = await rig.startClient(rig.service.profile(device, outer));
      await connected(client);
      for (const address of [INNER4, INNER6]) {
        const { received, output } = await pingSteadily(rig.client, address, { count: 5 });
        assert.equal(received, 5, `${output}${JSON.stringify(await gateway.ask({ kind: 'observe' }))}`);
      }
      for (const address of [device.plan.ipv4, device.plan.ipv6])
        assert.equal((await pingSteadily(rig.server, address, { count: 5, bytes: 1300 })).received, 5);
      const { devices, asked } = await gateway.ask<Observed>({ kind: 'observe' });
      assert.deepEqual(
        devices.map(({ deviceId }) => deviceId),
        [device.plan.id],
      );
      assert.ok(devices[0].sentBytes > 5000 && devices[0].receivedBytes > 5000);
      assert.ok(devices[0].lastHandshakeAt > Date.now() - 60_000);
      assert.equal(asked, 0);
      // A goodbye ends the session at once.
      await client.stop();
      await until(
        'the session has ended',
        async () => (await gateway.ask<Observed>({ kind: 'observe' })).connected === 0,
      );
      assert.equal(gateway.process.stderr, '');
    }));

test('each cipher of the data channel', () =>
  withOpenVpnRig(async (rig) => {
    const device = await rig.service.device();
    const ciphers = ['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305', 'AES-256-CBC'] as const;
    await rig.startGateway({ devices: [device.plan], plan: rig.service.plan({ dataCiphers: ciphers }) });
    for (const cipher of ciphers) {
      const client = await rig.startClient(rig.service.profile(device, OUTER4, [`data-ciphers ${cipher}`]));
      await connected(client);
      await saying(client, `cipher '${cipher}'`);
      for (const bytes of [56, 1372])
        assert.equal((await pingSteadily(rig.client, INNER4, { count: 5, bytes })).received, 5, cipher);
      assert.equal((await pingSteadily(rig.server, device.plan.ipv6, { count: 5 })).received, 5, cipher);
      const route = { client: rig.client, server: rig.server, address: INNER4 };
      for (const reverse of [false, true])
        assert.ok((await iperf(route, { bytes: 10e6, reverse })).bytes > 1e6, cipher);
      await client.stop();
    }
  }));

test('certificates that must not do: expired, of another authority, of another device', () =>
  withOpenVpnRig(async (rig) => {
    const { service } = rig;
    const good = await service.device();
    const expired = await service.device('certificate', { days: -1 });
    const stranger = { ...good, issued: await (await TestAuthority.make()).issue('x', { usage: 'client' }) };
    const gateway = await rig.startGateway({ devices: [good.plan, expired.plan] });
    const other = await service.device();
    const nobody = rig.laboratory.file('nobody', 'alice\nany\n');
    const swapped = [expired, other].map(({ issued }) => ({ ...good, issued }));
    for (const device of [expired, stranger, ...swapped, { ...good, issued: undefined }]) {
      const lines = device.issued === undefined ? [`auth-user-pass ${nobody}`] : [];
      const client = await rig.startClient(service.profile(device, OUTER4, lines));
      await saying(client, /AUTH_FAILED,the certificate is not this device's, or has expired/);
      await client.exited;
    }
    assert.equal((await gateway.ask<Observed>({ kind: 'observe' })).connected, 0);
    // Of a device that the gateway does not know.
    const unknown = await rig.startClient(service.profile(other, OUTER4));
    await saying(unknown, /AUTH_FAILED,this device may not connect/);
    await unknown.exited;
  }));

test('revoked: nothing passes any more, and the client is told', () =>
  withOpenVpnRig(async (rig) => {
    const device = await rig.service.device();
    const gateway = await rig.startGateway({ devices: [device.plan] });
    const client = await rig.startClient(rig.service.profile(device, OUTER4));
    await connected(client);
    assert.equal((await pingSteadily(rig.client, INNER4, { count: 3 })).received, 3);
    await gateway.ask({ kind: 'apply', remove: [device.plan] });
    await saying(client, /AUTH_FAILED,access has ended/);
    await client.exited;
    assert.equal((await gateway.ask<Observed>({ kind: 'observe' })).connected, 0);
    const again = await rig.startClient(rig.service.profile(device, OUTER4));
    await saying(again, /AUTH_FAILED/);
    await again.exited;
    await gateway.ask({ kind: 'apply', put: [device.plan] });
    await connected(await rig.startClient(rig.service.profile(device, OUTER4)));
    assert.equal((await pingSteadily(rig.client, INNER4, { count: 3 })).received, 3);
  }));

test('a push reply in several pieces is taken whole', () =>
  withOpenVpnRig(async (rig) => {
    const device = await rig.service.device();
    const push = Array.from({ length: 150 }, (_, i) => `route 172.20.${String(i)}.0 255.255.255.0`);
    await rig.startGateway({ devices: [device.plan], plan: rig.service.plan({ push }) });
    const client = await rig.startClient(rig.service.profile(device, OUTER4));
    await connected(client);
    assert.ok(client.stdout.split('PUSH: Received control message').length - 1 >= 4, client.stdout);
    const routes = await rig.client.ip('route', 'show');
    for (let i = 0; i < push.length; i++) assert.ok(routes.includes(`172.20.${String(i)}.0/24 via ${INNER4} `), routes);
  }));

test('compression is refused, in words', () =>
  withOpenVpnRig(async (rig) => {
    const device = await rig.service.device();
    const gateway = await rig.startGateway({ devices: [device.plan] });
    for (const line of ['compress', 'comp-lzo no']) {
      const client = await rig.startClient(rig.service.profile(device, OUTER4, [line]));
      await saying(client, /AUTH_FAILED,compression is not supported/);
      await client.exited;
    }
    assert.equal((await gateway.ask<Observed>({ kind: 'observe' })).connected, 0);
  }));

for (const [who, renegotiateMs, lines] of [
  ['client', 3_600_000, ['reneg-sec 2']],
  ['gateway', 2_000, ['reneg-sec 0']],
] as const)
  test(`renegotiation every few seconds under load, from the ${who}: nothing is lost`, () =>
    withOpenVpnRig(async (rig) => {
      const device = await rig.service.device();
      const gateway = await rig.startGateway({ devices: [device.plan] });
      await gateway.ask({ kind: 'configure', settings: { renegotiateMs, maxStartsPerProfile: 100 } });
      const client = await rig.startClient(rig.service.profile(device, OUTER4, lines));
      await connected(client);
      await assertPassesUnderLoad(rig, INNER4, { pings: 400, bitsPerSecond: 20e6 });
      await saying(client, 'Control Channel: TLSv', 4);
      assert.equal(client.stdout.includes('TLS: soft reset'), who === 'client');
      await assertKeysServed(gateway, client);
    }));

test('a client that gets another address goes on at once (float)', () =>
  withOpenVpnRig(async (rig) => {
    const device = await rig.service.device();
    await rig.startGateway({ devices: [device.plan] });
    const client = await rig.startClient(rig.service.profile(device, OUTER4, ['reneg-sec 4']));
    await connected(client);
    assert.equal((await pingSteadily(rig.client, INNER4, { count: 2 })).received, 2);
    await rig.client.ip('address', 'del', '198.51.100.1/24', 'dev', 'uplink');
    await rig.client.address('uplink', '198.51.100.77/24');
    await rig.client.route('0.0.0.0/0', 'via', '198.51.100.254');
    assert.equal((await pingSteadily(rig.client, INNER4, { count: 5 })).received, 5);
    assert.equal((await pingSteadily(rig.server, device.plan.ipv4, { count: 5 })).received, 5);
    // New keys are exchanged from there.
    await saying(client, 'TLS: soft reset', client.stdout.split('TLS: soft reset').length);
    await sleep(1500);
    assert.equal((await pingSteadily(rig.client, INNER6, { count: 5 })).received, 5);
    assert.ok(!client.stdout.includes('Restart'), client.stdout);
  }));

test('a client that was killed comes again at once; a gateway that restarts is found again', () =>
  withOpenVpnRig(async (rig) => {
    const device = await rig.service.device();
    const gateway = await rig.startGateway({ devices: [device.plan] });
    const profile = rig.service.profile(device, OUTER4, ['pull-filter ignore ping-restart', 'ping-restart 4']);
    const killed = await rig.startClient(profile);
    await connected(killed);
    await killed.stop('SIGKILL');
    const client = await rig.startClient(profile);
    await connected(client);
    assert.equal((await pingSteadily(rig.client, INNER4, { count: 3 })).received, 3);
    assert.equal((await gateway.ask<Observed>({ kind: 'observe' })).connected, 1);
    // It says goodbye.
    await gateway.ask({ kind: 'leave' });
    await saying(client, /Connection reset command was pushed by server|RESTART/);
    await gateway.process.stop('SIGKILL');
    const second = await rig.startGateway({ devices: [device.plan] });
    await connected(client, 2);
    assert.equal((await pingSteadily(rig.client, INNER4, { count: 3 })).received, 3);
    // It does not.
    await second.process.stop('SIGKILL');
    await rig.startGateway({ devices: [device.plan] });
    await connected(client, 3);
    assert.equal((await pingSteadily(rig.client, INNER4, { count: 3 })).received, 3);
  }));

test('a gateway that is drained sends its clients on, where there is another one', () =>
  withOpenVpnRig(async (rig) => {
    const device = await rig.service.device();
    const gateway = await rig.startGateway({ devices: [device.plan] });
    const client = await rig.startClient(rig.service.profile(device, OUTER4));
    await connected(client);
    const plan = { ...rig.service.plan(), draining: true };
    await gateway.ask({ kind: 'plan', plan });
    await sleep(500);
    assert.equal((await gateway.ask<Observed>({ kind: 'observe' })).connected, 1);
    await gateway.ask({ kind: 'plan', plan: { ...plan, draining: false } });
    const neighbours = [{ gatewayId: 'other', host: '192.0.2.2', port: 51820 }];
    await gateway.ask({ kind: 'plan', plan: { ...plan, neighbours } });
    await saying(client, /Connection reset command was pushed by server|server-pushed-connection-reset/);
    // It knows no other, and comes again: there it stays.
    await connected(client, 2);
    await sleep(2_000);
    assert.equal((await gateway.ask<Observed>({ kind: 'observe' })).connected, 1);
  }));

test('who comes to a drained gateway is sent on too, and stays only where there is no other to go to', () =>
  withOpenVpnRig(async (rig) => {
    const device = await rig.service.device();
    const neighbours = [{ gatewayId: 'other', host: '192.0.2.2', port: 51820 }];
    const gateway = await rig.startGateway({ devices: [device.plan] });
    await gateway.ask({ kind: 'plan', plan: { ...rig.service.plan(), draining: true, neighbours } });
    const client = await rig.startClient(rig.service.profile(device, OUTER4));
    await connected(client);
    await saying(client, /Connection reset command was pushed by server|server-pushed-connection-reset/);
    await connected(client, 2);
    await sleep(2_000);
    assert.equal((await gateway.ask<Observed>({ kind: 'observe' })).connected, 1);
  }));
