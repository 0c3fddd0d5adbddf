/** Strangers at the door of gateways: they neither fill it nor keep others from writing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, request, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startControl } from '@sallyport/control';
import { createJoinToken, createLinkIdentity, LINK_PATH, LINK_UPGRADE, openLink } from '@sallyport/link';
import { pino } from 'pino';

test('an address that opens links without end is told to wait; others are not', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-flood-'));
  const now = Date.now();
  const control = await startControl({
    databaseUrl: `sqlite:${join(folder, 'control.db')}`,
    masterKeyFile: join(folder, 'master.key'),
    pool4: '10.64.0.0/16',
    publicUrl: 'https://vpn.example.org',
    trustedProxies: ['127.0.0.1'],
    version: '0',
    now: () => now,
    log: pino({ level: 'silent' }),
  });
  const server = createServer(control.request).on('upgrade', control.upgrade).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const knock = (address: string): Promise<number> =>
    new Promise((resolve, reject) => {
      const headers = { connection: 'Upgrade', upgrade: LINK_UPGRADE, 'x-forwarded-for': address };
      const finish = (response: IncomingMessage): void => {
        resolve(response.statusCode ?? 0);
        response.socket.destroy();
      };
      request({ port, host: '127.0.0.1', path: LINK_PATH, headers })
        .on('upgrade', finish)
        .on('response', finish)
        .on('error', reject)
        .end();
    });
  try {
    for (let i = 0; i < 256; i++) assert.equal(await knock('192.0.2.1'), 101);
    assert.equal(await knock('192.0.2.1'), 429);
    assert.equal(await knock('192.0.2.2'), 101);

    // Somebody holds the pen for as long as they like: a stranger is refused all the same.
    const done = Promise.withResolvers<undefined>();
    const writing = control.services.store.write(
      { actor: { kind: 'system', id: null, name: 'test' }, via: 'system', address: null },
      () => done.promise,
    );
    const identity = createLinkIdentity('stranger');
    const link = await openLink({ url: `http://127.0.0.1:${String(port)}`, identity, expectKey: () => true });
    const said = new Promise<string>((resolve) => {
      link.onMessage((message) => {
        if (message.kind === 'goodbye') resolve(message.reason);
      });
    });
    const tunnel = { wireguardPublicKey: `${'A'.repeat(43)}=`, endpointHost: '', endpointPort: 51820 };
    const token = createJoinToken(new Uint8Array(24), '0'.repeat(64));
    link.send({ kind: 'hello', protocolVersion: 1, software: '', token, tunnel, stateVersion: 0, addresses: [] });
    assert.equal(await said, 'tokenRefused');
    done.resolve(undefined);
    await writing;
    link.close();
  } finally {
    await control.close();
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  }
});
