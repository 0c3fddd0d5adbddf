/** Trains of datagrams through real sockets: what arrives, by which path, and what is done about errors. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, test } from 'node:test';
import { Arena, DatagramSender, EAGAIN, EMSGSIZE, ENETUNREACH, EPERM, libc } from '@sallyport/io';
import { SeededRandom } from '@sallyport/testkit';
import { assertSamePackets } from '../wire/packets.ts';
import { Device, readPath } from './datagram-rig.ts';
import { enterPrivateNetwork, ip } from './private-network.ts';

enterPrivateNetwork();
ip('link add far type veth peer name farther');
ip('link set farther up');
ip('address add 192.0.2.1/24 dev far');
ip('address add 192.0.2.2/24 dev far');
ip('address add 2001:db8::1/64 dev far nodad');
ip('address add 2001:db8::2/64 dev far nodad');
ip('link set far up');
const farIndex = (JSON.parse(ip('-json link show far')) as { ifindex: number }[])[0].ifindex;
const LOOPBACK = 1;

const arena = Arena.create(4 << 20);
const a = new Device(arena);
const b = new Device(arena);
after(() => {
  a.close();
  b.close();
});
const random = new SeededRandom(3);

/** Datagrams of `size` bytes, the last of which may be shorter. */
function split(bytes: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.slice(i * size, (i + 1) * size));
}

const families = [
  { name: 'IPv4', loopback: '127.0.0.1', first: '192.0.2.1', second: '192.0.2.2', nowhere: '203.0.113.1' },
  { name: 'IPv6', loopback: '::1', first: '2001:db8::1', second: '2001:db8::2', nowhere: '2001:db8:ffff::1' },
];

for (const { name, loopback, first, second, nowhere } of families) {
  test(`${name}: a train arrives as the same datagrams, with the path that it came by`, () => {
    a.aim(second, b.port, first);
    const before = b.trains;
    for (const [total, size] of [
      [64 * 1000, 1000],
      [10 * 1452 + 7, 1452],
      [3, 2],
      [1452, 1452],
    ]) {
      const bytes = random.bytes(total);
      assert.equal(a.send(bytes, size), 0);
      const received = b.receive(Math.ceil(total / size));
      assertSamePackets(
        received.map((datagram) => datagram.bytes),
        split(bytes, size),
      );
      for (const { remote, port, local, index } of received)
        assert.deepEqual(
          { remote, port, local },
          { remote: first, port: a.port, local: second },
          `by ${String(index)}`,
        );
      assert.ok(received.every(({ index }) => index === farIndex || index === LOOPBACK));
    }
    assert.equal(a.sender.failures, 0);
    assert.equal(b.trains - before, 4, 'each came by one call');
  });

  test(`${name}: an answer by the path of what came goes back from the address that was written to`, () => {
    a.aim(second, b.port, first);
    assert.equal(a.send(random.bytes(100)), 0);
    const [came] = b.receive(1);
    b.aim(came.remote, came.port, came.local);
    assert.equal(b.send(random.bytes(50)), 0);
    const [answer] = a.receive(1);
    assert.equal(answer.remote, second);
    assert.equal(answer.local, first);
  });

  test(`${name}: the TOS byte arrives, of trains and single datagrams, and is 0 where none was set`, () => {
    a.aim(loopback, b.port);
    for (const tos of [0, 1, 2, 3, 0x88]) {
      assert.equal(a.send(random.bytes(300), 100, tos), 0);
      assert.equal(a.send(random.bytes(100), 100, tos), 0);
      assert.deepEqual(
        b.receive(4).map((datagram) => datagram.tos),
        [tos, tos, tos, tos],
      );
    }
  });

  test(`${name}: a local address that has gone is forgotten, there and in its origin, and the datagrams go`, () => {
    const gone = name === 'IPv4' ? '192.0.2.77' : '2001:db8::77';
    for (const segmentSize of [100, 300]) {
      a.aim(loopback, b.port, gone);
      const origin = arena.allocate(64);
      arena.u8.copyWithin(origin, a.path, a.path + 64);
      arena.u32[(a.path + 48) >> 2] = origin;
      const bytes = random.bytes(300);
      assert.equal(a.send(bytes, segmentSize), 0);
      const received = b.receive(300 / segmentSize);
      assertSamePackets(
        received.map((datagram) => datagram.bytes),
        split(bytes, segmentSize),
      );
      assert.equal(received[0].remote, loopback);
      const zero = name === 'IPv4' ? '0.0.0.0' : '::';
      assert.equal(readPath(arena, a.path).local, zero);
      assert.equal(readPath(arena, origin).local, zero);
      assert.equal(readPath(arena, origin).remote, loopback);
    }
    assert.equal(a.sender.failures, 0);
  });

  test(`${name}: what nobody routes is counted, each datagram of a train`, () => {
    a.aim(nowhere, 9);
    assert.equal(a.send(random.bytes(100)), ENETUNREACH);
    assert.equal(a.sender.failures, 1);
    assert.equal(a.send(random.bytes(250), 100), ENETUNREACH);
    assert.equal(a.sender.failures, 4);
    a.sender.failures = 0;
    a.aim(loopback, b.port);
    assert.equal(a.send(random.bytes(100)), 0, 'and what is routed still goes');
    assert.equal(b.receive(1).length, 1);
  });

  test(`${name}: what a firewall refuses is counted`, () => {
    const port = String(b.port);
    execFileSync('nft', ['-f', '-'], {
      input: `table inet t { chain out { type filter hook output priority 0; udp dport ${port} drop; }; }\n`,
    });
    try {
      a.aim(loopback, b.port);
      assert.equal(a.send(random.bytes(100)), EPERM);
      assert.equal(a.send(random.bytes(300), 100), EPERM);
      assert.equal(a.sender.failures, 4);
    } finally {
      execFileSync('nft', ['delete', 'table', 'inet', 't']);
      a.sender.failures = 0;
    }
  });

  test(`${name}: without a socket of the family nothing is sent, and that is counted`, () => {
    const sender = new DatagramSender(arena, arena.allocate(DatagramSender.scratchBytes), false);
    a.aim(loopback, b.port);
    assert.equal(sender.send(a.path, 10, 10, a.path, 0), ENETUNREACH);
    assert.equal(sender.failures, 1);
  });

  test(`${name}: where the path is too narrow for the datagrams they go all the same, in fragments`, () => {
    ip('link set lo mtu 1280');
    try {
      const device = new Device(arena);
      try {
        device.aim(loopback, b.port);
        const bytes = random.bytes(5 * 1452 + 9);
        assert.equal(device.send(bytes, 1452), 0);
        assertSamePackets(
          b.receive(6).map((datagram) => datagram.bytes),
          split(bytes, 1452),
        );
        assert.equal(device.sender.failures, 0);
        // And what fits goes as a train again.
        const before = b.trains;
        const narrow = random.bytes(10 * 1000);
        assert.equal(device.send(narrow, 1000), 0);
        assertSamePackets(
          b.receive(10).map((datagram) => datagram.bytes),
          split(narrow, 1000),
        );
        assert.equal(b.trains - before, 1);
      } finally {
        device.close();
      }
    } finally {
      ip('link set lo mtu 65536');
    }
  });
}

