/** TLS by OpenSSL with the records carried by hand: who is let in, who is not, and what is told when. */
import assert from 'node:assert/strict';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:tls';
import { Secret } from '@sallyport/core';
import { TlsError } from '@sallyport/io';
import type { TlsOutput, TlsSession } from '@sallyport/openvpn';
import { OpenSslTls, type OpenSslTlsOptions } from '@sallyport/openvpn-plane';
import { selfSigned, TestAuthority, type Issued } from './authority.ts';

const LABEL = 'EXPORTER-OpenVPN-datakeys';

/** Extensions of TLS (RFC 8446 section 4.2, RFC 8879). */
const COMPRESS_CERTIFICATE = 27;
const SUPPORTED_VERSIONS = 43;

let authority: TestAuthority;
let server: Issued;
let client: Issued;

before(async () => {
  authority = await TestAuthority.make();
  server = await authority.issue('the server', { usage: 'server' });
  client = await authority.issue('the client', { usage: 'client' });
});

/** One end, and what was told of it. */
class End {
  readonly outputs: TlsOutput[] = [];
  readonly session: TlsSession;
  other: End | undefined;
  onSecure: () => void = () => undefined;
  /** Records are cut in pieces of this many bytes. */
  piece = 1100;

  constructor(options: OpenSslTlsOptions) {
    let inCall = true;
    const engine = new OpenSslTls(options, (id, output) => {
      assert.equal(id, 7);
      assert.equal(inCall, false, 'nothing is told from within a call');
      this.outputs.push(output);
      if (output.kind === 'records') this.#deliver(output.bytes);
      if (output.kind === 'secure') this.onSecure();
    });
    this.session = engine.open(7);
    inCall = false;
  }

  #deliver(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += this.piece) {
      const piece = new Uint8Array(bytes.subarray(at, at + this.piece));
      this.other?.session.receive(piece);
      piece.fill(0); // it was the caller's
    }
  }

  kinds(): string[] {
    return this.outputs.map(({ kind }) => kind).filter((kind) => kind !== 'records');
  }

  get reason(): string {
    const ended = this.outputs.find((output) => output.kind === 'ended');
    return ended?.reason ?? '';
  }

  get heard(): string {
    const parts = this.outputs.flatMap((output) => (output.kind === 'plaintext' ? [output.bytes] : []));
    return Buffer.concat(parts).toString();
  }
}

function serverOptions(more: Partial<OpenSslTlsOptions> = {}): OpenSslTlsOptions {
  return { role: 'server', authority: authority.certificate, ...server, ...more };
}

function clientOptions(more: Partial<OpenSslTlsOptions> = {}): OpenSslTlsOptions {
  return { role: 'client', authority: authority.certificate, ...client, ...more };
}

async function meet(atServer: OpenSslTlsOptions, atClient: OpenSslTlsOptions): Promise<{ server: End; client: End }> {
  const ends = { server: new End(atServer), client: new End(atClient) };
  ends.server.other = ends.client;
  ends.client.other = ends.server;
  await settled(ends);
  return ends;
}

