import { STATIC_KEY_BYTES } from './control-wrap.ts';
import { base64Decode, base64Encode } from './text.ts';
import { MAX_WRAPPED_KEY_BYTES, SERVER_KEY_BYTES } from './tls-crypt-v2.ts';

/*
 * Key files as openvpn writes them, or as a profile holds them inline: hexadecimal for a static key (tls-auth,
 * tls-crypt), base64 for tls-crypt-v2. Texts in front of and behind the block are ignored.
 */

const STATIC_KEY = 'OpenVPN Static key V1';
const SERVER_KEY = 'OpenVPN tls-crypt-v2 server key';
const CLIENT_KEY = 'OpenVPN tls-crypt-v2 client key';
/** The longest file that is looked at. */
const MAX_TEXT_LENGTH = 16_384;
const HEX_LINE_BYTES = 16;
const BASE64_LINE_LENGTH = 64;
const MIN_WRAPPED_KEY_BYTES = 290;

export interface ClientKeyFile {
  /** 256 bytes. */
  readonly key: Uint8Array;
  /** What the server learns it from. */
  readonly wrappedKey: Uint8Array;
}

/** 256 bytes, or undefined where there is no whole key. */
export function parseStaticKey(text: string): Uint8Array | undefined {
  const digits = block(text, STATIC_KEY)?.join('');
  if (digits?.length !== 2 * STATIC_KEY_BYTES || !/^[0-9a-f]*$/i.test(digits)) return undefined;
  return Uint8Array.from({ length: STATIC_KEY_BYTES }, (_, i) => parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

export function formatStaticKey(key: Uint8Array): string {
  const digits = Array.from(key, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return format(STATIC_KEY, digits, 2 * HEX_LINE_BYTES);
}

/** 128 bytes, or undefined where there is no whole key. */
export function parseTlsCryptV2ServerKey(text: string): Uint8Array | undefined {
  const key = base64Block(text, SERVER_KEY);
  return key?.length === SERVER_KEY_BYTES ? key : undefined;
}

export function formatTlsCryptV2ServerKey(key: Uint8Array): string {
  return format(SERVER_KEY, base64Encode(key), BASE64_LINE_LENGTH);
}

/** Undefined where there is no whole key. */
export function parseTlsCryptV2ClientKey(text: string): ClientKeyFile | undefined {
  const bytes = base64Block(text, CLIENT_KEY);
  if (bytes === undefined || bytes.length < STATIC_KEY_BYTES + MIN_WRAPPED_KEY_BYTES) return undefined;
  const wrappedKey = bytes.subarray(STATIC_KEY_BYTES);
  if (wrappedKey.length > MAX_WRAPPED_KEY_BYTES) return undefined;
  return { key: bytes.subarray(0, STATIC_KEY_BYTES), wrappedKey };
}

export function formatTlsCryptV2ClientKey({ key, wrappedKey }: ClientKeyFile): string {
  return format(CLIENT_KEY, base64Encode(Uint8Array.of(...key, ...wrappedKey)), BASE64_LINE_LENGTH);
}

function base64Block(text: string, name: string): Uint8Array | undefined {
  const digits = block(text, name)?.join('');
  return digits === undefined || digits === '' ? undefined : base64Decode(digits);
}

/** The lines between the first `BEGIN` and the `END` behind it. */
function block(text: string, name: string): string[] | undefined {
  if (text.length > MAX_TEXT_LENGTH) return undefined;
  const lines = text.split('\n').map((line) => line.trim());
  const begin = lines.indexOf(`-----BEGIN ${name}-----`);
  const end = lines.indexOf(`-----END ${name}-----`, begin + 1);
  return begin < 0 || end < 0 ? undefined : lines.slice(begin + 1, end);
}

function format(name: string, digits: string, lineLength: number): string {
  const lines = [`-----BEGIN ${name}-----`];
  for (let at = 0; at < digits.length; at += lineLength) lines.push(digits.slice(at, at + lineLength));
  return `${[...lines, `-----END ${name}-----`].join('\n')}\n`;
}
