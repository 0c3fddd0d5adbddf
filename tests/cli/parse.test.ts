import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { test } from 'node:test';
import { encodeBase64Key, formatIpPrefix, PLAIN_VARIANT } from '@sallyport/wireguard';
import { parseConfig } from '../../apps/cli/src/wg-quick/parse.ts';
import { formatConfig } from '../../apps/cli/src/wg-quick/save.ts';
import { faultsIn, otherPublicKey, parsed, presharedKey, privateKey, publicKey } from './files.ts';

test('a file with everything in it', () => {
  const config = parsed(`# the office
[Interface]
PrivateKey = ${privateKey}  # ours
ListenPort = 51820
FwMark = 0xCA6C
Address = 10.192.122.1/24, fd00::1/64
Address = 192.0.2.7
DNS = 10.0.0.53, corp.example
DNS = fd00::53 fe80::1%eth0
MTU = 1400
Table = 1234
PreUp = echo one
PreUp = echo two, three = four
PostUp = iptables -A FORWARD -i %i -j ACCEPT; true
PreDown = true
PostDown = true
SaveConfig = true

[Peer]
PublicKey = ${publicKey}
PresharedKey = ${presharedKey}
AllowedIPs = 10.192.122.3/32, 10.192.124.1/24
AllowedIPs = fd00:1::/64,10.0.0.9
Endpoint = vpn.example.com:51820
PersistentKeepalive = 25

[Peer]
PublicKey = ${otherPublicKey}
AllowedIPs =
Endpoint = [2001:db8::1]:2468
PersistentKeepalive = off
`);
  assert.equal(encodeBase64Key(config.privateKey?.reveal() ?? new Uint8Array()), privateKey);
  assert.equal(config.listenPort, 51820);
  assert.equal(config.fwmark, 0xca6c);
  assert.deepEqual(config.addresses.map(formatIpPrefix), ['10.192.122.1/24', 'fd00::1/64', '192.0.2.7/32']);
  assert.deepEqual(config.dnsServers, ['10.0.0.53', 'fd00::53', 'fe80::1%eth0']);
  assert.deepEqual(config.dnsSearch, ['corp.example']);
  assert.equal(config.mtu, 1400);
  assert.equal(config.table, '1234');
  assert.deepEqual(config.preUp, ['echo one', 'echo two, three = four']);
  assert.deepEqual(config.postUp, ['iptables -A FORWARD -i %i -j ACCEPT; true']);
  assert.deepEqual([config.preDown, config.postDown, config.saveConfig], [['true'], ['true'], true]);
  const [first, second, ...others] = config.peers;
  assert.deepEqual(others, []);
  assert.equal(encodeBase64Key(first?.publicKey ?? new Uint8Array()), publicKey);
  assert.equal(encodeBase64Key(first?.presharedKey?.reveal() ?? new Uint8Array()), presharedKey);
  assert.deepEqual(first?.allowedIps.map(formatIpPrefix), [
    '10.192.122.3/32',
    '10.192.124.0/24',
    'fd00:1::/64',
    '10.0.0.9/32',
  ]);
  assert.deepEqual(first?.endpoint, { host: 'vpn.example.com', port: 51820, line: 24 });
  assert.equal(first?.persistentKeepalive, 25);
  assert.deepEqual(second?.allowedIps, []);
  assert.deepEqual(second?.endpoint, { host: '2001:db8::1', port: 2468, line: 30 });
  assert.equal(second?.persistentKeepalive, 0);
});

test('letters may be of either case, line ends of either kind, spaces anywhere, and a last line end missing', () => {
  const config = parsed(
    `\uFEFF  [INTERFACE] \r\n\tprivatekey=${privateKey}\r\nADDRESS\t=\t10.0.0.1/8\r\nfwmark = OFF\r\ntable = Auto\r\nsaveconfig = FALSE\r\n` +
      `[peer]#x\r\npublicKEY=${publicKey}\r\nallowedips=::/0`,
  );
  assert.deepEqual([config.fwmark, config.table, config.saveConfig], [0, 'auto', false]);
  assert.deepEqual(config.peers[0]?.allowedIps.map(formatIpPrefix), ['::/0']);
});

