import { flushCompileCache } from 'node:module';
import { workerData } from 'node:worker_threads';
import { runWorker, type WorkerStart } from '@sallyport/runtime';
import { openTables, WireGuardPackets, type TableRegions } from '@sallyport/wireguard';

// A data-plane worker that speaks WireGuard.
// For the next start, while its folder can be written: each thread keeps its own.
flushCompileCache();
runWorker(workerData as WorkerStart, (arena, aead, protocol, scratch) => {
  const tables = openTables(arena, protocol as TableRegions);
  return { packets: new WireGuardPackets(arena, aead, tables, scratch), routes: tables.allowedIps };
});
