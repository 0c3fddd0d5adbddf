import assert from 'node:assert/strict';
import { once } from 'node:events';
import { suite, test, type TestContext } from 'node:test';
import { WebServer } from '@sallyport/control';
import { Secret } from '@sallyport/core';
import { until } from '@sallyport/netlab';
import { TunnelHandOver } from '../../apps/server/src/carrier/hand-over.ts';
import { data, framed, openOpenVpnGateway, openStream, reset, type OpenVpnGateway } from './openvpn-rig.ts';
import { ask, CERTIFICATE, openTcp, openTls, PATH } from './rig.ts';

interface Shared extends OpenVpnGateway {
  readonly consolePort: number;
  readonly handOver: TunnelHandOver;
  readonly web: WebServer;
}

/** A console's web server on whose port OpenVPN comes too. */
async function openShared(t: TestContext, limits = {}): Promise<Shared> {
  const gateway = await openOpenVpnGateway(t, limits);
  const handOver = new TunnelHandOver();
  const web = await WebServer.bind([{ host: '127.0.0.1', port: 0 }], { tls: true, other: handOver.openvpn });
  t.after(() => web.close());
  web.setCertificate({ chain: CERTIFICATE.chain, key: new Secret(CERTIFICATE.key) });
  handOver.take({ kind: 'tunnel', path: PATH, openvpnPort: gateway.webPort });
  web.open({ request: (_request, response) => response.end('console\n') });
  return { ...gateway, consolePort: web.addresses[0]?.port ?? 0, handOver, web };
}

const REQUEST = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';

suite('OpenVPN on the port of the console', () => {
  test('is told from TLS by its first bytes, in whatever pieces they come', async (t) => {
    const shared = await openShared(t);
    shared.device.echo();
    const sent = [reset(), ...Array.from({ length: 200 }, (_, i) => data(40 + 7 * i, i))];
    const { socket, packets } = await openStream(t, shared.consolePort);
    const bytes = framed(...sent);
    for (let at = 0; at < 5; at++) {
      socket.write(bytes.subarray(at, at + 1));
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    socket.write(bytes.subarray(5));
    await until('all answers', () => packets().length === sent.length);
    assert.deepEqual(packets(), sent);
    for (let i = 0; i < 3; i++) {
      const tls = await openTls(t, { port: shared.consolePort });
      assert.match(await ask(tls, REQUEST), /^HTTP\/1\.1 200 [^]*console\n$/);
    }
    socket.destroy();
    await until('its end', () => shared.server.stats.tunnels === 0);
  });

  test('is nothing for who says something else, nothing, or part of it', async (t) => {
    const shared = await openShared(t);
    for (const wrong of ['GET / HTTP/1.1\r\n\r\n', '\0\0\0\0\0\0\0\0', '\x01\x02\x39abc']) {
      const { socket, ended } = await openStream(t, shared.consolePort);
      socket.write(Buffer.from(wrong, 'latin1'));
      await until('its end', ended);
    }
    const half = await openTcp(t, { port: shared.consolePort });
    half.resume().end(Buffer.of(0));
    await once(half, 'close');
    assert.deepEqual(shared.device.received, []);
    assert.match(await ask(await openTls(t, { port: shared.consolePort }), REQUEST), / 200 /);
  });

  test('counts by where it comes from, and ends with either side', async (t) => {
    const shared = await openShared(t, { connectionsPerAddress: 1 });
    const first = await openStream(t, shared.consolePort);
    first.socket.write(framed(reset()));
    await until('its tunnel', () => shared.server.stats.tunnels === 1);
    const second = await openStream(t, shared.consolePort);
    second.socket.write(framed(reset()));
    await until('it is one too many', second.ended);
    const silent = await openStream(t, shared.consolePort);
    await shared.web.close();
    await until('both ends', () => first.ended() && silent.ended());
  });

  test('goes nowhere where there is no carrier', async (t) => {
    const shared = await openShared(t);
    shared.handOver.take({ kind: 'tunnel', path: PATH });
    const { socket, ended } = await openStream(t, shared.consolePort);
    socket.write(framed(reset()));
    await until('its end', ended);
    assert.deepEqual(shared.device.received, []);
  });
});
