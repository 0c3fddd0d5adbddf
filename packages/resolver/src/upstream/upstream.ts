import { randomInt } from 'node:crypto';
import { encodeOpt, type Answer } from '../answer.ts';
import { FLAG, HEADER_BYTES } from '../wire.ts';

/** What a name server is asked: nothing in it tells for whom. */
export interface Asked {
  /** Name, type and class. */
  readonly question: Buffer;
  readonly dnssecOk: boolean;
  readonly checkingDisabled: boolean;
}

/** `broken`: it can't be reached or does not speak the protocol; `silent`: no answer in time; `closed`: by us. */
export type UpstreamFault = 'broken' | 'silent' | 'closed';

/** No answer. It names neither server nor question, so that it can be logged. */
export class UpstreamError extends Error {
  readonly fault: UpstreamFault;

  constructor(fault: UpstreamFault) {
    super(`the name server is ${fault}`);
    this.name = 'UpstreamError';
    this.fault = fault;
  }
}

/** One name server, by one way. */
export interface Upstream {
  /** How long it is waited for. */
  readonly patienceMs: number;
  /** Throws an {@link UpstreamError}. */
  ask(asked: Asked, timeoutMs: number): Promise<Answer>;
  close(): void;
}

export function randomId(): number {
  return randomInt(0x1_0000);
}

/** Encrypted queries are as long as others (RFC 8467 section 4.1). */
const PADDED_BYTES = 128;
const OPT_WITH_PADDING_BYTES = 11 + 4;
const opts = [encodeOpt(false, []), encodeOpt(true, [])] as const;

/** The message that asks. AD says that we read what the answer says of it (RFC 6840 section 5.7). */
export function writeQuery(id: number, question: Buffer, asked: Asked, padded: boolean): Buffer {
  const bareBytes = HEADER_BYTES + question.length + OPT_WITH_PADDING_BYTES;
  const opt = padded
    ? encodeOpt(asked.dnssecOk, [{ code: 12, length: (PADDED_BYTES - (bareBytes % PADDED_BYTES)) % PADDED_BYTES }])
    : opts[asked.dnssecOk ? 1 : 0];
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(FLAG.rd | FLAG.ad | (asked.checkingDisabled ? FLAG.cd : 0), 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(1, 10);
  return Buffer.concat([header, question, opt]);
}
