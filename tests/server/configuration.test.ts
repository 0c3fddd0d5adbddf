import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { locate } from '../../apps/server/src/config/locate.ts';
import {
  ConfigurationError,
  parseConfiguration,
  readConfigurationFile,
  type Override,
} from '../../apps/server/src/config/read.ts';
import { configurationSchema, parseListenAddress } from '../../apps/server/src/config/schema.ts';
import { parseServerArguments, UsageError } from '../../apps/server/src/server-arguments.ts';

const defaultFile = readFileSync(new URL('../../apps/server/src/config/sallyport.toml', import.meta.url), 'utf8');

function faultsOf(text: string, overrides: readonly Override[] = []): readonly string[] {
  try {
    parseConfiguration(text, 'f.toml', overrides);
  } catch (error) {
    assert.ok(error instanceof ConfigurationError);
    return error.faults;
  }
  return [];
}

/** Every key, as its path. */
function keysOf(schema: z.ZodObject, path: readonly string[] = []): string[][] {
  return Object.entries(schema.shape).flatMap(([key, inner]) =>
    inner instanceof z.ZodObject ? keysOf(inner, [...path, key]) : [[...path, key]],
  );
}

describe('the default configuration file', () => {
  test('says exactly what holds without a file', () => {
    assert.deepEqual(parseConfiguration(defaultFile, 'default'), parseConfiguration('', 'empty'));
  });

  test('names every key, each below a comment of its own or of its group', () => {
    const lines = defaultFile.split('\n');
    for (const path of keysOf(configurationSchema)) {
      const line = locate(defaultFile, path);
      assert.ok(line !== undefined, path.join('.'));
      assert.match(lines[line - 1] ?? '', new RegExp(`^${path.at(-1) ?? ''} = `), path.join('.'));
    }
  });
});

