/** Debian's NetworkManager takes the service's profiles as they are: what it keeps of them, logins, names, and the end. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type { Device, Gateway } from '@sallyport/api';
import { ping, pingSteadily, until } from '@sallyport/netlab';
import { Secret, TOTP } from 'otpauth';
import { ADDRESSES, seenFrom } from '../../demo/scenarios/service/world.ts';
import { NetworkManager, skip } from './client/network-manager.ts';
import type { Api } from './service/api.ts';
import { ServiceRig } from './service/rig.ts';

const PASSWORD = 'staple of alice, long';
const { egress, gateway1, internal, internet } = ADDRESSES;
const UPLINK = {
  device: 'to-provider',
  ipv4: '192.0.2.10/28,192.0.2.9',
  ipv6: '2001:db8:1:1::10/64,2001:db8:1:1::1',
  nameServer: '192.0.2.9',
};

describe('NetworkManager', { skip }, () => {
  let rig: ServiceRig;
  let alice: Api;
  let manager: NetworkManager;

  before(async () => {
    rig = await ServiceRig.start();
    await rig.user('alice');
    await rig.password('alice', PASSWORD);
    alice = await rig.logIn('alice', PASSWORD);
    manager = await NetworkManager.start(rig.world.alice, UPLINK);
  });
  after(async () => {
    await rig.close();
  });

  /** A device of alice's, and its profile, imported as a connection of the same name. */
  async function add(name: string, login: 'certificate' | 'password', withKey = true): Promise<Device> {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const spki = publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
    const body = { name, login, ...(withKey && { publicKey: spki }) };
    const device = await alice.call('addMyOpenVpnDevice', { body });
    const profile = await alice.call('getMyOpenVpnProfile', { params: { deviceId: device.id } });
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
    const file = `/root/${name}.ovpn`;
    manager.write(file, profile.replace(/^# Put the private key .*\n# <key><\/key>$/m, `<key>\n${key}</key>`));
    await manager.run(['connection', 'import', 'type', 'openvpn', 'file', file]);
    return device;
  }

  const seen = (): Promise<(string | undefined)[]> =>
    Promise.all([internet.ipv4, internet.ipv6].map((address) => seenFrom(rig.world.alice, address)));

  /** By both families. */
  const answered = (): Promise<(string | undefined)[]> =>
    until('a page by both families', async () => {
      const all = await seen();
      return all.every((one) => one !== undefined) && all;
    });

  async function assertInside(): Promise<void> {
    const [ipv4, ipv6] = await answered();
    assert.equal(ipv4, gateway1.ipv4);
    assert.ok(ipv6 === gateway1.ipv6 || ipv6 === egress.ipv6, String(ipv6));
  }

  async function isInside({ ipv4 }: Device): Promise<boolean> {
    return (await pingSteadily(rig.world.gateway1, ipv4, { count: 1 })).received === 1;
  }

  /** The gateway answers senders itself where it has no session of the device. Silence alone ends one after two minutes. */
  const sessionEnded = async ({ ipv4 }: Device): Promise<void> => {
    await until('the end of the session', async () =>
      /Unreachable/i.test((await ping(rig.world.gateway1, ipv4, { count: 1 })).output),
    );
  };

  const nameServers = (): string[] =>
    [...readFileSync(manager.outside('/etc/resolv.conf'), 'utf8').matchAll(/^nameserver (.*)$/gm)].map(([, at]) => at);

  /** The file is written beside what nmcli waits for. */
  const nameServersAre = async (wanted: readonly string[]): Promise<void> => {
    await until(`name servers ${wanted.join(' ')}`, () => nameServers().join(' ') === wanted.join(' '));
  };

  test('by certificate: the connection has all of the profile, and the machine is inside until it is taken down', async () => {
    const device = await add('office', 'certificate');
    const file = (what: string): string => `/root/.cert/nm-openvpn/office-${what}.pem`;
    const kept = (await manager.value('office', 'vpn.data'))
      .split(/(?<!\\), /)
      .map((item) => item.replaceAll('\\', ''));
    assert.deepEqual(kept, [
      'auth = SHA256',
      `ca = ${file('ca')}`,
      `cert = ${file('cert')}`,
      'connect-timeout = 10',
      'connection-type = tls',
      'data-ciphers = AES-256-GCM:AES-128-GCM:CHACHA20-POLY1305',
      'dev = tun',
      `key = ${file('key')}`,
      `remote = ${gateway1.endpoint}:1194:udp, ${gateway1.endpoint}:1194:tcp`,
      'remote-cert-tls = server',
      `tls-crypt-v2 = ${file('tls-crypt-v2')}`,
      'tls-version-min = 1.2',
      'verify-x509-name = name-prefix:sallyport-gateway-',
    ]);
    for (const what of ['key', 'tls-crypt-v2']) assert.equal(statSync(manager.outside(file(what))).mode & 0o777, 0o600);

    const before = await answered();
    assert.deepEqual(before, ['192.0.2.10', '2001:db8:1:1::10']);
    await manager.up('office');
    await assertInside();
    const { ipv4, ipv6 } = await rig.world.alice.addressesOf('tun0');
    assert.deepEqual([ipv4, ipv6], [[device.ipv4], [device.ipv6]]);
    const dns = [await manager.value('office', 'IP4.DNS'), await manager.value('office', 'IP6.DNS')];
    await nameServersAre([...dns, UPLINK.nameServer]);
    for (const server of dns)
      assert.equal((await pingSteadily(rig.world.alice, server, { count: 1 })).received, 1, server);
    await until('the device', () => isInside(device));
    await manager.run(['connection', 'down', 'office']);
    await sessionEnded(device);
    assert.deepEqual(await answered(), before);
    await nameServersAre([UPLINK.nameServer]);

    // As the documentation has it: no other name server is asked.
    await manager.run(['connection', 'modify', 'office', 'ipv4.dns-priority', '-1', 'ipv6.dns-priority', '-1']);
    await manager.up('office');
    await nameServersAre(dns);
    await manager.run(['connection', 'down', 'office']);
  });

  test('by certificate: a device that is removed is inside no more', async () => {
    const device = await add('lost', 'certificate');
    await manager.up('lost');
    await assertInside();
    await rig.api.change('getDevice', 'deleteDevice', { deviceId: device.id });
    await sessionEnded(device);
    // The plug-in has openvpn try on and on, so nothing gets out past the tunnel until it is taken down.
    assert.deepEqual(await seen(), [undefined, undefined]);
    assert.equal(await manager.value('lost', 'GENERAL.STATE'), 'activated');
    await manager.run(['connection', 'delete', 'lost']);
    // nmcli waits for the profile to be gone, not for the routes.
    await until('the network without it', async () => {
      const [ipv4, ipv6] = await seen();
      return ipv4 === '192.0.2.10' && ipv6 === '2001:db8:1:1::10';
    });
  });

  test('some networks inside alone: everything goes inside, unless the connection says otherwise', async () => {
    const allowedIps = [`${internet.ipv4}/32`, `${internet.ipv6}/128`];
    const { items } = (await rig.api.call('listGateways')) as unknown as { items: Gateway[] };
    await rig.applied(items[0].name, () => rig.api.change('getSettings', 'updateSettings', {}, { allowedIps }));
    const outside = async (): Promise<boolean[]> => {
      const { alice: machine } = rig.world;
      const routes = [await machine.ip('route', 'get', internal.ipv4), await machine.ip('route', 'get', internal.ipv6)];
      return routes.map((route) => route.includes(`dev ${UPLINK.device} `));
    };
    await add('some', 'certificate');
    await manager.up('some');
    await assertInside();
    assert.deepEqual(await outside(), [false, false]);
    await manager.run(['connection', 'down', 'some']);
    // As the documentation has it.
    await manager.run(['connection', 'modify', 'some', 'ipv4.never-default', 'yes', 'ipv6.never-default', 'yes']);
    await manager.up('some');
    await assertInside();
    assert.deepEqual(await outside(), [true, true]);
    await manager.run(['connection', 'down', 'some']);
  });

  test('by name and password, then with the code of an authenticator app too, which is asked for after them', async () => {
    const device = await add('tablet', 'password', false);
    await manager.run(['connection', 'modify', 'tablet', '+vpn.data', 'username=alice']);
    assert.match(
      await manager.up('tablet', PASSWORD),
      /^Password \(vpn\.secrets\.password\): \*+\nConnection success/m,
    );
    await assertInside();
    await manager.run(['connection', 'down', 'tablet']);

    const { secret } = (await alice.call('beginTotp')) as { secret: string };
    const codeAt = (time: number): string => TOTP.generate({ secret: Secret.fromBase32(secret), timestamp: time });
    await alice.call('confirmTotp', { body: { code: codeAt(Date.now()) } });
    // Its profile of now has a static challenge, which NetworkManager passes over.
    const profile = await alice.call('getMyOpenVpnProfile', { params: { deviceId: device.id } });
    assert.match(profile, /^static-challenge /m);
    manager.write('/root/phone.ovpn', profile);
    await manager.run(['connection', 'import', 'type', 'openvpn', 'file', '/root/phone.ovpn']);
    await manager.run(['connection', 'modify', 'phone', '+vpn.data', 'username=alice']);
    const asked = await manager.up('phone', 'wrong', PASSWORD, codeAt(Date.now() + 30_000));
    assert.equal(asked.match(/\): \*+$/gm)?.length, 3, asked);
    assert.match(asked, /^Code of your authenticator app/m);
    await assertInside();
    await manager.run(['connection', 'down', 'phone']);
    await sessionEnded(device);
  });
});
