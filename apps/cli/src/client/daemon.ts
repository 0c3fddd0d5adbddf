/** The commands' end of the daemon's line protocol. What the daemon says is checked as what comes from a stranger is. */
import { createConnection, type Socket } from 'node:net';
import { CLIENT_SOCKET, daemonError, MAX_LINE_BYTES, methods } from '@sallyport/client';
import type { DaemonError, MethodName } from '@sallyport/client';
import { z } from 'zod';
import {
  CommandFailure,
  EXIT_FAILED,
  EXIT_NO_INPUT,
  EXIT_NOT_PERMITTED,
  EXIT_TEMPORARY,
  EXIT_UNAVAILABLE,
  EXIT_USAGE,
} from '../command.ts';
import { groupRemedy } from './group-remedy.ts';
import { printableLine } from './terminal.ts';

type Methods = typeof methods;
type Params<M extends MethodName> = z.input<Methods[M]['params']>;
type Result<M extends MethodName> = z.output<Methods[M]['result']>;
type Event<M extends MethodName> = Methods[M] extends { readonly event: infer E extends z.ZodType }
  ? z.output<E>
  : never;

const answer = z.union([
  z.strictObject({ id: z.number(), event: z.unknown() }),
  z.strictObject({ id: z.number(), error: daemonError }),
  z.strictObject({ id: z.number(), result: z.unknown() }),
]);

/** How long the daemon may be silent where nothing is said of it. */
const SILENCE_MS = 30_000;

export interface AskOptions<M extends MethodName> {
  readonly onEvent?: (event: Event<M>) => void;
  /** How long the daemon may be silent; Infinity: as long as it likes. Default: 30 s. */
  readonly silenceMs?: number;
}

/** Where the daemon listens; tests and machines with two of them say so by SALLYPORT_CLIENT_SOCKET. */
export function socketPath(): string {
  return process.env['SALLYPORT_CLIENT_SOCKET'] ?? CLIENT_SOCKET;
}

/** Asks the daemon one thing. Throws a CommandFailure with what to do about it. */
export async function ask<M extends MethodName>(
  method: M,
  params: Params<M>,
  { onEvent, silenceMs = SILENCE_MS }: AskOptions<M> = {},
): Promise<Result<M>> {
  const socket = await open();
  try {
    return await exchange(socket, method, params, onEvent, silenceMs);
  } finally {
    socket.destroy();
  }
}

function open(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(socketPath());
    socket.once('error', (error) => {
      reject(unreachable(error));
    });
    socket.once('connect', () => {
      resolve(socket);
    });
  });
}

function exchange<M extends MethodName>(
  socket: Socket,
  method: M,
  params: Params<M>,
  onEvent: ((event: Event<M>) => void) | undefined,
  silenceMs: number,
): Promise<Result<M>> {
  return new Promise((resolve, reject) => {
    let text = '';
    const contract: { readonly result: z.ZodType; readonly event?: z.ZodType } = methods[method];
    const fail = (error: Error): void => {
      reject(error);
      socket.destroy();
    };
    const take = (line: string): void => {
      const message = answer.safeParse(jsonOf(line));
      if (!message.success) {
        fail(misunderstood());
        return;
      }
      const { data } = message;
      if ('error' in data) {
        fail(failureOf(data.error));
        return;
      }
      if ('event' in data) {
        const event = contract.event?.safeParse(data.event);
        if (event?.success !== true) {
          fail(misunderstood());
          return;
        }
        onEvent?.(event.data as Event<M>);
        return;
      }
      const result = contract.result.safeParse(data.result);
      if (!result.success) {
        fail(misunderstood());
        return;
      }
      resolve(result.data as Result<M>);
    };
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => {
      text += chunk;
      for (let end = text.indexOf('\n'); end >= 0 && !socket.destroyed; end = text.indexOf('\n')) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        try {
          take(line);
        } catch (error) {
          fail(error instanceof Error ? error : new Error(String(error)));
        }
      }
      if (text.length > MAX_LINE_BYTES) fail(misunderstood());
    });
    socket.on('error', (error) => {
      fail(unreachable(error));
    });
    socket.on('close', () => {
      reject(new CommandFailure(EXIT_UNAVAILABLE, `the client’s daemon ended meanwhile; ${START}`));
    });
    if (Number.isFinite(silenceMs)) {
      socket.setTimeout(silenceMs, () => {
        fail(
          new CommandFailure(
            EXIT_UNAVAILABLE,
            'the client’s daemon does not answer; see what it says: journalctl -u sallyport-client',
          ),
        );
      });
    }
    socket.write(`${JSON.stringify({ id: 1, method, params })}\n`);
  });
}

const START = 'start it: sudo systemctl enable --now sallyport-client (or in the foreground: sudo sallyport daemon)';

function unreachable(error: NodeJS.ErrnoException): CommandFailure {
  if (error.code === 'EACCES' || error.code === 'EPERM') {
    return new CommandFailure(EXIT_NOT_PERMITTED, groupRemedy(), { cause: error });
  }
  const known = error.code === 'ENOENT' || error.code === 'ECONNREFUSED';
  const what = known ? 'the client’s daemon is not running' : `the client’s daemon can’t be reached (${error.message})`;
  return new CommandFailure(EXIT_UNAVAILABLE, `${what}; ${START}`, { cause: error });
}

function misunderstood(): CommandFailure {
  return new CommandFailure(
    EXIT_FAILED,
    'the client’s daemon is of another version than this command; run: sudo systemctl restart sallyport-client',
  );
}

const exitCodes: Readonly<Record<DaemonError['code'], number>> = {
  notLoggedIn: EXIT_NO_INPUT,
  badRequest: EXIT_USAGE,
  refused: EXIT_NOT_PERMITTED,
  unreachable: EXIT_UNAVAILABLE,
  blocked: EXIT_TEMPORARY,
  notPermitted: EXIT_NOT_PERMITTED,
  conflict: EXIT_FAILED,
  failed: EXIT_FAILED,
};

const remedies: Readonly<Partial<Record<DaemonError['code'], string>>> = {
  notLoggedIn: 'log in: sallyport login URL',
  unreachable: 'to find out why: sallyport doctor',
  blocked: 'the client goes on trying, and nothing leaves this machine meanwhile; to find out why: sallyport doctor; to give up: sallyport disconnect', // prettier-ignore
};

/** What the daemon refused, with what to do where its own words don't say. */
function failureOf({ code, message }: DaemonError): CommandFailure {
  const remedy = remedies[code];
  // The daemon passes on what a server said, and programs.
  const said = printableLine(message);
  const words = remedy === undefined || said.includes('sallyport ') ? said : `${said}; ${remedy}`;
  return new CommandFailure(exitCodes[code], words);
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}
