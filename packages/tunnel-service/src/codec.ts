import {
  CIPHERTEXT_BYTES,
  ENCAPSULATION_KEY_BYTES,
  HEADER_BYTES,
  MAX_MESSAGE_BYTES,
  type TunnelServiceMessage,
} from './messages.ts';

/** "SP", and the version. */
const MAGIC = [0x53, 0x50, 0x01] as const;
const KIND_AT = 3;
const ID_AT = 4;

const KINDS = {
  ping: 1,
  pong: 2,
  keyRequest: 3,
  keyAnswer: 4,
  pathMtu: 5,
  pathMtuTaken: 6,
} as const;

const PONG_FLAGS_AT = HEADER_BYTES;
/** A pong has one byte of flags, so a ping has at least as much behind its header. */
export const LEAST_PADDING = 1;
const DRAINING = 0x01;
const MTU_BYTES = 2;

/**
 * A message as bytes. Throws a RangeError where a value can't be said: an id of more than 64 bits, a key of another
 * length, a padding below {@link LEAST_PADDING} or beyond {@link MAX_MESSAGE_BYTES}.
 */
export function encodeMessage(message: TunnelServiceMessage): Uint8Array {
  switch (message.kind) {
    case 'ping':
      return begin('ping', message.id, padding(message.padding));
    case 'pong': {
      const bytes = begin('pong', message.id, padding(message.padding));
      bytes[PONG_FLAGS_AT] = message.draining ? DRAINING : 0;
      return bytes;
    }
    case 'keyRequest':
      return withBody('keyRequest', message.id, message.encapsulationKey, ENCAPSULATION_KEY_BYTES);
    case 'keyAnswer':
      return withBody('keyAnswer', message.id, message.ciphertext, CIPHERTEXT_BYTES);
    case 'pathMtu': {
      const bytes = begin('pathMtu', message.id, MTU_BYTES);
      if (!Number.isInteger(message.mtu) || message.mtu < 0 || message.mtu > 0xffff)
        throw new RangeError(`an MTU of ${String(message.mtu)} can't be said`);
      view(bytes).setUint16(HEADER_BYTES, message.mtu);
      return bytes;
    }
    case 'pathMtuTaken':
      return begin('pathMtuTaken', message.id, 0);
  }
}

/**
 * The message that bytes from the network are, or undefined. Keys and ciphertexts are copies. Padding that isn't zero and
 * flags that are not known yet are let pass.
 */
export function decodeMessage(bytes: Uint8Array): TunnelServiceMessage | undefined {
  if (bytes.length < HEADER_BYTES || bytes.length > MAX_MESSAGE_BYTES) return undefined;
  if (!MAGIC.every((byte, i) => bytes[i] === byte)) return undefined;
  const id = view(bytes).getBigUint64(ID_AT);
  const rest = bytes.length - HEADER_BYTES;
  switch (bytes[KIND_AT]) {
    case KINDS.ping:
      return rest < LEAST_PADDING ? undefined : { kind: 'ping', id, padding: rest };
    case KINDS.pong:
      if (rest < LEAST_PADDING) return undefined;
      return { kind: 'pong', id, padding: rest, draining: (bytes[PONG_FLAGS_AT] & DRAINING) !== 0 };
    case KINDS.keyRequest:
      if (rest !== ENCAPSULATION_KEY_BYTES) return undefined;
      return { kind: 'keyRequest', id, encapsulationKey: bytes.slice(HEADER_BYTES) };
    case KINDS.keyAnswer:
      if (rest !== CIPHERTEXT_BYTES) return undefined;
      return { kind: 'keyAnswer', id, ciphertext: bytes.slice(HEADER_BYTES) };
    case KINDS.pathMtu:
      return rest === MTU_BYTES ? { kind: 'pathMtu', id, mtu: view(bytes).getUint16(HEADER_BYTES) } : undefined;
    case KINDS.pathMtuTaken:
      return rest === 0 ? { kind: 'pathMtuTaken', id } : undefined;
    default:
      return undefined;
  }
}

function begin(kind: keyof typeof KINDS, id: bigint, rest: number): Uint8Array {
  if (id < 0n || id >= 1n << 64n) throw new RangeError('an id has 64 bits');
  const bytes = new Uint8Array(HEADER_BYTES + rest);
  bytes.set([...MAGIC, KINDS[kind]]);
  view(bytes).setBigUint64(ID_AT, id);
  return bytes;
}

function withBody(kind: keyof typeof KINDS, id: bigint, body: Uint8Array, length: number): Uint8Array {
  if (body.length !== length) throw new RangeError(`a ${kind} holds ${String(length)} bytes`);
  const bytes = begin(kind, id, length);
  bytes.set(body, HEADER_BYTES);
  return bytes;
}

function padding(bytes: number): number {
  if (!Number.isInteger(bytes) || bytes < LEAST_PADDING || bytes > MAX_MESSAGE_BYTES - HEADER_BYTES)
    throw new RangeError(`a padding of ${String(bytes)} bytes can't be said`);
  return bytes;
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
