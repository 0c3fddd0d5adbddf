import { DropReason, Secret } from '@sallyport/core';
import { concatenate, readU16, writeU16 } from './bytes.ts';
import { isPrintable, utf8Decode, utf8Encode } from './text.ts';

/*
 * Key method 2: the first that either end says inside TLS. Four bytes of zero, the method, random bytes, and strings with
 * a length of two bytes in front and a byte of zero behind: options, user name, password, peer info.
 */

const KEY_METHOD = 2;
const KEY_METHOD_MASK = 15;
export const PRE_MASTER_BYTES = 48;
export const RANDOM_BYTES = 32;

/** Options, user name, password, peer info. */
const STRINGS = 4;
const MAX_OPTIONS_BYTES = 512;
/** OpenVPN takes 128, or 4096 where it was built for smart cards. Tokens and answers to challenges are of that length. */
const MAX_CREDENTIAL_BYTES = 4096;
const MAX_PEER_INFO_BYTES = 4096;
/** The longest message; whoever sends more before it is whole is not understood. */
export const MAX_KEY_METHOD_BYTES = 5 + 112 + MAX_OPTIONS_BYTES + 2 * MAX_CREDENTIAL_BYTES + MAX_PEER_INFO_BYTES + 8;

export interface KeySource {
  readonly random1: Uint8Array;
  readonly random2: Uint8Array;
}

export interface ClientKeySource extends KeySource {
  readonly preMaster: Uint8Array;
}

export interface KeyMethod2 extends KeySource {
  /** 48 bytes, from a client alone. */
  readonly preMaster: Uint8Array | undefined;
  readonly options: string;
  readonly userName: string | undefined;
  readonly password: Secret<string> | undefined;
  /** Lines of `NAME=value`, or empty. */
  readonly peerInfo: string;
}

export interface DecodedKeyMethod2 extends KeyMethod2 {
  /** User name or password was longer than is taken, so that neither is here; the peer's user ought to be told. */
  readonly tooLong: boolean;
  /** Bytes that were the message's; what is behind them is the first control text. */
  readonly length: number;
}

/** The strings are ours: they hold no byte of zero. */
export function encodeKeyMethod2(message: KeyMethod2): Uint8Array {
  return concatenate([
    Uint8Array.of(0, 0, 0, 0, KEY_METHOD),
    message.preMaster ?? new Uint8Array(0),
    message.random1,
    message.random2,
    encodeString(message.options),
    encodeString(message.userName),
    encodeString(message.password?.reveal()),
    encodeString(message.peerInfo === '' ? undefined : message.peerInfo),
  ]);
}

/** Undefined is no string at all, with a length of 0; an empty one has a length of 1. */
function encodeString(text: string | undefined): Uint8Array {
  if (text === undefined) return new Uint8Array(2);
  const bytes = utf8Encode(text);
  const encoded = new Uint8Array(2 + bytes.length + 1);
  writeU16(encoded, 0, bytes.length + 1);
  encoded.set(bytes, 2);
  return encoded;
}

/**
 * What the peer said, its random bytes in memory of their own. `short`: the message is not whole yet; ask again with what
 * comes next behind it, up to {@link MAX_KEY_METHOD_BYTES}. Otherwise the `DropReason`. Strings that older peers leave out
 * at the end are taken as absent, where the message ends between two of them.
 */
export function decodeKeyMethod2(
  plaintext: Uint8Array,
  from: 'client' | 'server',
): DecodedKeyMethod2 | 'short' | number {
  const preMasterAt = 5;
  const randomAt = preMasterAt + (from === 'client' ? PRE_MASTER_BYTES : 0);
  const stringsAt = randomAt + 2 * RANDOM_BYTES;
  if (plaintext.length > MAX_KEY_METHOD_BYTES) return DropReason.malformedDatagram;
  if (plaintext.length >= preMasterAt && (plaintext[4] & KEY_METHOD_MASK) !== KEY_METHOD)
    return DropReason.malformedDatagram;
  // The lengths alone, until it is whole: it may come in many pieces, and is asked for with each.
  if (!isWhole(plaintext, stringsAt)) return 'short';
  const reader = new StringReader(plaintext, stringsAt);
  const options = reader.read(MAX_OPTIONS_BYTES);
  const userName = reader.readIfAny(MAX_CREDENTIAL_BYTES);
  const password = reader.readIfAny(MAX_CREDENTIAL_BYTES);
  const peerInfo = reader.readIfAny(MAX_PEER_INFO_BYTES);
  if (typeof options === 'number' || typeof peerInfo === 'number') return DropReason.malformedDatagram;
  if (userName === DropReason.malformedDatagram || password === DropReason.malformedDatagram)
    return DropReason.malformedDatagram;
  const tooLong = typeof userName === 'number' || typeof password === 'number';
  const name = tooLong ? undefined : userName?.text;
  if (name !== undefined && !isPrintable(name)) return DropReason.malformedDatagram;
  return {
    preMaster: from === 'client' ? new Uint8Array(plaintext.subarray(preMasterAt, randomAt)) : undefined,
    random1: new Uint8Array(plaintext.subarray(randomAt, randomAt + RANDOM_BYTES)),
    random2: new Uint8Array(plaintext.subarray(randomAt + RANDOM_BYTES, stringsAt)),
    options: options?.text ?? '',
    userName: name,
    password: tooLong || password === undefined ? undefined : new Secret(password.text),
    peerInfo: peerInfo?.text ?? '',
    tooLong,
    length: plaintext.length - reader.rest,
  };
}

/** Whether the strings are there up to the last, or up to where an older peer ends. */
function isWhole(bytes: Uint8Array, stringsAt: number): boolean {
  let at = stringsAt;
  for (let string = 0; string < STRINGS && (string === 0 || at !== bytes.length); string++) {
    if (bytes.length < at + 2) return false;
    at += 2 + readU16(bytes, at);
    if (bytes.length < at) return false;
  }
  return true;
}

type Reading = { readonly text: string } | undefined | number;

/** In place of a `DropReason`: longer than it may be. */
const TOO_LONG = -1;

/** Of a message that is whole. */
class StringReader {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get rest(): number {
    return this.#bytes.length - this.#at;
  }

  readIfAny(maxBytes: number): Reading {
    return this.rest === 0 ? undefined : this.read(maxBytes);
  }

  /** Undefined for a length of 0. */
  read(maxBytes: number): Reading {
    const length = readU16(this.#bytes, this.#at);
    const bytes = this.#bytes.subarray(this.#at + 2, this.#at + 2 + length);
    this.#at += 2 + length;
    if (length > maxBytes + 1) return TOO_LONG;
    if (length === 0) return undefined;
    if (bytes.indexOf(0) !== length - 1) return DropReason.malformedDatagram;
    const text = utf8Decode(bytes.subarray(0, length - 1));
    return text === undefined ? DropReason.malformedDatagram : { text };
  }
}
