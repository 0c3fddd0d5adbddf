/** The certificate from an ACME authority, against pebble, the one that Let's Encrypt tests clients with. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { findProgram } from '@sallyport/io';
import { loadAcmeClient, openAcme, type AcmeOptions } from '../../packages/control/src/tls/acme.ts';
import { fingerprintOf, type Certificate } from '../../packages/control/src/tls/certificate.ts';
import { makeSelfSigned } from '../../packages/control/src/tls/self-signed.ts';
import { WebServer } from '../../packages/control/src/web-server.ts';

const domains = ['vpn.example.org', 'www.vpn.example.org'];

/** None of those that the kernel gives to others in the meantime (net.ipv4.ip_local_port_range). */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch {
      continue;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** Answers a question for an IPv4 address with 127.0.0.1, and others with nothing. */
function answerTo(query: Buffer): Buffer {
  const end = query.indexOf(0, 12) + 5;
  const isA = query.readUInt16BE(end - 4) === 1;
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(0x8580, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(isA ? 1 : 0, 6);
  header.fill(0, 8);
  const answer = Buffer.from('c00c00010001000000000004' + '7f000001', 'hex');
  return Buffer.concat([header, query.subarray(12, end), ...(isA ? [answer] : [])]);
}

/** A name server, by UDP and, as some systems ask, by TCP. */
async function startNameServer(t: TestContext): Promise<number> {
  const udp = createSocket('udp4', (query, { port, address }) => udp.send(answerTo(query), port, address));
  udp.bind(0, '127.0.0.1');
  await once(udp, 'listening');
  const tcp = createServer((socket) => {
    // Questions are so short that each comes in one piece.
    socket.on('data', (query: Buffer) => {
      const answer = answerTo(query.subarray(2));
      socket.end(Buffer.concat([Buffer.of(answer.length >> 8, answer.length & 255), answer]));
    });
    socket.on('error', () => undefined);
  });
  tcp.listen(udp.address().port, '127.0.0.1');
  await once(tcp, 'listening');
  t.after(() => {
    udp.close();
    tcp.close();
  });
  return udp.address().port;
}

const skip = findProgram('pebble') === undefined ? 'pebble is not installed: scripts/install-system' : false;

test('a certificate is obtained, kept, and renewed when a third of its life is left', { skip }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-acme-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const namePort = await startNameServer(t);
  const [port, challengePort] = [await freePort(), await freePort()];
  const own = makeSelfSigned(['127.0.0.1'], Date.now());
  writeFileSync(join(folder, 'pebble.pem'), own.chain);
  writeFileSync(join(folder, 'pebble.key'), own.key.reveal());
  const configuration = {
    listenAddress: `127.0.0.1:${String(port)}`,
    certificate: join(folder, 'pebble.pem'),
    privateKey: join(folder, 'pebble.key'),
    httpPort: challengePort,
    tlsPort: 1,
  };
  writeFileSync(join(folder, 'pebble.json'), JSON.stringify({ pebble: configuration }));
  const arguments_ = ['-config', join(folder, 'pebble.json'), '-dnsserver', `127.0.0.1:${String(namePort)}`];
  const pebble = spawn(findProgram('pebble') ?? '', arguments_, { env: { PEBBLE_VA_NOSLEEP: '1' }, stdio: 'pipe' });
  let said = '';
  for (const stream of [pebble.stdout, pebble.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
  t.after(async () => {
    if (pebble.exitCode !== null || pebble.signalCode !== null) return;
    pebble.kill();
    await once(pebble, 'exit');
  });
  while (!said.includes('Listening on')) {
    assert.equal(pebble.exitCode, null, said);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }

  const client = await loadAcmeClient();
  const challenges = await WebServer.bind([{ host: '127.0.0.1', port: challengePort }], { tls: false });
  t.after(() => challenges.close());
  let ahead = 0;
  const warnings: string[] = [];
  const options: AcmeOptions = {
    folder: join(folder, 'acme'),
    domains,
    email: 'admin@example.org',
    directory: `https://127.0.0.1:${String(port)}/dir`,
    directoryCa: own.chain,
    now: () => Date.now() + ahead,
    log: (level, message) => {
      if (level === 'warn') warnings.push(message);
    },
  };
  const obtain = async (): Promise<{ first: Certificate; next: Certificate | undefined }> => {
    const acme = await openAcme(client, options);
    challenges.open({
      request: (request, response) => {
        if (!acme.answer(request, response)) response.writeHead(404).end();
      },
    });
    const first = acme.current;
    const changed = new Promise<Certificate>((resolve) => {
      acme.onChange(resolve);
    });
    const late = new Promise<undefined>((resolve) => setTimeout(resolve, 120_000, undefined).unref());
    const next = await Promise.race([changed, late]);
    acme.close();
    return { first, next };
  };

  const { first, next } = await obtain();
  assert.deepEqual(warnings, []);
  assert.ok(next !== undefined, said);
  assert.match(new X509Certificate(first.chain).issuer, /vpn\.example\.org/, 'until then it is self-signed');
  const parsed = new X509Certificate(next.chain);
  assert.match(parsed.issuer, /Pebble/);
  for (const domain of domains) assert.equal(parsed.checkHost(domain), domain);
  assert.ok(next.chain.split('BEGIN CERTIFICATE').length > 2, 'the chain is there');

  // The next start has it at once, and asks for none.
  const again = await openAcme(client, options);
  assert.equal(fingerprintOf(again.current), fingerprintOf(next));
  again.close();

  const lifetime = parsed.validToDate.getTime() - parsed.validFromDate.getTime();
  ahead = lifetime * 0.7;
  const renewal = await obtain();
  assert.equal(fingerprintOf(renewal.first), fingerprintOf(next));
  assert.ok(renewal.next !== undefined, said);
  assert.notEqual(fingerprintOf(renewal.next), fingerprintOf(next));

  // What goes wrong is told with the remedy; meanwhile a certificate of its own serves.
  rmSync(options.folder, { recursive: true });
  const alone = await openAcme(client, { ...options, directory: options.directory.replace('/dir', '/none') });
  const end = Date.now() + 120_000;
  while (warnings.length === 0 && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
  alone.close();
  assert.match(new X509Certificate(alone.current.chain).issuer, /vpn\.example\.org/);
  assert.match(warnings[0] ?? '', /no certificate from .*next attempt in 15 minutes.*port 80/);
});
