import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import { FramingError, MAX_PENDING_REQUESTS, PrivilegedClient, servePrivileged } from '@sallyport/privileged';

function serve(stream: Duplex): Promise<void> {
  return servePrivileged({
    stream,
    interfaceName: 'tun9',
    pools: ['10.77.0.0/16'],
    onNotice: (notice) => assert.fail(notice.message),
  });
}

test('answers come in order, and a bad request is one that is answered', async () => {
  const [client, server] = duplexPair();
  const served = serve(server);
  const privileged = new PrivilegedClient(client);
  const answers = await Promise.all(
    Array.from({ length: MAX_PENDING_REQUESTS }, () =>
      privileged.request({ kind: 'cutFlows', addresses: ['192.0.2.1'] }),
    ),
  );
  assert.deepEqual(
    answers.map(({ id }) => id),
    Array.from({ length: MAX_PENDING_REQUESTS }, (_, i) => i + 1),
  );
  assert.ok(answers.every(({ error }) => error?.code === 'INVALID_REQUEST'));
  privileged.close();
  await served;
  await privileged.gone;
});

test('a client waits for no more answers than the server takes requests', async () => {
  const [client] = duplexPair();
  const privileged = new PrivilegedClient(client);
  const requests = Array.from({ length: MAX_PENDING_REQUESTS + 1 }, () => privileged.request({ kind: 'tearDown' }));
  await assert.rejects(requests.at(-1) ?? Promise.resolve(), { code: 'TOO_MANY_REQUESTS' });
  const settled = Promise.allSettled(requests);
  client.destroy();
  await privileged.gone;
  for (const result of await settled) assert.equal(result.status, 'rejected');
  await assert.rejects(privileged.request({ kind: 'tearDown' }), { code: 'GONE' });
});

test('a stream that breaks the framing ends the server', async () => {
  for (const bytes of [
    [0xff, 0xff, 0xff, 0xff],
    [0, 0, 0, 0],
    [0, 0, 0, 2, 0x7b, 0x7b],
    [0, 0, 0, 2, 0x7b, 0x7d],
    [0, 0, 0, 9, 0x7b],
    [0, 0],
  ]) {
    const [client, server] = duplexPair();
    const served = serve(server);
    client.end(Buffer.from(bytes));
    await assert.rejects(served, FramingError, bytes.join());
  }
});
