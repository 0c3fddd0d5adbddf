import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeBase64Key } from '@sallyport/wireguard';
import type { GatewayPlane } from '../../apps/server/src/gateway/gateway-plane.ts';
import { WireGuardTunnel } from '../../apps/server/src/gateway/wireguard-tunnel.ts';
import { withSeed } from '../../packages/testkit/src/seeded-random.ts';
import { pairOf } from '../simulation/world.ts';

const SECOND = 1000;

test('what a device did is told once, while it is admitted, refused and back; of silent ones nothing is', () => {
  withSeed((random) => {
    const { world, a: client, b: gateway } = pairOf(random);
    const plane = {
      get now() {
        return world.clock.now;
      },
      reschedule: () => undefined,
    };
    const tunnel = new WireGuardTunnel({ plane, wireguard: gateway.device } as unknown as GatewayPlane, assert.fail);
    const publicKey = encodeBase64Key(client.publicKey);
    const device = { id: 'd1', publicKey, ipv4: client.ip.join('.'), ipv6: 'fd00::2', groups: [] };
    const silent = { ...device, id: 'd2', publicKey: encodeBase64Key(random.bytes(32)), ipv4: '10.9.9.9' };
    tunnel.apply({ put: [device, silent], remove: [] });
    assert.deepEqual([...tunnel.observe()], []);
    client.send(gateway);
    world.run(SECOND);
    const [first, ...others] = tunnel.observe();
    assert.deepEqual(others, []);
    assert.equal(first?.deviceId, 'd1');
    assert.ok(first.sentBytes > 0 && first.lastHandshakeAt > 0);

    tunnel.apply({ put: [], remove: [device, silent] });
    assert.deepEqual([...tunnel.observe()], [first], 'refused');
    tunnel.apply({ put: [device], remove: [] });
    assert.deepEqual([...tunnel.observe()], [first], 'back, and not connected yet');
    world.run(SECOND);
    client.startHandshake(gateway);
    client.send(gateway);
    world.run(SECOND);
    const [second, ...more] = tunnel.observe();
    assert.deepEqual(more, []);
    assert.equal(second?.deviceId, 'd1');
    assert.ok(second.sentBytes > first.sentBytes && second.lastHandshakeAt > first.lastHandshakeAt);
    tunnel.apply({ put: [], remove: [device] });
    assert.deepEqual([...tunnel.observe()], [second], 'refused again');
  });
});
