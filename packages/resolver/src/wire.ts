/**
 * The parts of a DNS message (RFC 1035 section 4.1) that a forwarder looks at itself. Answers go on as the bytes that they
 * are: names that are no text, types that no library knows, and compression stay as they were.
 */

export const HEADER_BYTES = 12;
export const MAX_MESSAGE_BYTES = 65_535;

export const TYPE = { A: 1, CNAME: 5, SOA: 6, PTR: 12, AAAA: 28, OPT: 41 } as const;
export const CLASS_IN = 1;
export const RCODE = {
  noError: 0,
  formErr: 1,
  servFail: 2,
  nxDomain: 3,
  notImp: 4,
  refused: 5,
  badVersion: 16,
} as const;
export const FLAG = { response: 0x8000, tc: 0x0200, rd: 0x0100, ra: 0x0080, ad: 0x0020, cd: 0x0010 } as const;

/** RFC 6891: what fits through any path without fragments (DNS flag day 2020). */
export const EDNS_UDP_BYTES = 1232;
/** What takes no EDNS (RFC 1035 section 2.3.4). */
export const PLAIN_UDP_BYTES = 512;

const MAX_NAME_BYTES = 255;

export interface Question {
  /** Name, type and class as they were written. */
  readonly bytes: Buffer;
  /**
   * Lower case, without a dot at the end. What is no ordinary letter of a name is escaped (`\.`, `\200`), so that different
   * names are different texts.
   */
  readonly name: string;
  readonly type: number;
  readonly classCode: number;
}

/** The question at the beginning of a message. Its name is never compressed: there is nothing before it. */
export function readQuestion(message: Buffer): Question | undefined {
  const labels: string[] = [];
  let offset = HEADER_BYTES;
  for (;;) {
    const length = message[offset];
    if (length === undefined || length > 63) return undefined;
    offset += 1;
    if (length === 0) break;
    if (offset + length > message.length || offset + length - HEADER_BYTES > MAX_NAME_BYTES - 1) return undefined;
    labels.push(labelText(message, offset, length));
    offset += length;
  }
  if (offset + 4 > message.length) return undefined;
  return {
    bytes: message.subarray(HEADER_BYTES, offset + 4),
    name: labels.join('.'),
    type: message.readUInt16BE(offset),
    classCode: message.readUInt16BE(offset + 2),
  };
}

const ORDINARY = /^[a-z0-9_-]+$/;

function labelText(message: Buffer, offset: number, length: number): string {
  const text = message.toString('latin1', offset, offset + length).toLowerCase();
  if (ORDINARY.test(text)) return text;
  let escaped = '';
  for (let i = offset; i < offset + length; i++) {
    const byte = message[i];
    const letter = String.fromCharCode(byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte);
    if (letter === '.' || letter === '\\') escaped += `\\${letter}`;
    else escaped += byte > 0x20 && byte < 0x7f ? letter : `\\${byte.toString().padStart(3, '0')}`;
  }
  return escaped;
}

/** Where the name at `offset` ends, or undefined where it runs out of the message. What it points to is not followed. */
export function skipName(message: Buffer, offset: number): number | undefined {
  for (let at = offset; at - offset <= MAX_NAME_BYTES;) {
    const length = message[at];
    if (length === undefined) return undefined;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2 <= message.length ? at + 2 : undefined;
    if (length > 63) return undefined;
    at += length + 1;
  }
  return undefined;
}

/** Whether two questions are the same but for the case of letters. */
export function sameQuestion(a: Buffer, b: Buffer): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i] && lower(a[i]) !== lower(b[i])) return false;
  }
  return true;
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte;
}
