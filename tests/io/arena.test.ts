/** The memory that threads, system calls and OpenSSL share. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { addressOfBuffer, Arena, libc } from '@sallyport/io';

test('what is allocated is zeroed, aligned to a cache line, and apart', () => {
  const arena = Arena.create(1 << 20);
  let end = arena.scratch + 128;
  for (const bytes of [1, 63, 64, 65, 0, 4096, 7]) {
    const at = arena.allocate(bytes);
    assert.equal(at % 64, 0);
    assert.ok(at >= end);
    assert.ok(arena.u8.subarray(at, at + bytes).every((byte) => byte === 0));
    arena.u8.fill(0xff, at, at + bytes);
    end = at + bytes;
  }
});

test('the last byte can be had, one more is refused', () => {
  const arena = Arena.create(65_536);
  const left = 65_536 - arena.allocate(0);
  assert.ok(left > 0);
  const at = arena.allocate(left);
  arena.u8[at + left - 1] = 1;
  assert.throws(() => arena.allocate(1), /RangeError: the arena has no room for 1 bytes more/);
});

test('a system call by address writes what the views show, and reads what they wrote', () => {
  const arena = Arena.create(1 << 20);
  const at = arena.allocate(64);
  const event = libc.eventfd(0, 0x800);
  try {
    arena.f64[at >> 3] = 0;
    arena.u32[at >> 2] = 0xdecafbad;
    assert.equal(libc.write(event, arena.address + at, 8), 8);
    assert.equal(libc.read(event, arena.address + at + 8, 8), 8);
    assert.equal(arena.u32[(at + 8) >> 2], 0xdecafbad);
  } finally {
    libc.close(event);
  }
});

test('every page is the same by its low address and by its own', { skip: process.arch !== 'x64' }, () => {
  const pages = 64;
  const arena = Arena.create(pages * 65_536);
  const own = addressOfBuffer(arena.u8.buffer);
  assert.notEqual(own, arena.address);
  assert.ok(arena.address + arena.u8.length <= 2 ** 31, 'addresses are small integers');
  // eventfds carry 8 bytes by address from one place to the other.
  const event = libc.eventfd(0, 0x800);
  try {
    for (const at of [8192, 65_536 + 4096, pages * 65_536 - 16]) {
      for (const [from, to] of [
        [own, arena.address],
        [arena.address, own],
      ]) {
        arena.u32[at >> 2] = at + 1;
        arena.u32[(at >> 2) + 2] = 0;
        assert.equal(libc.write(event, from + at, 8), 8);
        assert.equal(libc.read(event, to + at + 8, 8), 8);
        assert.equal(arena.u32[(at >> 2) + 2], at + 1);
      }
    }
  } finally {
    libc.close(event);
  }
});

test('a pointer is written as 64 bits, little end first', () => {
  const arena = Arena.create(65_536);
  const at = arena.allocate(8);
  arena.u8.fill(0xff, at, at + 8);
  arena.writePointer(at, 4096);
  assert.equal(arena.view.getBigUint64(at, true), BigInt(arena.address + 4096));
});

test('another thread sees the same bytes at the same offsets, and Atomics wake it', async () => {
  const arena = Arena.create(1 << 20);
  const at = arena.allocate(64);
  arena.u32[at >> 2] = 0x12345678;
  const worker = new Worker(new URL('arena-thread.ts', import.meta.url), {
    workerData: { arena: arena.shared, at },
  });
  const answer = await new Promise((resolve, reject) => {
    worker.on('error', reject);
    worker.on('message', resolve);
    Atomics.store(arena.i32, (at + 4) >> 2, 1);
    Atomics.notify(arena.i32, (at + 4) >> 2);
  });
  assert.deepEqual(answer, { seen: 0x12345678, address: arena.address });
  assert.equal(arena.f64[(at + 8) >> 3], 0.5);
  assert.equal(arena.sum(at + 16, 4), 0x0201 + 0x0403, 'the checksum runs on the same bytes');
});
