/** What the main thread sends by itself, through real sockets in a network of the test's own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DropReason } from '@sallyport/core';
import { Arena } from '@sallyport/io';
import { SessionSender } from '../../packages/runtime/src/session-sender.ts';
import { Device } from './datagram-rig.ts';
import { enterPrivateNetwork } from './private-network.ts';

enterPrivateNetwork();

test('a message of a negotiation goes by its path, marked AF41; what could not go is counted', () => {
  const arena = Arena.create(2 << 20);
  const from = new Device(arena);
  const to = new Device(arena);
  try {
    const sender = new SessionSender(
      arena,
      () => 1420,
      () => assert.fail('there is no session'),
      () => assert.fail('there is no session'),
    );
    sender.setSockets([from.sockets]);
    for (const [remote, length] of [
      ['127.0.0.1', 148],
      ['::1', 92],
    ] as const) {
      from.aim(remote, to.port);
      const message = Uint8Array.from({ length }, (_, i) => 3 * i);
      sender.message(message, from.path);
      const [received] = to.receive(1);
      assert.deepEqual(received.bytes, message);
      assert.equal(received.port, from.port);
      assert.equal(received.tos, 0x88);
    }
    assert.ok(sender.drops.every((count) => count === 0));
    from.aim('192.0.2.1', to.port); // nobody routes it here
    sender.message(new Uint8Array(148), from.path);
    assert.equal(sender.drops[DropReason.sendFailed], 1);
  } finally {
    from.close();
    to.close();
  }
});
