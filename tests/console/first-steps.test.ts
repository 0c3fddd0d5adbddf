/** What the console does without a browser's help: return paths, names, key pairs, and putting configurations together. */
import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey } from 'node:crypto';
import { describe, test } from 'node:test';
import {
  compact,
  configurationFileName,
  suggestName,
  withPrivateKey,
} from '../../apps/console/src/pages/account/configuration.ts';
import { makeKeyPair, toBase64 } from '../../apps/console/src/pages/account/key-pair.ts';
import { makeProfileKeys, withProfileKey } from '../../apps/console/src/pages/account/openvpn.ts';
import { clientName } from '../../apps/console/src/api/client-name.ts';
import { returnPath } from '../../apps/console/src/pages/sign-in/return-path.ts';
import { deviceConfiguration } from '../../packages/control/src/routes/device-configuration.ts';

describe('the path to return to after the login', () => {
  const origin = 'https://vpn.example.org';

  for (const [wanted, expected] of [
    ['/devices?add=1', '/devices?add=1'],
    ['/users/bob?search=%2F%2Fa', '/users/bob?search=%2F%2Fa'],
    ['/policy#part', '/policy'],
    ['/', '/'],
    ['/logins', '/logins'],
  ] as const)
    test(`is ${wanted}`, () => assert.equal(returnPath(wanted, origin), expected));

  for (const wanted of [
    undefined,
    '',
    'devices',
    'https://evil.example/',
    'https://vpn.example.org/devices',
    '//evil.example',
    '///evil.example',
    '/\\evil.example',
    '/\t/evil.example',
    '/\n\\evil.example',
    '/.//evil.example',
    '/a/..//evil.example',
    'javascript:alert(1)',
    ' //evil.example',
    '/login',
    '/login/',
    '/login?return=/login',
    '/login/oidc/company/start',
    'http://[',
    '//[',
  ])
    test(`is the start instead of ${JSON.stringify(wanted)}`, () => assert.equal(returnPath(wanted, origin), '/'));
});

describe('the name of a browser', () => {
  const userAgents = {
    'Firefox on Linux': 'Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0',
    'Safari on macOS':
      'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Safari/605.1.15',
    'Safari on iPhone':
      'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1',
    'Chrome on Android':
      'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36',
    'Edge on Windows':
      'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0',
    Browser: 'something else',
  };
  for (const [name, userAgent] of Object.entries(userAgents))
    test(`is ${name}`, () => assert.equal(clientName({ userAgent }), name));

  test('comes from its hints first, without the invented brand', () => {
    const userAgent = userAgents['Edge on Windows'];
    const brands = [{ brand: 'Not;A=Brand' }, { brand: 'Chromium' }, { brand: 'Google Chrome' }];
    assert.equal(clientName({ userAgent, brands, platform: 'Chrome OS' }), 'Chrome on Chrome OS');
    assert.equal(clientName({ userAgent, brands: brands.slice(0, 2), platform: 'Linux' }), 'Chromium on Linux');
  });

  test('is short enough for the server', () => {
    assert.equal(clientName({ userAgent: '', brands: [{ brand: 'b'.repeat(300) }] }).length, 100);
  });
});

describe('a key pair', () => {
  test('fits together, in the base64 of WireGuard', async () => {
    for (let i = 0; i < 50; i++) {
      const pair = await makeKeyPair();
      assert.ok(pair !== undefined);
      const { privateKey, publicKey } = pair;
      assert.match(privateKey, /^[A-Za-z0-9+/]{43}=$/);
      // As Node computes it of these 32 bytes, from PKCS #8 (RFC 8410).
      const pkcs8 = Buffer.concat([
        Buffer.from('302e020100300506032b656e04220420', 'hex'),
        Buffer.from(privateKey, 'base64'),
      ]);
      const key = createPublicKey(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }));
      assert.equal(publicKey, key.export({ format: 'der', type: 'spki' }).subarray(-32).toString('base64'));
    }
  });

  test('is another one each time', async () => {
    assert.notEqual((await makeKeyPair())?.privateKey, (await makeKeyPair())?.privateKey);
  });

  for (const length of [0, 1, 2, 3, 32])
    test(`has ${String(length)} bytes of base64url as base64`, () => {
      const bytes = Buffer.alloc(length, 0xfb);
      assert.equal(toBase64(bytes.toString('base64url')), bytes.toString('base64'));
    });
});

