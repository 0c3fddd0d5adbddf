import type { Duplex } from 'node:stream';

/** The longest message: a plan of 10,000 devices and as many grants takes about 5 MB. */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
const HEADER_BYTES = 4;

/** A peer broke the framing; the stream is of no use any more. */
export class FramingError extends Error {
  readonly code = 'FRAMING';
}

/** The messages of a stream, each JSON behind its length (4 bytes, big-endian), until its orderly end. */
export async function* readMessages(stream: Duplex): AsyncGenerator {
  let chunks: Buffer[] = [];
  let length = 0;
  let wanted = HEADER_BYTES;
  let inHeader = true;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    while (length >= wanted) {
      const all = chunks.length === 1 ? chunks[0] : Buffer.concat(chunks, length);
      const part = all.subarray(0, wanted);
      const rest = all.subarray(wanted);
      chunks = rest.length === 0 ? [] : [rest];
      length = rest.length;
      if (inHeader) {
        wanted = part.readUInt32BE(0);
        if (wanted === 0 || wanted > MAX_MESSAGE_BYTES)
          throw new FramingError(`a message of ${String(wanted)} bytes is not allowed`);
      } else {
        yield parse(part);
        wanted = HEADER_BYTES;
      }
      inHeader = !inHeader;
    }
  }
  if (length > 0 || !inHeader) throw new FramingError('the stream ended inside a message');
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8')) as unknown;
  } catch (error) {
    throw new FramingError('a message is not JSON', { cause: error });
  }
}

/** Writes one message. What the stream can't take at once it keeps, so the caller bounds how many are under way. */
export function writeMessage(stream: Duplex, message: unknown): void {
  const body = Buffer.from(JSON.stringify(message));
  if (body.length > MAX_MESSAGE_BYTES) throw new FramingError(`a message of ${String(body.length)} bytes is too long`);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(body.length);
  stream.cork();
  stream.write(header);
  stream.write(body);
  stream.uncork();
}
