import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NamesOrder } from '../../apps/server/src/names/names-configuration.ts';
import { isWithinPools } from '../../apps/server/src/names/within-pools.ts';

test('a name server is for the pools alone: where it answers, and whom', () => {
  const pools = ['10.90.0.0/16', 'fd00::/8'];
  const order: NamesOrder = {
    kind: 'names',
    addresses: ['10.90.0.1', 'fd12::1'],
    clients: ['10.90.0.0/16', 'fd12::/48'],
  };
  assert.equal(isWithinPools(order, pools), true);
  assert.equal(isWithinPools({ ...order, addresses: [], clients: [] }, pools), true);
  for (const address of ['0.0.0.0', '127.0.0.1', '10.91.0.1', '::', '2001:db8::1'])
    assert.equal(isWithinPools({ ...order, addresses: ['10.90.0.1', address] }, pools), false, address);
  for (const prefix of ['0.0.0.0/0', '10.0.0.0/8', '::/0', '2000::/3'])
    assert.equal(isWithinPools({ ...order, clients: ['10.90.0.0/16', prefix] }, pools), false, prefix);
});
