/** The asker's end of the tunnel service, where its tunnel goes away. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TunnelService } from '../../apps/clientd/src/tunnel/tunnel-service.ts';

test('what is asked when it closes, between two tries and afterwards has no answer, and throws nothing', async () => {
  const service = new TunnelService({ device: 'lo', mark: 0, gateway: '127.0.0.1' });
  const asked = [service.tellPathMtu(1400, 60_000, 3), service.ping(60_000)];
  const key = service.requestKey(new Uint8Array(1184), 60_000, 3);
  service.close();
  assert.deepEqual(await Promise.all(asked), [false, undefined]);
  assert.equal(await key, undefined);
  assert.equal(await service.ping(60_000), undefined);
});
