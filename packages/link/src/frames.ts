const LENGTH_BYTES = 4;

/** A frame: the length of the text in UTF-8, 4 bytes, big endian; then the text. Throws a RangeError past `maxBytes`. */
export function encodeFrame(text: string, maxBytes: number): Buffer {
  const length = Buffer.byteLength(text, 'utf8');
  if (length > maxBytes) throw new RangeError(`a message of ${length} bytes is longer than a frame's ${maxBytes}`);
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + length);
  frame.writeUInt32BE(length, 0);
  frame.write(text, LENGTH_BYTES, 'utf8');
  return frame;
}

/** Puts frames together from what the stream brings. It holds no more than has come, whatever a length announces. */
export class FrameDecoder {
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #held = 0;
  /** Length of the frame under way, once it is known. */
  #length: number | undefined;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Bytes of a frame that is not whole yet. */
  get held(): number {
    return this.#held;
  }

  /** Takes a piece of the stream. To be followed by calls of {@link next}. */
  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#held += chunk.length;
  }

  /** The next whole frame's bytes; undefined where more must come first; `tooLong` ends it: the stream can't be read on. */
  next(): Buffer | 'tooLong' | undefined {
    if (this.#length === undefined) {
      if (this.#held < LENGTH_BYTES) return undefined;
      this.#length = this.#take(LENGTH_BYTES).readUInt32BE(0);
    }
    if (this.#length > this.#maxBytes) return 'tooLong';
    if (this.#held < this.#length) return undefined;
    const frame = this.#take(this.#length);
    this.#length = undefined;
    return frame;
  }

  #take(bytes: number): Buffer {
    this.#held -= bytes;
    const first = this.#chunks[0];
    if (first !== undefined && first.length > bytes) {
      this.#chunks[0] = first.subarray(bytes);
      return first.subarray(0, bytes);
    }
    const parts: Buffer[] = [];
    let used = 0;
    let missing = bytes;
    while (missing > 0) {
      const part = this.#chunks[used];
      if (part.length > missing) {
        parts.push(part.subarray(0, missing));
        this.#chunks[used] = part.subarray(missing);
        break;
      }
      parts.push(part);
      missing -= part.length;
      used++;
    }
    this.#chunks.splice(0, used);
    return parts.length === 1 ? parts[0] : Buffer.concat(parts, bytes);
  }
}
