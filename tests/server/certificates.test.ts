import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { connect, createServer, type TLSSocket } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { spawnSync } from 'node:child_process';
import { Secret } from '@sallyport/core';
import {
  CertificateError,
  checkCertificate,
  HandedCertificate,
  loadCertificate,
  storeCertificate,
} from '../../packages/control/src/tls/certificate.ts';
import { makeSelfSigned, openSelfSigned } from '../../packages/control/src/tls/self-signed.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-certificates-'));
after(() => {
  rmSync(folder, { recursive: true });
});

const day = 86_400_000;
const now = (): number => Date.now();

describe('a self-signed certificate', () => {
  const hosts = ['vpn.example.org', '192.0.2.7', '2001:db8::7', '::1', '::ffff:192.0.2.9'];

  test('is accepted for each of its hosts by a client that trusts it, and for no other', async () => {
    const certificate = makeSelfSigned(hosts, now());
    const server = createServer({ cert: certificate.chain, key: certificate.key.reveal() });
    server.on('tlsClientError', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const meet = async (servername: string): Promise<void> => {
      const socket: TLSSocket = connect({
        host: '127.0.0.1',
        port,
        ca: certificate.chain,
        checkServerIdentity: (_host, { raw }) => {
          const parsed = new X509Certificate(raw);
          const fits = servername.includes(':') || /^[\d.]+$/.test(servername) ? 'checkIP' : 'checkHost';
          return parsed[fits](servername) === undefined ? new Error(`not for ${servername}`) : undefined;
        },
      });
      try {
        await once(socket, 'secureConnect');
      } finally {
        socket.destroy();
      }
    };
    for (const host of hosts) await meet(host);
    await assert.rejects(meet('other.example.org'), /not for other/);
    await assert.rejects(meet('192.0.2.8'), /not for 192/);
    server.close();
  });

  test('is one in the eyes of OpenSSL too', () => {
    const certificate = makeSelfSigned(hosts, now());
    const path = join(folder, 'one.pem');
    writeFileSync(path, certificate.chain);
    const verify = spawnSync('openssl', ['verify', '-purpose', 'sslserver', '-CAfile', path, path], {
      encoding: 'utf8',
    });
    assert.equal(verify.status, 0, verify.stderr);
    const text = spawnSync('openssl', ['x509', '-in', path, '-noout', '-text'], { encoding: 'utf8' }).stdout;
    assert.match(text, /DNS:vpn\.example\.org, IP Address:192\.0\.2\.7/);
    assert.match(text, /CA:FALSE/);
  });

  test('has a validity that is written right on both sides of 2050', () => {
    for (const year of [2026, 2047, 2049, 2060]) {
      const at = Date.UTC(year, 5, 1, 12, 30, 15);
      const parsed = new X509Certificate(makeSelfSigned(['a'], at).chain);
      assert.equal(parsed.validFromDate.getTime(), at - day);
      assert.equal(parsed.validToDate.getTime(), at + 824 * day);
    }
  });

  test('is kept, for its owner alone, and made anew for other hosts and before it expires', async () => {
    const place = join(folder, 'kept');
    let time = now();
    const openAt = async (names: readonly string[]): Promise<string> => {
      const source = await openSelfSigned(place, names, () => time);
      source.close();
      return source.current.chain;
    };
    const first = await openAt(['a.example', '192.0.2.1']);
    assert.equal(await openAt(['a.example']), first);
    assert.equal(statSync(join(place, 'key.pem')).mode & 0o777, 0o600);
    time += 760 * day;
    assert.equal(await openAt(['a.example']), first);
    time += 10 * day;
    const second = await openAt(['a.example']);
    assert.notEqual(second, first);
    const third = await openAt(['b.example']);
    assert.notEqual(third, second);
    writeFileSync(join(place, 'key.pem'), 'damaged');
    assert.notEqual(await openAt(['b.example']), third);
  });
});

describe('a certificate that is handed over', () => {
  test('is replaced by one that fits its key, and by nothing else', () => {
    const [one, other] = [makeSelfSigned(['a'], now()), makeSelfSigned(['b'], now())];
    const handed = new HandedCertificate(one, now());
    const seen: string[] = [];
    handed.onChange(({ chain }) => seen.push(chain));
    assert.throws(() => handed.replace({ chain: other.chain, key: one.key }, now()), CertificateError);
    assert.throws(() => handed.replace({ chain: 'nothing', key: one.key }, now()), CertificateError);
    assert.equal(handed.current, one);
    handed.replace(other, now());
    assert.deepEqual(seen, [other.chain]);
  });

  test('is refused when it has expired, or is not valid yet', () => {
    const certificate = makeSelfSigned(['a'], now());
    assert.throws(() => checkCertificate(certificate, now() + 900 * day), /expired on 20.*renew it/);
    assert.throws(() => checkCertificate(certificate, now() - 9 * day), /clock/);
  });

  test('does not tell its key in an error', () => {
    const { chain, key } = makeSelfSigned(['a'], now());
    const broken = key.reveal().replace(/\n.{8}/, '\n!!!!!!!!');
    assert.throws(
      () => checkCertificate({ chain, key: new Secret(broken) }, now()),
      (error: Error) => !error.message.includes(broken.split('\n')[1] ?? '?'),
    );
  });
});

test('a stored certificate comes back, and none is undefined', async () => {
  const place = join(folder, 'stored');
  assert.equal(await loadCertificate(place), undefined);
  const certificate = makeSelfSigned(['a'], now());
  await storeCertificate(place, certificate);
  const loaded = await loadCertificate(place);
  assert.equal(loaded?.chain, certificate.chain);
  assert.equal(loaded.key.reveal(), readFileSync(join(place, 'key.pem'), 'utf8'));
});
