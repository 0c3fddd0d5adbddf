import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { PATH_FAMILY } from '@sallyport/core';
import { Arena, DATA_CIPHER_SCRATCH_BYTES } from '@sallyport/io';
import { allocateDataTables, OpenVpnPackets, SharedDataSessions } from '@sallyport/openvpn';
import { hmac, material } from './data-end.ts';

test('threads that seal packets of one session at once never use a packet id twice', async () => {
  const arena = Arena.create(4 * 1024 * 1024);
  const allocate = (bytes: number): number => arena.allocate(bytes);
  const regions = allocateDataTables(allocate, { sessions: 2, keys: 2, epochKeys: 2 });
  const sessions = new SharedDataSessions({
    memory: arena,
    regions,
    crypto: hmac,
    exclusive: (change) => {
      change();
    },
    forgetSessions: () => undefined,
    eraseKeys: () => undefined,
  });
  const session = sessions.open(0);
  const path = allocate(64);
  arena.view.setUint16(path + PATH_FAMILY, 4, true);
  sessions.setPath(session, path);
  sessions.installKey(session, 0, { cipher: 'AES-256-GCM', format: 'v2', material: material(1), server: true });
  sessions.sendWith(session, 0);
  const [batches, run] = [2000, 7];
  const workers = Array.from(
    { length: 3 },
    () =>
      new Worker(new URL('./data-sealing-thread.ts', import.meta.url), {
        workerData: {
          shared: arena.shared,
          regions,
          session,
          cipherScratch: allocate(DATA_CIPHER_SCRATCH_BYTES),
          scratch: allocate(OpenVpnPackets.scratchBytes),
          area: allocate(1024) + 64,
          batches,
          run,
        },
      }),
  );
  await Promise.all(workers.map((worker) => once(worker, 'message')));
  const answers = workers.map(async (worker) => (await once(worker, 'message')) as [Float64Array]);
  for (const worker of workers) worker.postMessage('go');
  const ids = (await Promise.all(answers)).flatMap(([list]) => [...list]);
  await Promise.all(workers.map((worker) => worker.terminate()));
  ids.sort((a, b) => a - b);
  const count = workers.length * batches * run;
  assert.deepEqual(
    ids,
    Array.from({ length: count }, (_, i) => i + 1),
  );
  assert.equal(sessions.activity(session).sentBytes, count * 88);
});