/** Until nothing more is told. */
async function settled(ends: { server: End; client: End }): Promise<void> {
  for (let quiet = 0, before = -1; quiet < 3;) {
    const count = ends.server.outputs.length + ends.client.outputs.length;
    quiet = count === before ? quiet + 1 : 0;
    before = count;
    await sleep(15);
    // Late timers alone are no turns in which something could have been told.
    for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The types of the extensions of a client's hello, which is all of a record. */
function extensionsOf(record: Uint8Array): number[] {
  const hello = Buffer.from(record);
  let at = 5 + 4 + 2 + 32;
  at += 1 + hello[at]; // the session's id
  at += 2 + hello.readUInt16BE(at); // cipher suites
  at += 1 + hello[at]; // compression
  const types: number[] = [];
  for (at += 2; at < hello.length; at += 4 + hello.readUInt16BE(at + 2)) types.push(hello.readUInt16BE(at));
  return types;
}

describe('who is let in', () => {
  test('both with certificates, TLS 1.3: secure, the same keys, plaintext both ways', async () => {
    const ends = await meet(serverOptions(), clientOptions());
    assert.deepEqual(ends.server.kinds(), ['secure']);
    assert.deepEqual(ends.client.kinds(), ['secure']);
    const shown = ends.server.outputs.find((output) => output.kind === 'secure')?.certificate;
    assert.ok(shown !== undefined);
    assert.equal(new X509Certificate(shown).subject, 'CN=the client');
    const key = ends.server.session.exportKey(LABEL, 256);
    assert.equal(key.length, 256);
    assert.deepEqual(Buffer.from(key), Buffer.from(ends.client.session.exportKey(LABEL, 256)));
    ends.client.session.send(Buffer.from('from the client '.repeat(2000)));
    ends.server.session.send(Buffer.from('from the server'));
    await settled(ends);
    assert.equal(ends.server.heard, 'from the client '.repeat(2000));
    assert.equal(ends.client.heard, 'from the server');
    ends.server.session.close();
    ends.client.session.close();
  });

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
    test(`nobody gets a session ticket: who comes back proves itself again, ${version}`, async () => {
      const outputs: TlsOutput[] = [];
      const engine = new OpenSslTls(serverOptions(), (_id, output) => {
        outputs.push(output);
        if (output.kind === 'records') carrier.push(Buffer.from(output.bytes));
        if (output.kind === 'secure') atServer.send(Buffer.from('hello'));
      });
      const atServer = engine.open(1);
      const carrier = new Duplex({
        read: () => undefined,
        write: (bytes: Buffer, _encoding, done) => {
          atServer.receive(bytes);
          done();
        },
      });
      const socket = connect({ socket: carrier, rejectUnauthorized: false, maxVersion: version });
      let ticket: Buffer | undefined;
      socket.on('session', () => (ticket = socket.getTLSTicket()));
      const [heard] = (await once(socket, 'data')) as [Buffer];
      assert.equal(heard.toString(), 'hello');
      assert.equal(ticket, undefined);
      assert.equal(outputs.filter(({ kind }) => kind === 'secure').length, 1);
      socket.destroy();
      atServer.close();
    });

  test('RSA, TLS 1.2, records byte by byte', async () => {
    const rsa = await authority.issue('with RSA', { usage: 'server', rsa: true });
    const ends = { server: new End(serverOptions(rsa)), client: new End(clientOptions({ maxVersion: 'TLSv1.2' })) };
    ends.server.other = ends.client;
    ends.client.other = ends.server;
    ends.server.piece = ends.client.piece = 1;
    await settled(ends);
    assert.deepEqual([ends.server.kinds(), ends.client.kinds()], [['secure'], ['secure']]);
    assert.deepEqual(
      Buffer.from(ends.server.session.exportKey(LABEL, 64)),
      Buffer.from(ends.client.session.exportKey(LABEL, 64)),
    );
  });

  test('a client without a certificate is secure without one', async () => {
    const ends = await meet(serverOptions(), clientOptions({ certificate: undefined, privateKey: undefined }));
    assert.deepEqual(ends.server.kinds(), ['secure']);
    assert.equal(ends.server.outputs.find((output) => output.kind === 'secure')?.certificate, undefined);
  });

  test('a server shows what stands in its certificate, and not what everybody has', async () => {
    const between = await authority.issue('between', { usage: 'server' });
    const certificate = server.certificate + between.certificate;
    const ends = await meet(serverOptions({ certificate }), clientOptions({ maxVersion: 'TLSv1.2' }));
    assert.deepEqual(ends.client.kinds(), ['secure']);
    const shown = Buffer.concat(
      ends.server.outputs.flatMap((output) => (output.kind === 'records' ? [output.bytes] : [])),
    );
    const isShown = (pem: string): boolean => shown.includes(new X509Certificate(pem).raw);
    assert.deepEqual(
      [server, between, authority].map((one) => isShown(one.certificate)),
      [true, true, false],
    );
  });

  test('nobody is asked for a compressed certificate, which has no length that counts', async () => {
    const ends = await meet(serverOptions(), clientOptions());
    const [hello] = ends.client.outputs;
    assert.ok(hello.kind === 'records');
    assert.equal(extensionsOf(hello.bytes).includes(COMPRESS_CERTIFICATE), false);
    assert.equal(extensionsOf(hello.bytes).includes(SUPPORTED_VERSIONS), true);
  });

  test('what can not be used is said at once', async () => {
    const { privateKey } = await authority.issue('another', { usage: 'server' });
    const key = createPrivateKey(server.privateKey.reveal());
    const encrypted = key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'secret' });
    const wrong: Partial<OpenSslTlsOptions>[] = [
      { certificate: 'not a certificate' },
      { certificate: server.certificate + server.certificate.replace('MII', '***') },
      { authority: 'no authority' },
      { authority: authority.certificate + authority.certificate.replace('-----END', 'END') },
      { privateKey },
      { privateKey: new Secret(encrypted) },
      { privateKey: new Secret('') },
      { groups: 'no-such-group' },
    ];
    for (const one of wrong) assert.throws(() => new OpenSslTls(serverOptions(one), () => undefined), TlsError);
  });

  test('other certificates count for the sessions from then on', async () => {
    const engine = new OpenSslTls(serverOptions(), () => undefined);
    assert.throws(() => engine.configure(serverOptions({ certificate: 'not a certificate' })));
    engine.configure(serverOptions(await authority.issue('another', { usage: 'server' })));
  });
});

