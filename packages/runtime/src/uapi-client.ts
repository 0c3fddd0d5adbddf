import { readdirSync } from 'node:fs';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { getSystemErrorName } from 'node:util';
import { UAPI_DIRECTORY, uapiSocketPath } from './uapi-socket.ts';

/** A device can't be asked, or refused what it was asked for. */
export class UapiClientError extends Error {
  readonly code: 'noDevice' | 'notPermitted' | 'refused' | 'broken';

  constructor(code: UapiClientError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'UapiClientError';
    this.code = code;
  }
}

const TIMEOUT_MS = 30_000;
const MAX_ANSWER_BYTES = 512 * 1024 * 1024;

/** Sends a `set=1` request, given piece by piece, and waits until the device `name` has applied it. */
export async function setDevice(name: string, request: Iterable<string>): Promise<void> {
  const answer = await ask(name, request);
  const errno = Number(/^errno=(-?\d{1,10})$/m.exec(answer)?.[1] ?? NaN);
  if (Number.isNaN(errno)) throw new UapiClientError('broken', `${name}: the device's answer has no errno`);
  if (errno !== 0) {
    throw new UapiClientError('refused', `${name}: the device refused its configuration (${errnoName(errno)})`);
  }
}

/** The answer of the device `name` to `get=1`, as text, its `errno` line included. */
export function getDevice(name: string): Promise<string> {
  return ask(name, ['get=1\n\n']);
}

/** The names of the devices that have a socket; one that nobody answers on any more may be among them. */
export function listDevices(): string[] {
  try {
    return readdirSync(UAPI_DIRECTORY)
      .filter((file) => file.endsWith('.sock'))
      .map((file) => file.slice(0, -'.sock'.length))
      .sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new UapiClientError('notPermitted', `can't read ${UAPI_DIRECTORY}`, { cause: error });
  }
}

async function ask(name: string, request: Iterable<string>): Promise<string> {
  const socket = connect(uapiSocketPath(name));
  socket.setTimeout(TIMEOUT_MS, () => {
    socket.destroy(new UapiClientError('broken', `${name}: the device doesn't answer`));
  });
  try {
    const [answer] = await Promise.all([readAnswer(socket, name), writeAll(socket, request)]);
    return answer;
  } catch (error) {
    throw error instanceof UapiClientError ? error : connectionError(name, error as NodeJS.ErrnoException);
  } finally {
    socket.destroy();
  }
}

async function writeAll(socket: Socket, request: Iterable<string>): Promise<void> {
  for (const text of request) {
    if (socket.write(text)) continue;
    await new Promise<void>((resolve) => {
      socket.once('drain', resolve).once('close', resolve);
    });
    if (socket.destroyed) return;
  }
}

/** Reads up to the empty line that ends an answer. */
async function readAnswer(socket: Socket, name: string): Promise<string> {
  const pieces: string[] = [];
  let length = 0;
  let tail = '';
  socket.setEncoding('latin1');
  for await (const piece of socket as AsyncIterable<string>) {
    pieces.push(piece);
    length += piece.length;
    tail = (tail + piece).slice(-2);
    if (tail === '\n\n') return pieces.join('');
    if (length > MAX_ANSWER_BYTES) break;
  }
  throw new UapiClientError('broken', `${name}: the device's answer does not end`);
}

function connectionError(name: string, error: NodeJS.ErrnoException): UapiClientError {
  if (error.code === 'ENOENT' || error.code === 'ECONNREFUSED') {
    return new UapiClientError('noDevice', `${name}: there is no such device`, { cause: error });
  }
  if (error.code === 'EACCES' || error.code === 'EPERM') {
    return new UapiClientError('notPermitted', `${name}: only root may ask the device`, { cause: error });
  }
  return new UapiClientError('broken', `${name}: ${error.message}`, { cause: error });
}

function errnoName(errno: number): string {
  try {
    return getSystemErrorName(-Math.abs(errno));
  } catch {
    return `errno ${String(errno)}`;
  }
}
