import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  generateKeys,
  ping,
  pingSteadily,
  until,
  wire,
  WireGuardDevice,
  wireguardGo,
  withLaboratory,
} from '@sallyport/netlab';
import type { DevicePlan } from '@sallyport/policy';
import { excessPrivileges, processPrivileges } from '@sallyport/privileged';
import { RunningRig } from './running-gateway-rig.ts';

const UID = 64_123;

test('the gateway without privileges serves real clients: admitted, observed, cut off, taken down', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-gateway-'));
  chownSync(directory, UID, UID);
  chmodSync(directory, 0o700);
  try {
    await withLaboratory(async (laboratory) => {
      const [client, gateway, server] = [
        await laboratory.namespace('client'),
        await laboratory.namespace('gateway'),
        await laboratory.namespace('server'),
      ];
      await wire(
        { namespace: client, name: 'up0', addresses: ['192.0.2.2/24'] },
        { namespace: gateway, name: 'wan0', addresses: ['192.0.2.1/24'] },
      );
      await wire(
        { namespace: gateway, name: 'lan0', addresses: ['10.9.0.1/24', 'fd99::1/64'] },
        { namespace: server, name: 'lan0', addresses: ['10.9.0.2/24', 'fd99::2/64'] },
      );
      const interfaceName = laboratory.interfaceName();
      const rig = new RunningRig(gateway.name, directory, interfaceName, UID);
      const ready = await rig.next('ready');
      assert.equal(ready['listenPort'], 443);
      await rig.next('link');
      const { gateway: pid } = (await rig.next('started'))['pids'] as { gateway: number };
      for (const thread of processPrivileges(pid)) assert.deepEqual(excessPrivileges(thread, UID, UID), []);
      for (const file of ['wireguard.key', 'link.key'])
        assert.equal(statSync(join(directory, file)).mode & 0o777, 0o600);

      const keys = generateKeys();
      const device: DevicePlan = { id: 'd1', publicKey: keys.publicKey, ipv4: '100.64.0.2', ipv6: 'fd00::2', groups: ['staff'] }; // prettier-ignore
      const groups = [
        {
          id: 'staff',
          grants: ['10.9.0.0/24', 'fd99::/64'].map((prefix) => ({
            rule: 'r',
            destination: { kind: 'network', prefix } as const,
            protocol: 'any' as const,
            ports: [],
          })),
        },
      ];
      rig.say({ kind: 'state', devices: [device], groups });
      await rig.next('inForce');

      const tunnel = await WireGuardDevice.start(client, wireguardGo);
      await tunnel.apply({
        privateKey: keys.privateKey,
        peers: [
          { publicKey: ready['wireguardPublicKey'] as string, endpoint: '192.0.2.1:443', allowedIps: ['0.0.0.0/0', '::/0'] }, // prettier-ignore
        ],
      });
      await tunnel.up(['100.64.0.2/32', 'fd00::2/128'], 1420);
      await client.route('10.9.0.0/24', 'dev', tunnel.name);
      await client.route('fd99::/64', 'dev', tunnel.name);
      for (const address of ['10.9.0.2', 'fd99::2'])
        assert.ok((await pingSteadily(client, address, { count: 5, intervalMs: 100 })).received >= 4, address);

      // It reports every five seconds. Ten echo requests and answers of 84 and 104 bytes.
      await until('the reports', async () => {
        const mark = rig.told.length;
        rig.say({ kind: 'look' });
        const reported = (await rig.next('looked', mark))['devices'] as {
          id: string;
          lastHandshakeAt: number;
          sentBytes: number;
          receivedBytes: number;
        }[];
        assert.ok(reported.every(({ id }) => id === 'd1'));
        const sum = (field: 'sentBytes' | 'receivedBytes'): number =>
          reported.reduce((total, entry) => total + entry[field], 0);
        const isSeen = reported.some(({ lastHandshakeAt }) => lastHandshakeAt > 0);
        return isSeen && sum('sentBytes') > 800 && sum('receivedBytes') > 800;
      });

      let mark = rig.told.length;
      rig.say({ kind: 'state', devices: [], groups });
      await rig.next('inForce', mark);
      assert.equal((await ping(client, '10.9.0.2', { count: 3, intervalMs: 50 })).received, 0);

      // Admitted again, the same client comes back by itself.
      mark = rig.told.length;
      rig.say({ kind: 'state', devices: [device], groups });
      await rig.next('inForce', mark);
      await until('the client to be back', async () => (await ping(client, '10.9.0.2', { count: 1 })).received === 1); // prettier-ignore

      rig.say({ kind: 'stop' });
      assert.equal((await rig.next('ended'))['end'], 'exit code 0');
      assert.equal((await gateway.run(['nft', 'list', 'tables'])).stdout, '');
      assert.ok(!(await gateway.ip('link', 'show')).includes(interfaceName));
    });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
