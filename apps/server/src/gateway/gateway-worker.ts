import { flushCompileCache } from 'node:module';
import { workerData } from 'node:worker_threads';
import { attachOpenVpn } from '@sallyport/openvpn-plane/packets';
import { runWorker, type WorkerStart } from '@sallyport/runtime/packets';
import { attachWireGuard } from '@sallyport/wireguard-plane/packets';

// A data-plane worker of a gateway: the protocols of gateway-plane.ts, in the same order; the last may not be spoken.
// For the next start, while its folder can be written: each thread keeps its own.
flushCompileCache();
runWorker(workerData as WorkerStart, [attachWireGuard, attachOpenVpn]);
