import { flushCompileCache } from 'node:module';
import { workerData } from 'node:worker_threads';
import { runWorker, type WorkerStart } from '@sallyport/runtime/packets';
import { attachOpenVpn } from './packets.ts';

// A data-plane worker that speaks OpenVPN.
// For the next start, while its folder can be written: each thread keeps its own.
flushCompileCache();
runWorker(workerData as WorkerStart, [attachOpenVpn]);
