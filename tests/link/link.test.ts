import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect as connectTcp, type AddressInfo, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { after, before, describe, test } from 'node:test';
import { LINK_PATH, LINK_UPGRADE, MAX_GATEWAY_FRAME_BYTES, openLink, type LinkError } from '@sallyport/link';
import { closed, control, gateway, listen, open, proxy, stranger, take, type Listening } from './link-world.ts';

const acknowledge = (version: number) => ({ kind: 'acknowledge', version }) as const;

for (const scheme of ['http', 'https'] as const)
  describe(`a link over ${scheme}`, () => {
    let at: Listening;
    before(async () => {
      at = await listen(scheme);
    });
    after(() => at.close());

    test('each side sees the key of the other, and messages pass both ways in order', async () => {
      const { there, here } = await open(at);
      assert.equal(there.peerKeyHash, gateway.keyHash);
      assert.equal(here.peerKeyHash, control.keyHash);
      const up = take(there, 100);
      const down = take(here, 2);
      for (let version = 0; version < 100; version++) here.send(acknowledge(version));
      there.send({ kind: 'welcome', protocolVersion: 1, gatewayId: 'g', stateKey: 'k' });
      there.send({ kind: 'goodbye', reason: 'retry', message: 'later' });
      assert.deepEqual(
        await up,
        Array.from({ length: 100 }, (_, version) => acknowledge(version)),
      );
      assert.deepEqual((await down).map(({ kind }) => kind), ['welcome', 'goodbye']); // prettier-ignore
      here.close();
    });

    test('a message of many megabytes arrives whole', async () => {
      const { there, here } = await open(at);
      const payload = 'ä"\\'.repeat(3_000_000);
      const message = take(here, 1);
      assert.ok(there.send({ kind: 'state', payload, signature: '' }));
      const [got] = await message;
      assert.ok(got?.kind === 'state' && got.payload === payload);
      here.close();
    });

    test('what was sent before the end arrives, and both sides hear of the end', async () => {
      const { there, here } = await open(at);
      const last = take(here, 1);
      there.send({ kind: 'goodbye', reason: 'removed', message: '' });
      const ends = [closed(there), closed(here)] as const;
      there.close();
      assert.equal((await last)[0]?.kind, 'goodbye');
      assert.equal(await ends[0], undefined);
      assert.equal((await ends[1])?.code, 'disconnected');
      assert.equal(here.send(acknowledge(1)), false);
    });

    test('the gateway turns away from a control plane with another key before it says anything', async () => {
      const other = await listen(scheme, { identity: stranger });
      const taken = other.next();
      let asked = '';
      await assert.rejects(
        openLink({
          url: other.url,
          identity: gateway,
          expectKey: (hash) => {
            asked = hash;
            return hash === control.keyHash;
          },
        }),
        { code: 'wrongKey' },
      );
      assert.equal(asked, stranger.keyHash);
      // In TLS 1.3 the server may have finished: then it sees the end, and no message.
      const link = await taken.catch(() => undefined);
      if (link !== undefined) {
        let heard = false;
        const end = closed(link);
        link.onMessage(() => {
          heard = true;
        });
        await end;
        assert.equal(heard, false);
      }
      await other.close();
    });

    test('a client without a certificate gets no link', async () => {
      const taken = at.next();
      taken.catch(() => undefined);
      const outer =
        scheme === 'http'
          ? connectTcp(at.port, '127.0.0.1')
          : connectTls({ port: at.port, host: '127.0.0.1', rejectUnauthorized: false });
      await once(outer, scheme === 'http' ? 'connect' : 'secureConnect');
      outer.write(`GET ${LINK_PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${LINK_UPGRADE}\r\n\r\n`);
      await once(outer, 'data');
      const inner = connectTls({ socket: outer, rejectUnauthorized: false });
      inner.on('error', () => undefined);
      const end = once(inner, 'close');
      await assert.rejects(taken, { code: 'handshakeFailed', message: /no certificate/ });
      await end;
      outer.destroy();
    });

    test('the first bytes of the handshake may come with the request', async () => {
      // A client that does not wait for the 101, as what comes with the upgrade's event is lost easily.
      const taken = at.next();
      const outer =
        scheme === 'http'
          ? connectTcp(at.port, '127.0.0.1')
          : connectTls({ port: at.port, host: '127.0.0.1', rejectUnauthorized: false });
      await once(outer, scheme === 'http' ? 'connect' : 'secureConnect');
      const request = `GET ${LINK_PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${LINK_UPGRADE}\r\n\r\n`;
      const { Duplex } = await import('node:stream');
      let first = true;
      let answered = false;
      const shim = new Duplex({
        read: () => undefined,
        write(chunk: Buffer, _encoding, done) {
          outer.write(first ? Buffer.concat([Buffer.from(request), chunk]) : chunk, done);
          first = false;
        },
      });
      let head = Buffer.alloc(0);
      outer.on('data', (chunk: Buffer) => {
        if (answered) shim.push(chunk);
        else {
          head = Buffer.concat([head, chunk]);
          const end = head.indexOf('\r\n\r\n');
          if (end < 0) return;
          answered = true;
          shim.push(head.subarray(end + 4));
        }
      });
      const inner = connectTls({
        socket: shim,
        cert: gateway.certificatePem,
        key: gateway.privateKeyPem.reveal(),
        rejectUnauthorized: false,
      });
      inner.on('error', () => undefined);
      const link = await taken;
      assert.equal(link.peerKeyHash, gateway.keyHash);
      link.close();
      outer.destroy();
    });
  });

