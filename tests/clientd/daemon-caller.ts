import { connect, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import type { ClientStatus, DaemonError } from '@sallyport/client';

/** What the daemon refused, by its code. */
export class Refused extends Error {
  readonly code: DaemonError['code'];
  constructor({ code, message }: DaemonError) {
    super(`${code}: ${message}`);
    this.code = code;
  }
}

interface Answer {
  readonly id: number;
  readonly event?: unknown;
  readonly result?: unknown;
  readonly error?: DaemonError;
}

/** One request on a connection of its own. `onEvent` hears what comes before the result. */
export function ask<Result = ClientStatus>(
  path: string,
  method: string,
  params: object = {},
  onEvent: (event: unknown) => void = () => undefined,
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(path);
    socket.on('error', reject);
    socket.on('close', () => reject(new Error('the daemon closed the connection')));
    createInterface({ input: socket }).on('line', (line) => {
      const answer = JSON.parse(line) as Answer;
      if ('event' in answer) onEvent(answer.event);
      else {
        if (answer.error === undefined) resolve(answer.result as Result);
        else reject(new Refused(answer.error));
        socket.destroy();
      }
    });
    socket.write(`${JSON.stringify({ id: 1, method, params })}\n`);
  });
}
