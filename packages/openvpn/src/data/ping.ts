import type { Memory } from '@sallyport/core';
import { PING } from '../wire/inner.ts';

export const PING_BYTES = PING.length;

const [a, b, c, d] = [0, 4, 8, 12].map((i) => new DataView(PING.buffer, PING.byteOffset).getInt32(i));

/** Whether what was opened is a ping: only to say that the peer is there. */
export function isPingAt({ view }: Memory, at: number, length: number): boolean {
  return (
    length === PING_BYTES &&
    view.getInt32(at) === a &&
    view.getInt32(at + 4) === b &&
    view.getInt32(at + 8) === c &&
    view.getInt32(at + 12) === d
  );
}

export function writePing({ u8 }: Memory, at: number): void {
  u8.set(PING, at);
}
