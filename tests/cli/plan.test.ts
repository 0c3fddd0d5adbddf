import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planRoutes } from '../../apps/cli/src/wg-quick/plan.ts';
import { otherPublicKey, parsed, privateKey, publicKey } from './files.ts';

function plan(own: string, allowedIps: string, others = '') {
  const text =
    `[Interface]\nPrivateKey=${privateKey}\n${own}\n[Peer]\nPublicKey=${publicKey}\nAllowedIPs=${allowedIps}\n` +
    `[Peer]\nPublicKey=${otherPublicKey}\nAllowedIPs=${others}\n`;
  const { table, routes, defaults } = planRoutes(parsed(text));
  return { table, four: routes.get(4) ?? [], six: routes.get(6) ?? [], defaults };
}

test('routes are the allowed IPs of all peers, each once, the longest prefixes first', () => {
  assert.deepEqual(plan('', '10.0.0.0/8, 192.0.2.1, fd00::/8', '10.1.0.0/16, 10.0.0.0/8, 2001:db8::1'), {
    table: undefined,
    four: ['192.0.2.1/32', '10.1.0.0/16', '10.0.0.0/8'],
    six: ['2001:db8::1/128', 'fd00::/8'],
    defaults: [],
  });
});

test('what the own addresses connect to needs no route', () => {
  const { four, six } = plan(
    'Address=10.9.0.1/24, fd09::1/64',
    '10.9.0.0/24, 10.9.0.7/32, 10.9.1.0/24, 10.9.0.0/16, fd09::5, fd09:0:0:1::/64',
  );
  assert.deepEqual(four, ['10.9.1.0/24', '10.9.0.0/16']);
  assert.deepEqual(six, ['fd09:0:0:1::/64']);
  assert.deepEqual(plan('Address=10.9.0.1/32', '10.9.0.1/32').four, ['10.9.0.1/32']);
  assert.deepEqual(plan('Address=10.9.0.1/21', '10.9.7.0/24, 10.9.8.0/24').four, ['10.9.8.0/24']);
});

test("a prefix of length zero is a default route, but not in a table of one's own", () => {
  assert.deepEqual(plan('', '0.0.0.0/0, ::/0, 10.0.0.0/8').defaults, [4, 6]);
  assert.deepEqual(plan('Table=auto', '::/0').defaults, [6]);
  assert.deepEqual(plan('Table=77\nAddress=10.0.0.1/8', '0.0.0.0/0, 10.0.0.0/8'), {
    table: '77',
    four: ['10.0.0.0/8', '0.0.0.0/0'],
    six: [],
    defaults: [],
  });
});

test('Table = off makes no routes', () => {
  assert.deepEqual(plan('Table=off', '0.0.0.0/0, 10.0.0.0/8'), { table: 'off', four: [], six: [], defaults: [] });
});