describe('a configuration file', () => {
  test('gives its keys in camel case, frozen, the others as they are by default', () => {
    const configuration = parseConfiguration('[web]\npublic_url = "https://vpn.example.org"\n', 'f.toml');
    assert.equal(configuration.web.publicUrl, 'https://vpn.example.org');
    assert.equal(configuration.gateway.listenPort, 51_820);
    assert.ok(Object.isFrozen(configuration.web));
  });

  test('has all its faults named at once, by line, in the order of the lines', () => {
    const faults = faultsOf(
      [
        'dta = "/x"',
        'data = "relative"',
        '[web]',
        'listen = ["0.0.0.0", "127.0.0.1:99999"]',
        'tls = "acme"',
        '[gatway]',
        '[gateway]',
        'mtu = 12',
        'listen_port = "51820"',
        'country = "Germany"',
        '[network]',
        'pool4 = "10.77.1.0/16"',
        '[process]',
        'control_uid = 5',
        'gateway_uid = 5',
        '[metrics]',
        'gateway_listen = "0.0.0.0:9586"',
      ].join('\n'),
    );
    assert.deepEqual(
      faults.map((fault) => /^f\.toml:(\d+): ([\w.]+): /.exec(fault)?.slice(1).join(' ')),
      [
        '1 dta',
        '2 data',
        '3 web.acme.domains',
        '3 web.acme.email',
        '4 web.listen',
        '4 web.listen',
        '6 gatway',
        '8 gateway.mtu',
        '9 gateway.listen_port',
        '10 gateway.country',
        '12 network.pool4',
        '15 process.gateway_uid',
        '17 metrics.gateway_listen',
      ],
    );
    assert.match(faults[0] ?? '', /unknown key; did you mean "data"\?$/);
  });

  test('takes pools of private and public addresses alike', () => {
    for (const pool of ['10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '198.51.100.0/24', '192.168.7.0/28'])
      assert.deepEqual(faultsOf(`[network]\npool4 = "${pool}"`), [], pool);
    for (const pool of ['fd12:3456:789A:1::/64', 'fc00::/64', '2001:db8:0:7::/64'])
      assert.deepEqual(faultsOf(`[network]\npool6 = "${pool}"`), [], pool);
  });

  test('has a port of its own for AmneziaWG, or none', () => {
    assert.deepEqual(faultsOf('[gateway]\namneziawg_port = 0'), []);
    assert.match(
      faultsOf('[gateway]\namneziawg_port = 51820').join(),
      /gateway\.amneziawg_port: must differ from listen_port/,
    );
    assert.equal(faultsOf('[gateway]\namneziawg_port = "x"\nlisten_port = "x"').length, 2);
  });

  test('is refused where it is not TOML, with the line', () => {
    assert.match(faultsOf('[web]\npublic_url = vpn\n')[0] ?? '', /^f\.toml:2: this is not TOML: /);
  });

  test('is refused where a key that exists in camel case elsewhere is written so', () => {
    assert.match(faultsOf('[web]\npublicUrl = "https://a.example"')[0] ?? '', /did you mean "public_url"/);
  });

  test('is refused where a table is no table', () => {
    assert.deepEqual(faultsOf('web = 1'), ['f.toml:1: web: this is a table; write [web]']);
  });

  for (const [text, pattern] of [
    ['[web]\ntls = "files"', /web\.certificate: .*path/],
    ['[web]\npublic_url = "vpn.example.org"', /scheme, host/],
    ['[web]\npublic_url = "https://vpn.example.org/path"', /scheme, host/],
    ['[web]\npublic_url = "ftp://vpn.example.org"', /scheme, host/],
    ['[web]\ntrusted_proxies = ["10.0.0.0/33"]', /addresses or prefixes/],
    ['[web]\nlisten = []', /at least one/],
    ['[gateway]\nenabled = false\n[control]\nenabled = false', /both off/],
    ['[gateway]\ninterface = "an interface"', /letters/],
    ['[gateway]\npublic_address = "https://vpn.example.org"', /host name or an address/],
    ['[network]\npool4 = "10.0.0.0/30"', /\/8 to \/28/],
    ['[network]\npool6 = "fd00::/48"', /\/64/],
    ['[network]\npool4 = "010.77.0.0/16"', /\/8 to \/28/],
    ['[network]\npool4 = "127.0.0.0/8"', /no device/],
    ['[network]\npool4 = "169.0.0.0/8"', /no device/],
    ['[network]\npool4 = "239.1.0.0/16"', /no device/],
    ['[network]\npool6 = "fe80::/64"', /no device/],
    ['[network]\npool6 = "ff02::/64"', /no device/],
    ['[network]\npool6 = "2002:a4d:1:1::/64"', /no device/],
    ['[network]\npool6 = "64:ff9b::/64"', /no device/],
    ['[web]\npublic_url = "https://root:secret@vpn.example.org"', /scheme, host/],
    ['[web]\ntrusted_proxies = ["fe80::1%eth0"]', /addresses or prefixes/],
    ['[web.acme]\ndomains = ["192.0.2.1"]', /host names/],
    ['[web]\ntls = "acme"\nlisten = ["127.0.0.1:80"]\n[web.acme]\ndomains = ["a.example"]\nemail = "a@a.example"', /web\.acme\.listen: port 80/], // prettier-ignore
    ['[process]\ncontrol_uid = 0', /not root/],
    ['data = "a\\u0000b"', /full path/],
  ] as const) {
    test(`is refused: ${text.replaceAll('\n', ' ')}`, () => {
      const faults = faultsOf(text);
      assert.ok(
        faults.some((fault) => pattern.test(fault)),
        faults.join('\n'),
      );
    });
  }

  test('that is named must be there', () => {
    assert.throws(
      () => readConfigurationFile('/nonexistent/sallyport.toml'),
      (error: ConfigurationError) => error.code === 'unreadable',
    );
  });
});

describe('the place of a key', () => {
  const toml = [
    'data = """', // 1
    'listen = 5',
    '"""',
    '[web] # a comment', // 4
    'listen = [', // 5
    '  "a",',
    ']',
    'acme.email = "x"', // 8
    '[web.acme]', // 9
    '"domains" = []', // 10
  ].join('\n');
  for (const [path, line] of [
    [['data'], 1],
    [['listen'], undefined],
    [['web', 'listen'], 5],
    [['web', 'tls'], 4],
    [['web', 'acme', 'email'], 8],
    [['web', 'acme', 'domains'], 10],
    [['web', 'acme', 'directory'], 9],
    [['gateway'], undefined],
  ] as const) {
    test(path.join('.'), () => {
      assert.equal(locate(toml, path), line);
    });
  }
});

describe('an address to listen on', () => {
  for (const [text, expected] of [
    ['127.0.0.1:8443', { host: '127.0.0.1', port: 8443 }],
    ['[::1]:1', { host: '::1', port: 1 }],
    ['127.0.0.1:0', undefined],
    ['::1:80', undefined],
    ['[127.0.0.1]:80', undefined],
    ['256.0.0.1:80', undefined],
    ['127.0.0.1:65536', undefined],
    ['localhost:80', undefined],
    [':443', undefined],
  ] as const) {
    test(text, () => {
      assert.deepEqual(parseListenAddress(text), expected);
    });
  }
});

describe('the command line of the server', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-configuration-'));
  const file = join(folder, 'sallyport.toml');
  writeFileSync(file, 'data = "/from/file"\n[gateway]\nlisten_port = 1000\n');

  test('counts before the file', () => {
    const call = parseServerArguments(['--config', file, '--gateway-port', '2000', '--listen', '127.0.0.1:1']);
    assert.ok(call.kind === 'run');
    assert.equal(call.configuration.data, '/from/file');
    assert.equal(call.configuration.gateway.listenPort, 2000);
    assert.deepEqual(call.configuration.web.listen, [{ host: '127.0.0.1', port: 1 }]);
  });

  test('has its own faults named by option', () => {
    assert.throws(
      () => parseServerArguments(['--config', file, '--listen', 'nowhere', '--gateway-port', 'x']),
      (error: ConfigurationError) => {
        assert.match(error.message, /^--listen: "nowhere" is no address/m);
        assert.match(error.message, /^--gateway-port: write a port/m);
        return true;
      },
    );
  });

  test('suggests the option that was meant', () => {
    assert.throws(
      () => parseServerArguments(['--lisen', 'x']),
      (error) => {
        assert.ok(error instanceof UsageError);
        assert.match(error.message, /unknown option --lisen; did you mean --listen\?/);
        return true;
      },
    );
    assert.throws(() => parseServerArguments(['extra']), UsageError);
    assert.throws(() => parseServerArguments(['--data']), UsageError);
  });

  test.after(() => {
    rmSync(folder, { recursive: true });
  });
});
