import { DropReason } from '@sallyport/core';
import { MAX_TEXT_BYTES } from './control-message.ts';
import { isPrintable, utf8Length } from './text.ts';

/*
 * PUSH_REPLY: options with commas between them. What does not fit into one text goes in several; `push-continuation 2`
 * at the end of a piece says that more comes, `push-continuation 1` that it was the last.
 */

const COMMAND = 'PUSH_REPLY';
const CONTINUATION = 'push-continuation';
const LAST_PIECE = `${CONTINUATION} 1`;
const MORE_COMES = `${CONTINUATION} 2`;
/** OpenVPN reads an option into 256 bytes. */
const MAX_OPTION_BYTES = 255;
/** What a client gathers at most. */
const MAX_GATHERED_BYTES = 65_536;
const MAX_GATHERED_OPTIONS = 2048;

/** Whether an option can be pushed: printable, without a comma, and no longer than peers read. */
export function isPushable(option: string): boolean {
  return option !== '' && isPrintable(option) && !option.includes(',') && utf8Length(option) <= MAX_OPTION_BYTES;
}

/** The texts to send, in order, each within `maxBytes`. Undefined where an option is not {@link isPushable}. */
export function pushReply(options: readonly string[], maxBytes: number = MAX_TEXT_BYTES): string[] | undefined {
  if (!options.every(isPushable)) return undefined;
  const room = maxBytes - 1 - `,${MORE_COMES}`.length;
  const pieces: string[] = [];
  let piece = COMMAND;
  let bytes = COMMAND.length;
  for (const option of options) {
    const more = 1 + utf8Length(option);
    if (bytes + more > room && bytes > COMMAND.length) {
      pieces.push(`${piece},${MORE_COMES}`);
      piece = COMMAND;
      bytes = COMMAND.length;
    }
    piece += `,${option}`;
    bytes += more;
  }
  return [...pieces, pieces.length > 0 ? `${piece},${LAST_PIECE}` : piece];
}

/** Puts the pieces of a push reply together. */
export class PushReplyReader {
  #options: string[] = [];
  #bytes = 0;

  /** All options once the last piece is there, without the continuations; a `DropReason` where they are too many. */
  push(options: readonly string[]): readonly string[] | 'more' | number {
    let more = false;
    for (const option of options) {
      if (option.startsWith(`${CONTINUATION} `)) {
        more = option === MORE_COMES;
        continue;
      }
      this.#options.push(option);
      this.#bytes += option.length + 1;
      if (this.#bytes > MAX_GATHERED_BYTES || this.#options.length > MAX_GATHERED_OPTIONS)
        return DropReason.malformedPacket;
    }
    if (more) return 'more';
    const whole = this.#options;
    this.#options = [];
    this.#bytes = 0;
    return whole;
  }
}