describe('a configuration', () => {
  const privateKey = Buffer.alloc(32, 7).toString('base64');
  const ofServer = (name: string): string =>
    deviceConfiguration({
      device: { name, publicKey: Buffer.alloc(32, 1).toString('base64'), ipv4: '10.7.0.2', ipv6: 'fd00::2' },
      userName: 'ada',
      gateway: {
        name: 'oslo-1',
        endpointHost: '198.51.100.7',
        endpointPort: 51_820,
        wireguardPublicKey: Buffer.alloc(32, 2).toString('base64'),
      },
      model: { pool4: '10.7.0.0/16', pool6: 'fd00::/64' },
      settings: {
        dns: {
          servers: ['10.7.0.1'],
          searchDomains: [],
          upstreams: [],
          blockLists: [],
          blocked: [],
          hosts: [],
          domains: [],
        },
        allowedIps: ['0.0.0.0/0', '::/0'],
        persistentKeepaliveSeconds: 25,
        openvpn: { dataCiphers: ['AES-256-GCM'], oldClients: false },
        connectionAudit: { enabled: false, retentionDays: 1 },
        auditAddresses: false,
        usageRetentionDays: 31,
        version: 1,
      },
    });

  test('takes the private key in the place that the server leaves for it', () => {
    const text = withPrivateKey(ofServer('laptop'), privateKey);
    assert.deepEqual(text.split('\n').slice(0, 4), [
      '# laptop of ada, through oslo-1',
      '[Interface]',
      `PrivateKey = ${privateKey}`,
      'Address = 10.7.0.2/32, fd00::2/128',
    ]);
    assert.equal(text.split(privateKey).length, 2);
    assert.match(text, /^PublicKey = /m);
  });

  test('takes it there whatever the device is called', () => {
    for (const name of ['PrivateKey = ', '# PrivateKey =', '[Interface]', '$&', '[Interface] # PrivateKey = '])
      assert.match(withPrivateKey(ofServer(name), privateKey), /^\[Interface\]\nPrivateKey = BwcH.*=\nAddress/m);
  });

  test('without a place for the private key is refused', () => {
    assert.throws(() => withPrivateKey('[Interface]\nAddress = 10.7.0.2/32\n', privateKey), /no place/);
    assert.throws(() => withPrivateKey('# PrivateKey = \n', privateKey), /no place/);
  });

  test('without comments says the same', () => {
    const text = withPrivateKey(ofServer('laptop'), privateKey);
    assert.doesNotMatch(compact(text), /#|\n\n/);
    assert.equal(compact(text).split('\n').length, text.split('\n').filter((line) => line.includes('=')).length + 2);
  });

  for (const [name, file] of [
    ['laptop', 'laptop.conf'],
    ["Alice's phone", 'alices-phone.conf'],
    ['Büro Gerät', 'buro-gerat.conf'],
    ['a very long name of a device', 'a-very-long-nam.conf'],
    ['fourteen chars - and', 'fourteen-chars.conf'],
    ['../../etc/passwd', 'etc-passwd.conf'],
    ['-rf', 'rf.conf'],
    ['携帯電話', 'sallyport.conf'],
    ['', 'sallyport.conf'],
  ] as const)
    test(`of ${name || 'nothing'} is ${file}`, () => {
      assert.equal(configurationFileName(name), file);
      // wg-quick(8): what it takes for the name of an interface.
      assert.match(file, /^[a-zA-Z0-9_=+.-]{1,15}\.conf$/);
    });
});

describe('an OpenVPN profile', () => {
  const place =
    '# Put the private key that belongs to the certificate in the place of these two lines:\n# <key></key>\n';

  test('takes the private key in the place that the server leaves for it', () => {
    const profile = `# $& of ada\nclient\n<cert>\nc\n</cert>\n${place}<tls-crypt-v2>\nk\n</tls-crypt-v2>\n`;
    assert.equal(
      withProfileKey(profile, "-$'-"),
      profile.replace(place, () => "<key>\n-$'-\n</key>\n"),
    );
  });

  test('without a place for the private key is refused', () => {
    for (const profile of ['client\n', '# <key></key>\n'])
      assert.throws(() => withProfileKey(profile, 'key'), /no place/);
  });

  test('has a key pair that fits together, another one each time', async () => {
    const seen = new Set<string>();
    for (let i = 0; i < 5; i++) {
      const keys = await makeProfileKeys();
      assert.ok(keys !== undefined);
      const key = createPublicKey(createPrivateKey(keys.privateKey));
      assert.equal(key.asymmetricKeyDetails?.namedCurve, 'prime256v1');
      assert.equal(keys.publicKey, key.export({ format: 'der', type: 'spki' }).toString('base64'));
      seen.add(keys.publicKey);
    }
    assert.equal(seen.size, 5);
  });
});

test('the name suggested for a device is free', () => {
  assert.equal(suggestName('phone', []), 'phone');
  assert.equal(suggestName('phone', ['phone']), 'phone 2');
  assert.equal(suggestName('phone', ['phone', 'phone 2', 'phone 4']), 'phone 3');
});
