import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientAddresses } from '../../apps/server/src/gateway/client-addresses.ts';

test('a client over TCP has the address that the carrier tells, or none; others have their own', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const addresses = new ClientAddresses();
  assert.equal(addresses.of('192.0.2.1', 1194), '192.0.2.1');
  assert.equal(addresses.of('2001:db8::1', 1194), '2001:db8::1');
  assert.equal(addresses.of('127.0.0.1', 40_000), '127.0.0.1');
  const nobodys = addresses.of('127.64.0.1', 39_999);
  // What the carrier says comes by another way than the connection.
  const [early, again] = [addresses.of('127.64.0.1', 40_000), addresses.of('127.64.0.1', 40_000)];
  t.mock.timers.tick(1999);
  addresses.take({ kind: 'source', local: '127.64.0.1:40000', address: '192.0.2.7' });
  assert.deepEqual([await early, await again], ['192.0.2.7', '192.0.2.7']);
  t.mock.timers.tick(1);
  assert.equal(await nobodys, '');
  addresses.take({ kind: 'source', local: '127.127.0.1:40000', address: '2001:db8::7' });
  assert.equal(addresses.of('127.64.0.1', 40_000), '192.0.2.7');
  assert.equal(addresses.of('127.127.0.1', 40_000), '2001:db8::7');
  addresses.take({ kind: 'source', local: '127.64.0.1:40000', address: null });
  const gone = addresses.of('127.64.0.1', 40_000);
  t.mock.timers.tick(2000);
  assert.equal(await gone, '');
});

test('what is no such message is passed over, and there is an end to what is kept', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const addresses = new ClientAddresses();
  const wrong = [
    undefined,
    'source',
    { kind: 'source', local: '192.0.2.1:1', address: '192.0.2.7' },
    { kind: 'source', local: '127.64.0.1:1', address: '<b>' },
    { kind: 'source', local: '127.64.0.1:1' },
  ];
  const early = addresses.of('127.64.0.1', 1);
  for (const message of wrong) addresses.take(message);
  t.mock.timers.tick(2000);
  assert.equal(await early, '');
  for (let port = 1; port <= 8_193; port++)
    addresses.take({ kind: 'source', local: `127.64.0.1:${String(port)}`, address: '192.0.2.7' });
  assert.notEqual(addresses.of('127.64.0.1', 1), '192.0.2.7');
  assert.equal(addresses.of('127.64.0.1', 2), '192.0.2.7');
});
