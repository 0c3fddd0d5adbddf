import packet from 'dns-packet';
import type { Query } from './query.ts';
import { EDNS_UDP_BYTES, FLAG, HEADER_BYTES, MAX_MESSAGE_BYTES, PLAIN_UDP_BYTES, RCODE, sameQuestion, skipName, TYPE } from './wire.ts'; // prettier-ignore

/** What there is to say to a question, whoever asked it: a message without id, flags and EDNS. */
export interface Answer {
  /** Header (of which the counts hold), question, records. */
  readonly message: Buffer;
  readonly rcode: number;
  readonly authenticData: boolean;
  /** Where the records' times to live are written. */
  readonly ttlOffsets: readonly number[];
  /** Seconds for which it may be kept; 0: not at all. */
  readonly ttlSeconds: number;
  /** An extended error (RFC 8914). */
  readonly extendedError?: number;
}

export type AnswerReading =
  | { readonly kind: 'answer'; readonly answer: Answer; readonly sameCase: boolean }
  /** Cut off: the whole of it comes by TCP. */
  | { readonly kind: 'truncated' }
  /** The answer to something else. */
  | { readonly kind: 'foreign' }
  /** It answers what was asked, and can't be read. */
  | { readonly kind: 'faulty' };

/** TTLs above this are none (RFC 2181 section 8). */
const MAX_TTL_SECONDS = 2 ** 31 - 1;

/** Reads what a name server sent, as the answer to the question `asked` (name, type, class) with this id. Never throws. */
export function readAnswer(message: Buffer, id: number, asked: Buffer): AnswerReading {
  const questionEnd = HEADER_BYTES + asked.length;
  if (message.length < questionEnd || message.length > MAX_MESSAGE_BYTES) return { kind: 'foreign' };
  const flags = message.readUInt16BE(2);
  const isResponse = (flags & FLAG.response) !== 0 && ((flags >> 11) & 15) === 0;
  if (message.readUInt16BE(0) !== id || !isResponse || message.readUInt16BE(4) !== 1) return { kind: 'foreign' };
  const question = message.subarray(HEADER_BYTES, questionEnd);
  if (!sameQuestion(question, asked)) return { kind: 'foreign' };
  if ((flags & FLAG.tc) !== 0) return { kind: 'truncated' };
  const records = readRecords(message, questionEnd);
  if (records === undefined) return { kind: 'faulty' };
  const rcode = (flags & 15) | (records.extendedRcode << 4);
  const bare = Buffer.allocUnsafeSlow(records.end);
  message.copy(bare, 0, 0, records.end);
  bare.writeUInt16BE(records.additionals, 10);
  return {
    kind: 'answer',
    sameCase: question.equals(asked),
    answer: {
      message: bare,
      rcode,
      authenticData: (flags & FLAG.ad) !== 0,
      ttlOffsets: records.ttlOffsets,
      ttlSeconds: lifetime(rcode, records, asked.readUInt16BE(asked.length - 4)),
    },
  };
}

interface Records {
  readonly ttlOffsets: number[];
  /** Of all records; undefined where there is none. */
  readonly lowestTtl: number | undefined;
  readonly answerTypes: ReadonlySet<number>;
  /** RFC 2308 section 5: how long it holds that there is nothing. */
  readonly negativeTtl: number | undefined;
  readonly extendedRcode: number;
  /** Where the records end that go on: EDNS, and what may follow it, is between two neighbours alone. */
  readonly end: number;
  readonly additionals: number;
}

function readRecords(message: Buffer, start: number): Records | undefined {
  const counts = [message.readUInt16BE(6), message.readUInt16BE(8), message.readUInt16BE(10)];
  const ttlOffsets: number[] = [];
  const answerTypes = new Set<number>();
  let lowestTtl: number | undefined;
  let negativeTtl: number | undefined;
  let extendedRcode = 0;
  let offset = start;
  let kept: { end: number; additionals: number } | undefined;
  for (const [section, count] of counts.entries()) {
    for (let i = 0; i < count; i++) {
      const fixed = skipName(message, offset);
      if (fixed === undefined || fixed + 10 > message.length) return undefined;
      const type = message.readUInt16BE(fixed);
      const end = fixed + 10 + message.readUInt16BE(fixed + 8);
      if (end > message.length) return undefined;
      if (type === TYPE.OPT) {
        if (section !== 2) return undefined;
        extendedRcode = message[fixed + 4]!;
        kept ??= { end: offset, additionals: i };
      } else if (kept === undefined) {
        const written = message.readUInt32BE(fixed + 4);
        const ttl = written > MAX_TTL_SECONDS ? 0 : written;
        ttlOffsets.push(fixed + 4);
        lowestTtl = Math.min(lowestTtl ?? ttl, ttl);
        if (section === 0) answerTypes.add(type);
        // The last field of an SOA is the time for which its absences hold.
        if (section === 1 && type === TYPE.SOA && end - fixed >= 10 + 22)
          negativeTtl = Math.min(ttl, message.readUInt32BE(end - 4));
      }
      offset = end;
    }
  }
  const rest = kept ?? { end: offset, additionals: counts[2] };
  return { ttlOffsets, lowestTtl, answerTypes, negativeTtl, extendedRcode, ...rest };
}

