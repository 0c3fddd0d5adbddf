/** The daemon as a program: arguments, log, signals. */
import { readFileSync } from 'node:fs';
import { flushCompileCache } from 'node:module';
import { parseArgs } from 'node:util';
import { CLIENT_GROUP, CLIENT_RUN_FOLDER, CLIENT_STATE_FOLDER } from '@sallyport/client';
import pino from 'pino';
import { Daemon } from './daemon.ts';
import { messageOf } from './failure.ts';
import { handlersOf } from './handlers.ts';
import { notifyServiceManager } from './notify.ts';
import { groupIdOf } from './socket/group.ts';
import { serveSocket } from './socket/socket-server.ts';
import { ensureFolder } from './state-folder.ts';

const USAGE = `Usage: sallyport-clientd [--state-folder PATH] [--run-folder PATH] [--socket PATH] [--log-level LEVEL]

The daemon behind "sallyport connect". Takes root.

  --state-folder PATH  what it remembers (${CLIENT_STATE_FOLDER})
  --run-folder PATH    what a boot may forget (${CLIENT_RUN_FOLDER})
  --socket PATH        where commands reach it (socket in the run folder)
  --log-level LEVEL    debug, info, warn or error (info)
`;
const EXIT_USAGE = 64;
const LOG_LEVELS = ['debug', 'info', 'warn', 'error'];

/** Runs until it is told to end; the exit code. */
export async function run(): Promise<number> {
  let values;
  try {
    ({ values } = parseArgs({
      options: {
        'state-folder': { type: 'string', default: CLIENT_STATE_FOLDER },
        'run-folder': { type: 'string', default: CLIENT_RUN_FOLDER },
        socket: { type: 'string' },
        'log-level': { type: 'string', default: 'info' },
        help: { type: 'boolean', default: false },
      },
    }));
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n${USAGE}`);
    return EXIT_USAGE;
  }
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const level = values['log-level'];
  if (!LOG_LEVELS.includes(level)) {
    process.stderr.write(`--log-level: choose one of ${LOG_LEVELS.join(', ')}\n`);
    return EXIT_USAGE;
  }
  const log = pino({ base: { name: 'clientd' }, level }, pino.destination({ dest: 2, sync: true }));
  if (process.getuid?.() !== 0) {
    log.error('the daemon takes root');
    return 1;
  }
  const stateFolder = values['state-folder'];
  const runFolder = values['run-folder'];
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  // Everything that it writes is root's alone, unless it says otherwise.
  process.umask(0o077);
  const groupId = groupIdOf(CLIENT_GROUP);
  if (groupId === undefined) log.warn(`there is no group ${CLIENT_GROUP}: root alone may use the client`);
  ensureFolder(runFolder, 0o750, groupId ?? 0);
  const path = values.socket ?? `${runFolder}/socket`;

  let daemon: Daemon | undefined;
  const starting = Promise.withResolvers<Daemon>();
  starting.promise.catch(() => undefined);
  // First the socket: it also finds out whether another daemon is at work, before anything is touched.
  const server = await serveSocket({
    path,
    groupId,
    handlers: lateHandlers(starting.promise, { group: groupId !== undefined }),
    onFault: (message) => {
      log.error(message);
    },
  });
  const ended = Promise.withResolvers<undefined>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const)
    process.once(signal, () => {
      ended.resolve(undefined);
    });
  try {
    daemon = await Daemon.start({ stateFolder, runFolder, version, log: (severity, message) => { log[severity](message); } }); // prettier-ignore
    starting.resolve(daemon);
    notifyServiceManager('--ready');
    log.info('ready');
    // For the next start.
    flushCompileCache();
    await ended.promise;
    return 0;
  } catch (error) {
    starting.reject(error);
    log.error(messageOf(error));
    return 1;
  } finally {
    notifyServiceManager('--stopping');
    await server.close();
    await daemon?.stop();
  }
}

/** Who asks before the daemon has begun waits for it. */
function lateHandlers(starting: Promise<Daemon>, facts: { readonly group: boolean }): ReturnType<typeof handlersOf> {
  type All = ReturnType<typeof handlersOf>;
  let made: All | undefined;
  const late = (name: keyof All) => {
    return async (params: never, call: never): Promise<unknown> => {
      const daemon = await starting;
      made ??= handlersOf(daemon, facts);
      return (made[name] as (params: never, call: never) => Promise<unknown>)(params, call);
    };
  };
  const names = ['status', 'watch', 'login', 'logout', 'connect', 'disconnect', 'regions', 'settings', 'set', 'doctor', 'outside', 'leakWatch'] as const satisfies (keyof All)[]; // prettier-ignore
  return Object.fromEntries(names.map((name) => [name, late(name)])) as unknown as All;
}
