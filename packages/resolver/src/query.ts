import packet from 'dns-packet';
import { CLASS_IN, FLAG, HEADER_BYTES, PLAIN_UDP_BYTES, RCODE, readQuestion, type Question } from './wire.ts';

/** A question that a client asks, checked. */
export interface Query {
  readonly id: number;
  readonly question: Question;
  readonly recursionDesired: boolean;
  readonly authenticData: boolean;
  readonly checkingDisabled: boolean;
  /** EDNS (RFC 6891), where the client speaks it: what it takes by UDP, and whether it wants signatures. */
  readonly edns: { readonly udpBytes: number; readonly dnssecOk: boolean } | undefined;
}

/** `drop`: not answered at all; `refuse`: answered with this code. */
export type QueryReading =
  | { readonly kind: 'query'; readonly query: Query }
  | { readonly kind: 'refuse'; readonly query: Query | { readonly id: number }; readonly rcode: number }
  | { readonly kind: 'drop' };

/** Longer than any question with what belongs to it. */
export const MAX_QUERY_BYTES = 4096;
const DROP: QueryReading = { kind: 'drop' };

/** Reads what a client sent. Never throws. */
export function readQuery(message: Buffer): QueryReading {
  if (message.length < HEADER_BYTES || message.length > MAX_QUERY_BYTES) return DROP;
  const id = message.readUInt16BE(0);
  const flags = message.readUInt16BE(2);
  // Two servers that answered each other's answers would never end.
  if ((flags & FLAG.response) !== 0) return DROP;
  const refuse = (rcode: number, query?: Query): QueryReading => ({ kind: 'refuse', query: query ?? { id }, rcode });
  if (((flags >> 11) & 15) !== 0) return refuse(RCODE.notImp);
  const counts = [4, 6, 8, 10].map((offset) => message.readUInt16BE(offset));
  if (counts[0] !== 1 || counts[1] !== 0 || counts[2] !== 0 || counts[3] > 2) return refuse(RCODE.formErr);
  const question = readQuestion(message);
  const additionals = question === undefined ? undefined : decodeAdditionals(message);
  if (question === undefined || additionals === undefined) return refuse(RCODE.formErr);
  const options = additionals.filter((record): record is packet.OptAnswer => record.type === 'OPT');
  const [opt] = options;
  if (options.length > 1 || (opt !== undefined && opt.name !== '.')) return refuse(RCODE.formErr);
  const query: Query = {
    id,
    question,
    recursionDesired: (flags & FLAG.rd) !== 0,
    authenticData: (flags & FLAG.ad) !== 0,
    checkingDisabled: (flags & FLAG.cd) !== 0,
    edns:
      opt === undefined
        ? undefined
        : { udpBytes: Math.max(opt.udpPayloadSize ?? 0, PLAIN_UDP_BYTES), dnssecOk: opt.flag_do },
  };
  if (opt?.ednsVersion !== undefined && opt.ednsVersion !== 0) return refuse(RCODE.badVersion, query);
  if (question.classCode !== CLASS_IN || isMetaType(question.type)) return refuse(RCODE.refused, query);
  return { kind: 'query', query };
}

/** Undefined where the message is not what it says, to its last byte. */
function decodeAdditionals(message: Buffer): packet.Answer[] | undefined {
  try {
    const { additionals } = packet.decode(message);
    return packet.decode.bytes === message.length ? (additionals ?? []) : undefined;
  } catch {
    return undefined;
  }
}

/** What is no data: OPT, and the types from 128 to 255 (RFC 6895), among them ANY, AXFR and IXFR. */
function isMetaType(type: number): boolean {
  return type === 0 || type === 41 || (type >= 128 && type <= 255);
}
