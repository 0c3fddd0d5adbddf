import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DropReason } from '../../packages/core/src/drop-reason.ts';
import { withSeed, type SeededRandom } from '../../packages/testkit/src/seeded-random.ts';
import type { ControlPacket } from '../../packages/openvpn/src/wire/control-packet.ts';
import {
  P_ACK_V1,
  P_CONTROL_HARD_RESET_CLIENT_V2,
  P_CONTROL_HARD_RESET_SERVER_V2,
  P_CONTROL_V1,
  P_CONTROL_WKC_V1,
} from '../../packages/openvpn/src/wire/opcodes.ts';
import { plainWrap } from '../../packages/openvpn/src/wire/plain-wrap.ts';
import {
  MAX_PACKET_BYTES,
  MAX_WAITING_BYTES,
  RECEIVE_WINDOW,
  ReliableLayer,
} from '../../packages/openvpn/src/wire/reliable.ts';
import { bytes, crypto } from './wire-crypto.ts';

const CLIENT = bytes('0101010101010101');
const SERVER = bytes('0202020202020202');
const NOTHING = new Uint8Array(0);
const IP_AND_UDP = 48;

function resumed(sessionId: Uint8Array = CLIENT, remoteSessionId: Uint8Array = SERVER): ReliableLayer {
  return new ReliableLayer({ keyId: 0, sessionId, remoteSessionId, wrapOverhead: 0, resumed: true });
}

function packet(packetId: number, payload: Uint8Array = NOTHING, acks: readonly number[] = []): ControlPacket {
  const remoteSessionId = acks.length > 0 ? CLIENT : undefined;
  return { opcode: P_CONTROL_V1, keyId: 0, sessionId: SERVER, acks, remoteSessionId, packetId, payload };
}

function acks(...ids: number[]): ControlPacket {
  return { ...packet(0, NOTHING, ids), opcode: P_ACK_V1, packetId: undefined };
}

function ids(packets: readonly ControlPacket[]): (number | undefined)[] {
  return packets.map(({ packetId }) => packetId);
}

test('no more than the window is sent, and no hole is left behind it', () => {
  const layer = resumed();
  assert.ok(layer.write(new Uint8Array(20_000)));
  assert.equal(layer.pollTimeout(), 0);
  assert.deepEqual(ids(layer.poll(0)), [1, 2, 3, 4]);
  assert.deepEqual(ids(layer.poll(1)), []);
  layer.receive(acks(2, 3, 4), 10);
  assert.deepEqual(ids(layer.poll(10)), [1], 'three later ones arrived: it is sent again at once, and nothing new');
  layer.receive(acks(1), 20);
  assert.deepEqual(ids(layer.poll(20)), [5, 6, 7, 8]);
  assert.ok(!layer.idle);
});

test('what is not acknowledged goes again, later each time, and often enough', () => {
  const layer = new ReliableLayer({ keyId: 0, sessionId: CLIENT, wrapOverhead: 0 });
  layer.start(P_CONTROL_HARD_RESET_CLIENT_V2, 0);
  const times: number[] = [];
  for (let now = layer.pollTimeout() ?? -1; times.length < 7; now = layer.pollTimeout() ?? -1) {
    assert.deepEqual(ids(layer.poll(now)), [0]);
    times.push(now);
  }
  assert.deepEqual(times, [0, 2000, 6000, 14_000, 22_000, 30_000, 38_000]);
  layer.receive(acks(0), 39_000);
  assert.ok(layer.idle);
  assert.equal(layer.pollTimeout(), undefined);
});

test('packets are as long as they may be, and end with an unprotected end', () => {
  const layer = resumed();
  layer.write(new Uint8Array(3000));
  for (let id = 1; id <= 6; id++) layer.receive(packet(id), 0);
  const wrap = plainWrap({ crypto, server: false, unixTime: 0 });
  const lengths = layer.poll(0).map((each) => wrap.wrap(each)?.length ?? 0);
  assert.equal(lengths[0] + IP_AND_UDP, MAX_PACKET_BYTES, 'with all the acknowledgements that it takes');
  assert.ok(lengths.every((length) => length + IP_AND_UDP <= MAX_PACKET_BYTES));
});

test('packets come out in order, once', () => {
  const layer = resumed();
  assert.equal(layer.receive(packet(2, bytes('02')), 0), undefined);
  assert.equal(layer.read(), undefined);
  assert.equal(layer.receive(packet(2, bytes('ff')), 0), DropReason.replayed);
  assert.equal(layer.receive(packet(1, bytes('01')), 0), undefined);
  assert.deepEqual([layer.read()?.payload, layer.read()?.payload, layer.read()], [bytes('01'), bytes('02'), undefined]);
  assert.equal(layer.receive(packet(1, bytes('01')), 0), DropReason.replayed);
});

test('what is too far ahead is not acknowledged', () => {
  const layer = resumed();
  assert.equal(layer.receive(packet(RECEIVE_WINDOW + 1), 0), DropReason.queueFull);
  assert.deepEqual(layer.poll(100), []);
  assert.equal(layer.receive(packet(RECEIVE_WINDOW), 0), undefined);
  assert.deepEqual(layer.poll(100)[0].acks, [RECEIVE_WINDOW]);
});

