import { chmodSync, lstatSync, mkdirSync, unlinkSync, watch } from 'node:fs';
import type { FSWatcher } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { isMainThread } from 'node:worker_threads';

/** Where the sockets of userspace WireGuard devices are, as every tool expects. */
export const UAPI_DIRECTORY = '/var/run/wireguard';

/** The path of a device's socket. `name` has been checked to be an interface's name. */
export function uapiSocketPath(name: string): string {
  return `${UAPI_DIRECTORY}/${name}.sock`;
}

/** A request as a decoder tells it: `errno` is the answer where it is invalid, `close` that nothing can follow. */
export type DecodedRequest<Change> =
  | { readonly kind: 'get' }
  | { readonly kind: 'set'; readonly change: Change }
  | { readonly kind: 'invalid'; readonly errno: number; readonly reason: string; readonly close: boolean };

/** What stands behind a socket: the protocol's codec, and the device. */
export interface UapiHandler<Change> {
  /** A decoder for one connection. */
  newDecoder(): { push(chunk: Uint8Array): DecodedRequest<Change>[]; readonly midway: boolean };
  /** The answer to `get=1`, piece by piece, its `errno` line and empty line included. */
  get(): Iterable<string>;
  /** Applies a change; returns 0, or the (positive) errno of what kept it from being applied. */
  set(change: Change): number | Promise<number>;
  /** Something went wrong with one client; never holds a key. */
  log?(message: string): void;
  /** The socket was removed from outside, which asks the device to end, as with wireguard-go. */
  removed?(): void;
}

export interface UapiServer {
  readonly path: string;
  /** Ends the connections and removes the socket. */
  close(): void;
}

/** A device's socket can't be opened. */
export class UapiSocketError extends Error {
  readonly code: 'inUse' | 'unavailable';

  constructor(code: 'inUse' | 'unavailable', message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'UapiSocketError';
    this.code = code;
  }
}

const EIO = 5;
const MAX_CONNECTIONS = 64;
/** A client that has begun a request, or is being answered, has to go on within this time. */
const STALLED_MS = 30_000;
/** A request has to be whole within this time, however steadily it trickles in. */
const REQUEST_MS = 60_000;
/** A client that was shut out may go on sending for this long. */
const LINGER_MS = 1000;
/** A client may be silent for this long between requests. */
const IDLE_MS = 600_000;

/**
 * Opens the socket of the device `name`, for root alone, and serves it until it is closed. A socket that another
 * device answers on is left alone (`inUse`); one that nobody answers on is replaced.
 */
export async function serveUapi<Change>(name: string, handler: UapiHandler<Change>): Promise<UapiServer> {
  const path = uapiSocketPath(name);
  mkdirSync(UAPI_DIRECTORY, { recursive: true, mode: 0o700 });
  await removeStale(path);
  const connections = new Set<Socket>();
  // A client may end its side once it has asked; the answer still has to go out.
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    connections.add(socket);
    socket.on('close', () => connections.delete(socket));
    serveConnection(socket, handler).catch((error: unknown) => {
      handler.log?.(`configuration socket: ${error instanceof Error ? error.message : String(error)}`);
      socket.destroy();
    });
  });
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, path);
  const { ino } = lstatSync(path);
  const watcher = watchRemoval(path, ino, () => handler.removed?.());
  return {
    path,
    close() {
      watcher?.close();
      for (const socket of connections) socket.destroy();
      // Closing a server removes its path, even where that is another device's by now. Nobody reaches ours then.
      if (inodeOf(path) === ino) server.close();
      else server.unref();
    },
  };
}

async function serveConnection<Change>(socket: Socket, handler: UapiHandler<Change>): Promise<void> {
  const decoder = handler.newDecoder();
  socket.setTimeout(STALLED_MS, () => socket.destroy());
  let overdue: NodeJS.Timeout | undefined;
  // Reading stops while a request is answered, so that a client can't pile requests up.
  for await (const chunk of socket as AsyncIterable<Uint8Array>) {
    for (const request of decoder.push(chunk)) {
      if (request.kind === 'get') {
        for (const text of handler.get()) if (!(await send(socket, text))) return;
      } else if (request.kind === 'set') {
        if (!(await send(socket, errnoAnswer(await apply(request.change, handler))))) return;
      } else {
        handler.log?.(`configuration socket: request refused: ${request.reason}`);
        if (!(await send(socket, errnoAnswer(request.errno)))) return;
        if (request.close) {
          // The rest of what it sent is read and forgotten: to close on it would cut off the answer.
          socket.end();
          setTimeout(() => socket.destroy(), LINGER_MS).unref();
        }
      }
    }
    socket.setTimeout(decoder.midway ? STALLED_MS : IDLE_MS);
    if (!decoder.midway) {
      clearTimeout(overdue);
      overdue = undefined;
    } else overdue ??= setTimeout(() => socket.destroy(), REQUEST_MS).unref();
  }
  clearTimeout(overdue);
  socket.end();
}

async function apply<Change>(change: Change, handler: UapiHandler<Change>): Promise<number> {
  try {
    return await handler.set(change);
  } catch (error) {
    handler.log?.(`configuration socket: ${error instanceof Error ? error.message : String(error)}`);
    return EIO;
  }
}

function errnoAnswer(errno: number): string {
  return `errno=${String(errno === 0 ? 0 : -Math.abs(errno))}\n\n`;
}

/** Writes and waits for room; false when the client has gone. */
async function send(socket: Socket, text: string): Promise<boolean> {
  if (socket.destroyed) return false;
  if (socket.write(text)) return true;
  return new Promise((resolve) => {
    const settle = () => {
      socket.off('drain', settle);
      socket.off('close', settle);
      resolve(!socket.destroyed);
    };
    socket.on('drain', settle);
    socket.on('close', settle);
  });
}

async function removeStale(path: string): Promise<void> {
  const found = await new Promise<'live' | 'stale' | 'none'>((resolve, reject) => {
    const probe = connect(path);
    probe.on('connect', () => {
      probe.destroy();
      resolve('live');
    });
    probe.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') resolve('none');
      else if (error.code === 'ECONNREFUSED' || error.code === 'ENOTSOCK') resolve('stale');
      else if (error.code === 'EAGAIN') resolve('live');
      else reject(new UapiSocketError('unavailable', `can't look at ${path}: ${error.message}`, { cause: error }));
    });
  });
  if (found === 'live') throw new UapiSocketError('inUse', `${path} belongs to a device that is running`);
  if (found === 'stale') unlinkSync(path);
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.on('error', (error: NodeJS.ErrnoException) => {
      const code = error.code === 'EADDRINUSE' ? 'inUse' : 'unavailable';
      reject(new UapiSocketError(code, `can't open ${path}: ${error.message}`, { cause: error }));
    });
    // The socket is bound before listen() returns. Only the main thread may set the mask; the folder protects too.
    const mask = isMainThread ? process.umask(0o077) : undefined;
    try {
      server.listen(path, resolve);
    } finally {
      if (mask !== undefined) process.umask(mask);
    }
    if (mask === undefined && inodeOf(path) !== undefined) chmodSync(path, 0o600);
  });
}

function watchRemoval(path: string, ino: number, removed: () => void): FSWatcher | undefined {
  try {
    const watcher = watch(UAPI_DIRECTORY, { persistent: false }, () => {
      if (inodeOf(path) === ino) return;
      watcher.close();
      removed();
    });
    watcher.on('error', () => {
      watcher.close();
    });
    return watcher;
  } catch {
    return undefined; // no inotify instances left: the device then ends by its interface or by a signal
  }
}

function inodeOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.ino;
}
