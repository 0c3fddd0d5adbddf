/** How a drained gateway sends its OpenVPN clients to the others: each kind of client in the way that it goes there by. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { Secret } from '@sallyport/core';
import type { ClientView, ServerEvent, Verdict } from '@sallyport/openvpn';
import type { GatewayPlan } from '@sallyport/policy';
import { OpenVpnTunnel, type OpenVpnTunnelOptions } from '../../apps/server/src/gateway/openvpn-tunnel.ts';

type Serving = Parameters<OpenVpnTunnelOptions['side']['serve']>[0];

const PLAN: GatewayPlan = {
  id: 'gateway',
  name: 'gateway',
  pool4: '10.77.0.0/16',
  pool6: 'fd77::/64',
  address4: '10.77.0.1',
  address6: 'fd77::1',
  egress: {},
  draining: false,
  neighbours: [{ gatewayId: 'other', host: '192.0.2.2', port: 51820 }],
  openvpn: {
    authority: '',
    certificate: '',
    clientKey: Buffer.alloc(128).toString('base64'),
    tokenKey: '',
    dataCiphers: ['AES-256-GCM'],
    push: [],
  },
};
const VERSION_2 = new Map([
  ['IV_VER', '2.6.12'],
  ['IV_PROTO', '990'],
]);
const VERSION_3 = new Map([
  ['IV_VER', '3.11.7'],
  ['IV_PROTO', '8094'],
]);
const BEFORE_3_8 = new Map([
  ['IV_VER', '3.7.2'],
  ['IV_PROTO', '30'],
]);

function deviceId(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

/** The tunnel with a server in place of OpenVPN's that does nothing but what it is told here. */
function setUp(context: TestContext) {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  let now = 1_800_000_000_000;
  let serving: Serving | undefined;
  const clients = new Map<string, Pick<ClientView, 'deviceId' | 'advancesBy'>>();
  const restarted: string[] = [];
  const verdicts: Verdict[] = [];
  const service = {
    clients: () => [...clients.values()],
    disconnect(devices: readonly string[], ending: { kind: string }) {
      assert.equal(ending.kind, 'restart');
      restarted.push(...devices);
      for (const id of devices) clients.delete(id);
    },
    decide: (_id: number, verdict: Verdict) => verdicts.push(verdict),
    server: { count: 0, configure: () => undefined },
  };
  const tunnel = new OpenVpnTunnel({
    plane: { exclusive: (action: () => void) => action() },
    side: {
      serve(options: Serving) {
        serving = options;
        return service;
      },
      addressOf: () => '',
      portOf: () => 0,
    },
    mtu: 1420,
    key: { privateKey: new Secret(''), publicKey: '' },
    addresses: { of: () => '' },
    onFault: assert.fail,
    now: () => now,
  } as unknown as OpenVpnTunnelOptions);
  const devices = [1, 2].map((number) => ({
    id: deviceId(number),
    ipv4: `10.77.0.${String(number)}`,
    ipv6: `fd77::${String(number)}`,
    groups: [],
    openvpn: { certificates: [], login: 'password', userName: 'alice', loginEpoch: 'e' } as const,
  }));
  tunnel.setGateway(PLAN);
  tunnel.apply({ put: devices, remove: [] });
  return {
    tunnel,
    restarted,
    pass(milliseconds: number): void {
      now += milliseconds;
      context.mock.timers.tick(milliseconds);
    },
    /** A client comes: what it is told before anybody is asked, or nothing. */
    comes(number: number, peerInfo: ReadonlyMap<string, string>): Verdict | undefined {
      verdicts.length = 0;
      serving?.authenticate({
        id: 1,
        profile: Uint8Array.of(0, ...Buffer.from(deviceId(number))),
        certificate: undefined,
        userName: 'alice',
        password: new Secret('right'),
        response: undefined,
        challengeState: undefined,
        peerInfo,
        path: 0,
        renewing: undefined,
      });
      return verdicts[0];
    },
    /** … and was let in. */
    isLetIn(number: number, peerInfo: ReadonlyMap<string, string>, advancesBy: ClientView['advancesBy']): void {
      clients.set(deviceId(number), { deviceId: deviceId(number), advancesBy });
      const event = { kind: 'established', session: 1, deviceId: deviceId(number), cipher: 'AES-256-GCM', format: 'v2', peerInfo, path: 0 }; // prettier-ignore
      serving?.report?.(event as ServerEvent);
    },
  };
}

function isSentElsewhere(verdict: Verdict | undefined): boolean {
  return verdict?.kind === 'refuse' && verdict.elsewhere === true;
}

test('OpenVPN 2 goes by a restart; who is back has found no other gateway and stays', (context) => {
  const rig = setUp(context);
  rig.isLetIn(1, VERSION_2, 'restart');
  rig.tunnel.setGateway({ ...PLAN, draining: true });
  assert.deepEqual(rig.restarted, [deviceId(1)]);
  for (const number of [1, 2]) {
    assert.ok(!isSentElsewhere(rig.comes(number, VERSION_2)));
    rig.isLetIn(number, VERSION_2, 'restart');
    rig.pass(2_000);
  }
  // The other one came for the first time.
  assert.deepEqual(rig.restarted, [deviceId(1), deviceId(2)]);
});

test('OpenVPN 3 comes back after a restart, and goes when it is refused; who is back then stays', (context) => {
  const rig = setUp(context);
  assert.ok(!isSentElsewhere(rig.comes(1, VERSION_3)));
  rig.isLetIn(1, VERSION_3, 'refusal');
  rig.tunnel.setGateway({ ...PLAN, draining: true });
  assert.deepEqual(rig.restarted, [deviceId(1)]);
  for (const number of [1, 2]) {
    assert.ok(isSentElsewhere(rig.comes(number, VERSION_3)));
    assert.ok(!isSentElsewhere(rig.comes(number, VERSION_3)));
    rig.isLetIn(number, VERSION_3, 'refusal');
    rig.pass(2_000);
  }
  assert.deepEqual(rig.restarted, [deviceId(1)]);
  // For a while.
  rig.pass(600_000);
  assert.ok(isSentElsewhere(rig.comes(2, VERSION_3)));
  rig.tunnel.setGateway({ ...PLAN, draining: true, neighbours: [] });
  rig.pass(600_000);
  assert.ok(!isSentElsewhere(rig.comes(2, VERSION_3)), 'there is no other');
});

test('OpenVPN 3 that was let in by a login is sent on a moment later, with the token of it', (context) => {
  const rig = setUp(context);
  rig.tunnel.setGateway({ ...PLAN, draining: true });
  rig.isLetIn(1, VERSION_3, 'refusal');
  assert.deepEqual(rig.restarted, []);
  rig.pass(1_000);
  assert.deepEqual(rig.restarted, [deviceId(1)]);
  assert.ok(isSentElsewhere(rig.comes(1, VERSION_3)));
});

test('OpenVPN 3 that nothing sends on is not cut off for nothing', (context) => {
  const rig = setUp(context);
  rig.isLetIn(1, BEFORE_3_8, undefined);
  rig.tunnel.setGateway({ ...PLAN, draining: true });
  assert.ok(!isSentElsewhere(rig.comes(2, BEFORE_3_8)));
  rig.isLetIn(2, BEFORE_3_8, undefined);
  rig.pass(2_000);
  assert.deepEqual(rig.restarted, []);
});
