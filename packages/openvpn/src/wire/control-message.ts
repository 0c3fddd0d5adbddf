import { DropReason } from '@sallyport/core';
import { decodeCrv1, encodeCrv1, type DynamicChallenge } from './challenge.ts';
import { isPrintable, utf8Decode, utf8Encode, utf8Length } from './text.ts';

/*
 * What the two ends say inside TLS once the keys are agreed: texts with a byte of zero behind each.
 */

/** OpenVPN's bundle: the longest text that its own ends send, the byte of zero included. */
export const MAX_TEXT_BYTES = 1024;
/** What is taken: other servers send longer ones. */
const MAX_RECEIVED_BYTES = 16_384;

export const PUSH_REQUEST = 'PUSH_REQUEST';
export const EXIT = 'EXIT';

export type AuthFailure =
  | { readonly kind: 'plain'; readonly text: string }
  /** The next login is to answer this. */
  | { readonly kind: 'challenge'; readonly challenge: DynamicChallenge }
  /** The client should come again by itself. */
  | {
      readonly kind: 'temporary';
      readonly backoffSeconds: number | undefined;
      /** To the same address, to the next address of the same name, to the next `remote`. */
      readonly advance: 'no' | 'addr' | 'remote';
      readonly text: string;
    }
  /** The token is no good; the password is. */
  | { readonly kind: 'sessionEnded'; readonly text: string };

export type ControlMessage =
  | { readonly kind: 'pushRequest' }
  /** One piece: see `PushReplyReader`. */
  | { readonly kind: 'pushReply'; readonly options: readonly string[] }
  | { readonly kind: 'authFailed'; readonly failure: AuthFailure }
  | { readonly kind: 'authPending'; readonly timeoutSeconds: number | undefined }
  | { readonly kind: 'infoPre' | 'info'; readonly text: string }
  /** `keepPassword` and `advance` (go to the next server) are its flags P and N. */
  | {
      readonly kind: 'restart' | 'halt';
      readonly keepPassword: boolean;
      readonly advance: boolean;
      readonly text: string;
    }
  | { readonly kind: 'exit' }
  /** The answer to an `INFO_PRE,CR_TEXT:…`, base64. */
  | { readonly kind: 'crResponse'; readonly response: string }
  | { readonly kind: 'unknown' };

/** Cuts what comes out of TLS into texts. */
export class ControlTextReader {
  #held: Uint8Array = new Uint8Array(0);

