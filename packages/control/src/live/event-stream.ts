/** A reader that leaves more than this unread is too slow: its stream ends, and it begins anew. */
const MAX_UNSENT_BYTES = 256 * 1024;
/** What is handed over at once. */
const CHUNK_BYTES = 16 * 1024;

/** One event as it is sent; `data` becomes JSON, which holds no line break. */
export function eventText(name: string, data: unknown): string {
  return `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

/**
 * The text of one stream, from whoever has something to say to the one that reads. Not a generator: to end one that waits
 * would have to wait as well.
 */
export class EventStream implements AsyncIterableIterator<string> {
  readonly #onEnd: () => void;
  #waiting: ((result: IteratorResult<string>) => void) | undefined;
  #unsent: string[] = [];
  #unsentBytes = 0;
  #ended = false;

  /** @param onEnd called once, whichever side ends it */
  constructor(onEnd: () => void) {
    this.#onEnd = onEnd;
  }

  get ended(): boolean {
    return this.#ended;
  }

  send(text: string): void {
    if (this.#ended) return;
    if (this.#waiting !== undefined) {
      this.#settle({ done: false, value: text });
      return;
    }
    this.#unsent.push(text);
    this.#unsentBytes += Buffer.byteLength(text);
    if (this.#unsentBytes <= MAX_UNSENT_BYTES) return;
    this.#drop();
    this.end();
  }

  /** Ends it after what is unsent. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#settle({ done: true, value: undefined });
    this.#onEnd();
  }

  next(): Promise<IteratorResult<string>> {
    let value = this.#unsent.shift();
    if (value !== undefined) {
      while (this.#unsent.length > 0 && value.length + this.#unsent[0].length <= CHUNK_BYTES) {
        value += this.#unsent.shift()!;
      }
      this.#unsentBytes -= Buffer.byteLength(value);
      return Promise.resolve({ done: false, value });
    }
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => (this.#waiting = resolve));
  }

  /** The reader is gone. */
  return(): Promise<IteratorResult<string>> {
    this.#drop();
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #settle(result: IteratorResult<string>): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.(result);
  }

  #drop(): void {
    this.#unsent = [];
    this.#unsentBytes = 0;
  }
}
