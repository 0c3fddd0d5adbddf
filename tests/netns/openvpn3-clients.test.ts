/** OpenVPN 3, the library of OpenVPN Connect, as the client of our gateway, with profiles as the control plane makes them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { iperf, pingSteadily, until } from '@sallyport/netlab';
import type { Settings } from '@sallyport/api';
import { openVpnProfile } from '../../packages/control/src/openvpn/profile.ts';
import type { Observed } from './openvpn-gateway-child.ts';
import {
  INNER4,
  INNER6,
  OUTER4,
  OUTER6,
  PORT,
  withOpenVpnRig,
  type OpenVpnRig,
  type TestDevice,
} from './openvpn-rig.ts';
import { OpenVpn3, skip } from './openvpn3.ts';

const CONNECTED = 'Client INFO: Connected: ';

const SETTINGS = {
  openvpn: { dataCiphers: ['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305'], oldClients: false },
} as unknown as Settings;

function profileOf(rig: OpenVpnRig, { plan, issued, clientKey }: TestDevice, ...gateways: readonly string[]): string {
  const profile = openVpnProfile({
    deviceName: 'phone',
    userName: 'alice',
    login: plan.openvpn?.login ?? 'certificate',
    certificate: issued?.certificate ?? null,
    gateways: gateways.map((endpointHost) => ({
      name: 'gateway',
      endpointHost,
      transports: { amneziawg: null, tls: null, openvpn: { port: PORT, tcpPort: 0 } },
    })),
    authority: rig.service.authority.certificate,
    clientKey,
    asksCode: false,
    settings: SETTINGS,
  });
  return profile.replace('# <key></key>', `<key>\n${issued?.privateKey.reveal().trim() ?? ''}\n</key>`);
}

async function assertPasses(rig: OpenVpnRig, { plan }: TestDevice): Promise<void> {
  for (const [from, addresses] of [
    [rig.client, [INNER4, INNER6]],
    [rig.server, [plan.ipv4, plan.ipv6]],
  ] as const)
    for (const address of addresses) {
      const { received, output } = await pingSteadily(from, address, { count: 3, bytes: 1300 });
      assert.equal(received, 3, output);
    }
}

for (const outer of [OUTER4, OUTER6])
  test(`OpenVPN 3 by way of ${outer}: passes, says goodbye, and ends where it is cut off`, { skip }, () =>
    withOpenVpnRig(async (rig) => {
      const device = await rig.service.device();
      const push = ['dns server 0 address 10.77.0.1', 'dns search-domains corp.example'];
      const plan = rig.service.plan({
        push: [...push, 'dhcp-option DNS 10.77.0.9', 'dhcp-option DOMAIN corp.example'],
      });
      const gateway = await rig.startGateway({ devices: [device.plan], plan });
      const client = await OpenVpn3.start(rig.client);
      await client.connect(profileOf(rig, device, outer));
      await client.says(CONNECTED);
      await assertPasses(rig, device);
      const route = { client: rig.client, server: rig.server, address: INNER4 };
      for (const reverse of [false, true]) assert.ok((await iperf(route, { bytes: 10e6, reverse })).bytes > 1e6);
      assert.match((await rig.client.run(['cat', '/etc/resolv.conf'])).stdout, /^search corp\.example\b[^]*^nameserver 10\.77\.0\.1$/m); // prettier-ignore
      await client.disconnect();
      const count = async (): Promise<number> => (await gateway.ask<Observed>({ kind: 'observe' })).connected;
      await until('a goodbye', async () => (await count()) === 0);
      await client.connect(profileOf(rig, device, outer));
      await client.says(CONNECTED, 2);
      await gateway.ask({ kind: 'apply', remove: [device.plan] });
      await client.says('Stopping VPN client', 2);
      const refused = await client.connect(profileOf(rig, device, outer));
      await refused.exited;
      assert.match(refused.stderr, /User authentication failed/);
      assert.equal(gateway.process.stderr, '');
    }),
  );

test('OpenVPN 3 logs in by password, and comes again by the token where a gateway begins anew', { skip }, () =>
  withOpenVpnRig(async (rig) => {
    const device = await rig.service.device('password');
    const logins = { alice: { password: 'right' } };
    const gateway = await rig.startGateway({ devices: [device.plan], logins });
    const client = await OpenVpn3.start(rig.client);
    const refused = await client.connect(profileOf(rig, device, OUTER4), ['alice', 'wrong']);
    await refused.exited;
    assert.match(refused.stderr, /User authentication failed/);
    await client.connect(profileOf(rig, device, OUTER4), ['alice', 'right']);
    await client.says(CONNECTED);
    await gateway.ask({ kind: 'leave' });
    await gateway.process.stop('SIGKILL');
    const second = await rig.startGateway({ devices: [device.plan], logins });
    await client.says(CONNECTED, 2);
    await assertPasses(rig, device);
    assert.equal((await second.ask<Observed>({ kind: 'observe' })).asked, 0);
  }),
);

test('OpenVPN 3 goes from a drained gateway to the next of its profile', { skip }, () =>
  withOpenVpnRig(async (rig) => {
    const device = await rig.service.device();
    const gateway = await rig.startGateway({ devices: [device.plan] });
    const client = await OpenVpn3.start(rig.client);
    await client.connect(profileOf(rig, device, OUTER4, OUTER6));
    await client.says(CONNECTED);
    const neighbours = [{ gatewayId: 'other', host: '192.0.2.2', port: 51820 }];
    await gateway.ask({ kind: 'plan', plan: { ...rig.service.plan(), draining: true, neighbours } });
    // In truth the same one, by its other address, where it stays.
    await client.says(CONNECTED, 2);
    await client.says(`${CONNECTED}.*${OUTER6}`);
    await assertPasses(rig, device);
  }),
);
