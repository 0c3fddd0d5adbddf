/** The ports that devices listen on, in a network of the test's own. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test } from 'node:test';
import { Arena, closeUdpSockets, libc, openUdpSockets, type SystemCallError, type UdpSockets } from '@sallyport/io';
import { enterPrivateNetwork } from './private-network.ts';

enterPrivateNetwork();
const arena = Arena.create(65_536);
const IPV4 = 2;
const IPV6 = 10;
const SOL_SOCKET = 1;
const SO_MARK = 36;

function portOf(fd: number, family: number): number {
  const at = arena.allocate(64);
  arena.view.setUint32(at + 32, 28, true);
  assert.equal(libc.getsockname(fd, arena.address + at, arena.address + at + 32), 0);
  assert.equal(arena.view.getUint16(at, true), family);
  return arena.view.getUint16(at + 2);
}

function markOf(fd: number): number {
  const at = arena.allocate(16);
  arena.view.setUint32(at + 8, 4, true);
  assert.equal(libc.getsockopt(fd, SOL_SOCKET, SO_MARK, arena.address + at, arena.address + at + 8), 0);
  return arena.view.getUint32(at, true);
}

function withSockets(
  port: number,
  workers: number,
  mark: number,
  use: (port: number, sockets: UdpSockets[]) => void,
): void {
  const opened = openUdpSockets(arena, port, workers, mark);
  try {
    use(opened.port, opened.sockets);
  } finally {
    closeUdpSockets(opened.sockets);
  }
}

const taken = (port: number) => (error: SystemCallError) => {
  assert.equal(error.code, 'EADDRINUSE');
  assert.equal(error.message, `listen on UDP port ${String(port)}: EADDRINUSE`);
  return true;
};

for (const workers of [1, 3]) {
  test(`${String(workers)} workers: each has a socket of either family, all on one port`, () => {
    for (const wanted of [0, 51820]) {
      withSockets(wanted, workers, 0, (port, sockets) => {
        assert.ok(wanted === 0 ? port > 0 : port === wanted);
        assert.equal(sockets.length, workers);
        for (const { fd4, fd6 } of sockets) {
          assert.equal(portOf(fd4, IPV4), port);
          assert.equal(portOf(fd6, IPV6), port);
        }
        assert.equal(new Set(sockets.flatMap(({ fd4, fd6 }) => [fd4, fd6])).size, 2 * workers);
      });
    }
  });

  test(`${String(workers)} workers: a second device can't have their port, and it is free once they are closed`, () => {
    withSockets(0, workers, 0, (port) => {
      for (const others of [1, 2]) assert.throws(() => openUdpSockets(arena, port, others, 0), taken(port));
    });
    withSockets(51820, 2, 0, () => undefined);
    withSockets(51820, 1, 0, () => undefined);
  });

  test(`${String(workers)} workers: a port that another program has in one family is taken, and nothing stays open`, async () => {
    for (const [type, address] of [
      ['udp4', '127.0.0.1'],
      ['udp6', '::1'],
    ] as const) {
      const other = createSocket(type);
      other.bind(0, address);
      await once(other, 'listening');
      const { port } = other.address();
      assert.throws(() => openUdpSockets(arena, port, workers, 0), taken(port));
      other.close();
      await once(other, 'close');
      withSockets(port, workers, 0, () => undefined);
    }
  });
}

test('sockets carry the mark that they were opened with', () => {
  withSockets(0, 2, 0xcafe, (_port, sockets) => {
    for (const { fd4, fd6 } of sockets) assert.deepEqual([markOf(fd4), markOf(fd6)], [0xcafe, 0xcafe]);
  });
});
