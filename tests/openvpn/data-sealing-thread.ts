// A thread that seals packets of one session beside others, for data-threads.test.ts.
import { parentPort, workerData } from 'node:worker_threads';
import { PacketBatch } from '@sallyport/core';
import { Arena, createDataCipher, type SharedArena } from '@sallyport/io';
import { openDataTables, OpenVpnPackets, type DataRegions } from '@sallyport/openvpn';

const { shared, regions, session, cipherScratch, scratch, area, batches, run } = workerData as {
  shared: SharedArena;
  regions: DataRegions;
  session: number;
  cipherScratch: number;
  scratch: number;
  area: number;
  batches: number;
  run: number;
};
const arena = new Arena(shared);
const cipher = createDataCipher(arena, cipherScratch, regions.ciphers);
const packets = new OpenVpnPackets(arena, cipher, openDataTables(arena, regions), scratch);
const ids = new Float64Array(batches * run);
let next = 0;
const nobody = (): never => {
  throw new Error('only datagrams come out of this');
};
const out = {
  datagram: (at: number) => {
    ids[next++] = arena.view.getUint32(at + 4);
  },
  attend: () => true,
  packet: nobody,
  control: nobody,
  hold: nobody,
  inner: nobody,
  undeliverable: nobody,
  drop: nobody,
};
const batch = new PacketBatch(run);
parentPort?.once('message', () => {
  for (let i = 0; i < batches; i++) {
    batch.count = 0;
    for (let k = 0; k < run; k++) batch.push(area + k * 88 + 24, 64, session);
    packets.seal(batch, i, out);
  }
  parentPort?.postMessage(ids);
});
parentPort?.postMessage('ready');