test('without a private key there has to be a hook that sets one', () => {
  assert.deepEqual(faultsIn('\n[Interface]\nListenPort = 1\n'), [
    '2: [Interface] has no PrivateKey; add one that "sallyport genkey" prints',
  ]);
  assert.equal(parsed('[Interface]\nPostUp = wg set %i private-key /etc/key\n').privateKey, undefined);
});

const inInterface: readonly (readonly [string, string])[] = [
  ['ListenPort = 65536', 'ListenPort: "65536" is not a port; write a number from 0 to 65535 (0: any that is free)'],
  ['ListenPort = http', 'ListenPort: "http" is not a port; write a number from 0 to 65535 (0: any that is free)'],
  ['ListenPort =', 'ListenPort: no value; write one behind the "=", or remove the line'],
  [
    'FwMark = 0x100000000',
    'FwMark: "0x100000000" is not a mark; write off, or a number up to 0xffffffff, decimal or with 0x',
  ],
  [
    'Address = 10.0.0.256/24',
    'Address: "10.0.0.256/24" is not an IP address; write one like 10.0.0.1/24 or fd00::1/64',
  ],
  ['Address = 10.0.0.1/33', 'Address: "10.0.0.1/33" has a prefix longer than 32; write 10.0.0.1/32 or shorter'],
  ['Address = fd00::1/129', 'Address: "fd00::1/129" has a prefix longer than 128; write fd00::1/128 or shorter'],
  [
    'Address = 10.0.0.1/255.0.0.0',
    'Address: "10.0.0.1/255.0.0.0" has no number behind the slash; write a prefix length from 0 to 32',
  ],
  ['Address = 10.0.0.1/24, 10.0.0.1/24', 'Address: "10.0.0.1/24" is there already; remove it once'],
  ['DNS = 1.2.3', 'DNS: "1.2.3" is neither an address nor a domain; write 10.0.0.53, or example.com'],
  ['DNS = -x.example', 'DNS: "-x.example" is neither an address nor a domain; write 10.0.0.53, or example.com'],
  ['MTU = 67', 'MTU: "67" is not an MTU; write a number from 68 to 65535, or remove the line to have it worked out'],
  ['Table = of', 'Table: "of" is not a routing table; write auto, off, or the table\'s number'],
  ['SaveConfig = yes', 'SaveConfig: "yes" is neither; write true or false'],
  ['PublicKey = x', 'PublicKey stands in an [Interface] section; move it to a [Peer] section'],
  ['Adress = 10.0.0.1/24', 'unknown key Adress; did you mean Address?'],
  ['Post Up = true', 'unknown key Post Up; did you mean PostUp?'],
  ['Colour = blue', 'unknown key Colour; remove the line'],
  ['just words', 'no "="; write KEY = VALUE, or begin a comment with #'],
  ['[Pear]', 'unknown section "[Pear]"; write [Interface] or [Peer]'],
  ['a\0b = c', 'a zero byte; save the file as plain text'],
];

for (const [line, fault] of inInterface) {
  test(`in [Interface], ${JSON.stringify(line)} is a fault`, () => {
    assert.deepEqual(faultsIn(`[Interface]\nPrivateKey = ${privateKey}\n\n${line}\n`), [`4: ${fault}`]);
  });
}

