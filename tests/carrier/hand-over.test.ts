import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { suite, test, type TestContext } from 'node:test';
import { CarrierError, CarrierServer } from '@sallyport/carrier';
import { WebServer } from '@sallyport/control';
import { Secret } from '@sallyport/core';
import { until } from '@sallyport/netlab';
import { TunnelHandOver } from '../../apps/server/src/carrier/hand-over.ts';
import { CERTIFICATE, Device, openClient, openTls, openWebSocket, PATH, type Gateway } from './rig.ts';

/** A console's web server that hands tunnels on to a carrier. */
async function openWeb(t: TestContext, limits = {}): Promise<Gateway & { handOver: TunnelHandOver }> {
  const device = (await Device.open(t)).echo();
  const behindWeb = { host: '127.0.0.1', port: 0 };
  const server = await CarrierServer.bind({ listen: [], behindWeb, wireguardPort: device.port, limits });
  t.after(() => server.close());
  server.open(PATH, CERTIFICATE);
  const web = await WebServer.bind([{ host: '127.0.0.1', port: 0 }], { tls: true });
  t.after(() => web.close());
  web.setCertificate({ chain: CERTIFICATE.chain, key: new Secret(CERTIFICATE.key) });
  const handOver = new TunnelHandOver();
  handOver.take({ kind: 'tunnel', path: PATH, port: server.behindWebAddress?.port });
  web.open({
    request: (_request, response) => response.end('console'),
    upgrade: (request, socket, head) => {
      if (!handOver.upgrade(request, socket, head)) socket.end('HTTP/1.1 418 Else\r\n\r\n');
    },
  });
  return { server, device, port: web.addresses[0]?.port ?? 0, handOver };
}

suite('tunnels by the port of the console', () => {
  test('are handed on, and what else is asked for stays with the console', async (t) => {
    const gateway = await openWeb(t);
    const { carrier, device, ends } = await openClient(t, gateway);
    const sent = Array.from({ length: 200 }, (_, i) => Buffer.alloc(60 + i * 7, i));
    for (const one of sent) await device.send(one, carrier.port);
    await until('all answers', () => device.received.length === sent.length);
    assert.deepEqual(device.received, sent);
    const elsewhere = openClient(t, gateway, { path: `${PATH}x` });
    await assert.rejects(elsewhere, (error: CarrierError) => error.code === 'refused' && error.message.includes('418'));
    const tls = await openTls(t, gateway);
    tls.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    assert.match(String(await once(tls, 'data')), /^HTTP\/1\.1 200 /);
    carrier.close();
    await until('its end', () => gateway.server.stats.tunnels === 0);
    assert.deepEqual(ends, []);
  });

  test('count by where they come from, and end with the carrier', async (t) => {
    const gateway = await openWeb(t, { connectionsPerAddress: 2 });
    const clients = [await openClient(t, gateway), await openClient(t, gateway)];
    await assert.rejects(openClient(t, gateway), CarrierError);
    const upgrade = (from: string): string =>
      `GET ${PATH} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n` +
      `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Forwarded-For: ${from}\r\n\r\n`;
    // What a client says of itself does not count.
    const liar = await openTls(t, gateway);
    liar.resume().write(upgrade('198.51.100.7'));
    await once(liar, 'close');
    assert.equal(gateway.server.stats.tunnels, 2);
    const direct = connect(gateway.server.behindWebAddress?.port ?? 0, '127.0.0.1');
    t.after(() => direct.destroy());
    direct.write(upgrade('198.51.100.7'));
    assert.match(String(await once(direct, 'data')), /^HTTP\/1\.1 101 /);
    await gateway.server.close();
    await until('both hear of it', () => clients.every(({ ends }) => ends.length === 1));
  });

  test('are told to go where the carrier is now, and nowhere by what is no such message', async (t) => {
    const gateway = await openWeb(t);
    for (const message of [
      undefined,
      'x',
      {},
      { kind: 'tunnel', path: '/', port: 1 },
      { kind: 'tunnel', path: PATH, port: 0 },
    ])
      gateway.handOver.take(message);
    await openWebSocket(t, gateway);
    const path = `${PATH}2`;
    gateway.handOver.take({ kind: 'tunnel', path, port: 1 });
    await assert.rejects(openClient(t, gateway), /418/);
    await assert.rejects(openClient(t, gateway, { path }), (error: CarrierError) => error.code === 'connection');
  });
});