test('a datagram larger than UDP allows is refused and counted, the largest gets through', () => {
  a.aim('127.0.0.1', b.port);
  assert.equal(a.send(new Uint8Array(66_000), 66_000), EMSGSIZE);
  assert.equal(a.sender.failures, 1);
  a.sender.failures = 0;
  assert.equal(a.send(random.bytes(65_507)), 0);
  assert.equal(b.receive(1)[0].bytes.length, 65_507);
});

const SO_SNDBUF = 7;

test('a full socket buffer: who may wait gets through; who may not, or has waited in vain, gives up and counts', () => {
  ip('link add slow type veth peer name slower');
  ip('link set slower up');
  ip('address add 198.51.100.1/24 dev slow');
  ip('link set slow up');
  ip('neighbour add 198.51.100.2 dev slow lladdr 02:00:00:00:00:02');
  const limit = (rate: string) =>
    execFileSync('tc', `qdisc add dev slow root tbf rate ${rate} burst 1600 limit 1000000`.split(' '));
  const unlimit = () => execFileSync('tc', 'qdisc delete dev slow root'.split(' '));
  /** Sends a thousand datagrams through a buffer for a dozen, or as many as go; returns the last one's errno. */
  const fill = (device: Device): number => {
    device.aim('198.51.100.2', 9);
    arena.view.setInt32(arena.scratch, 16_384, true);
    assert.equal(libc.setsockopt(device.sockets.fd4, 1, SO_SNDBUF, arena.address + arena.scratch, 4), 0);
    device.sender.refresh();
    let failed = 0;
    for (let i = 0; i < 1000 && failed === 0; i++) failed = device.send(new Uint8Array(1400));
    return failed;
  };
  const hasty = new Device(arena, false);
  const patient = new Device(arena, true);
  try {
    limit('40mbit');
    assert.equal(fill(hasty), EAGAIN);
    assert.equal(hasty.sender.failures, 1);
    unlimit();

    limit('40mbit');
    assert.equal(fill(patient), 0);
    assert.equal(patient.sender.failures, 0);
    unlimit();

    limit('800bit');
    assert.equal(fill(patient), EAGAIN);
    assert.equal(patient.sender.failures, 1);
    assert.equal(patient.send(new Uint8Array(2800), 1400), EAGAIN);
    assert.equal(patient.sender.failures, 3);
    unlimit();
    patient.sender.refresh();
    assert.equal(patient.send(new Uint8Array(1400)), 0, 'and goes on once there is room');
  } finally {
    hasty.close();
    patient.close();
    ip('link delete slow');
  }
});
