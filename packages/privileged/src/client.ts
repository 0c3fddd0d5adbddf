import type { Duplex } from 'node:stream';
import { readMessages, writeMessage } from './framing.ts';
import type { Privileged, PrivilegedAnswer, PrivilegedRequest } from './requests.ts';

/** Requests without an answer that a client may have; the server takes no more. */
export const MAX_PENDING_REQUESTS = 64;

/** The privileged process is gone, or too many requests wait for it. */
export class PrivilegedError extends Error {
  readonly code: 'GONE' | 'TOO_MANY_REQUESTS';

  constructor(code: PrivilegedError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'PrivilegedError';
    this.code = code;
  }
}

interface Pending {
  readonly resolve: (answer: PrivilegedAnswer) => void;
  readonly reject: (error: PrivilegedError) => void;
}

/** The gateway's end of the stream to the privileged process. */
export class PrivilegedClient implements Privileged {
  readonly gone: Promise<void>;
  readonly #stream: Duplex;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;
  #gone = false;

  constructor(stream: Duplex) {
    this.#stream = stream;
    // What can't be written is seen by the end of the reading too.
    stream.on('error', () => undefined);
    this.gone = this.#read();
  }

  /** Throws a {@link PrivilegedError}; a request that failed is an answer with `error`. */
  request(request: PrivilegedRequest): Promise<PrivilegedAnswer> {
    if (this.#gone) return Promise.reject(goneError());
    if (this.#pending.size >= MAX_PENDING_REQUESTS) {
      const message = `${String(MAX_PENDING_REQUESTS)} requests to the privileged process are under way`;
      return Promise.reject(new PrivilegedError('TOO_MANY_REQUESTS', message));
    }
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      writeMessage(this.#stream, { id, request });
    });
  }

  /** Ends the connection; what was set up stays. */
  close(): void {
    this.#stream.end();
  }

  async #read(): Promise<void> {
    let cause: unknown;
    try {
      for await (const message of readMessages(this.#stream)) {
        const answer = message as PrivilegedAnswer;
        this.#pending.get(answer.id)?.resolve(answer);
        this.#pending.delete(answer.id);
      }
    } catch (error) {
      cause = error;
    }
    this.#gone = true;
    this.#stream.destroy();
    for (const { reject } of this.#pending.values()) reject(goneError(cause));
    this.#pending.clear();
  }
}

function goneError(cause?: unknown): PrivilegedError {
  return new PrivilegedError('GONE', 'the privileged process is gone', cause === undefined ? undefined : { cause });
}
