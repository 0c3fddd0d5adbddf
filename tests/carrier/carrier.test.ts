import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { suite, test, type TestContext } from 'node:test';
import { createServer, type Server } from 'node:http';
import { connect, createServer as createTcpServer, type Socket } from 'node:net';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { CarrierError, openCarrierClient } from '@sallyport/carrier';
import { until } from '@sallyport/netlab';
import {
  ask,
  CERTIFICATE,
  closed,
  Device,
  FINGERPRINT,
  HOST,
  openClient,
  openGateway,
  openTcp,
  openTls,
  openWebSocket,
  other,
  PATH,
  type Client,
  type Gateway,
} from './rig.ts';

const code = (wanted: CarrierError['code']) => (error: unknown) =>
  error instanceof CarrierError && error.code === wanted;

/** Bytes that say which datagram they are. */
function datagram(size: number, number: number): Buffer {
  const bytes = Buffer.alloc(size, number & 255);
  bytes.writeUInt16BE(number & 0xffff, 0);
  return bytes;
}

/** A client that WireGuard has answered; the device echoes. */
async function openKnown(t: TestContext, gateway: Gateway): Promise<Client> {
  const client = await openClient(t, gateway);
  await client.device.send(datagram(148, 1), client.carrier.port);
  await until('its answer', () => client.device.received.length > 0);
  return client;
}

suite('datagrams', () => {
  test('pass both ways whole, in every size, one at a time and many at once', async (t) => {
    const gateway = await openGateway(t);
    gateway.device.echo();
    const { carrier, device } = await openClient(t, gateway);
    const sizes = [2, 32, 148, 1452, 1452, 1452, 1200, 1452, 9000, 65_507, 96];
    for (const [i, size] of sizes.entries()) {
      await device.send(datagram(size, i), carrier.port);
      await until(`number ${String(i)}`, () => device.received.length === i + 1);
    }
    const many = Array.from({ length: 300 }, (_, i) => datagram(100 + (i % 3) * 500, i));
    // No more at once than a socket has room for while nobody looks.
    for (let at = 0; at < many.length; at += 100) {
      await Promise.all(many.slice(at, at + 100).map((one) => device.send(one, carrier.port)));
      await until('all of them', () => device.received.length === sizes.length + at + 100);
    }
    assert.deepEqual(device.received, [...sizes.map((size, i) => datagram(size, i)), ...many]);
    assert.deepEqual(gateway.device.received, device.received);
    assert.equal(carrier.stats.toGateway.datagrams, sizes.length + many.length);
    assert.equal(carrier.stats.fromGateway.datagrams, sizes.length + many.length);
    assert.equal(gateway.server.stats.dropped, 0);
  });

  test('of each tunnel come to WireGuard from an address of its own', async (t) => {
    const gateway = await openGateway(t);
    const [a, b] = [await openClient(t, gateway), await openClient(t, gateway)];
    await a.device.send(datagram(40, 1), a.carrier.port);
    await b.device.send(datagram(40, 2), b.carrier.port);
    await until('both', () => gateway.device.from.size === 2);
    const addresses = [...gateway.device.from].map((from) => from.split(':')[0]);
    assert.equal(new Set(addresses).size, 2);
    for (const address of addresses) assert.match(address ?? '', /^127\.64\./);
    await gateway.device.send(datagram(50, 3), [...gateway.device.from][1] ?? '');
    await until('the answer', () => b.device.received.length === 1);
    assert.equal(a.device.received.length, 0);
  });

  test('of other programs of the machine are not taken, at neither end', async (t) => {
    const gateway = await openGateway(t);
    const { carrier, device } = await openClient(t, gateway);
    const stranger = await Device.open(t);
    await stranger.send(datagram(40, 1), carrier.port);
    await device.send(datagram(40, 2), carrier.port);
    await until('the one', () => gateway.device.received.length === 1);
    assert.deepEqual(gateway.device.received, [datagram(40, 2)]);
    await stranger.send(datagram(40, 3), [...gateway.device.from][0] ?? '');
    await gateway.device.send(datagram(40, 4), [...gateway.device.from][0] ?? '');
    await until('the answer', () => device.received.length === 1);
    assert.deepEqual(device.received, [datagram(40, 4)]);
    assert.equal(stranger.received.length, 0);
  });

  test('where the WireGuard port is not known the first sender is the one', async (t) => {
    const gateway = await openGateway(t);
    gateway.device.echo();
    const { carrier, device } = await openClient(t, gateway, { wireguardPort: 0 });
    const stranger = await Device.open(t);
    await device.send(datagram(40, 1), carrier.port);
    await until('the first', () => device.received.length === 1);
    await stranger.send(datagram(40, 2), carrier.port);
    await device.send(datagram(40, 3), carrier.port);
    await until('the next', () => device.received.length === 2);
    assert.deepEqual(gateway.device.received, [datagram(40, 1), datagram(40, 3)]);
  });
});

