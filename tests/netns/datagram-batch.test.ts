/** Many datagrams in one call, through real sockets: what arrives, in which order, and by which path. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { PATH_LISTENER } from '@sallyport/core';
import { Arena, DatagramBatchReceiver, EAGAIN, EBADF, ENOSYS, type libc } from '@sallyport/io';
import { SeededRandom } from '@sallyport/testkit';
import koffi from 'koffi';
import { assertSamePackets } from '../wire/packets.ts';
import { Device, readPath, type Path } from './datagram-rig.ts';
import { enterPrivateNetwork } from './private-network.ts';

enterPrivateNetwork();

const LISTENER = 2;
const { maxCount, scratchBytes, areaBytes } = DatagramBatchReceiver;
const arena = Arena.create(32 << 20);
const senders = [new Device(arena), new Device(arena), new Device(arena)];
const target = new Device(arena);
after(() => {
  for (const device of [...senders, target]) device.close();
});
const random = new SeededRandom(5);

interface Taken {
  readonly datagrams: Uint8Array[];
  readonly path: Path;
  readonly record: number;
}

/** A receiver on the target's sockets. */
class Rig {
  readonly scratch = arena.allocate(scratchBytes);
  readonly receiver: DatagramBatchReceiver;

  constructor(receiveMany?: typeof libc.recvmmsg) {
    this.receiver = new DatagramBatchReceiver(arena, this.scratch, arena.allocate(areaBytes), receiveMany);
  }

  /** One call: each datagram or train that it brought. */
  receive(fd: number): Taken[] {
    const { receiver } = this;
    const count = receiver.receive(fd, LISTENER);
    assert.ok(count >= 0 || count === -EAGAIN, `receive: ${String(count)}`);
    const taken = Array.from({ length: Math.max(0, count) }, (_, i) => {
      receiver.take(i);
      const { at, length, segmentSize, path } = receiver;
      const datagrams: Uint8Array[] = [];
      for (let offset = 0; offset < length; offset += segmentSize)
        datagrams.push(arena.u8.slice(at + offset, at + Math.min(length, offset + segmentSize)));
      return { datagrams, record: path };
    });
    // What each path record says, now that all are taken: none is written over by a later one.
    return taken.map(({ datagrams, record }) => {
      assert.equal(arena.u32[(record + PATH_LISTENER) >> 2], LISTENER);
      return { datagrams, record, path: readPath(arena, record) };
    });
  }

  /** Calls until there is nothing more. */
  drain(fd: number): Taken[][] {
    const calls: Taken[][] = [];
    for (;;) {
      const taken = this.receive(fd);
      if (taken.length === 0) return calls;
      calls.push(taken);
    }
  }
}

const rig = new Rig();
const single = new Rig(() => {
  koffi.errno(ENOSYS);
  return -1;
});

interface Sent {
  readonly datagrams: Uint8Array[];
  readonly tos: number;
  readonly sender: Device;
}

function send(sender: Device, loopback: string, sizes: readonly number[], tos = 0): Sent {
  const datagrams = sizes.map((size) => random.bytes(size));
  sender.aim(loopback, target.port);
  assert.equal(sender.send(Buffer.concat(datagrams), sizes[0], tos), 0);
  return { datagrams, tos, sender };
}

function assertArrived(taken: readonly Taken[], sent: readonly Sent[], loopback: string): void {
  assert.deepEqual(
    taken.map(({ path: { remote, local, port, tos } }) => ({ remote, local, port, tos })),
    sent.map(({ sender: { port }, tos }) => ({ remote: loopback, local: loopback, port, tos })),
  );
  assertSamePackets(
    taken.flatMap(({ datagrams }) => datagrams),
    sent.flatMap(({ datagrams }) => datagrams),
  );
}

