// WireGuard over the tunnel over TLS: our devices, real namespaces, no UDP between them.
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import {
  generateKeys,
  iperf,
  ping,
  sallyportDevice,
  until,
  wire,
  WireGuardDevice,
  withLaboratory,
  type Laboratory,
  type NetworkNamespace,
  type Process,
} from '@sallyport/netlab';

import { excessPrivileges, processPrivileges } from '@sallyport/privileged';
import { openIdentity } from '../../apps/server/src/carrier/identity.ts';
import { dataFolder, Server } from './server-world.ts';

const LISTEN_PORT = 51_820;
const TLS_PORT = 8444;
const NEAR = { ipv4: '10.99.0.1', ipv6: 'fd99::1' };
const FAR = { ipv4: '10.99.0.2', ipv6: 'fd99::2' };
const program = (name: string): string[] => [process.execPath, join(import.meta.dirname, '../../bench/carrier', name)];

interface Net {
  readonly near: NetworkNamespace;
  readonly far: NetworkNamespace;
  readonly nearDevice: WireGuardDevice;
  readonly nearKey: string;
  readonly farKey: string;
  gateway: Process;
  certificateSha256: string;
}

async function firstLine(started: Process): Promise<Record<string, unknown>> {
  const line = await until('its first line', () => {
    assert.equal(started.exit, undefined, started.stderr);
    return started.stdout.includes('\n') && started.stdout.slice(0, started.stdout.indexOf('\n'));
  });
  return JSON.parse(line) as Record<string, unknown>;
}

async function startGatewayEnd(far: NetworkNamespace): Promise<Pick<Net, 'gateway' | 'certificateSha256'>> {
  const gateway = await far.start([...program('gateway-end.ts'), '192.0.2.2', String(TLS_PORT), String(LISTEN_PORT)]);
  const { certificateSha256 } = await firstLine(gateway);
  return { gateway, certificateSha256: String(certificateSha256) };
}

/** Two machines between which TCP alone passes, each with a WireGuard device. */
async function openNet(laboratory: Laboratory): Promise<Net> {
  const near = await laboratory.namespace('near');
  const far = await laboratory.namespace('far');
  await wire(
    { namespace: near, name: 'wire', addresses: ['192.0.2.1/24'] },
    { namespace: far, name: 'wire', addresses: ['192.0.2.2/24'] },
  );
  await far.nft(`table inet block {
    chain input {
      type filter hook input priority 0; policy accept;
      iifname "wire" udp dport 0-65535 drop
    }
  }\n`);
  const keys = { near: generateKeys(), far: generateKeys() };
  const nearDevice = await WireGuardDevice.start(near, sallyportDevice);
  const farDevice = await WireGuardDevice.start(far, sallyportDevice);
  await farDevice.configure({
    privateKey: keys.far.privateKey,
    listenPort: LISTEN_PORT,
    peers: [{ publicKey: keys.near.publicKey, allowedIps: [`${NEAR.ipv4}/32`, `${NEAR.ipv6}/128`] }],
  });
  await nearDevice.up([`${NEAR.ipv4}/24`, `${NEAR.ipv6}/64`]);
  await farDevice.up([`${FAR.ipv4}/24`, `${FAR.ipv6}/64`]);
  const ends = { near, far, nearDevice, nearKey: keys.near.privateKey, farKey: keys.far.publicKey };
  return { ...ends, ...(await startGatewayEnd(far)) };
}

async function startClientEnd(
  near: NetworkNamespace,
  ...options: string[]
): Promise<{ client: Process; port: number }> {
  const client = await near.start([...program('client-end.ts'), ...options]);
  const { port } = await firstLine(client);
  return { client, port: Number(port) };
}

/** Starts a client's end and points the device's peer at it. */
async function connectOverTls(net: Net): Promise<Process> {
  const options = ['192.0.2.2', String(TLS_PORT), net.certificateSha256, String(LISTEN_PORT)];
  const { client, port } = await startClientEnd(net.near, ...options);
  await pointAt(net, `127.0.0.1:${String(port)}`);
  return client;
}

function pointAt({ nearDevice, nearKey, farKey }: Net, endpoint: string): Promise<unknown> {
  return nearDevice.configure({
    privateKey: nearKey,
    listenPort: LISTEN_PORT,
    peers: [{ publicKey: farKey, endpoint, allowedIps: [`${FAR.ipv4}/32`, `${FAR.ipv6}/128`] }],
  });
}

async function answers({ near }: Net, address: string, bytes = 56): Promise<boolean> {
  return (await ping(near, address, { count: 1, waitMs: 500, bytes, dontFragment: true })).received === 1;
}

