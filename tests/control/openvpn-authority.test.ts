/** Certificates, keys of profiles and profiles, against Node's own reading of them and against OpenVPN. */
import assert from 'node:assert/strict';
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { createDecipheriv, createHmac, generateKeyPairSync, randomBytes, X509Certificate, type KeyObject } from 'node:crypto'; // prettier-ignore
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { Secret } from '@sallyport/core';
import { openVpnAuthority, type OpenVpnAuthority } from '../../packages/control/src/openvpn/authority.ts';
import { newClientKey, SERVER_KEY_BYTES, wrapClientKey } from '../../packages/control/src/openvpn/client-key.ts';
import { openVpnProfile } from '../../packages/control/src/openvpn/profile.ts';
import { readSubjectKey } from '../../packages/control/src/openvpn/subject-key.ts';
import { openStore } from '../../packages/control/src/store/open-store.ts';
import type { Store } from '../../packages/control/src/store/store.ts';
import { quiet } from './databases.ts';

const run = promisify(execFile);
const NOW = Date.UTC(2027, 0, 15, 12);
const DAY_MS = 86_400_000;

const spkiOf = (key: KeyObject): Buffer => key.export({ format: 'der', type: 'spki' });
const base64Of = (key: KeyObject): string => spkiOf(key).toString('base64');

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-authority-'));
});
after(() => rmSync(folder, { recursive: true }));

async function withStore<T>(
  now: number,
  work: (store: Store, authority: OpenVpnAuthority) => Promise<T>,
  name = 'db',
): Promise<T> {
  const store = await openStore({
    url: `sqlite:${join(folder, `${name}.sqlite`)}`,
    masterKeyFile: join(folder, `${name}.key`),
    now: () => now,
    log: quiet,
  });
  try {
    return await work(store, await openVpnAuthority(store));
  } finally {
    await store.close();
  }
}

/** What of a certificate counts for clients and gateways. */
function facts(pem: string, authority: string) {
  const certificate = new X509Certificate(pem);
  const issuer = new X509Certificate(authority);
  return {
    subject: certificate.subject,
    signed: certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey),
    ca: certificate.ca,
    usage: certificate.keyUsage,
    days: (certificate.validToDate.getTime() - NOW) / DAY_MS,
    serialBytes: certificate.serialNumber.length / 2,
  };
}

describe('the authority', () => {
  test('issues certificates that verify, each for one purpose', async () => {
    await withStore(NOW, async (_, authority) => {
      const own = new X509Certificate(authority.certificate);
      assert.ok(own.ca && own.verify(own.publicKey));
      assert.ok(own.validToDate.getTime() > NOW + 19 * 365 * DAY_MS);
      const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const device = await authority.issueForDevice('11111111-2222-3333-4444-555555555555', spkiOf(publicKey), NOW);
      const common = { signed: true, ca: false, days: 365, serialBytes: 16 };
      assert.deepEqual(facts(device.pem, authority.certificate), {
        subject: 'CN=11111111-2222-3333-4444-555555555555',
        usage: ['1.3.6.1.5.5.7.3.2'],
        ...common,
      });
      assert.equal(device.sha256, new X509Certificate(device.pem).fingerprint256.replaceAll(':', '').toLowerCase());
      assert.equal(device.expiresAt, NOW + 365 * DAY_MS);
      const gateway = await authority.issueForGateway('gw', spkiOf(publicKey), NOW);
      assert.deepEqual(facts(gateway.pem, authority.certificate), {
        subject: 'CN=sallyport-gateway-gw',
        usage: ['1.3.6.1.5.5.7.3.1'],
        ...common,
      });
      const again = await authority.issueForDevice('d', spkiOf(publicKey), NOW);
      assert.notEqual(new X509Certificate(again.pem).serialNumber, new X509Certificate(device.pem).serialNumber);
    });
  });

  test('is the same after a restart, and nothing of its keys lies open in the database', async () => {
    const [first, key, tokenKey] = await withStore(NOW, (_, { certificate, clientKey, tokenKey }) =>
      Promise.resolve([certificate, clientKey.reveal(), tokenKey] as const),
    );
    await withStore(NOW + DAY_MS, async (store, authority) => {
      assert.equal(authority.certificate, first);
      assert.deepEqual(authority.clientKey.reveal(), key);
      assert.ok(authority.tokenKey.equals(tokenKey));
      const rows = await store.db.selectFrom('secret').selectAll().where('name', 'like', 'openvpn%').execute();
      assert.deepEqual(rows.map(({ name }) => name).sort(), ['openvpn-authority', 'openvpn-client-key', 'openvpn-token-key']); // prettier-ignore
      for (const { sealed } of rows) assert.doesNotMatch(Buffer.from(sealed, 'base64').toString('latin1'), /CERTIFICATE|privateKey/); // prettier-ignore
    });
  });

  test('issues nothing beyond its own end', async () => {
    await withStore(NOW, async (_, authority) => {
      const end = new X509Certificate(authority.certificate).validToDate.getTime();
      const { publicKey } = generateKeyPairSync('ed25519');
      const { expiresAt } = await authority.issueForDevice('d', spkiOf(publicKey), end - 30 * DAY_MS);
      assert.equal(expiresAt, end);
    });
  });

  test('certifies every kind of key that is taken', async () => {
    await withStore(NOW, async (_, authority) => {
      for (const { publicKey } of goodKeys()) {
        const key = readSubjectKey(base64Of(publicKey));
        assert.ok('spki' in key);
        const { pem } = await authority.issueForDevice('d', key.spki, NOW);
        assert.ok(new X509Certificate(pem).publicKey.equals(publicKey));
        assert.ok(facts(pem, authority.certificate).signed);
      }
    });
  });
});

