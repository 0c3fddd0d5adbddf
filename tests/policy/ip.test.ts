import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import {
  formatAddress,
  formatPrefix,
  hasHostBits,
  lastDeviceNumber,
  parseAddress,
  parsePrefix,
  poolAddress,
  prefixContains,
} from '@sallyport/policy';
import { SeededRandom } from '@sallyport/testkit';

test('addresses are read and written in canonical form', () => {
  for (const [text, canonical] of [
    ['10.0.0.1', '10.0.0.1'],
    ['255.255.255.255', '255.255.255.255'],
    ['::', '::'],
    ['::1', '::1'],
    ['2001:DB8:0:0:0:0:0:1', '2001:db8::1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['1:2:3:4:5:6:0:0', '1:2:3:4:5:6::'],
    ['0:0:3:4:5:6:7:8', '::3:4:5:6:7:8'],
    ['::ffff:1.2.3.4', '::ffff:1.2.3.4'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ] as const) {
    const address = parseAddress(text);
    assert.ok(address, text);
    assert.equal(formatAddress(address), canonical);
  }
});

test('every address comes back as the same, and the URL parser writes it the same way', () => {
  const random = new SeededRandom(3);
  for (let i = 0; i < 3000; i++) {
    const value = Array.from({ length: 8 }, () => (random.chance(0.5) ? 0 : random.below(0x10000))).reduce(
      (sum, word) => (sum << 16n) | BigInt(word),
      0n,
    );
    const text = formatAddress({ family: 6, value });
    assert.equal(parseAddress(text)?.value, value, text);
    if (!text.includes('.')) assert.equal(new URL(`http://[${text}]/`).hostname, `[${text}]`);
  }
});

test('what is no address is none, as node:net has it', () => {
  const random = new SeededRandom(4);
  const letters = '0123456789abcf:.::.:/';
  let addresses = 0;
  const samples = [
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '256.1.1.1',
    '1:2',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7:8:9',
    '::1%eth0',
    '[::1]',
    '12345::',
    '',
  ];
  for (let i = 0; i < 30_000; i++) {
    samples.push(Array.from({ length: 1 + random.below(9) }, () => letters[random.below(letters.length)]).join(''));
  }
  for (const text of samples) {
    const address = parseAddress(text);
    if (address !== undefined) addresses++;
    // Zones are addresses to node:net.
    if (!text.includes('%')) assert.equal(address?.family ?? 0, isIP(text), text);
  }
  assert.ok(addresses > 50, String(addresses));
  assert.equal(parseAddress('::1%eth0'), undefined);
});

test('prefixes lose their host bits', () => {
  const format = (text: string): string | undefined => {
    const prefix = parsePrefix(text);
    return prefix && formatPrefix(prefix);
  };
  assert.equal(format('10.1.2.3/8'), '10.0.0.0/8');
  assert.equal(format('10.1.2.3'), '10.1.2.3/32');
  assert.equal(format('2001:db8:ffff::1/33'), '2001:db8:8000::/33');
  assert.equal(format('0.0.0.0/0'), '0.0.0.0/0');
  assert.equal(format('::/0'), '::/0');
  for (const bad of ['10.0.0.0/33', '::/129', '10.0.0.0/', '10.0.0.0/08', '10.0.0.0/-1', '10.0.0.0/8/8', 'a/8']) {
    assert.equal(parsePrefix(bad), undefined, bad);
  }
  assert.ok(hasHostBits('10.1.2.3/8'));
  assert.ok(!hasHostBits('10.0.0.0/8'));
  assert.ok(!hasHostBits('10.0.0.1'));
  const outer = parsePrefix('10.0.0.0/8');
  const inner = parsePrefix('10.5.0.0/16');
  assert.ok(outer && inner && prefixContains(outer, inner) && !prefixContains(inner, outer));
});

test('a pool gives both addresses of a device the same number', () => {
  assert.equal(poolAddress('100.64.0.0/10', 1), '100.64.0.1');
  assert.equal(poolAddress('100.64.0.0/10', 70_000), '100.65.17.112');
  assert.equal(poolAddress('fd00:5a11::/64', 70_000), 'fd00:5a11::1:1170');
  assert.equal(lastDeviceNumber('100.64.0.0/24', 'fd00::/64'), 254);
  assert.equal(lastDeviceNumber('100.64.0.0/24', 'fd00::/122'), 63);
  assert.equal(lastDeviceNumber('100.64.0.0/30', 'fd00::/64'), 2);
  assert.ok(lastDeviceNumber('100.64.0.0/31', 'fd00::/64') < 2);
  assert.ok(lastDeviceNumber('100.64.0.0/32', 'fd00::/128') < 2);
  assert.equal(poolAddress('100.64.0.0/24', 254), '100.64.0.254');
  assert.throws(() => poolAddress('100.64.0.0/24', 256), RangeError);
});
