/** The daemon's socket: who may connect is said by its mode and group, what they may ask by the protocol. */
import { chmodSync, chownSync, lstatSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { daemonRequest, MAX_LINE_BYTES, methods, type DaemonError, type MethodName } from '@sallyport/client';
import { peerCredentials } from '@sallyport/io';
import type { z } from 'zod';
import { DaemonFailure, messageOf } from '../failure.ts';
import { LineReader } from './line-reader.ts';

const MAX_CONNECTIONS = 64;
/** Of all but root together: nobody keeps root from asking. */
const MAX_CONNECTIONS_OF_USERS = 48;
const MAX_CONNECTIONS_OF_ONE_USER = 16;
const REFUSAL_MS = 1000;
const MAX_REQUESTS_A_CONNECTION = 16;
/** A caller that doesn't read its answers is let go. */
const MAX_UNREAD_BYTES = 4 * 1024 * 1024;

export interface Caller {
  readonly uid: number;
  readonly pid: number;
}

export interface Call {
  /** Undefined where the system doesn't say. */
  readonly caller: Caller | undefined;
  /** Tells the caller something before the result. */
  readonly tell: (event: unknown) => void;
  /** Aborted when the caller is gone. */
  readonly signal: AbortSignal;
}

export type Handlers = {
  readonly [Name in MethodName]: (
    params: z.output<(typeof methods)[Name]['params']>,
    call: Call,
  ) => Promise<z.input<(typeof methods)[Name]['result']>>;
};

export interface SocketServer {
  close(): Promise<void>;
}

export interface SocketServerOptions {
  readonly path: string;
  /** Undefined: root alone. */
  readonly groupId: number | undefined;
  readonly handlers: Handlers;
  /** Something went wrong that the caller's message doesn't explain. */
  readonly onFault: (message: string) => void;
}

/** Listens at `path`. Throws where another daemon does already. */
export async function serveSocket(options: SocketServerOptions): Promise<SocketServer> {
  const { path, groupId } = options;
  await removeStale(path);
  /** Whose each is; undefined where the system doesn't say. */
  const connections = new Map<Socket, number | undefined>();
  const refused = new Set<Socket>();
  const server = createServer((socket) => {
    // A caller that is gone in the middle is no fault of the daemon's.
    socket.on('error', () => undefined);
    const caller = callerOf(socket);
    if (!hasRoom([...connections.values()], caller?.uid)) {
      sendAway(socket, refused);
      return;
    }
    connections.set(socket, caller?.uid);
    socket.on('close', () => connections.delete(socket));
    serveConnection(socket, caller, options);
  });
  // Nobody but root from its first moment on; then the group.
  const before = process.umask(0o177);
  try {
    await listen(server, path);
  } finally {
    process.umask(before);
  }
  if (groupId !== undefined) {
    chownSync(path, 0, groupId);
    chmodSync(path, 0o660);
  }
  return {
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of [...connections.keys(), ...refused]) socket.destroy();
      await closed;
    },
  };
}

/** `open`: whose the others are. */
function hasRoom(open: readonly (number | undefined)[], uid: number | undefined): boolean {
  if (open.length >= MAX_CONNECTIONS) return false;
  if (uid === 0) return true;
  const ofUsers = open.filter((other) => other !== 0);
  return (
    ofUsers.length < MAX_CONNECTIONS_OF_USERS &&
    ofUsers.filter((other) => other === uid).length < MAX_CONNECTIONS_OF_ONE_USER
  );
}

/** Says why, for a moment; who asks by the hundred isn't told. */
function sendAway(socket: Socket, refused: Set<Socket>): void {
  if (refused.size >= MAX_CONNECTIONS) {
    socket.destroy();
    return;
  }
  refused.add(socket);
  socket.on('close', () => refused.delete(socket));
  socket.setTimeout(REFUSAL_MS, () => socket.destroy());
  const error: DaemonError = { code: 'refused', message: 'too many commands ask the daemon at once: end some of them' };
  socket.end(`${JSON.stringify({ id: 0, error })}\n`);
  // What is left unread when it is closed would take the answer with it.
  socket.resume();
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** What a daemon that was killed left. */
async function removeStale(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw new Error(`${path} is there and no socket`);
  const answered = await new Promise<boolean>((resolve) => {
    const socket = connect(path);
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
  if (answered) throw new Error(`another daemon listens on ${path}`);
  unlinkSync(path);
}

function serveConnection(socket: Socket, caller: Caller | undefined, { handlers, onFault }: SocketServerOptions): void {
  const abort = new AbortController();
  const reader = new LineReader(MAX_LINE_BYTES);
  let open = 0;

  const send = (message: object): void => {
    if (socket.destroyed) return;
    if (socket.writableLength > MAX_UNREAD_BYTES) socket.destroy();
    else socket.write(`${JSON.stringify(message)}\n`);
  };
  const refuse = (id: number, error: DaemonError): void => {
    send({ id, error });
  };

  const take = async (line: string): Promise<void> => {
    const request = daemonRequest.safeParse(jsonOf(line));
    if (!request.success) {
      refuse(0, { code: 'badRequest', message: 'no request of this protocol' });
      return;
    }
    const { id, method, params } = request.data;
    const parsed = methods[method].params.safeParse(params);
    if (!parsed.success) {
      const [issue] = parsed.error.issues;
      refuse(id, { code: 'badRequest', message: `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`.replace(/^: /, '') }); // prettier-ignore
      return;
    }
    if (open >= MAX_REQUESTS_A_CONNECTION) {
      refuse(id, { code: 'refused', message: 'too many requests at once' });
      return;
    }
    open++;
    try {
      const handler = handlers[method] as (params: unknown, call: Call) => Promise<unknown>;
      const tell = (event: unknown): void => {
        send({ id, event });
      };
      send({ id, result: await handler(parsed.data, { caller, tell, signal: abort.signal }) });
    } catch (error) {
      if (error instanceof DaemonFailure) refuse(id, { code: error.code, message: error.message });
      else {
        onFault(`${method}: ${messageOf(error)}`);
        refuse(id, { code: 'failed', message: messageOf(error) });
      }
    } finally {
      open--;
    }
  };

  socket.on('data', (chunk: Buffer) => {
    const lines = reader.push(chunk);
    if (lines === undefined) {
      refuse(0, { code: 'badRequest', message: `a line is longer than ${String(MAX_LINE_BYTES)} bytes` });
      socket.destroySoon();
      return;
    }
    for (const line of lines) if (line.trim() !== '') void take(line);
  });
  socket.on('close', () => {
    abort.abort();
  });
}

/** Node keeps the descriptor to itself; it is on the handle under the socket. */
function callerOf(socket: Socket): Caller | undefined {
  const { fd } = (socket as unknown as { _handle?: { fd?: number } })._handle ?? {};
  return fd === undefined || fd < 0 ? undefined : peerCredentials(fd);
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}