const inPeer: readonly (readonly [string, string])[] = [
  ['AllowedIPs = 10.0.0.0/8,', 'AllowedIPs: an empty entry; remove the comma, or write the address that is missing'],
  ['AllowedIPs = 10.0.0.0/33', 'AllowedIPs: "10.0.0.0/33" has a prefix longer than 32; write 10.0.0.0/32 or shorter'],
  [
    'AllowedIPs = 10.0.0.0/8 fd00::/8',
    'AllowedIPs: "10.0.0.0/8 fd00::/8" has a space in it; put a comma between the entries',
  ],
  [
    'AllowedIPs = example.com',
    'AllowedIPs: "example.com" is not an IP address; write one like 10.0.0.0/24 or fd00::/64',
  ],
  ['Endpoint = 192.0.2.1', 'Endpoint: "192.0.2.1" has no port; write 192.0.2.1:51820'],
  ['Endpoint = vpn.example.com', 'Endpoint: "vpn.example.com" has no port; write vpn.example.com:51820'],
  ['Endpoint = 2001:db8::1', 'Endpoint: "2001:db8::1" has no port; write [2001:db8::1]:51820'],
  ['Endpoint = [2001:db8::1]', 'Endpoint: "[2001:db8::1]" has no port; write [2001:db8::1]:51820'],
  [
    'Endpoint = 2001:db8:0:0:0:0:0:1:51820',
    'Endpoint: "2001:db8:0:0:0:0:0:1:51820" has an IPv6 address without brackets; write [2001:db8:0:0:0:0:0:1]:51820',
  ],
  ['Endpoint = 192.0.2.1:0', 'Endpoint: "192.0.2.1:0" has no port from 1 to 65535 behind its last colon'],
  [
    'Endpoint = [192.0.2.1]:5',
    'Endpoint: "[192.0.2.1]:5" has no IPv6 address in its brackets; write one like [2001:db8::1]:5',
  ],
  ['Endpoint = 192.0.2.256:5', 'Endpoint: "192.0.2.256:5" has no valid host; write vpn.example.com:5 or 192.0.2.1:5'],
  [
    'PersistentKeepalive = 65536',
    'PersistentKeepalive: "65536" is not an interval; write off, or seconds from 1 to 65535',
  ],
  ['MTU = 1400', 'MTU stands in a [Peer] section; move it to the [Interface] section'],
  ['AllowedIP = 10.0.0.0/8', 'unknown key AllowedIP; did you mean AllowedIPs?'],
];

for (const [line, fault] of inPeer) {
  test(`in [Peer], ${JSON.stringify(line)} is a fault`, () => {
    const text = `[Interface]\nPrivateKey = ${privateKey}\n[Peer]\nPublicKey = ${publicKey}\n${line}\n`;
    assert.deepEqual(faultsIn(text), [`5: ${fault}`]);
  });
}

test('all faults of a file are named at once, in order', () => {
  const text = `MTU = 1400
[Interface]
MTU = 1200
Address = fd00::1/64
ListenPort = x
ListenPort = 5
[Peer]
AllowedIPs = 10.0.0.0/40
[Interface]
[Peer]
PublicKey = ${publicKey}
[Peer]
PublicKey = ${publicKey}
`;
  assert.deepEqual(faultsIn(text), [
    '1: MTU stands before the first section; move it to the [Interface] section',
    '2: [Interface] has no PrivateKey; add one that "sallyport genkey" prints',
    '3: MTU: 1200 is too small for IPv6; write 1280 or more, or remove the IPv6 addresses',
    '5: ListenPort: "x" is not a port; write a number from 0 to 65535 (0: any that is free)',
    '6: ListenPort was given at line 5 already; remove one of the two',
    "7: [Peer] has no PublicKey; add the peer's, or remove the section",
    '8: AllowedIPs: "10.0.0.0/40" has a prefix longer than 32; write 10.0.0.0/32 or shorter',
    '9: a second [Interface] section; move its lines up to the first one, at line 2',
    '12: [Peer] has the same PublicKey as the one at line 10; make one section of the two',
  ]);
});

test('an empty file, and one that is something else altogether', () => {
  assert.deepEqual(faultsIn(''), ['1: no [Interface] section; begin the file with one']);
  const faults = faultsIn('{"json": true}\n'.repeat(5000));
  assert.equal(faults.length, 101);
  assert.match(faults.at(-1) ?? '', /too many faults; the rest of the file was not read$/);
});