for (const { name, fd, loopback } of [
  { name: 'IPv4', fd: target.sockets.fd4, loopback: '127.0.0.1' },
  { name: 'IPv6', fd: target.sockets.fd6, loopback: '::1' },
]) {
  for (const [how, by] of Object.entries({ together: rig, 'one by one': single })) {
    test(`${name}, ${how}: several senders interleaved arrive in order, each with its own path`, () => {
      const sent = Array.from({ length: 40 }, () => send(random.pick(senders), loopback, [1 + random.below(1400)]));
      const taken = by.receive(fd);
      assertArrived(taken, sent, loopback);
      for (const [i, { record }] of taken.entries())
        if (i > 0) assert.equal(record === taken[i - 1].record, sent[i].sender === sent[i - 1].sender, String(i));
    });

    test(`${name}, ${how}: trains among single datagrams keep their sizes, and TOS makes a path of its own`, () => {
      const sent = [
        send(senders[0], loopback, [700, 700, 700, 9]),
        send(senders[0], loopback, [700]),
        send(senders[0], loopback, [700, 700]),
        send(senders[1], loopback, [300, 300, 300]),
        send(senders[1], loopback, [200, 200, 1], 3),
        send(senders[1], loopback, [200], 3),
        send(senders[1], loopback, [1], 0),
        send(senders[2], loopback, new Array<number>(64).fill(1000)),
        send(senders[2], loopback, [1400]),
      ];
      assertArrived(by.drain(fd).flat(), sent, loopback);
    });

    test(`${name}, ${how}: as many as there is room for, the rest by the next call`, () => {
      by.drain(fd);
      const sent = Array.from({ length: 2 * maxCount + 3 }, (_, i) => send(senders[i & 1], loopback, [100]));
      const calls = by.drain(fd);
      assert.deepEqual(
        calls.map((taken) => taken.length),
        [maxCount, maxCount, 3],
      );
      assertArrived(calls.flat(), sent, loopback);
    });

    test(`${name}, ${how}: after full trains fewer are asked for, after single datagrams many again`, () => {
      const full = new Array<number>(45).fill(1450);
      const sent = Array.from({ length: 24 }, () => send(senders[0], loopback, full));
      const [first, ...others] = by.drain(fd);
      assert.ok(others.every((taken) => taken.length <= 9));
      assertArrived([first, ...others].flat(), sent, loopback);
      const singles = Array.from({ length: 30 }, () => send(senders[1], loopback, [100]));
      const calls = by.drain(fd);
      assert.ok(calls.length <= 3, `${String(calls.length)} calls`);
      assertArrived(calls.flat(), singles, loopback);
    });

    test(`${name}, ${how}: an empty datagram is none of the path's trains`, () => {
      const sent = [
        send(senders[0], loopback, [10, 10]),
        send(senders[0], loopback, [0]),
        send(senders[0], loopback, [10, 10]),
      ];
      const taken = by.drain(fd).flat();
      assert.deepEqual(
        taken.map(({ datagrams }) => datagrams.length),
        [2, 0, 2],
      );
      assertArrived(taken, [sent[0], { ...sent[1], datagrams: [] }, sent[2]], loopback);
    });
  }

  test(`${name}: what was cut off says that it is nothing, and those around it arrive`, () => {
    const tight = new Rig();
    // The length of the second slot's vector.
    arena.u32[(tight.scratch + maxCount * 64 + 16 + 8) >> 2] = 99;
    const sent = [1, 2, 3].map(() => send(senders[0], loopback, [100]));
    const taken = tight.receive(fd);
    assert.equal(tight.receiver.receive(fd), -EAGAIN);
    assertArrived(taken, [sent[0], { ...sent[1], datagrams: [] }, sent[2]], loopback);
    const fits = [99, 99].map((size) => send(senders[0], loopback, [size]));
    assertArrived(tight.receive(fd), fits, loopback);
  });
}

test("both families by one receiver, in turn: nothing of the one is left in the other's paths", () => {
  // prettier-ignore
  for (let round = 0; round < 3; round++) {
    const six = Array.from({ length: 5 }, () => send(senders[0], '::1', [50], 1));
    const four = Array.from({ length: 5 }, () => send(senders[0], '127.0.0.1', [50]));
    const taken4 = rig.drain(target.sockets.fd4).flat();
    assertArrived(taken4, four, '127.0.0.1');
    assert.ok(taken4.every(({ record }) => record === taken4[0].record));
    assertArrived(rig.drain(target.sockets.fd6).flat(), six, '::1');
  }
});

test('nothing there, and no socket: errno, by the first call and by those after it', () => {
  for (const { receiver } of [new Rig(), single]) {
    assert.equal(receiver.receive(target.sockets.fd4), -EAGAIN);
    assert.equal(receiver.receive(-1), -EBADF);
    assert.equal(receiver.receive(target.sockets.fd4), -EAGAIN);
  }
});
