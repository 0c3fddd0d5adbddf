import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  DEFAULT_DATA_CAPACITY,
  holdsSession,
  openDataTables,
  allocateDataTables,
  type DataKey,
} from '@sallyport/openvpn';
import { plainMemory, withSeed } from '@sallyport/testkit';
import { DataEnd, ip, KINDS, material, pair } from './data-end.ts';

/** Whether any 8 bytes of these lie anywhere in memory. */
function traces(memory: Uint8Array, secret: Uint8Array): boolean {
  const bytes = Buffer.from(memory.buffer, memory.byteOffset, memory.length);
  for (let i = 0; i + 8 <= secret.length; i += 8) if (bytes.includes(secret.subarray(i, i + 8))) return true;
  return false;
}

test('a key that is removed, and all of a session that is closed, is erased', () => {
  for (const kind of KINDS) {
    const { server, client, s, c } = pair(kind);
    client.open(server.seal(s, [ip(40)]));
    server.open(client.seal(c, [ip(40)]));
    const { u8 } = server.memory;
    const { sessions, sessionsEnd, keys, peerIds } = server.regions;
    const used = (): boolean => u8.subarray(keys, peerIds).some((byte) => byte !== 0);
    assert.equal(used(), true);
    if (kind.format === 'v2') assert.equal(traces(u8, material(1).subarray(0, 16)), true);
    const erased = server.erased;
    server.sessions.removeKey(s, 0);
    assert.equal(used(), false);
    assert.equal(traces(u8.subarray(0, server.area - 128), material(1).subarray(0, 16)), false);
    assert.ok(server.erased > erased);
    server.sessions.installKey(s, 4, { ...kind, material: material(4), server: true });
    server.sessions.setAddresses(s, { ipv4: Uint8Array.of(10, 0, 0, 1), ipv6: new Uint8Array(16).fill(0xfd) });
    server.sessions.close(s);
    assert.equal(used(), false);
    assert.ok(u8.subarray(sessions, sessionsEnd).every((byte) => byte === 0));
    assert.deepEqual(server.forgotten, [s]);
    assert.equal(server.sessions.count, 0);
  }
});

test('sessions are as many as there is room for, each with its peer id', () => {
  const end = new DataEnd({ capacity: { sessions: 4, keys: 2, epochKeys: 1 } });
  const { sessions, regions } = end;
  const all = Array.from({ length: 4 }, () => sessions.open(5));
  assert.equal(new Set(all.map((session) => sessions.peerId(session))).size, 4);
  assert.ok(all.every((session) => holdsSession(regions, session)));
  assert.equal(sessions.open(5), 0);
  assert.equal(sessions.count, 4);
  assert.equal(holdsSession(regions, 0), false);
  assert.equal(holdsSession(regions, regions.sessionsEnd), false);
  const key: DataKey = { cipher: 'AES-256-GCM', format: 'epoch', material: material(1), server: true };
  assert.equal(sessions.installKey(all[0], 0, key), true);
  assert.equal(sessions.installKey(all[1], 0, key), false);
  assert.equal(sessions.installKey(all[1], 0, { ...key, format: 'v2' }), true);
  assert.equal(sessions.installKey(all[2], 0, { ...key, format: 'v2' }), false);
  sessions.close(all[0]);
  assert.equal(sessions.installKey(all[2], 0, key), true);
  assert.equal(sessions.open(6), all[0]);
  assert.deepEqual(sessions.activity(all[0]), { lastReceivedAt: 6, lastSentAt: 6, receivedBytes: 0, sentBytes: 0 });
  assert.throws(() => sessions.installKey(all[3], 8, key), RangeError);
  assert.throws(() => sessions.installKey(all[3], 0, { ...key, cipher: 'AES-256-CBC' }), RangeError);
  assert.throws(() => sessions.installKey(all[3], 0, { ...key, material: new Uint8Array(255) }), RangeError);
});

test("a client's session is found by whatever peer id its server gives", () => {
  const end = new DataEnd({ capacity: { sessions: 4, keys: 2, epochKeys: 1 } });
  const session = end.sessions.open(0);
  for (const peerId of [0xfffffe, 3, 0x123456]) {
    end.sessions.setPeerId(session, peerId);
    assert.equal(end.sessions.peerId(session), peerId);
    assert.equal(end.tables.peerIds.lookup(peerId), session);
    assert.equal(end.tables.peerIds.lookup(peerId ^ 0x800000), 0);
  }
  assert.equal(end.tables.peerIds.lookup(3), 0);
});

test('addresses are those of a model, whatever comes and goes', () => {
  withSeed((random) => {
    const end = new DataEnd({ capacity: { sessions: 64, keys: 1, epochKeys: 1 } });
    const open: number[] = [];
    const model = new Map<string, number>();
    let everything = 0;
    const address = (bytes: number): Uint8Array => {
      const one = new Uint8Array(bytes).fill(bytes);
      one[bytes - 1] = random.below(100);
      return one;
    };
    const forget = (session: number): void => {
      for (const [key, owner] of model) if (owner === session) model.delete(key);
      if (everything === session) everything = 0;
    };
    for (let i = 0; i < 3000; i++) {
      if (open.length < 64 && random.chance(0.3)) open.push(end.sessions.open(0));
      else if (open.length > 0 && random.chance(0.3)) {
        const [session] = open.splice(random.below(open.length), 1);
        forget(session);
        end.sessions.close(session);
      } else if (open.length > 0) {
        const session = random.pick(open);
        forget(session);
        if (random.chance(0.05)) {
          end.sessions.setAddresses(session, 'everything');
          everything = session;
        } else {
          const ipv4 = random.chance(0.8) ? address(4) : undefined;
          const ipv6 = random.chance(0.8) ? address(16) : undefined;
          end.sessions.setAddresses(session, { ipv4, ipv6 });
          for (const one of [ipv4, ipv6]) if (one !== undefined) model.set(one.join('.'), session);
        }
      }
      const wanted = address(random.chance(0.5) ? 4 : 16);
      end.memory.u8.set(wanted, end.area);
      const { routes } = end.tables;
      const found = wanted.length === 4 ? routes.lookup4(end.area) : routes.lookup6(end.area);
      assert.equal(found, model.get(wanted.join('.')) ?? everything);
    }
  });
});

test('the default has room for 16,384 sessions, in memory that is touched as they come', () => {
  let bytes = 0;
  const regions = allocateDataTables((size) => (bytes = size) && 64);
  assert.ok(regions.capacity.sessions >= 10_000);
  assert.ok(bytes < 100 * 2 ** 20, `${String(bytes)} bytes`);
  assert.equal(DEFAULT_DATA_CAPACITY.sessions, 16_384);
  const small = allocateDataTables(() => 64, { sessions: 2, keys: 1, epochKeys: 1 });
  const memory = plainMemory(2 ** 16);
  assert.equal(openDataTables(memory, small).peerIds.lookup(0), 0);
});