suite('who answers', () => {
  test('a certificate that is not the pinned one is refused before a word is said', async (t) => {
    let said = 0;
    const gateway = await openGateway(t);
    const watcher = createTcpServer((near) => {
      const far = connect(gateway.port, '127.0.0.1');
      near.on('data', (chunk: Buffer) => (said += chunk.length)).on('error', () => undefined);
      far.on('error', () => undefined);
      near.pipe(far).pipe(near);
    }).listen(0, '127.0.0.1');
    t.after(() => watcher.close());
    await once(watcher, 'listening');
    const { port } = watcher.address() as AddressInfo;
    const wrong = FINGERPRINT.replace(/^../, (first) => (first === '00' ? '01' : '00'));
    await assert.rejects(openClient(t, { port }, { certificateSha256: wrong }), code('certificate'));
    assert.ok(said < 2000, 'a ClientHello and an end, no request');
    assert.equal(gateway.server.stats.tunnels, 0);
    await openClient(t, { port }, { certificateSha256: FINGERPRINT.replaceAll(':', '').toLowerCase() });
  });

  test('without a pin an authority must vouch, for this name', async (t) => {
    const gateway = await openGateway(t);
    const options = { certificateSha256: null } as const;
    await assert.rejects(openClient(t, gateway, options), code('certificate'));
    await assert.rejects(openClient(t, gateway, { ...options, ca: other.chain }), code('certificate'));
    const ca = CERTIFICATE.chain;
    await assert.rejects(openClient(t, gateway, { ...options, ca, host: 'else.example' }), code('certificate'));
    await openClient(t, gateway, { ...options, ca });
  });

  test('who asks for another path, or in another way, finds an empty web server', async (t) => {
    const gateway = await openGateway(t);
    await assert.rejects(openClient(t, gateway, { path: `${PATH}x` }), code('refused'));
    await assert.rejects(openClient(t, gateway, { path: '/' }), code('refused'));
    const upgrade =
      'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n';
    const answers = [];
    for (const request of [
      'GET / HTTP/1.1\r\nHost: a\r\n\r\n',
      `GET ${PATH} HTTP/1.1\r\nHost: a\r\n\r\n`,
      `GET /other HTTP/1.1\r\nHost: a\r\n${upgrade}\r\n`,
      `POST ${PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n${upgrade}\r\n`,
      `GET ${PATH}?x HTTP/1.1\r\nHost: a\r\n${upgrade}\r\n`,
      `GET ${PATH} HTTP/1.1\r\nHost: a\r\n${upgrade.replace('websocket', 'h2c')}\r\n`,
    ]) {
      answers.push((await ask(await openTls(t, gateway), request)).replace(/Date: .*\r\n/, ''));
    }
    assert.match(answers[0] ?? '', /^HTTP\/1\.1 404 Not Found\r\n/);
    for (const answer of answers) assert.equal(answer, answers[0]);
    assert.equal(gateway.server.stats.tunnels, 0);
    const right = await ask(await openTls(t, gateway), `GET ${PATH} HTTP/1.1\r\nHost: a\r\n${upgrade}\r\n`);
    assert.match(right, /^HTTP\/1\.1 101 /, 'the same with the right path is a tunnel');
  });

  test('nobody, nobody in time, and somebody who is told to stop', async (t) => {
    const silent = createTcpServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1');
    t.after(() => silent.close());
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    await assert.rejects(openClient(t, { port }, { timeoutMs: 100 }), code('timeout'));
    const abort = new AbortController();
    const given = openClient(t, { port }, { signal: abort.signal });
    abort.abort();
    await assert.rejects(given, code('aborted'));
    silent.close();
    await assert.rejects(openClient(t, { port: 1 }), code('connection'));
  });
});