test('a broken key is refused without being shown, wherever it is', () => {
  const secret = privateKey.slice(0, -1);
  const hex = Buffer.from(privateKey, 'base64').toString('hex');
  for (const value of [secret, `${secret}x`, `${privateKey}${privateKey}`, hex, `"${privateKey}"`]) {
    const text = [
      '[Interface]',
      `PrivateKey = ${value}`,
      `PrivatKey = ${value}`,
      value,
      privateKey,
      `Address = ${value}`,
      `DNS = ${value}`,
      `MTU = ${value}`,
      `Table = ${value}`,
      `[${value}]`,
      '[Peer]',
      `PublicKey = ${value}`,
      `PresharedKey = ${value}`,
      `AllowedIPs = ${value}`,
      `Endpoint = ${value}:5`,
      `Endpoint = ${value}`,
      `PersistentKeepalive = ${value}`,
    ].join('\n');
    const faults = faultsIn(text);
    assert.ok(faults.length >= 14, faults.join('\n'));
    for (const part of [secret.slice(0, 20), secret.slice(-20), hex.slice(0, 20)]) {
      assert.ok(!faults.join('\n').toLowerCase().includes(part.toLowerCase()), faults.join('\n'));
    }
  }
  for (const [line, fault] of [
    [
      `PrivateKey = ${Buffer.alloc(32).toString('base64')}`,
      'PrivateKey: the key is all zeros; write one that "sallyport genkey" prints',
    ],
    ['PrivateKey = abc', 'PrivateKey: not a key; write the 44 characters that "sallyport genkey" prints'],
  ] as const) {
    assert.deepEqual(faultsIn(`[Interface]\n${line}\n`), [`2: ${fault}`]);
  }
});

test('a configuration can be printed without showing its keys', () => {
  const config = parsed(
    `[Interface]\nPrivateKey=${privateKey}\n[Peer]\nPublicKey=${publicKey}\nPresharedKey=${presharedKey}\n`,
  );
  const printed = inspect(config, { depth: 9 }) + JSON.stringify(config);
  assert.equal(printed.match(/\[secret\]/g)?.length, 4);
});

test('an allowed IP that two peers have is a warning', () => {
  const result = parseConfig(
    `[Interface]\nPrivateKey=${privateKey}\n[Peer]\nPublicKey=${publicKey}\nAllowedIPs=10.0.0.0/8\n` +
      `[Peer]\nPublicKey=${otherPublicKey}\nAllowedIPs=10.0.0.1/8\n`,
  );
  assert.ok(result.ok);
  assert.deepEqual(result.warnings, [
    { line: 8, message: 'AllowedIPs: 10.0.0.0/8 is also at line 5; the peer here gets it, the one there does not' },
  ]);
});

test("AmneziaWG's keys", () => {
  const head = `[Interface]\nPrivateKey = ${privateKey}\n`;
  assert.equal(parsed(head).variant, undefined);
  assert.deepEqual(
    parsed(`${head}Jc = 4\nJmin = 40\nJmax = 70\nS1 = 50\nS2 = 100\nh1 = 4294967295\nH2 = 6\nH3 = 7\nH4 = 8\n`).variant,
    { jc: 4, jmin: 40, jmax: 70, s1: 50, s2: 100, h1: 4_294_967_295, h2: 6, h3: 7, h4: 8 },
  );
  assert.deepEqual(parsed(`${head}Jc = 2\nJmax = 9\n`).variant, { ...PLAIN_VARIANT, jc: 2, jmax: 9 });
  assert.deepEqual(faultsIn(`${head}Jc = 129\nS1 = -1\nH1 = 5-9\n`), [
    '3: Jc: "129" is not what it may be; write a number from 0 to 128',
    '4: S1: "-1" is not what it may be; write a number from 0 to 1132',
    '5: H1: "5-9" is not what it may be; write a number from 0 to 4294967295',
  ]);
  assert.deepEqual(faultsIn(`${head}Jmin = 5\n`), [
    "1: AmneziaWG's keys: jmin is above jmax; take them from the gateway's operator",
  ]);
  assert.deepEqual(faultsIn(`${head}H1 = 4\n`), [
    "1: AmneziaWG's keys: h1, h2, h3 and h4 are not all different; take them from the gateway's operator",
  ]);
});

test('what is saved is what was given', () => {
  const text = `[Interface]\nPrivateKey = ${privateKey}\nSaveConfig = true\nJc = 4\nJmin = 40\nJmax = 70\nH1 = 9\n`;
  const config = parsed(text);
  const { privateKey: key, variant } = config;
  const saved = formatConfig(config, { privateKey: key, listenPort: 0, fwmark: 0, variant, peers: [] }, [], undefined);
  assert.deepEqual(parsed(saved).variant, { ...PLAIN_VARIANT, jc: 4, jmin: 40, jmax: 70, h1: 9 });
  const plain = formatConfig(config, { privateKey: key, listenPort: 0, fwmark: 0, peers: [] }, [], undefined);
  assert.doesNotMatch(plain, /Jc/);
});
