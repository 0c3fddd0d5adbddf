import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressKey, networkKey, plainAddress } from '../../packages/carrier/src/address-key.ts';

test('an IPv4 address counts by itself, however it is written; an IPv6 address by its /64', () => {
  const keys: Record<string, string> = {
    '192.0.2.1': '192.0.2.1',
    '::ffff:192.0.2.1': '192.0.2.1',
    '2001:db8:1:2:3:4:5:6': '2001:db8:1:2',
    '2001:DB8:0001:2::1': '2001:db8:1:2',
    '2001:db8::1': '2001:db8:0:0',
    '2001::2:3:4:5:6': '2001:0:0:2',
    'fe80::1%eth0': 'fe80:0:0:0',
    '::1': '0:0:0:0',
    '::': '0:0:0:0',
    '::2:3:4:5:6:7': '0:0:2:3',
    '64:ff9b::192.0.2.1': '64:ff9b:0:0',
    '1:2:3:4:5:6:192.0.2.1': '1:2:3:4',
    '': '',
    unknown: 'unknown',
  };
  for (const [address, key] of Object.entries(keys)) assert.equal(addressKey(address), key, address);
});

test('a network is the /24 of an IPv4 address, the /48 of an IPv6 address', () => {
  const networks: Record<string, string> = {
    '192.0.2.1': '192.0.2',
    '::ffff:192.0.2.200': '192.0.2',
    '2001:db8:1:2::1': '2001:db8:1',
    '2001:db8::1': '2001:db8:0',
    '': '',
    unknown: 'unknown',
  };
  for (const [address, key] of Object.entries(networks)) assert.equal(networkKey(addressKey(address)), key, address);
});

test('an address is told without its zone, IPv4 in IPv6 as IPv4, and nothing that is none', () => {
  const plain: Record<string, string | undefined> = {
    '192.0.2.1': '192.0.2.1',
    '::FFFF:192.0.2.1': '192.0.2.1',
    'fe80::1%eth0': 'fe80::1',
    '': undefined,
    unknown: undefined,
    '::ffff:192.0.2.999': undefined,
  };
  for (const [address, told] of Object.entries(plain)) assert.equal(plainAddress(address), told, address);
});