function goodKeys() {
  return [
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    generateKeyPairSync('ec', { namedCurve: 'P-384' }),
    generateKeyPairSync('ed25519'),
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
  ];
}

test('keys that no certificate is issued for', () => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const explicit = generateKeyPairSync('ec', { namedCurve: 'P-256', paramEncoding: 'explicit' }).publicKey;
  const offCurve = Buffer.from(spkiOf(publicKey));
  offCurve[offCurve.length - 1] ^= 1;
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /no public key/],
    ['nonsense!', /no base64/],
    [base64Of(publicKey).replace(/=*$/, '\n'), /no base64/],
    [randomBytes(91).toString('base64'), /no public key/],
    [offCurve.toString('base64'), /no public key/],
    [Buffer.concat([spkiOf(publicKey), Buffer.of(0)]).toString('base64'), /alone|no public key/],
    [base64Of(explicit), /curve|alone|no public key/],
    [base64Of(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey), /another curve/],
    [base64Of(generateKeyPairSync('ec', { namedCurve: 'P-521' }).publicKey), /another curve/],
    [base64Of(generateKeyPairSync('x25519').publicKey), /neither/],
    [base64Of(generateKeyPairSync('ed448').publicKey), /neither/],
    [base64Of(generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey), /1024 bits/],
    [base64Of(generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 }).publicKey), /exponent/],
    [base64Of(generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).publicKey), /neither/],
  ];
  for (const [text, fault] of cases) {
    const key = readSubjectKey(text);
    assert.match('fault' in key ? key.fault : 'taken', fault, text);
  }
});

/** The other end of tls-crypt-v2: what a gateway takes out of WKc; undefined where the tag is wrong. */
function unwrap(serverKey: Buffer, wrapped: Buffer) {
  const length = wrapped.subarray(-2);
  assert.equal(length.readUInt16BE(), wrapped.length);
  const tag = wrapped.subarray(0, 32);
  const decipher = createDecipheriv('aes-256-ctr', serverKey.subarray(0, 32), tag.subarray(0, 16));
  const plain = Buffer.concat([decipher.update(wrapped.subarray(32, -2)), decipher.final()]);
  const expected = createHmac('sha256', serverKey.subarray(64, 96)).update(length).update(plain).digest();
  if (!expected.equals(tag)) return undefined;
  return { key: plain.subarray(0, 256), type: plain[256], metadata: plain.subarray(257).toString() };
}

const bytesOfPem = (pem: string): Buffer => Buffer.from(pem.replaceAll(/^-----.*-----$/gm, ''), 'base64');

describe('keys of profiles', () => {
  test('are wrapped with the device’s id, as OpenVPN wraps them', async () => {
    // What OpenVPN made: it is taken apart by the same rules as what is made here.
    const serverFile = join(folder, 'server.key');
    const clientFile = join(folder, 'client.key');
    await run('openvpn', ['--genkey', 'tls-crypt-v2-server', serverFile]);
    const metadata = Buffer.from('a-device').toString('base64');
    await run('openvpn', ['--tls-crypt-v2', serverFile, '--genkey', 'tls-crypt-v2-client', clientFile, metadata]);
    const serverKey = bytesOfPem(readFileSync(serverFile, 'latin1'));
    assert.equal(serverKey.length, SERVER_KEY_BYTES);
    const theirs = bytesOfPem(readFileSync(clientFile, 'latin1'));
    assert.deepEqual(unwrap(serverKey, theirs.subarray(256)), {
      key: theirs.subarray(0, 256),
      type: 0,
      metadata: 'a-device',
    });
    const ours = wrapClientKey(new Secret(serverKey), theirs.subarray(0, 256), 'a-device');
    assert.deepEqual(ours, theirs.subarray(256));

    const block = newClientKey(new Secret(serverKey), '11111111-2222-3333-4444-555555555555');
    assert.ok(block.startsWith('-----BEGIN OpenVPN tls-crypt-v2 client key-----\n'));
    assert.ok(block.split('\n').every((line) => line.length <= 64));
    const bytes = bytesOfPem(block);
    const unwrapped = unwrap(serverKey, bytes.subarray(256));
    assert.equal(unwrapped?.metadata, '11111111-2222-3333-4444-555555555555');
    assert.deepEqual(unwrapped.key, bytes.subarray(0, 256));
    assert.notEqual(newClientKey(new Secret(serverKey), 'd'), newClientKey(new Secret(serverKey), 'd'));
    assert.equal(unwrap(randomBytes(SERVER_KEY_BYTES), bytes.subarray(256)), undefined);
  });
});

