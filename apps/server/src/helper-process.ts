/** The process that keeps its privileges, for the gateway: addresses, routes, packet filter. It reads requests, nothing else. */
import { inheritedStream, readConfiguration, servePrivileged } from '@sallyport/privileged';
import { z } from 'zod';
import { finishLoading } from './finish-loading.ts';
import { createLog } from './log.ts';

/** What it reads from its standard input. */
const helperConfiguration = z.strictObject({
  interfaceName: z.string(),
  pools: z.array(z.string()).min(1),
  /** The name server's, which asks behind devices too. */
  networksUid: z.number().int().min(1).optional(),
  statePath: z.string().startsWith('/'),
  logLevel: z.enum(['error', 'warn', 'info', 'debug']),
});
export type HelperConfiguration = z.infer<typeof helperConfiguration>;

const STREAM_FD = 3;

// It ends when the gateway's end of the stream is closed, and not before the gateway has taken down what there is.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);

finishLoading();
const { configuration } = await readConfiguration();
const { interfaceName, pools, networksUid, statePath, logLevel } = helperConfiguration.parse(configuration);
const log = createLog('helper', logLevel);
await servePrivileged({
  stream: inheritedStream(STREAM_FD),
  interfaceName,
  pools,
  networksUid,
  statePath,
  onNotice: ({ message }) => {
    log('warn', message);
  },
  onCommand: (line) => {
    log('debug', line);
  },
});
process.exit(0);