suite('the gateway holds out', () => {
  test('garbage before TLS, inside it, and inside the tunnel ends one connection and no other', async (t) => {
    const gateway = await openGateway(t);
    gateway.device.echo();
    const { carrier, device } = await openClient(t, gateway);
    const random = (length: number) => Buffer.from(Array.from({ length }, (_, i) => (i * 7919 + 13) & 255));
    const tcp = await openTcp(t, gateway);
    tcp.resume().write(random(5000));
    await closed(tcp);
    const tls = await openTls(t, gateway);
    tls.resume().write(random(5000));
    await closed(tls);
    const wrongs: [string, Uint8Array | string, number][] = [
      ['text', 'hello', 1003],
      ['a datagram that is cut off', Uint8Array.of(0, 9, 1), 1002],
      ['an empty message', new Uint8Array(), 1002],
      ['more than a message may have', new Uint8Array(70_001), 1009],
    ];
    for (const [what, message, expected] of wrongs) {
      const websocket = await openWebSocket(t, gateway);
      websocket.send(message);
      assert.equal((await closed(websocket))[0], expected, what);
    }
    const broken = await openTls(t, gateway);
    await ask(
      broken,
      `GET ${PATH} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    );
    broken.resume().write(Buffer.from([0xff, 0xff, 1, 2, 3, 4, 5, 6]));
    await closed(broken);
    await device.send(datagram(100, 1), carrier.port);
    await until('the other tunnel', () => device.received.length === 1);
    await until('no other tunnel is left', () => gateway.server.stats.tunnels === 1);
  });

  test('a message in many frames ends its connection: each would hold on to all that came with it', async (t) => {
    const gateway = await openGateway(t);
    const [few, many] = [await openWebSocket(t, gateway), await openWebSocket(t, gateway)];
    for (const byte of [0, 14, ...datagram(13, 1)]) few.send(Uint8Array.of(byte), { fin: false });
    few.send(Uint8Array.of(1));
    await until('the message in 16 frames', () => gateway.device.received.length === 1);
    let end: number | undefined;
    many.once('close', (code) => (end = code));
    for (let i = 0; i < 17; i++) many.send(Uint8Array.of(0), { fin: false });
    await until('the end of the other connection', () => end !== undefined);
    assert.equal(end, 1008);
    assert.equal(few.readyState, few.OPEN);
  });

  test('where descriptors run out a connection ends, and the others stay', async (t) => {
    const wireguard = (await Device.open(t)).echo();
    const program = fileURLToPath(new URL('./server-run.ts', import.meta.url));
    // A tunnel takes two: with one number or the next it is the second that there is none for.
    for (const limit of [60, 61]) {
      const command = `ulimit -n ${String(limit)}; exec "$@"`;
      const words = ['-c', command, 'sh', process.execPath, program, String(wireguard.port)];
      const server = spawn('sh', words, { stdio: ['pipe', 'pipe', 'inherit'] });
      t.after(() => {
        server.stdin.end();
      });
      const [line] = (await once(server.stdout, 'data')) as [Buffer];
      const [port, certificateSha256 = ''] = line.toString().split(' ');
      const gateway = { port: Number(port) };
      const { carrier, device } = await openClient(t, gateway, { certificateSha256 });
      for (let refused = 0; refused < 3;) {
        try {
          const { ends } = await openClient(t, gateway, { certificateSha256, timeoutMs: 1000 });
          await new Promise((resolve) => setTimeout(resolve, 50));
          refused += ends.length;
        } catch {
          refused++;
        }
      }
      await device.send(datagram(100, 1), carrier.port);
      await until('the first tunnel', () => device.received.length === 1);
      assert.equal(server.exitCode, null);
    }
  });

  test('a reader that does not read costs datagrams, not memory', async (t) => {
    const gateway = await openGateway(t);
    const websocket = await openWebSocket(t, gateway);
    websocket.send(Buffer.from([0, 1, 7]));
    await until('the first datagram', () => gateway.device.from.size === 1);
    websocket.pause();
    const [to = ''] = gateway.device.from;
    let most = 0;
    // More than the kernel's buffers of a connection hold.
    for (let sent = 0; sent < 100_000 && gateway.server.stats.dropped < 500; sent++) {
      await gateway.device.send(datagram(1452, sent), to);
      if (sent % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
      most = Math.max(most, gateway.server.stats.waitingBytes);
    }
    assert.ok(gateway.server.stats.dropped >= 500, 'what does not fit is dropped');
    assert.ok(most < 1280 * 1024, `${String(most)} bytes wait`);
    assert.ok(most > 128 * 1024, `${String(most)} bytes wait`);
    const { carrier, device } = await openClient(t, gateway);
    gateway.device.echo();
    await device.send(datagram(100, 1), carrier.port);
    await until('another tunnel goes on', () => device.received.length === 1);
  });

  test('pings of one that does not read are not answered without end', async (t) => {
    const gateway = await openGateway(t);
    const websocket = await openWebSocket(t, gateway);
    websocket.pause();
    let most = 0;
    const payload = Buffer.alloc(125);
    for (let sent = 0; sent < 150_000; sent++) {
      websocket.ping(payload);
      if (sent % 500 !== 0) continue;
      await new Promise((resolve) => setImmediate(resolve));
      most = Math.max(most, gateway.server.stats.waitingBytes);
    }
    await until('all of them are there', () => websocket.bufferedAmount === 0);
    most = Math.max(most, gateway.server.stats.waitingBytes);
    assert.ok(most < 64 * 1024, `${String(most)} bytes wait`);
  });

  test('a tunnel that WireGuard does not answer is closed, one that it answers stays', async (t) => {
    const gateway = await openGateway(t, { answerMs: 1500 });
    const known = await openClient(t, gateway);
    await known.device.send(datagram(148, 1), known.carrier.port);
    await until('its datagram', () => gateway.device.from.size === 1);
    await gateway.device.send(datagram(92, 1), [...gateway.device.from][0] ?? '');
    const unknown = await openClient(t, gateway);
    const silent = await openClient(t, gateway);
    await unknown.device.send(datagram(148, 2), unknown.carrier.port);
    await until('the end of one', () => unknown.ends.length === 1);
    assert.deepEqual([known.ends, silent.ends], [[], []]);
    assert.equal(gateway.server.stats.tunnels, 2);
  });

  test('a tunnel without datagrams is closed after a while, one with some is not', async (t) => {
    const gateway = await openGateway(t, { idleMs: 2000 });
    gateway.device.echo();
    const idle = await openClient(t, gateway);
    const busy = await openClient(t, gateway);
    const timer = setInterval(() => void busy.device.send(datagram(32, 1), busy.carrier.port), 50);
    t.after(() => {
      clearInterval(timer);
    });
    await until('the end of the idle one', () => idle.ends.length === 1);
    assert.deepEqual(busy.ends, []);
  });

  test('what comes from the network is no sign of life, nor is a cookie', async (t) => {
    const gateway = await openGateway(t, { idleMs: 2000, answerMs: 2000 });
    gateway.device.echo(([type]) => type !== 9);
    const junk = await openKnown(t, gateway);
    const cookies = await openClient(t, gateway);
    const busy = await openKnown(t, gateway);
    const timer = setInterval(() => {
      void junk.device.send(Buffer.alloc(32, 9), junk.carrier.port);
      void cookies.device.send(Buffer.alloc(64, 3), cookies.carrier.port);
      void busy.device.send(Buffer.alloc(32, 4), busy.carrier.port);
    }, 50);
    t.after(() => {
      clearInterval(timer);
    });
    await until('the end of both', () => junk.ends.length === 1 && cookies.ends.length === 1);
    assert.ok(cookies.device.received.length > 0);
    assert.deepEqual(busy.ends, []);
  });

  test('one that answers no pings is gone; one that does stays', async (t) => {
    const gateway = await openGateway(t, { pingMs: 700 });
    const { ends } = await openClient(t, gateway);
    const deaf = await openWebSocket(t, gateway);
    let pings = 0;
    deaf.on('ping', () => pings++);
    deaf.pause();
    assert.equal(gateway.server.stats.tunnels, 2);
    await until('the end of the deaf one', () => gateway.server.stats.tunnels === 1);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.deepEqual(ends, []);
    assert.equal(pings, 0, 'it was deaf');
  });

  test('connections that say nothing are closed, before TLS and after', async (t) => {
    const gateway = await openGateway(t, { handshakeMs: 300 });
    const tcp = await openTcp(t, gateway);
    const tls = await openTls(t, gateway);
    tcp.resume();
    tls.resume();
    await Promise.all([closed(tcp), closed(tls)]);
  });

  test('from one address there are only so many connections, and as one ends there is room', async (t) => {
    const gateway = await openGateway(t, { connectionsPerAddress: 5 });
    gateway.device.echo();
    const clients = [];
    for (let i = 0; i < 4; i++) clients.push(await openClient(t, gateway));
    await openTcp(t, gateway);
    await Promise.all(Array.from({ length: 50 }, () => assert.rejects(openClient(t, gateway), code('connection'))));
    assert.equal(gateway.server.stats.tunnels, 4);
    assert.equal(gateway.server.stats.refused, 50);
    clients[0]?.carrier.close();
    await until('its end', () => gateway.server.stats.tunnels === 3);
    const { carrier, device } = await until('room', () => openClient(t, gateway).catch(() => undefined));
    await device.send(datagram(100, 1), carrier.port);
    await until('an answer', () => device.received.length === 1);
  });

  test('all in all there are only so many connections', async (t) => {
    const gateway = await openGateway(t, { connections: 3 });
    gateway.device.echo();
    for (let i = 0; i < 3; i++) await openKnown(t, gateway);
    await assert.rejects(openClient(t, gateway), code('connection'));
    assert.equal(gateway.server.stats.tunnels, 3);
    assert.equal(gateway.server.stats.refused, 1);
  });

  test('where all places are taken those give way that WireGuard does not know, the oldest first', async (t) => {
    const gateway = await openGateway(t, { connections: 3 });
    gateway.device.echo(([type]) => type !== 9);
    const first = await openKnown(t, gateway);
    const silent = closed((await openTcp(t, gateway)).resume());
    const unknown = await openClient(t, gateway);
    await unknown.device.send(Buffer.alloc(148, 9), unknown.carrier.port);
    const second = await openKnown(t, gateway);
    await silent;
    assert.deepEqual(unknown.ends, []);
    const third = await openKnown(t, gateway);
    await until('the unknown one gave way', () => unknown.ends.length === 1);
    await assert.rejects(openClient(t, gateway), code('connection'));
    assert.deepEqual([first.ends, second.ends, third.ends], [[], [], []]);
    assert.deepEqual([gateway.server.stats.tunnels, gateway.server.stats.refused], [3, 3]);
    first.carrier.close();
    await until('its place is free', () => gateway.server.stats.tunnels === 2);
    await openKnown(t, gateway);
  });
});

suite('the end', () => {
  test('of the gateway is told to the client; of the client to the gateway, and not to itself', async (t) => {
    const gateway = await openGateway(t);
    const first = await openClient(t, gateway);
    const second = await openClient(t, gateway);
    first.carrier.close();
    await until('its end', () => gateway.server.stats.tunnels === 1);
    await openTcp(t, gateway);
    await gateway.server.close();
    await until('the other one hears of it', () => second.ends.length === 1);
    assert.deepEqual(first.ends, []);
  });
});

suite('through an HTTP proxy', () => {
  function openProxy(t: { after(what: () => void): void }, credentials?: string): Promise<Server> {
    const proxy = createServer();
    proxy.on('connect', (request, near: Socket) => {
      near.on('error', () => undefined);
      if (credentials !== undefined && request.headers['proxy-authorization'] !== credentials) {
        near.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n');
        return;
      }
      const [host = '', port = ''] = (request.url ?? '').split(':');
      assert.equal(host, HOST, 'the proxy resolves the name');
      const far = connect(Number(port), '127.0.0.1', () => {
        near.write('HTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n');
        near.pipe(far).pipe(near);
      });
      far.on('error', () => near.destroy());
    });
    proxy.listen(0, '127.0.0.1');
    t.after(() => {
      proxy.close();
      proxy.closeAllConnections();
    });
    return once(proxy, 'listening').then(() => proxy);
  }

  test('it is led on, with the credentials that are asked for', async (t) => {
    const gateway = await openGateway(t);
    gateway.device.echo();
    const proxy = await openProxy(t, 'Basic dTpw');
    const to = () => connect((proxy.address() as AddressInfo).port, '127.0.0.1');
    await assert.rejects(openClient(t, gateway, { socket: to(), proxy: {} }), code('proxy'));
    const options = { socket: to(), proxy: { authorization: 'Basic dTpw' } };
    const { carrier, device } = await openClient(t, gateway, options);
    await device.send(datagram(100, 1), carrier.port);
    await until('an answer', () => device.received.length === 1);
  });

  test('what is no proxy is told from one', async (t) => {
    for (const answer of ['SSH-2.0-x\r\n\r\n', 'x'.repeat(20_000), 'HTTP/1.1 200 OK\r\n\r\nand more']) {
      const server = createTcpServer((socket) => {
        socket.on('error', () => undefined).once('data', () => socket.write(answer));
      }).listen(0, '127.0.0.1');
      t.after(() => server.close());
      await once(server, 'listening');
      const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
      const opening = openCarrierClient({
        ...{ socket, host: HOST, port: 443, path: PATH, certificateSha256: FINGERPRINT, wireguardPort: 0 },
        proxy: {},
        onClose: () => undefined,
      });
      await assert.rejects(opening, code('proxy'));
      assert.ok(socket.destroyed);
    }
  });
});
