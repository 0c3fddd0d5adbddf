import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { Agent, get, request } from 'node:https';
import { connect } from 'node:net';
import { describe, test, type TestContext } from 'node:test';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { fingerprintOf } from '../../packages/control/src/tls/certificate.ts';
import { makeSelfSigned } from '../../packages/control/src/tls/self-signed.ts';
import { answerWhileWaiting } from '../../packages/control/src/waiting.ts';
import { ListenError, WebServer } from '../../packages/control/src/web-server.ts';

const anyPort = { host: '127.0.0.1', port: 0 };

async function open(t: TestContext, tls: boolean): Promise<{ server: WebServer; port: number }> {
  const server = await WebServer.bind([anyPort], { tls });
  t.after(() => server.close());
  if (tls) server.setCertificate(makeSelfSigned(['127.0.0.1'], Date.now()));
  server.open({ request: (_request, response) => response.end('hello') });
  return { server, port: server.addresses[0]?.port ?? 0 };
}

/** The certificate that a new connection is shown. */
async function shownFingerprint(port: number, options: ConnectionOptions = {}): Promise<string> {
  const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options });
  try {
    await once(socket, 'secureConnect');
    return socket.getPeerCertificate().fingerprint256;
  } finally {
    socket.destroy();
  }
}

describe('the web server', () => {
  test('accepts no connection before it is opened', async (t) => {
    const server = await WebServer.bind([anyPort], { tls: false });
    t.after(() => server.close());
    const port = server.addresses[0]?.port ?? 0;
    const early = connect(port, '127.0.0.1');
    early.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    const [hadError] = (await Promise.race([once(early, 'close'), once(early, 'error').then(() => [true])])) as [
      boolean,
    ];
    assert.equal(early.bytesRead, 0, `closed without an answer, by ${hadError ? 'a reset' : 'its end'}`);

    server.open({ request: (_request, response) => response.end('open') });
    const answer = await fetch(`http://127.0.0.1:${String(port)}/`);
    assert.equal(await answer.text(), 'open');
  });

  test('names the address that is taken, and the remedy', async (t) => {
    const { port } = await open(t, false);
    await assert.rejects(WebServer.bind([{ host: '127.0.0.1', port }], { tls: false }), (error) => {
      assert.ok(error instanceof ListenError);
      assert.equal(error.code, 'EADDRINUSE');
      assert.match(error.message, new RegExp(`can't listen on 127\\.0\\.0\\.1:${String(port)}: another program`));
      return true;
    });
  });

  test('takes another certificate without dropping connections', async (t) => {
    const { server, port } = await open(t, true);
    const agent = new Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
    t.after(() => agent.destroy());
    const ask = async (): Promise<{ localPort: number | undefined; text: string }> => {
      const sent = get({ host: '127.0.0.1', port, agent });
      const [response] = (await once(sent, 'response')) as [IncomingMessage];
      // Once it is read, the response lets go of its socket.
      const { localPort } = response.socket;
      let text = '';
      for await (const chunk of response.setEncoding('utf8')) text += chunk as string;
      return { localPort, text };
    };
    const before = await ask();
    const renewed = makeSelfSigned(['127.0.0.1'], Date.now());
    const old = await shownFingerprint(port);
    server.setCertificate(renewed);
    assert.equal(await shownFingerprint(port), fingerprintOf(renewed));
    assert.notEqual(old, fingerprintOf(renewed));
    assert.deepEqual(await ask(), before, 'the connection of before still serves');
  });

  test('speaks TLS 1.2 and 1.3, no older version and no cipher without forward secrecy', async (t) => {
    const { port } = await open(t, true);
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      await shownFingerprint(port, { minVersion: version, maxVersion: version });
    }
    const weak = { ciphers: 'DEFAULT@SECLEVEL=0' };
    await assert.rejects(shownFingerprint(port, { ...weak, minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1' }));
    await assert.rejects(
      shownFingerprint(port, { ciphers: 'AES256-GCM-SHA384', minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }),
    );
  });

  test('ends connections that are slow with their headers', async (t) => {
    const { port } = await open(t, false);
    const slow = connect(port, '127.0.0.1');
    slow.on('error', () => undefined);
    const start = performance.now();
    slow.write('GET / HTTP/1.1\r\nHost: a\r\n');
    const drip = setInterval(() => slow.write('X: y\r\n'), 500);
    let answer = '';
    slow.on('data', (chunk: Buffer) => (answer += chunk.toString()));
    await once(slow, 'close');
    clearInterval(drip);
    assert.match(answer, /^HTTP\/1\.1 408 /);
    const seconds = (performance.now() - start) / 1000;
    assert.ok(seconds > 8 && seconds < 60, `${String(seconds)} s`);
  });

  test('refuses headers that are too long', async (t) => {
    const { port } = await open(t, false);
    const sent = requestHttp({ host: '127.0.0.1', port, headers: { x: 'x'.repeat(20_000) } });
    sent.end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, 431);
    response.resume();
  });

  test('refuses to upgrade where nobody takes that', async (t) => {
    const { port } = await open(t, true);
    const sent = request({
      host: '127.0.0.1',
      port,
      rejectUnauthorized: false,
      headers: { connection: 'Upgrade', upgrade: 'x' },
    });
    sent.end();
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    assert.equal(response.statusCode, 503);
    response.resume();
  });

  test('closes although a client keeps its connection open', async () => {
    const server = await WebServer.bind([anyPort], { tls: false });
    server.open({ request: () => undefined });
    const port = server.addresses[0]?.port ?? 0;
    const waiting = connect(port, '127.0.0.1');
    waiting.on('error', () => undefined);
    waiting.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await new Promise((resolve) => setTimeout(resolve, 100));
    await server.close();
  });
});

test('while the database is away it is alive, not ready, and says so', async (t) => {
  const server = await WebServer.bind([anyPort], { tls: false });
  t.after(() => server.close());
  server.open({ request: (request, response) => void answerWhileWaiting(request, response) });
  const ask = (path: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${String(server.addresses[0]?.port)}${path}`);
  assert.equal((await ask('/healthz')).status, 200);
  const ready = await ask('/readyz');
  assert.deepEqual([ready.status, ((await ready.json()) as { status: string }).status], [503, 'notReady']);
  const api = await ask('/api/v1/users');
  assert.equal(api.status, 503);
  assert.equal(api.headers.get('content-type'), 'application/problem+json');
  assert.equal(((await api.json()) as { code: string }).code, 'unavailable');
});