  /**
   * The texts that are whole now, without CR and LF at their end; one that is not printable comes as ''. A `DropReason`
   * where a text is too long: the session can only end.
   */
  push(plaintext: Uint8Array): string[] | number {
    const bytes = new Uint8Array(this.#held.length + plaintext.length);
    bytes.set(this.#held);
    bytes.set(plaintext, this.#held.length);
    const texts: string[] = [];
    let at = 0;
    for (let end = bytes.indexOf(0, this.#held.length); end >= 0; end = bytes.indexOf(0, at)) {
      if (end - at > MAX_RECEIVED_BYTES) return DropReason.malformedPacket;
      const text = utf8Decode(bytes.subarray(at, end))?.replace(/[\r\n]+$/, '');
      texts.push(text !== undefined && isPrintable(text) ? text : '');
      at = end + 1;
    }
    if (bytes.length - at > MAX_RECEIVED_BYTES) return DropReason.malformedPacket;
    this.#held = bytes.slice(at);
    return texts;
  }
}

/** A text as it goes into TLS. */
export function encodeText(text: string): Uint8Array {
  return Uint8Array.of(...utf8Encode(text), 0);
}

export function parseControlMessage(text: string): ControlMessage {
  const comma = text.indexOf(',');
  const command = comma < 0 ? text : text.slice(0, comma);
  const rest = comma < 0 ? '' : text.slice(comma + 1);
  switch (command) {
    case PUSH_REQUEST:
      return { kind: 'pushRequest' };
    case 'PUSH_REPLY':
      return { kind: 'pushReply', options: rest.split(',').filter((option) => option !== '') };
    case 'AUTH_FAILED':
      return { kind: 'authFailed', failure: parseAuthFailure(rest) };
    case 'AUTH_PENDING':
      return { kind: 'authPending', timeoutSeconds: parsePendingTimeout(rest) };
    case 'INFO_PRE':
      return { kind: 'infoPre', text: rest };
    case 'INFO':
      return { kind: 'info', text: rest };
    case 'RESTART':
    case 'HALT':
      return parseSignal(command, rest);
    case EXIT:
      return { kind: 'exit' };
    case 'CR_RESPONSE':
      return { kind: 'crResponse', response: rest };
    default:
      return { kind: 'unknown' };
  }
}

function parseSignal(command: 'RESTART' | 'HALT', rest: string): ControlMessage {
  const [, flags = '', text = ''] = /^(?:\[([^\]]*)\]:?)?(.*)$/s.exec(rest) ?? [];
  return {
    kind: command === 'RESTART' ? 'restart' : 'halt',
    keepPassword: flags.includes('P'),
    advance: flags.includes('N'),
    text,
  };
}

function parsePendingTimeout(rest: string): number | undefined {
  for (const keyword of rest.split(',')) {
    const seconds = /^timeout (\d{1,9})$/.exec(keyword)?.[1];
    if (seconds !== undefined) return Number(seconds);
  }
  return undefined;
}

function parseAuthFailure(reason: string): AuthFailure {
  const challenge = decodeCrv1(reason);
  if (challenge !== undefined) return { kind: 'challenge', challenge };
  if (reason.startsWith('SESSION:')) return { kind: 'sessionEnded', text: reason.slice('SESSION:'.length) };
  const temporary = /^TEMP(?:\[([^\]]*)\])?(?::(.*))?/s.exec(reason);
  if (temporary === null) return { kind: 'plain', text: reason };
  const [, flagText = '', text = ''] = temporary;
  let backoffSeconds: number | undefined;
  let advance: 'no' | 'addr' | 'remote' = 'no';
  for (const flag of flagText.split(',')) {
    const [name, value] = flag.trim().split(' ');
    if (name === 'backoff' && /^\d{1,9}$/.test(value)) backoffSeconds = Number(value);
    if (name === 'advance' && (value === 'no' || value === 'addr' || value === 'remote')) advance = value;
  }
  return { kind: 'temporary', backoffSeconds, advance, text };
}

/** An AUTH_FAILED, its text made to fit: cut where it is too long, without what can't be printed. */
export function authFailed(failure: AuthFailure): string {
  switch (failure.kind) {
    case 'plain': {
      // What a client would take for one of the other kinds is none.
      const text = /^(?:TEMP|CRV1:|SESSION:)/.test(failure.text) ? ` ${failure.text}` : failure.text;
      return fit(text === '' ? 'AUTH_FAILED' : `AUTH_FAILED,${text}`);
    }
    case 'challenge':
      return fit(`AUTH_FAILED,${encodeCrv1(failure.challenge)}`);
    case 'temporary': {
      const { backoffSeconds, advance, text } = failure;
      const backoff = backoffSeconds === undefined ? '' : `backoff ${String(backoffSeconds)},`;
      return fit(`AUTH_FAILED,TEMP[${backoff}advance ${advance}]:${text}`);
    }
    case 'sessionEnded':
      return fit(`AUTH_FAILED,SESSION:${failure.text}`);
  }
}

/** `withKeyword`: the client takes the time along (`IV_PROTO`'s bit for it). */
export function authPending(timeoutSeconds: number, withKeyword: boolean): string {
  return withKeyword ? `AUTH_PENDING,timeout ${String(timeoutSeconds)}` : 'AUTH_PENDING';
}

/** Undefined where the text is too long, or can't be sent: half an address would be none. */
export function infoPre(text: string): string | undefined {
  const message = `INFO_PRE,${text}`;
  return isPrintable(text) && utf8Length(message) < MAX_TEXT_BYTES ? message : undefined;
}

export function info(text: string): string {
  return fit(`INFO,${text}`);
}

/**
 * The client is to connect again, with the password that it has; `advance`: to the next server of its profile. OpenVPN 3
 * takes `[P]:` for the flag and nothing else; whoever says `[PN]` to it takes its password away.
 */
export function restart(options: { readonly advance: boolean; readonly text?: string | undefined }): string {
  return fit(`RESTART,[P${options.advance ? 'N' : ''}]:${options.text ?? ''}`);
}

/** The client is to end. */
export function halt(text: string): string {
  return fit(text === '' ? 'HALT' : `HALT,${text}`);
}

function fit(text: string): string {
  let fitting = '';
  let bytes = 1;
  for (const character of text) {
    if (!isPrintable(character)) continue;
    bytes += utf8Length(character);
    if (bytes > MAX_TEXT_BYTES) break;
    fitting += character;
  }
  return fitting;
}