describe('who is not', () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
    test(`clients with certificates that must not do have none, ${version}`, async () => {
      const stranger = await (await TestAuthority.make('Another')).issue('the client', { usage: 'client' });
      const impostor = await (await TestAuthority.make()).issue('the client', { usage: 'client' });
      const expired = await authority.issue('the client', { usage: 'client', days: -1 });
      const misused = await authority.issue('the client', { usage: 'server' });
      for (const wrong of [stranger, impostor, expired, misused]) {
        const ends = await meet(serverOptions(), clientOptions({ ...wrong, maxVersion: version }));
        assert.deepEqual(ends.server.kinds(), ['secure']);
        assert.equal(ends.server.outputs.find((output) => output.kind === 'secure')?.certificate, undefined);
      }
    });

  test('servers that must not do', async () => {
    const impostor = await (await TestAuthority.make()).issue('the server', { usage: 'server' });
    const expired = await authority.issue('the server', { usage: 'server', days: -1 });
    for (const wrong of [impostor, expired, client]) {
      const ends = await meet(serverOptions(wrong), clientOptions());
      assert.deepEqual(ends.client.kinds(), ['ended'], ends.client.reason);
    }
    const named = await meet(serverOptions(), clientOptions({ check: ({ subject }) => `${subject} is another` }));
    assert.equal(named.client.reason, 'CN=the server is another');
    const nobody = await meet(serverOptions(), clientOptions({ authority: '' }));
    assert.deepEqual(nobody.client.kinds(), ['ended']);
  });

  test('a server that shows another certificate within its own is not taken for that one', async () => {
    const forged = await selfSigned('\n' + server.certificate + '\n');
    const checked: string[] = [];
    const check = ({ fingerprint256 }: X509Certificate): string | undefined => {
      checked.push(fingerprint256.replaceAll(':', '').toLowerCase());
      return checked.includes(server.sha256) ? undefined : 'another';
    };
    const byFingerprint = clientOptions({ authority: undefined, check });
    const good = await meet(serverOptions(), byFingerprint);
    assert.deepEqual([good.client.kinds(), checked.splice(0)], [['secure'], [server.sha256]]);
    const ends = await meet(serverOptions({ ...forged }), byFingerprint);
    assert.deepEqual([ends.client.kinds(), checked], [['ended'], []]);
  });

  test('a check that fails is no good one', async () => {
    const check = (): string | undefined => {
      throw new TypeError('not of this certificate');
    };
    const ends = await meet(serverOptions(), clientOptions({ check }));
    assert.deepEqual(ends.client.kinds(), ['ended']);
    assert.match(ends.client.reason, /could not be checked/);
  });

  test('TLS 1.1 and plain rubbish', async () => {
    const ends = await meet(serverOptions({ minVersion: 'TLSv1.3' }), clientOptions({ maxVersion: 'TLSv1.2' }));
    assert.deepEqual([ends.server.kinds(), ends.client.kinds()], [['ended'], ['ended']]);
    const alone = new End(serverOptions());
    alone.session.receive(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    await sleep(20);
    assert.deepEqual(alone.kinds(), ['ended']);
    alone.session.receive(new Uint8Array(100));
    alone.session.send(new Uint8Array(100));
    assert.equal(alone.session.exportKey(LABEL, 32).length, 32);
    await sleep(20);
    assert.deepEqual(alone.kinds(), ['ended']);
  });
});

