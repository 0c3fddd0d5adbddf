/** Floods of first packets from addresses that nobody answers from: the gateway's memory, and who comes meanwhile. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Process } from '@sallyport/netlab';
import { nodeOpenVpnCrypto } from '@sallyport/openvpn-plane';
import { METADATA_USER, wrapClientKey } from '@sallyport/openvpn';
import { P_CONTROL_HARD_RESET_CLIENT_V3 } from '../../packages/openvpn/src/wire/opcodes.ts';
import { tlsCryptWrap } from '../../packages/openvpn/src/wire/tls-crypt.ts';
import type { FloodOrder } from './openvpn-flood-child.ts';
import type { Observed } from './openvpn-gateway-child.ts';
import { connected, OUTER4, PORT, withOpenVpnRig, type RunningGateway } from './openvpn-rig.ts';

const CHILD = fileURLToPath(new URL('openvpn-flood-child.ts', import.meta.url));
const NODE = fileURLToPath(new URL('../../scripts/node', import.meta.url));
const EACH_10_MS = 15;
const DATAGRAMS = 12_000;

/** First packets with keys that the service has wrapped, of clients that can send their key again, and of 2.5; and junk. */
function firstPackets(serverKey: Uint8Array, count: number): Buffer[] {
  const profiles = Array.from({ length: 50 }, (_, number) => {
    const key = new Uint8Array(randomBytes(256));
    const id = `00000000-0000-4000-9000-${String(number).padStart(12, '0')}`;
    return { key, wrappedKey: wrapClientKey(nodeOpenVpnCrypto, serverKey, key, Uint8Array.of(METADATA_USER, ...Buffer.from(id))) }; // prettier-ignore
  });
  return Array.from({ length: count }, (_, i) => {
    const { key, wrappedKey } = profiles[i % profiles.length];
    const wrap = tlsCryptWrap({
      crypto: nodeOpenVpnCrypto,
      server: false,
      unixTime: 1_700_000_000,
      firstPacketId: i % 3 === 0 ? 1 : 0x0f000001,
      key,
    });
    const datagram = wrap.wrap({
      opcode: P_CONTROL_HARD_RESET_CLIENT_V3,
      keyId: 0,
      sessionId: new Uint8Array(randomBytes(8)),
      acks: [],
      remoteSessionId: undefined,
      packetId: 0,
      payload: new Uint8Array(0),
    });
    const whole = Buffer.concat([datagram ?? Buffer.alloc(0), wrappedKey]);
    if (i % 3 === 2) whole[30] ^= 1;
    return whole;
  });
}

async function heldBy(gateway: RunningGateway): Promise<number> {
  const { heapUsed, external } = await gateway.ask<NodeJS.MemoryUsage>({ kind: 'memory' });
  return heapUsed + external;
}

test('nothing is kept of a flood of first packets, and a client gets in', () =>
  withOpenVpnRig(async (rig) => {
    const device = await rig.service.device();
    const gateway = await rig.startGateway({ devices: [device.plan] });
    await rig.client.ip('route', 'add', 'local', '198.18.0.0/16', 'dev', 'lo');
    await rig.router.route('198.18.0.0/16', 'via', '198.51.100.1');
    const flood = (count: number): Promise<Process> => {
      const order: FloodOrder = {
        address: OUTER4,
        port: PORT,
        sources: Array.from({ length: 200 }, (_, i) => `198.18.${String(i)}.1`),
        datagrams: firstPackets(rig.service.serverKey, count).map((bytes) => bytes.toString('base64')),
        each10Ms: EACH_10_MS,
      };
      return rig.client.start([NODE, CHILD, rig.laboratory.file('flood.json', JSON.stringify(order))]);
    };
    // What is made once is made by then.
    await (
      await flood(1_500)
    ).exited;
    const before = await heldBy(gateway);
    const refused = async (): Promise<number> =>
      (await gateway.ask<Observed>({ kind: 'observe' })).drops['authenticationFailed'] ?? 0;
    let refusedBefore: number;
    let flooding: Process;
    for (let tries = 1; ; tries++) {
      refusedBefore = await refused();
      flooding = await flood(DATAGRAMS);
      const client = await rig.startClient(rig.service.profile(device, OUTER4));
      await connected(client);
      if (flooding.exit === undefined) break;
      // Three times at the most: on a machine that is full what is sent again may take as long.
      assert.ok(tries < 3, 'the flood was over before');
      await client.stop();
    }
    await flooding.exited;
    assert.equal(flooding.stderr, '');
    const grown = (await heldBy(gateway)) - before;
    assert.ok(grown < 4e6, `${String(grown)} bytes more`);
    const refusedNow = (await refused()) - refusedBefore;
    assert.ok(refusedNow >= DATAGRAMS / 6, String(refusedNow));
  }));