describe('what stands between', () => {
  test('one in the middle with a certificate of its own is found out', async () => {
    const real = await listen('http');
    const middle = await listen('http', { identity: stranger });
    await assert.rejects(open(middle), { code: 'wrongKey' });
    // Passing the bytes on changes nothing, and shows it nothing.
    let seen = '';
    const between = await proxy(real.port, (from, to) => {
      from.on('data', (bytes: Buffer) => (seen += bytes.toString('latin1')));
      from.pipe(to).pipe(from);
    });
    const [there, here] = await Promise.all([
      real.next(),
      openLink({
        url: `http://127.0.0.1:${between.port}`,
        identity: gateway,
        expectKey: (hash) => hash === control.keyHash,
      }),
    ]);
    const got = take(there, 1);
    here.send({ kind: 'resync', reason: 'a needle' });
    await got;
    assert.ok(seen.includes(LINK_UPGRADE) && !seen.includes('needle'));
    here.close();
    between.close();
    await real.close();
    await middle.close();
  });

  test('a changed byte ends the link', async () => {
    const real = await listen('http');
    let spoil = false;
    const between = await proxy(real.port, (from, to) => {
      from.on('data', (bytes: Buffer) => {
        if (spoil) bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
        to.write(bytes);
      });
      to.pipe(from);
    });
    const [there, here] = await Promise.all([
      real.next(),
      openLink({ url: `http://127.0.0.1:${between.port}`, identity: gateway, expectKey: () => true }),
    ]);
    let heard = 0;
    const end = closed(there);
    there.onMessage(() => {
      heard++;
    });
    spoil = true;
    here.send(acknowledge(1));
    assert.equal((await end)?.code, 'disconnected');
    assert.equal(heard, 0);
    between.close();
    await real.close();
  });

  test('an address that answers with something else is named as that', async () => {
    const server = createServer((_request, response) => {
      response.writeHead(404).end('no such page');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const options = { url: `http://127.0.0.1:${port}`, identity: gateway, expectKey: () => true };
    await assert.rejects(openLink(options), { code: 'notALink', message: /404/ });
    server.close();
    server.closeAllConnections();
    await assert.rejects(openLink(options), { code: 'unreachable' });
  });

  test('one that takes the connection and says nothing is given up, as is an attempt that is stopped', async () => {
    const sockets: Socket[] = [];
    const { createServer: createTcpServer } = await import('node:net');
    const server = createTcpServer((socket) => sockets.push(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    const options = { url: `http://127.0.0.1:${port}`, identity: gateway, expectKey: () => true };
    await assert.rejects(openLink({ ...options, openMs: 50 }), { code: 'unreachable' });
    const stop = new AbortController();
    const attempt = openLink({ ...options, signal: stop.signal });
    setTimeout(() => {
      stop.abort();
    }, 20);
    await assert.rejects(attempt, { code: 'aborted' });
    await assert.rejects(openLink({ ...options, signal: AbortSignal.abort() }), { code: 'aborted' });
    server.close();
    for (const socket of sockets) socket.destroy();
  });
});

describe('a control plane in the face of others', () => {
  test('a request for another protocol is refused with 426', async () => {
    const at = await listen('http');
    const taken = at.next();
    const socket = connectTcp(at.port, '127.0.0.1');
    socket.write('GET /x HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n');
    await assert.rejects(taken, { code: 'notALink' });
    assert.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 426 /);
    await once(socket, 'close');
    await at.close();
  });

  test('noise in the place of the handshake, and a handshake that never comes, leave nothing open', async () => {
    const at = await listen('http', { handshakeMs: 100 });
    const upgrade = `GET ${LINK_PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${LINK_UPGRADE}\r\n\r\n`;
    for (const noise of [
      '',
      'hello, hello, hello, hello\r\n',
      '\x16\x03\x01\x00',
      '\x16\x03\x01\xff\xff'.repeat(9000),
    ]) {
      const taken = at.next();
      const socket = connectTcp(at.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write(upgrade + noise, 'latin1');
      await assert.rejects(taken, { code: 'handshakeFailed' });
      if (!socket.closed) await once(socket.resume(), 'close');
    }
    await waitFor(() => at.sockets.size === 0);
    await at.close();
  });

  test('a gateway that goes away in the handshake is noticed', async () => {
    const at = await listen('http');
    const taken = at.next();
    const socket = connectTcp(at.port, '127.0.0.1');
    socket.write(`GET ${LINK_PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${LINK_UPGRADE}\r\n\r\n`);
    await once(socket, 'data');
    socket.destroy();
    await assert.rejects(taken, { code: 'handshakeFailed' });
    await at.close();
  });

  test('TLS 1.2 is not spoken', async () => {
    const at = await listen('http');
    const taken = at.next();
    const outer = connectTcp(at.port, '127.0.0.1');
    outer.write(`GET ${LINK_PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${LINK_UPGRADE}\r\n\r\n`);
    await once(outer, 'data');
    const inner = connectTls({
      socket: outer,
      rejectUnauthorized: false,
      maxVersion: 'TLSv1.2',
      cert: gateway.certificatePem,
      key: gateway.privateKeyPem.reveal(),
    });
    inner.on('error', () => undefined);
    await assert.rejects(taken, { code: 'handshakeFailed' });
    outer.destroy();
    await at.close();
  });
});

describe('a peer that does not keep to the protocol', () => {
  let at: Listening;
  before(async () => {
    // Long enough for both ends to say something in time on a machine that is full.
    at = await listen('http', { times: { pingMs: 200, silenceMs: 1500, firstMessageMs: 1000 } });
  });
  after(() => at.close());

  /** A gateway's end without the rules: the bare TLS stream. */
  async function bare(): Promise<{ inner: TLSSocket; end: Promise<LinkError | undefined>; heard: unknown[] }> {
    const taken = at.next();
    const outer = connectTcp(at.port, '127.0.0.1');
    outer.write(`GET ${LINK_PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${LINK_UPGRADE}\r\n\r\n`);
    await once(outer, 'data');
    const inner = connectTls({
      socket: outer,
      rejectUnauthorized: false,
      cert: gateway.certificatePem,
      key: gateway.privateKeyPem.reveal(),
    });
    inner.on('error', () => undefined);
    const link = await taken;
    const heard: unknown[] = [];
    const end = closed(link);
    link.onMessage((message) => {
      heard.push(message);
    });
    return { inner, end, heard };
  }

  const framed = (bytes: Buffer | string, length?: number): Buffer => {
    const body = Buffer.from(bytes);
    const head = Buffer.alloc(4);
    head.writeUInt32BE(length ?? body.length);
    return Buffer.concat([head, body]);
  };

  for (const [name, bytes, code, words] of [
    ['no JSON', framed('{'), 'invalidMessage', /does not hold JSON/],
    ['nothing', framed(''), 'invalidMessage', /does not hold JSON/],
    ['bytes that are not UTF-8', framed(Buffer.from([0x22, 0xff, 0x22])), 'invalidMessage', /does not hold JSON/],
    ['another kind', framed('{"kind":"welcome"}'), 'invalidMessage', /kind/],
    ['a field too many', framed('{"kind":"acknowledge","version":1,"x":2}'), 'invalidMessage', /x/],
    ['a value of another type', framed('{"kind":"acknowledge","version":"1"}'), 'invalidMessage', /version/],
    ['deep nesting', framed('['.repeat(400_000)), 'invalidMessage', /JSON/],
    ['too long a frame', framed('', MAX_GATEWAY_FRAME_BYTES + 1), 'frameTooLong', /longer than 1048576 bytes/],
    ['the longest length', framed('', 0xffffffff), 'frameTooLong', /longer/],
  ] as const)
    test(`${name} ends the link with an error that names the fault`, async () => {
      const { inner, end, heard } = await bare();
      inner.write(bytes);
      const error = await end;
      assert.equal(error?.code, code);
      assert.match(error?.message ?? '', words);
      assert.ok((error?.message.length ?? 0) < 300);
      assert.deepEqual(heard, []);
      inner.destroy();
    });

  test('a message in single bytes is understood', async () => {
    const { inner, heard } = await bare();
    inner.setNoDelay(true);
    for (const byte of framed('{"kind":"acknowledge","version":1}')) inner.write(Buffer.from([byte]));
    await waitFor(() => heard.length === 1);
    inner.destroy();
  });

  test('one that never says who it is, is cut off', async () => {
    const { inner, end } = await bare();
    assert.equal((await end)?.code, 'silent');
    inner.destroy();
  });

  test('one that drips bytes of a frame that never ends is not heard', async () => {
    const { inner, end } = await bare();
    inner.write(framed('{"kind":"acknowledge","version":1}'));
    inner.write(framed('', 1000));
    const drip = setInterval(() => inner.write('x'), 20);
    const error = await end;
    clearInterval(drip);
    assert.equal(error?.code, 'silent');
    inner.destroy();
  });

  test('one that does not answer pings is given up, one that does stays', async () => {
    const silent = await bare();
    silent.inner.write(framed('{"kind":"acknowledge","version":1}'));
    const { there, here } = await open(at, { times: { silenceMs: 1500 } });
    void take(there, 1);
    void take(here, 1);
    here.send(acknowledge(1));
    assert.equal((await silent.end)?.code, 'silent');
    await sleep(2000);
    assert.equal(there.closed, false);
    assert.equal(here.closed, false);
    assert.ok((there.latencyMs ?? -1) >= 0);
    here.close();
    silent.inner.destroy();
  });

  test('whoever had no processor for as long as silence takes looks once more', async () => {
    const { there, here } = await open(at, { times: { silenceMs: 1500 } });
    void take(there, 1);
    void take(here, 1);
    here.send(acknowledge(1));
    await waitFor(() => (there.latencyMs ?? -1) >= 0);
    // Both of them, for they are one process here.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500);
    await sleep(2000);
    assert.deepEqual([there.closed, here.closed], [false, false]);
    here.close();
  });

  test('the gateway gives up a control plane that says nothing', async () => {
    const quiet = await listen('http', { times: { pingMs: 60_000 } });
    const { there, here } = await open(quiet, { times: { silenceMs: 100 } });
    void take(here, 1);
    assert.equal((await closed(here))?.code, 'silent');
    there.close();
    await quiet.close();
  });

  test('one that does not read is cut off before what waits for it grows without bound', async () => {
    // It answers no ping either: that must not be what ends it.
    const patient = await listen('http', { times: { silenceMs: 600_000 } });
    const { there, here } = await open(patient);
    void take(there, 1);
    here.send(acknowledge(1));
    // The gateway's end is open and nobody reads there.
    const payload = 'x'.repeat(8 * 1024 * 1024);
    const end = closed(there);
    let sent = 0;
    while (there.send({ kind: 'state', payload, signature: '' })) {
      sent++;
      assert.ok(sent < 12, 'more waits than may');
      await sleep(1);
    }
    assert.equal((await end)?.code, 'notReading');
    here.close();
    await patient.close();
  });

  test('a long message to one that reads slowly is no silence', async () => {
    const patient = await listen('http', { times: { pingMs: 100, silenceMs: 1200 } });
    const taken = patient.next();
    const between = await proxy(patient.port, (from, to) => {
      from.pipe(to);
      // 64 KiB every 5 ms: what is sent takes three times the silence that is allowed.
      to.on('data', (bytes: Buffer) => {
        from.write(bytes);
        to.pause();
        setTimeout(() => to.resume(), 5);
      });
    });
    const here = await openLink({ url: `http://127.0.0.1:${between.port}`, identity: gateway, expectKey: () => true });
    const there = await taken;
    void take(there, 9);
    here.send(acknowledge(1));
    const got = take(here, 1);
    const payload = 'x'.repeat(32 * 1024 * 1024);
    const start = performance.now();
    there.send({ kind: 'state', payload, signature: '' });
    assert.equal((await got)[0]?.kind, 'state');
    assert.ok(performance.now() - start > 1800, 'it was not slow: the test shows nothing');
    assert.equal(there.closed, false);
    here.close();
    between.close();
    await patient.close();
  });

  test('a listener that fails ends the link, one that takes its time holds the next message', async () => {
    const { there, here } = await open(at);
    const order: string[] = [];
    const end = closed(there);
    there.onMessage(async (message) => {
      if (message.kind !== 'acknowledge') return;
      order.push(`begin ${message.version}`);
      await sleep(20);
      order.push(`end ${message.version}`);
      if (message.version === 2) throw new Error('broken');
    });
    for (const version of [1, 2, 3]) here.send(acknowledge(version));
    assert.equal((await end)?.code, 'handlerFailed');
    assert.deepEqual(order, ['begin 1', 'end 1', 'begin 2', 'end 2']);
  });

  test('a message longer than a frame is not sent', async () => {
    const { here } = await open(at);
    assert.throws(() => here.send({ kind: 'resync', reason: 'x'.repeat(MAX_GATEWAY_FRAME_BYTES) }), RangeError);
    here.close();
  });
});

async function waitFor(condition: () => boolean): Promise<void> {
  for (let waited = 0; !condition(); waited += 5) {
    assert.ok(waited < 60_000, 'it did not come to be within a minute');
    await sleep(5);
  }
}
