/** Messages in a stream: each behind its length in two bytes (RFC 1035 section 4.2.2). */
export class FrameReader {
  readonly #take: (message: Buffer) => void;
  #rest: Buffer = Buffer.alloc(0);

  constructor(take: (message: Buffer) => void) {
    this.#take = take;
  }

  /** At most one message that has not come whole is kept, so 64 KiB. */
  push(chunk: Buffer): void {
    let bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    while (bytes.length >= 2) {
      const end = 2 + bytes.readUInt16BE(0);
      if (bytes.length < end) break;
      this.#take(bytes.subarray(2, end));
      bytes = bytes.subarray(end);
    }
    this.#rest = bytes;
  }

  /** The length that the message under way says of itself. */
  get announced(): number {
    return this.#rest.length >= 2 ? this.#rest.readUInt16BE(0) : 0;
  }
}

/** Length and message together, so that they leave in one segment. */
export function frame(message: Buffer): Buffer {
  const framed = Buffer.allocUnsafe(2 + message.length);
  framed.writeUInt16BE(message.length, 0);
  message.copy(framed, 2);
  return framed;
}
