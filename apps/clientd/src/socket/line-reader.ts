import { Buffer } from 'node:buffer';

const LINE_FEED = 10;

/** Puts the lines of a stream of bytes together, each no longer than `maxBytes`. */
export class LineReader {
  readonly #maxBytes: number;
  #pieces: Buffer[] = [];
  #length = 0;
  #failed = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The lines that `chunk` completes; undefined once one is too long: nothing can be told apart from then on. */
  push(chunk: Buffer): string[] | undefined {
    const lines: string[] = [];
    let from = 0;
    while (!this.#failed) {
      const end = chunk.indexOf(LINE_FEED, from);
      const piece = chunk.subarray(from, end < 0 ? chunk.length : end);
      if (this.#length + piece.length > this.#maxBytes) {
        this.#failed = true;
        this.#pieces = [];
        break;
      }
      this.#pieces.push(piece);
      this.#length += piece.length;
      if (end < 0) return lines;
      lines.push(Buffer.concat(this.#pieces).toString('utf8'));
      this.#pieces = [];
      this.#length = 0;
      from = end + 1;
    }
    return undefined;
  }
}