test('once closed nothing is told, and what is given is passed over', async () => {
  const ends = await meet(serverOptions(), clientOptions());
  ends.client.session.send(Buffer.from('late'));
  ends.server.session.close();
  const count = ends.server.outputs.length;
  ends.server.session.receive(new Uint8Array(10));
  ends.server.session.send(new Uint8Array(10));
  await sleep(30);
  assert.equal(ends.server.outputs.length, count);
});

describe('how much', () => {
  /** Lengths of the records with application data in what an end has given out. */
  function recordsOf(outputs: readonly TlsOutput[]): number[] {
    const bytes = Buffer.concat(outputs.flatMap((output) => (output.kind === 'records' ? [output.bytes] : [])));
    const lengths: number[] = [];
    for (let at = 0; at < bytes.length; at += 5 + bytes.readUInt16BE(at + 3))
      if (bytes[at] === 23) lengths.push(bytes.readUInt16BE(at + 3));
    return lengths;
  }

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`one record for each thing that is said, what is said at once together, ${version}`, async () => {
      const ends = await meet(serverOptions(), clientOptions({ maxVersion: version }));
      for (const [from, to] of [
        [ends.server, ends.client],
        [ends.client, ends.server],
      ]) {
        from.outputs.length = 0;
        const pieces = Array.from({ length: 6 }, (_, i) => Buffer.alloc(500 + i, i));
        for (const piece of pieces) from.session.send(piece);
        await settled(ends);
        assert.equal(from.outputs.filter(({ kind }) => kind === 'records').length, 1);
        const lengths = recordsOf(from.outputs);
        assert.deepEqual(
          lengths.map((length) => length - lengths[0]),
          [0, 1, 2, 3, 4, 5],
        );
        assert.equal(to.heard, Buffer.concat(pieces).toString());
      }
    });

    test(`a handshake that is too long is over before it is verified, ${version}`, async () => {
      const more = await Promise.all(Array.from({ length: 20 }, () => authority.issue('one', { usage: 'client' })));
      const certificate = [client, ...more].map((issued) => issued.certificate).join('');
      const ends = await meet(serverOptions(), clientOptions({ certificate, maxVersion: version }));
      assert.deepEqual(ends.server.kinds(), ['ended']);
      assert.match(ends.server.reason, /too long/);
    });

    test(`what a client says right behind its handshake is heard, ${version}`, async () => {
      const rsa = await authority.issue('the client', { usage: 'client', rsa: true });
      const ends = {
        server: new End(serverOptions()),
        client: new End(clientOptions({ ...rsa, maxVersion: version })),
      };
      ends.server.other = ends.client;
      ends.client.other = ends.server;
      const long = 'x'.repeat(12_000);
      ends.client.onSecure = () => {
        ends.client.session.send(Buffer.from(long));
      };
      await settled(ends);
      assert.deepEqual(ends.server.kinds(), ['secure', 'plaintext']);
      assert.equal(ends.server.heard, long);
    });
  }

  test('of a client that goes on for ever nothing more is read', async () => {
    const ends = await meet(serverOptions(), clientOptions());
    for (let i = 0; i < 100; i++) ends.client.session.send(Buffer.alloc(1000, 65));
    await settled(ends);
    assert.equal(ends.server.kinds().at(-1), 'ended');
    assert.match(ends.server.reason, /too much/);
    assert.ok(ends.server.heard.length < 65_536);
    const other = await meet(serverOptions(), clientOptions());
    for (let i = 0; i < 100; i++) other.server.session.send(Buffer.alloc(1000, 65));
    await settled(other);
    assert.equal(other.client.heard.length, 100_000, 'a server may');
  });
});
