import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import { withSeed } from '@sallyport/testkit';
import { formatIpAddress, formatIpPrefix, maskAddress, parseIpAddress, parseIpPrefix } from '@sallyport/wireguard';

// Each address as it may be written, and as RFC 5952 writes it.
const addresses: readonly (readonly [string, string])[] = [
  ['0.0.0.0', '0.0.0.0'],
  ['255.255.255.255', '255.255.255.255'],
  ['192.0.2.1', '192.0.2.1'],
  ['::', '::'],
  ['::1', '::1'],
  ['1::', '1::'],
  ['2001:DB8::1', '2001:db8::1'],
  ['2001:0db8:0000:0000:0000:0000:0002:0001', '2001:db8::2:1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ['::2:3:4:5:6:7:8', '0:2:3:4:5:6:7:8'],
  ['::ffff:192.0.2.1', '::ffff:192.0.2.1'],
  ['::ffff:c000:201', '::ffff:192.0.2.1'],
  ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ['1:2:3:4:5:6:7.8.9.10', '1:2:3:4:5:6:708:90a'],
];

for (const [written, canonical] of addresses) {
  test(`${written} is read and written as ${canonical}`, () => {
    const ip = parseIpAddress(written);
    assert.ok(ip);
    assert.equal(ip.address.length, ip.family === 4 ? 4 : 16);
    assert.equal(formatIpAddress(ip.address), canonical);
  });
}

const malformed = [
  ...['', '1', '1.2.3', '1.2.3.4.5', '1.2.3.256', '1.2.3.04', '1.2.3.', '.1.2.3', '1..2.3', '1.2.3.-1', ' 1.2.3.4'],
  ...['1.2.3.4 ', '0x1.2.3.4', '1.2.3.1000', '١.2.3.4', '1.2.3.4/24'],
  ...[
    ':',
    ':::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '::1::',
    '1::2::3',
    '12345::',
    'g::',
    ':1::',
    '1:',
    '1:2:3:4:5:6:7:',
  ],
  ...['1:2:3:4:5:6:7:8::', '::1:2:3:4:5:6:7:8', '1.2.3.4::', '::1.2.3', '::1.2.3.4.5', '::1.2.3.4:5', '::01.2.3.4'],
  ...['1:2:3:4:5:6:7:1.2.3.4', 'fe80::1%eth0', '::1 ', `${'0:'.repeat(30)}1`],
];

for (const text of malformed) {
  test(`${JSON.stringify(text)} is not an address`, () => {
    assert.equal(parseIpAddress(text), undefined);
  });
}

test('random addresses survive writing and reading, and Node agrees that they are addresses', () => {
  withSeed((random) => {
    for (let i = 0; i < 5000; i++) {
      const family = random.chance(0.5) ? 4 : 6;
      const address = random.bytes(family === 4 ? 4 : 16);
      for (let j = 0; j < address.length; j++) if (random.chance(0.6)) address[j] = 0;
      const text = formatIpAddress(address);
      assert.equal(isIP(text), family, text);
      assert.deepEqual(parseIpAddress(text), { family, address }, text);
    }
  });
});

test('what random text is an address, Node agrees on', () => {
  withSeed((random) => {
    const pieces = ['0', '1', 'ff', '255', '256', '01', ':', '::', '.', 'ffff', 'g', '10000'];
    for (let i = 0; i < 20_000; i++) {
      let text = '';
      for (let n = 1 + random.below(16); n > 0; n--) text += random.pick(pieces);
      assert.equal(parseIpAddress(text)?.family ?? 0, isIP(text), text);
    }
  });
});

test('prefixes keep their bits until they are masked', () => {
  const prefix = parseIpPrefix('10.192.124.1/20');
  assert.ok(prefix);
  assert.equal(formatIpPrefix(prefix), '10.192.124.1/20');
  maskAddress(prefix.address, prefix.prefixLength);
  assert.equal(formatIpPrefix(prefix), '10.192.112.0/20');
  const six = parseIpPrefix('2001:db8:ffff:ffff::/33');
  assert.ok(six);
  maskAddress(six.address, six.prefixLength);
  assert.equal(formatIpPrefix(six), '2001:db8:8000::/33');
  for (const text of ['1.2.3.4/33', '1.2.3.4/', '1.2.3.4', '::/129', '::/-1', '::/08', '1.2.3.4/+8', '1.2.3.4/8/8']) {
    assert.equal(parseIpPrefix(text), undefined, text);
  }
});