test('OpenVPN connects by a profile: certificates, name and tls-crypt-v2 are what it expects', async (t) => {
  const serverKeys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const deviceKeys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = (key: KeyObject): string => key.export({ format: 'pem', type: 'pkcs8' });
  await withStore(
    Date.now(),
    async (_, authority) => {
      const gateway = await authority.issueForGateway('gw', spkiOf(serverKeys.publicKey), Date.now());
      const device = await authority.issueForDevice('dev', spkiOf(deviceKeys.publicKey), Date.now());
      const at = (name: string, text: string): string => {
        writeFileSync(join(folder, name), text, { mode: 0o600 });
        return join(folder, name);
      };
      const serverKey = authority.clientKey.reveal().toString('base64').match(/.{1,64}/g)!.join('\n'); // prettier-ignore
      const block = `-----BEGIN OpenVPN tls-crypt-v2 server key-----\n${serverKey}\n-----END OpenVPN tls-crypt-v2 server key-----\n`;
      const port = 20_000 + (process.pid % 10_000);
      const profile = openVpnProfile({
        deviceName: 'laptop',
        userName: 'alice',
        login: 'certificate',
        certificate: device.pem,
        gateways: [{ name: 'gw', endpointHost: '127.0.0.1', transports: { amneziawg: null, tls: null, openvpn: { port, tcpPort: 0 } } }], // prettier-ignore
        authority: authority.certificate,
        clientKey: newClientKey(authority.clientKey, 'dev'),
        asksCode: false,
        settings: { openvpn: { dataCiphers: ['AES-256-GCM', 'CHACHA20-POLY1305'], oldClients: false } } as never,
      });
      const place = /# Put the private key that belongs to the certificate in the place of these two lines:\n# <key><\/key>\n/; // prettier-ignore
      assert.match(profile, place);
      const whole = profile.replace(place, `<key>\n${pem(deviceKeys.privateKey)}</key>\n`);
      const server = start([
        ...['--tls-server', '--dev', 'null', '--proto', 'udp', '--lport', String(port), '--local', '127.0.0.1'],
        ...['--ca', at('ca.pem', authority.certificate), '--cert', at('gw.pem', gateway.pem)],
        ...['--key', at('gw.key', pem(serverKeys.privateKey)), '--dh', 'none', '--remote-cert-tls', 'client'],
        ...['--tls-crypt-v2', at('tcv2.key', block), '--data-ciphers', 'AES-256-GCM', '--verb', '3'],
      ]);
      // Without a server there is nothing to be pushed, and without a tunnel device no address to be set.
      const client = start(['--config', at('laptop.ovpn', whole.replace('client\n', 'tls-client\n').replace('dev tun', 'dev null'))]); // prettier-ignore
      t.after(() => {
        server.process.kill();
        client.process.kill();
      });
      await client.says(/Initialization Sequence Completed/);
      await server.says(/Peer Connection Initiated|Initialization Sequence Completed/);
      assert.match(client.output(), /VERIFY EKU OK/);
      assert.match(client.output(), /VERIFY X509NAME OK: CN=sallyport-gateway-gw/);
      assert.doesNotMatch(client.output(), /Options error|DEPRECATED|WARNING: .*profile/i);
    },
    'real',
  );
});

function start(args: readonly string[]): {
  process: ChildProcess;
  output(): string;
  says(what: RegExp): Promise<void>;
} {
  const child = spawn('openvpn', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  const take = (chunk: Buffer): void => {
    text += chunk.toString();
  };
  child.stdout.on('data', take);
  child.stderr.on('data', take);
  return {
    process: child,
    output: () => text,
    async says(what) {
      const until = performance.now() + 120_000;
      while (!what.test(text)) {
        if (performance.now() > until || child.exitCode !== null) throw new Error(`not said: ${String(what)}\n${text}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  };
}
