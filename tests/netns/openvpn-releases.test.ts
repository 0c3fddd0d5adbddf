/** Other releases of openvpn as clients of our gateway: 2.5, which knows less, and 2.7, which has data packets with epochs. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { iperf, pingSteadily, until, type Process } from '@sallyport/netlab';
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
  type OpenVpnRig,
} from './openvpn-rig.ts';
import { unpacked } from './unpacked.ts';

interface Release {
  readonly name: string;
  /** As scripts/unpack-peers unpacks it. */
  readonly program: string;
  readonly skip: string | false;
}

function release(name: string): Release {
  const program = unpacked(`openvpn-${name}`, 'openvpn');
  return { name, program, skip: existsSync(program) ? false : `openvpn ${name} is not there: scripts/unpack-peers` };
}

const V25 = release('2.5');
const V27 = release('2.7');

/**
 * Both families, both ways, small and large, all at once: 1,500 bytes are a whole packet to 2.5, which can't be told the
 * tunnel's MTU.
 */
async function assertPasses(rig: OpenVpnRig, device: { readonly ipv4: string; readonly ipv6: string }): Promise<void> {
  const ways = [
    { from: rig.client, addresses: [INNER4, INNER6] },
    { from: rig.server, addresses: [device.ipv4, device.ipv6] },
  ].flatMap(({ from, addresses }) => addresses.flatMap((to) => [56, 1472].map((bytes) => ({ from, to, bytes }))));
  await Promise.all(
    ways.map(async ({ from, to, bytes }) => {
      const { received, output } = await pingSteadily(from, to, { count: 3, bytes, intervalMs: 150 });
      assert.equal(received, 3, output);
    }),
  );
}

/** The keys that data travels by, as this release says it of each negotiation. */
function dataChannels({ stdout }: Process): string[] {
  return stdout.split('\n').filter((line) => /Data Channel: cipher '|Outgoing Data Channel: Cipher '/.test(line));
}

for (const { name, program, skip } of [V25, V27]) {
  for (const outer of [OUTER4, OUTER6])
    test(`openvpn ${name} by way of ${outer}: both families pass both ways`, { skip }, () =>
      withOpenVpnRig(async (rig) => {
        const device = await rig.service.device();
        const gateway = await rig.startGateway({ devices: [device.plan] });
        const client = await rig.startClient(rig.service.profile(device, outer), { program });
        await connected(client);
        await assertPasses(rig, device.plan);
        for (const reverse of [false, true]) {
          const { bytes } = await iperf({ client: rig.client, server: rig.server, address: INNER4 }, { bytes: 10e6, reverse }); // prettier-ignore
          assert.ok(bytes > 1e6, String(bytes));
        }
        const { devices } = await gateway.ask<Observed>({ kind: 'observe' });
        assert.ok(devices[0].sentBytes > 1e6 && devices[0].receivedBytes > 1e6);
        await client.stop();
        assert.equal(gateway.process.stderr, '');
      }),
    );

  test(`openvpn ${name}: each cipher of the data channel`, { skip }, () =>
    withOpenVpnRig(async (rig) => {
      const device = await rig.service.device();
      const ciphers = ['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305', 'AES-256-CBC'] as const;
      await rig.startGateway({ devices: [device.plan], plan: rig.service.plan({ dataCiphers: ciphers }) });
      for (const cipher of ciphers) {
        const client = await rig.startClient(rig.service.profile(device, OUTER4, [`data-ciphers ${cipher}`]), {
          program,
        });
        await connected(client);
        // It says that a moment after it has connected.
        await until(cipher, () => dataChannels(client).some((line) => line.toUpperCase().includes(`'${cipher}'`)));
        await assertPasses(rig, device.plan);
        await client.stop();
      }
    }),
  );

  test(`openvpn ${name}: new keys every few seconds under load, nothing is lost`, { skip }, () =>
    withOpenVpnRig(async (rig) => {
      const device = await rig.service.device();
      const gateway = await rig.startGateway({ devices: [device.plan] });
      await gateway.ask({ kind: 'configure', settings: { maxStartsPerProfile: 100 } });
      const client = await rig.startClient(rig.service.profile(device, OUTER4, ['reneg-sec 2']), { program });
      await connected(client);
      await assertPassesUnderLoad(rig, INNER4, { pings: 350, bitsPerSecond: 10e6 });
      await saying(client, 'TLS: soft reset', 2);
      await assertKeysServed(gateway, client);
    }),
  );

  test(`openvpn ${name}: user name and password without a certificate`, { skip }, () =>
    withOpenVpnRig(async (rig) => {
      const device = await rig.service.device('password');
      await rig.startGateway({ devices: [device.plan], logins: { alice: { password: 'right' } } });
      const login = (password: string): Promise<Process> => {
        const file = rig.laboratory.file('login', `alice\n${password}\n`);
        const lines = ['pull-filter ignore auth-token', `auth-user-pass ${file}`];
        return rig.startClient(rig.service.profile(device, OUTER4, lines), { program });
      };
      const refused = await login('wrong');
      await saying(refused, /AUTH_FAILED,user name or password is wrong/);
      await refused.exited;
      await connected(await login('right'));
      await assertPasses(rig, device.plan);
    }),
  );
}

test('openvpn 2.7 has data packets with epochs', { skip: V27.skip }, () =>
  withOpenVpnRig(async (rig) => {
    const device = await rig.service.device();
    await rig.startGateway({ devices: [device.plan] });
    const client = await rig.startClient(rig.service.profile(device, OUTER4, ['reneg-sec 2']), V27);
    await connected(client);
    await saying(client, "Outgoing Epoch Data key 1: Cipher 'AES-256-GCM'");
    await saying(client, 'Outgoing Epoch Data key 1', 3);
    await assertPasses(rig, device.plan);
  }),
);

test('openvpn 2.5 has neither epochs nor keys exported from TLS', { skip: V25.skip }, () =>
  withOpenVpnRig(async (rig) => {
    const device = await rig.service.device();
    await rig.startGateway({ devices: [device.plan] });
    const client = await rig.startClient(rig.service.profile(device, OUTER4), V25);
    await connected(client);
    assert.doesNotMatch(client.stdout, /aead-epoch|tls-ekm|protocol-flags/);
  }),
);
