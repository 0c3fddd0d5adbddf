import { startDevice } from '../../apps/cli/src/device.ts';

/*
 * `sallyport wg device --foreground NAME` with the AEAD replaced by a copy: what the packet path would carry if
 * cryptography cost nothing. It protects nothing, and so it is no part of the product.
 */
const name = process.argv.at(-1) ?? '';
const device = await startDevice(name, {
  log: () => undefined,
  workerModule: new URL('./worker.ts', import.meta.url),
});
for (const signal of ['SIGTERM', 'SIGINT'] as const)
  process.once(signal, () => {
    device.close();
  });
await device.closed;