suite('WireGuard over TLS', () => {
  test('carries both families up to the MTU, where no UDP passes; and again after the gateway has restarted', () =>
    withLaboratory(async (laboratory) => {
      const net = await openNet(laboratory);
      await pointAt(net, `192.0.2.2:${String(LISTEN_PORT)}`);
      assert.equal(await answers(net, FAR.ipv4), false, 'UDP does not pass');

      const client = await connectOverTls(net);
      for (const [address, header] of [
        [FAR.ipv4, 28],
        [FAR.ipv6, 48],
      ] as const) {
        await until('an answer', () => answers(net, address));
        await until('an answer to the largest packet', () => answers(net, address, 1420 - header));
        for (const reverse of [false, true]) {
          const route = { client: net.near, server: net.far, address };
          const { bytes } = await iperf(route, { bytes: 10e6, reverse });
          assert.ok(bytes > 1_000_000, String(bytes));
        }
      }

      net.gateway.signal('SIGKILL');
      await net.gateway.exited;
      assert.equal((await client.exited).code, 1);
      assert.match(client.stderr, /closed/);
      Object.assign(net, await startGatewayEnd(net.far));
      await connectOverTls(net);
      await until('an answer', () => answers(net, FAR.ipv4));
      await until('an answer', () => answers(net, FAR.ipv6));
    }));

  test("a device reaches its gateway by the carrier's own port and by the console's", () =>
    withLaboratory(async (laboratory) => {
      const gateway = await laboratory.namespace('gateway');
      const near = await laboratory.namespace('near');
      await wire(
        { namespace: near, name: 'wire', addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
        { namespace: gateway, name: 'wire', addresses: ['192.0.2.2/24', '2001:db8::2/64'] },
      );
      const config = laboratory.file('sallyport.toml', '[gateway]\ntls_on_web = true\n');
      const data = dataFolder();
      try {
        const server = await Server.start(gateway, ['--data', data.path, '--config', config]);
        const identity = openIdentity(join(data.path, 'carrier'), undefined);
        const session = await server.setUp();
        const consoleCertificate = server.facts.control?.fingerprint ?? '';
        for (const [name, host, port, pin] of [
          ['own', '192.0.2.2', 8444, identity.certificateSha256],
          ['own6', '2001:db8::2', 8444, identity.certificateSha256],
          ['web', '192.0.2.2', 443, consoleCertificate],
        ] as const) {
          const keys = generateKeys();
          const added = await server.call('POST', '/api/v1/me/devices', { name, publicKey: keys.publicKey }, session);
          assert.equal(added.status, 201, JSON.stringify(added.body));
          const { id, ipv4 } = added.body as { id: string; ipv4: string };
          const { body } = await server.call('GET', '/api/v1/gateways', undefined, session);
          const [{ wireguardPublicKey = '' } = {}] = (body as { items: { wireguardPublicKey?: string }[] }).items;
          const carried = await startClientEnd(near, host, String(port), pin, '0', identity.path);
          const device = await WireGuardDevice.start(near, sallyportDevice);
          await device.configure({
            privateKey: keys.privateKey,
            peers: [
              {
                publicKey: wireguardPublicKey,
                endpoint: `127.0.0.1:${String(carried.port)}`,
                allowedIps: ['10.77.0.0/16'],
                persistentKeepalive: 1,
              },
            ],
          });
          await device.up([`${ipv4}/32`]);
          await until(`a handshake of ${name}`, async () => {
            const shown = await server.call('GET', `/api/v1/me/devices/${id}`, undefined, session);
            return (shown.body as { lastHandshakeAt: string | null }).lastHandshakeAt !== null;
          });
          carried.client.signal('SIGKILL');
          await near.ip('link', 'delete', device.name);
        }
        const uid = statSync(join(data.path, 'carrier', 'identity.json')).uid;
        const threads = processPrivileges(server.facts.processes.carrier ?? 0);
        assert.deepEqual(
          threads.flatMap((thread) => excessPrivileges(thread, uid, uid)),
          [],
        );
        assert.equal(uid, 64_873);
        process.kill(server.processes()['carrier'] ?? 0, 'SIGKILL');
        const again = await until('the carrier that was started again, by the port of the console', () =>
          startClientEnd(near, '192.0.2.2', '443', consoleCertificate, '0', identity.path).catch(() => undefined),
        );
        again.client.signal('SIGKILL');
        assert.doesNotMatch(server.process.stderr, new RegExp(identity.path), 'the path is not logged');
        await server.stop();
      } finally {
        data.remove();
      }
    }));
});
