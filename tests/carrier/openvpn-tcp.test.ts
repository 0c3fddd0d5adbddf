import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { openOpenVpnTcpClient } from '@sallyport/carrier';
import { until } from '@sallyport/netlab';
import { SeededRandom } from '@sallyport/testkit';
import { data, framed, openOpenVpnGateway, openStream, reset, type Stream } from './openvpn-rig.ts';
import { Device } from './rig.ts';

suite('OpenVPN over TCP at the gateway', () => {
  test('packets arrive one by one, in whatever pieces the stream came, and go back', async (t) => {
    const { port, device, server } = await openOpenVpnGateway(t);
    device.echo();
    const random = new SeededRandom(9);
    const sent = [reset(), ...Array.from({ length: 300 }, (_, i) => data(1 + random.below(1600), i))];
    const bytes = framed(...sent);
    const { socket, packets } = await openStream(t, port);
    socket.setNoDelay(true);
    for (let at = 0; at < bytes.length;) {
      // Much at first: Node has read beyond the first packet then.
      const end = at === 0 ? 100_000 : at + 1 + random.below(4000);
      socket.write(bytes.subarray(at, end));
      at = end;
      if (random.chance(0.2)) await sleep(1);
    }
    await until('all answers', () => packets().length === sent.length);
    assert.deepEqual(device.received, sent);
    assert.deepEqual(packets(), sent);
    assert.equal(server.stats.dropped, 0);
  });

  test('who comes from the same place has one address at the gateway, others have another', async (t) => {
    const { port, webPort, device, server } = await openOpenVpnGateway(t);
    for (let i = 0; i < 3; i++) (await openStream(t, port)).socket.write(framed(reset(60, i === 0 ? 7 : 10)));
    for (const from of ['192.0.2.1', '2001:db8::1', '2001:db8::2']) {
      (await openStream(t, webPort)).socket.write(Buffer.concat([Buffer.from(`${from}\n`), framed(reset())]));
    }
    await until('all six', () => device.received.length === 6);
    assert.equal(device.from.size, 6);
    const addresses = new Set([...device.from].map((from) => from.split(':')[0]));
    // Two of one /64 count as one.
    assert.equal(addresses.size, 3);
    for (const address of addresses) assert.match(address ?? '', /^127\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./);
    assert.equal(server.stats.tunnels, 6);
  });

  test('what does not begin with a hard reset is closed before anything reaches the gateway', async (t) => {
    const { port, device, server } = await openOpenVpnGateway(t, { firstPacketMs: 300 });
    const beginnings = [
      Buffer.from('GET / HTTP/1.1\r\n\r\n'),
      Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]),
      framed(data(60, 1)),
      framed(reset(13)),
      framed(reset(2049)),
      framed(reset(60, 8)),
      Buffer.from([0, 0, 0x50]),
    ];
    for (const beginning of beginnings) {
      const { socket, ended } = await openStream(t, port);
      socket.write(beginning);
      await until(`the end of ${beginning.toString('latin1', 0, 8)}`, ended);
    }
    const slow = [Buffer.alloc(0), framed(reset()).subarray(0, 2), framed(reset()).subarray(0, 50)];
    for (const beginning of slow) {
      const { socket, ended } = await openStream(t, port);
      socket.write(beginning);
      await until('the end of patience', ended);
    }
    assert.deepEqual(device.received, []);
    assert.deepEqual([server.stats.tunnels, server.stats.refused], [0, 0]);
  });

  test('a stream that goes wrong later is closed, what came before passed on', async (t) => {
    const { port, device, server } = await openOpenVpnGateway(t);
    for (const wrong of [Buffer.from([0, 0]), Buffer.from([0xff, 0xff, 1]), Buffer.from([0x27, 0x11, 1])]) {
      const { socket, ended } = await openStream(t, port);
      socket.write(framed(reset()));
      await until('its tunnel', () => server.stats.tunnels === 1);
      socket.write(wrong);
      await until('its end', () => ended() && server.stats.tunnels === 0);
    }
    const { socket, ended } = await openStream(t, port);
    socket.write(Buffer.concat([framed(reset()), Buffer.from([0, 0])]));
    await until('its end', ended);
    await until('all resets', () => device.received.length === 4 && server.stats.tunnels === 0);
  });

  test('there are so many connections from one place, and none for who is not answered or idle', async (t) => {
    const { port, device, server } = await openOpenVpnGateway(t, {
      connectionsPerAddress: 2,
      answerMs: 1000,
      idleMs: 3000,
    });
    const first = await openStream(t, port);
    const second = await openStream(t, port);
    const third = await openStream(t, port);
    await until('the third is refused', third.ended);
    assert.equal(server.stats.refused, 1);
    first.socket.write(framed(reset()));
    await until('its reset', () => device.received.length === 1);
    await until('it has no answer', first.ended);
    device.echo();
    second.socket.write(framed(reset(), data(60, 1)));
    await until('its answer', () => second.packets().length === 2);
    const since = performance.now();
    await until('it is idle', second.ended);
    assert.ok(performance.now() - since > 1000);
    await until('no tunnel', () => server.stats.tunnels === 0);
    const again = await openStream(t, port);
    again.socket.write(framed(reset()));
    await until('there is room again', () => again.packets().length === 1);
  });

  test('only what the gateway sends is life: pings to who is in, and no answers to resets', async (t) => {
    const { port, device, server } = await openOpenVpnGateway(t, { loginMs: 2000, idleMs: 2000 });
    device.echo();
    const pinged = await openStream(t, port);
    pinged.socket.write(framed(reset(), data(60, 1)));
    await until('its answers', () => pinged.packets().length === 2);
    const reseter = await openStream(t, port);
    const junk = await openStream(t, port);
    junk.socket.write(framed(reset(), data(60, 1)));
    reseter.socket.write(framed(reset()));
    await until('all answers', () => reseter.packets().length === 1 && junk.packets().length === 2);
    const [toPinged = ''] = device.from;
    const timer = setInterval(() => {
      reseter.socket.write(framed(reset()));
      junk.socket.write(framed(Buffer.of(0)));
      void device.send(data(40, 2), toPinged);
    }, 50);
    t.after(() => {
      clearInterval(timer);
    });
    device.echo((message) => message.length > 1);
    await until('the end of both', () => reseter.ended() && junk.ended() && server.stats.tunnels === 1);
    assert.equal(pinged.ended(), false);
  });

  test('a network has so many connections, however many addresses it has', async (t) => {
    const { webPort, device, server } = await openOpenVpnGateway(t, { connectionsPerNetwork: 3 });
    device.echo();
    const from = async (address: string): Promise<Stream> => {
      const stream = await openStream(t, webPort);
      stream.socket.write(Buffer.concat([Buffer.from(`${address}\n`), framed(reset())]));
      return stream;
    };
    for (const network of ['2001:db8:1:', '192.0.2.']) {
      const ends = network.includes(':') ? '::1' : '';
      for (const one of [1, 2, 3]) {
        const stream = await from(`${network}${String(one)}${ends}`);
        await until('its answer', () => stream.packets().length === 1);
      }
      await until('one too many', (await from(`${network}4${ends}`)).ended);
    }
    for (const address of ['2001:db8:2::1', '198.51.100.1']) {
      const stream = await from(address);
      await until('its answer', () => stream.packets().length === 1);
    }
    assert.deepEqual([server.stats.tunnels, server.stats.refused], [8, 2]);
  });

  test('where all places are taken those give way that are not in, the oldest first', async (t) => {
    const { port, device, server } = await openOpenVpnGateway(t, { connections: 3 });
    device.echo();
    const into = async (): Promise<Stream> => {
      const stream = await openStream(t, port);
      stream.socket.write(framed(reset(), data(60, 1)));
      await until('it is in', () => stream.packets().length === 2);
      return stream;
    };
    const first = await into();
    const silent = await openStream(t, port);
    const answered = await openStream(t, port);
    answered.socket.write(framed(reset()));
    await until('its answer', () => answered.packets().length === 1);
    const second = await into();
    await until('the silent one gave way', silent.ended);
    assert.equal(answered.ended(), false);
    const third = await into();
    await until('the one that was answered gave way', answered.ended);
    await until('who is in stays', (await openStream(t, port)).ended);
    assert.deepEqual(
      [first, second, third].map(({ ended }) => ended()),
      [false, false, false],
    );
    assert.deepEqual([server.stats.tunnels, server.stats.refused], [3, 3]);
    first.socket.destroy();
    await until('its place is free', () => server.stats.tunnels === 2);
    await into();
  });

  test('it tells where a client comes from, once OpenVPN has answered, and that it is gone', async (t) => {
    const { port, webPort, device, sources } = await openOpenVpnGateway(t);
    const streams = [await openStream(t, port), await openStream(t, webPort), await openStream(t, webPort)];
    const lines = ['', '::ffff:192.0.2.1\n', '2001:db8::7%eth0\n'];
    for (const [i, { socket }] of streams.entries()) {
      socket.write(Buffer.concat([Buffer.from(lines[i] ?? ''), framed(reset())]));
      await until('its reset', () => device.received.length === i + 1);
    }
    assert.deepEqual(sources, []);
    const locals = [...device.from];
    for (const local of locals) {
      await device.send(reset(), local);
      await device.send(reset(), local);
    }
    await until('the answers', () => streams.every(({ packets }) => packets().length === 2));
    assert.deepEqual(sources, [
      [locals[0], '127.0.0.1'],
      [locals[1], '192.0.2.1'],
      [locals[2], '2001:db8::7'],
    ]);
    streams[1]?.socket.destroy();
    await until('its end', () => sources.length === 4);
    assert.deepEqual(sources[3], [locals[1], null]);
    const nowhere = await openStream(t, webPort);
    nowhere.socket.write(Buffer.concat([Buffer.from('unknown\n'), framed(reset())]));
    device.echo();
    await until('its reset', () => device.received.length === 4);
    assert.equal(sources.length, 4);
  });

  test('what a client does not take is dropped rather than kept', async (t) => {
    const { port, device, server } = await openOpenVpnGateway(t);
    const { socket } = await openStream(t, port);
    socket.pause();
    socket.write(framed(reset()));
    await until('its reset', () => device.received.length === 1);
    const [to = ''] = device.from;
    for (let sent = 0; sent < 20_000 && server.stats.dropped < 100; sent += 100) {
      for (let i = 0; i < 100; i++) await device.send(data(1400, 1), to);
      await sleep(2);
    }
    assert.ok(server.stats.dropped >= 100);
    assert.ok(server.stats.waitingBytes < 2 * 1024 * 1024, String(server.stats.waitingBytes));
  });

  test('a client that reads late gets whole packets, and what is sent after that too', async (t) => {
    const { port, device, server } = await openOpenVpnGateway(t);
    const { socket, packets } = await openStream(t, port);
    socket.pause();
    socket.write(framed(reset()));
    await until('its reset', () => device.received.length === 1);
    const [to = ''] = device.from;
    let sent = 0;
    const send = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) await device.send(data(1000 + (sent % 7), sent++ % 256), to);
      await sleep(2);
    };
    while (server.stats.dropped === 0) await send(100);
    socket.resume();
    await until('nothing waits', () => server.stats.waitingBytes === 0);
    await send(100);
    await until(
      'the last one',
      () =>
        packets()
          .at(-1)
          ?.equals(data(1000 + ((sent - 1) % 7), (sent - 1) % 256)) === true,
    );
    const came = packets();
    assert.ok(came.length < sent);
    for (const packet of came) {
      const number = packet[1] ?? 0;
      assert.ok(packet.equals(data(packet.length, number)) && packet.length >= 1000 && packet.length < 1007);
    }
  });

  test('connections that end at once, by half or by a reset, leave no descriptor behind', async (t) => {
    const { port, device, server } = await openOpenVpnGateway(t, {
      connectionsPerAddress: 300,
      connectionsPerNetwork: 300,
    });
    device.echo();
    const descriptors = (): number => readdirSync('/proc/self/fd').length;
    // The thread's own are there then.
    (await openStream(t, port)).socket.write(framed(reset()));
    await until('the first', () => server.stats.tunnels === 1);
    const before = descriptors();
    const streams: Stream[] = [];
    for (let i = 0; i < 200; i++) {
      const stream = await openStream(t, port);
      // Some are cut within a packet.
      stream.socket.write(
        Buffer.concat([framed(reset(), data(60, i)), i % 3 === 0 ? Buffer.of(0, 9, 1) : Buffer.alloc(0)]),
      );
      streams.push(stream);
    }
    await until('all answers', () => streams.every(({ packets }) => packets().length === 2));
    assert.equal(server.stats.tunnels, 201);
    for (const [i, { socket }] of streams.entries())
      if (i % 2 === 0) socket.end();
      else socket.resetAndDestroy();
    await until('all ends', () => server.stats.tunnels === 1 && streams.every(({ ended }) => ended()));
    await until('their descriptors', () => descriptors() === before);
  });

  test('the web server of the machine says where a connection comes from', async (t) => {
    const { webPort, device, server } = await openOpenVpnGateway(t, { connectionsPerAddress: 1, firstPacketMs: 2000 });
    device.echo();
    const bytes = (from: string): Buffer => Buffer.concat([Buffer.from(`${from}\n`), framed(reset())]);
    const first = await openStream(t, webPort);
    first.socket.write(bytes('192.0.2.1'));
    await until('its answer', () => first.packets().length === 1);
    const same = await openStream(t, webPort);
    same.socket.write(bytes('::ffff:192.0.2.1'));
    await until('it is one too many', same.ended);
    const other = await openStream(t, webPort);
    for (const byte of bytes('2001:db8::1')) other.socket.write(Buffer.of(byte));
    await until('its answer', () => other.packets().length === 1);
    for (const wrong of [Buffer.alloc(80, 65), Buffer.from('192.0.2.9\nGET / HTTP/1.1\r\n'), framed(reset())]) {
      const { socket, ended } = await openStream(t, webPort);
      socket.write(wrong);
      await until('its end', ended);
    }
    assert.equal(server.stats.tunnels, 2);
    assert.deepEqual(device.received.length, 2);
  });

  test('it takes nobody before it is open, and ends all when it closes', async (t) => {
    const { server, port, device } = await openOpenVpnGateway(t);
    const { socket, ended } = await openStream(t, port);
    const silent = await openStream(t, port);
    socket.write(framed(reset()));
    await until('its tunnel', () => device.received.length === 1);
    await server.close();
    await until('both ends', () => ended() && silent.ended());
  });
});

test('however a process with connections ends, their thread does not keep it', async () => {
  const child = fileURLToPath(new URL('./relay-exit-child.ts', import.meta.url));
  for (const [how, code] of [
    ['exit', 7],
    ['throw', 1],
  ] as const) {
    const [ended] = (await once(spawn(process.execPath, [child, how], { stdio: 'ignore' }), 'exit')) as [number];
    assert.equal(ended, code);
  }
});

test("the client's end passes packets on as datagrams, and tells of the end", async (t) => {
  const gateway = await openOpenVpnGateway(t);
  gateway.device.echo();
  const device = await Device.open(t);
  const ends: string[] = [];
  const socket = connect(gateway.port, '127.0.0.1');
  await once(socket, 'connect');
  const client = openOpenVpnTcpClient({ socket, openvpnPort: device.port, onClose: (reason) => ends.push(reason) });
  t.after(() => {
    client.close();
  });
  const sent = [reset(), ...Array.from({ length: 100 }, (_, i) => data(100 + i, i))];
  for (const packet of sent) await device.send(packet, client.port);
  await until('all answers', () => device.received.length === sent.length);
  assert.deepEqual(device.received, sent);
  await gateway.server.close();
  await until('it hears of the end', () => ends.length === 1);
});