test('an acknowledgement waits for a packet to go with, but not long', () => {
  const layer = resumed();
  layer.receive(packet(1), 100);
  assert.deepEqual(layer.poll(100), []);
  const at = layer.pollTimeout() ?? 0;
  assert.ok(at > 100 && at <= 120);
  const [alone] = layer.poll(at);
  assert.deepEqual([alone.opcode, alone.acks, alone.remoteSessionId], [P_ACK_V1, [1], SERVER]);
  assert.equal(layer.pollTimeout(), undefined);
  layer.receive(packet(2), 200);
  layer.write(bytes('aa'));
  assert.deepEqual(layer.poll(200).map(({ opcode, acks }) => [opcode, acks]), [[P_CONTROL_V1, [2, 1]]]); // prettier-ignore
  for (let id = 3; id < 9; id++) layer.receive(packet(id), 300);
  const [first] = layer.poll(300);
  assert.deepEqual([first.opcode, first.acks], [P_ACK_V1, [3, 4, 5, 6]], 'four fill a packet: they go at once');
  layer.receive(packet(3), 400);
  assert.deepEqual(layer.poll(500).at(-1)?.acks[0], 7);
});

test('packets of another session, of other keys, or for another session', () => {
  const layer = resumed();
  assert.equal(layer.receive({ ...packet(1), keyId: 1 }, 0), DropReason.unknownReceiver);
  assert.equal(layer.receive({ ...packet(1), sessionId: CLIENT }, 0), DropReason.unknownReceiver);
  assert.equal(layer.receive({ ...acks(1), remoteSessionId: SERVER }, 0), DropReason.unknownReceiver);
  assert.equal(layer.read(), undefined);
  const fresh = new ReliableLayer({ keyId: 0, sessionId: CLIENT, wrapOverhead: 0 });
  assert.equal(fresh.receive(packet(0), 0), undefined);
  assert.deepEqual(fresh.remoteSessionId, SERVER);
  assert.equal(fresh.receive({ ...packet(1), sessionId: CLIENT }, 0), DropReason.unknownReceiver);
});

test('the wrapped key goes with packet 1, which has less room', () => {
  const layer = resumed();
  layer.resendWrappedKey(1000);
  layer.write(new Uint8Array(2000));
  const packets = layer.poll(0);
  const plain = resumed();
  plain.write(new Uint8Array(2000));
  const room = plain.poll(0)[0].payload.length;
  assert.deepEqual(packets.slice(0, 2).map(({ opcode, payload }) => [opcode, payload.length]), [[P_CONTROL_WKC_V1, room - 1000], [P_CONTROL_V1, room]]); // prettier-ignore
});

test('what may wait is bounded', () => {
  const layer = resumed();
  assert.ok(layer.write(new Uint8Array(MAX_WAITING_BYTES)));
  assert.ok(!layer.write(new Uint8Array(1)));
  layer.poll(0);
  assert.ok(layer.write(new Uint8Array(1)), 'some of it is under way');
});

interface Network {
  readonly at: number;
  readonly to: ReliableLayer;
  readonly packet: ControlPacket;
}

/** Two ends, and what lies between them. */
function exchange(random: SeededRandom, loss: number): void {
  const client = new ReliableLayer({ keyId: 3, sessionId: CLIENT, wrapOverhead: 40 });
  const server = new ReliableLayer({ keyId: 3, sessionId: SERVER, wrapOverhead: 40 });
  const sent = new Map([client, server].map((end) => [end, random.bytes(random.below(15_000))]));
  const got = new Map<ReliableLayer, number[]>([[client, []], [server, []]]); // prettier-ignore
  const peerOf = (end: ReliableLayer): ReliableLayer => (end === client ? server : client);
  client.start(P_CONTROL_HARD_RESET_CLIENT_V2, 0);
  server.start(P_CONTROL_HARD_RESET_SERVER_V2, 0);
  for (const [end, data] of sent)
    for (let at = 0; at < data.length;) {
      const next = at + 1 + random.below(3000);
      assert.ok(end.write(data.subarray(at, next)));
      at = next;
    }
  const readBy = { client: 0, server: 0 };
  let air: Network[] = [];
  let now = 0;
  for (let step = 0; step < 20_000; step++) {
    for (const end of [client, server])
      for (const packet of end.poll(now)) {
        assert.ok(
          (packet.packetId ?? 0) < (end === client ? readBy.server : readBy.client) + 4,
          'OpenVPN 3 keeps 4 ahead',
        );
        const copies = random.chance(loss) ? 0 : random.chance(loss) ? 2 : 1;
        for (let copy = 0; copy < copies; copy++)
          air.push({ at: now + 1 + random.below(300), to: peerOf(end), packet: { ...packet, payload: packet.payload.slice() } }); // prettier-ignore
      }
    const times = [...air.map(({ at }) => at), client.pollTimeout() ?? Infinity, server.pollTimeout() ?? Infinity];
    const next = Math.min(...times);
    if (next === Infinity) break;
    now = Math.max(now, next);
    for (const { to, packet } of air.filter(({ at }) => at <= now)) {
      to.receive(packet, now);
      for (let read = to.read(); read !== undefined; read = to.read()) {
        if (to === client) readBy.client++;
        else readBy.server++;
        if (read.opcode === P_CONTROL_V1) got.get(to)?.push(...read.payload);
      }
    }
    air = air.filter(({ at }) => at > now);
  }
  for (const end of [client, server]) {
    assert.deepEqual(Uint8Array.from(got.get(peerOf(end)) ?? []), sent.get(end));
    assert.ok(end.idle);
  }
}

test('the stream comes through loss, duplicates and any order', () => {
  withSeed((random) => {
    for (let run = 0; run < 40; run++) exchange(random, random.pick([0, 0.05, 0.3]));
  });
});