/** How long an answer may be kept by what it says itself (RFC 2308); failures not at all. */
function lifetime(rcode: number, { lowestTtl, answerTypes, negativeTtl }: Records, type: number): number {
  if (rcode !== RCODE.noError && rcode !== RCODE.nxDomain) return 0;
  const leadsOnOnly = type !== TYPE.CNAME && [...answerTypes].every((found) => found === TYPE.CNAME);
  if (rcode === RCODE.nxDomain || leadsOnOnly) return Math.min(negativeTtl ?? 0, lowestTtl ?? 0);
  return lowestTtl ?? 0;
}

export interface LocalAnswer {
  readonly rcode: number;
  readonly answers?: readonly packet.Answer[];
  readonly authorities?: readonly packet.Answer[];
  readonly extendedError?: number;
}

/** An answer of our own. It is not kept: it is made anew each time. */
export function makeAnswer(question: Buffer, local: LocalAnswer): Answer {
  const { rcode, extendedError, answers = [], authorities = [] } = local;
  const records = packet.encode({
    type: 'response',
    questions: [],
    answers: [...answers],
    authorities: [...authorities],
  });
  const message = Buffer.concat([records.subarray(0, HEADER_BYTES), question, records.subarray(HEADER_BYTES)]);
  message.writeUInt16BE(1, 4);
  return {
    message,
    rcode,
    authenticData: false,
    ttlOffsets: [],
    ttlSeconds: 0,
    ...(extendedError === undefined ? {} : { extendedError }),
  };
}

/** Who is answered, and how much it takes: by UDP what it said, by TCP anything. */
export interface Reader {
  readonly query: Query;
  readonly byUdp: boolean;
}

/** The message for a client. `ageSeconds`: how long the answer has been kept. */
export function writeAnswer({ query, byUdp }: Reader, answer: Answer, ageSeconds: number): Buffer {
  const { question, edns } = query;
  const opt = edns === undefined ? undefined : optRecord(answer.rcode, edns.dnssecOk, answer.extendedError);
  const limit = byUdp ? Math.min(edns?.udpBytes ?? PLAIN_UDP_BYTES, EDNS_UDP_BYTES) : MAX_MESSAGE_BYTES;
  const tooLong = answer.message.length + (opt?.length ?? 0) > limit;
  const length = tooLong ? HEADER_BYTES + question.bytes.length : answer.message.length;
  const message = Buffer.allocUnsafe(length + (opt?.length ?? 0));
  answer.message.copy(message, 0, 0, length);
  // The same name in the letters in which this client wrote it.
  question.bytes.copy(message, HEADER_BYTES);
  if (tooLong) message.fill(0, 6, HEADER_BYTES);
  else {
    for (const offset of answer.ttlOffsets) {
      const ttl = message.readUInt32BE(offset);
      message.writeUInt32BE(ttl > MAX_TTL_SECONDS ? 0 : Math.max(0, ttl - ageSeconds), offset);
    }
  }
  if (opt !== undefined) {
    opt.copy(message, length);
    message.writeUInt16BE(message.readUInt16BE(10) + 1, 10);
  }
  const wantsAd = query.authenticData || edns?.dnssecOk === true;
  message.writeUInt16BE(query.id, 0);
  message.writeUInt16BE(
    FLAG.response |
      FLAG.ra |
      (tooLong ? FLAG.tc : 0) |
      (query.recursionDesired ? FLAG.rd : 0) |
      (wantsAd && answer.authenticData ? FLAG.ad : 0) |
      (query.checkingDisabled ? FLAG.cd : 0) |
      // Where the code needs EDNS and the client has none, it failed.
      (answer.rcode > 15 && opt === undefined ? RCODE.servFail : answer.rcode & 15),
    2,
  );
  return message;
}

/** To whom nothing but a code can be said: its question could not be read. */
export function writeRefusal(id: number, rcode: number): Buffer {
  const message = Buffer.alloc(HEADER_BYTES);
  message.writeUInt16BE(id, 0);
  message.writeUInt16BE(FLAG.response | FLAG.ra | rcode, 2);
  return message;
}

const EXTENDED_ERROR_CODE = 15;
const plainOpts = [optBytes(0, false), optBytes(0, true)] as const;

function optRecord(rcode: number, dnssecOk: boolean, extendedError: number | undefined): Buffer {
  if (extendedError === undefined && rcode < 16) return plainOpts[dnssecOk ? 1 : 0];
  return optBytes(rcode >> 4, dnssecOk, extendedError);
}

function optBytes(extendedRcode: number, dnssecOk: boolean, extendedError?: number): Buffer {
  const data = Buffer.alloc(2);
  if (extendedError !== undefined) data.writeUInt16BE(extendedError);
  // The library takes a code that it does not know with its data, which its types do not say.
  const options = (extendedError === undefined
    ? []
    : [{ code: EXTENDED_ERROR_CODE, data }]) as unknown as packet.PacketOpt[];
  return encodeOpt(dnssecOk, options, extendedRcode);
}

/** An OPT record (RFC 6891 section 6.1). */
export function encodeOpt(dnssecOk: boolean, options: readonly packet.PacketOpt[], extendedRcode = 0): Buffer {
  const opt: packet.OptAnswer = {
    type: 'OPT',
    name: '.',
    udpPayloadSize: EDNS_UDP_BYTES,
    extendedRcode,
    ednsVersion: 0,
    flags: dnssecOk ? packet.DNSSEC_OK : 0,
    flag_do: dnssecOk,
    options: [...options],
  };
  return packet.encode({ type: 'query', additionals: [opt] }).subarray(HEADER_BYTES);
}
