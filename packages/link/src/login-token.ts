/**
 * What a device shows in place of the password once its user has logged in (OpenVPN's `auth-token`). The control plane
 * signs it and gateways verify it, with or without a link: none can make one.
 */
import { sign, verify, type KeyObject } from 'node:crypto';

/** What a token begins with, so that one that counts no more is not taken for a wrong password. */
const PREFIX = 'SPTOKEN-2-';
/** Signed in front of everything else, so that no signature made for another purpose passes for one of a token. */
const CONTEXT = 'sallyport login token 1';
/** Seconds since 1970, big-endian: the time of the login, then its end. */
const TIME_BYTES = 6;
const SIGNATURE_BYTES = 64;
const TOKEN_BYTES = 2 * TIME_BYTES + SIGNATURE_BYTES;
const TOKEN_LENGTH = PREFIX.length + Math.ceil((TOKEN_BYTES * 4) / 3);

/** Whose login it was, and which of theirs count: an epoch ends with everything that they were logged in by. */
export interface LoginSubject {
  readonly deviceId: string;
  readonly loginEpoch: string;
}

export interface DeviceLogin extends LoginSubject {
  /** Unix milliseconds; fractions of a second are cut off. */
  readonly loginAt: number;
  /** When it is over, whatever happens until then. */
  readonly endsAt: number;
}

/** A token for a login, 112 characters; with OpenVPN's `auth-token ` it fits into 255. @param key Ed25519, private */
export function signLoginToken(login: DeviceLogin, key: KeyObject): string {
  const times = Buffer.alloc(2 * TIME_BYTES);
  times.writeUIntBE(Math.floor(login.loginAt / 1000), 0, TIME_BYTES);
  times.writeUIntBE(Math.floor(login.endsAt / 1000), TIME_BYTES, TIME_BYTES);
  const signature = sign(null, signedBytes(times, login), key);
  return PREFIX + Buffer.concat([times, signature]).toString('base64url');
}

/** Whether it means to be one; a password is not expected to begin like that. */
export function isLoginToken(text: string): boolean {
  return text.startsWith(PREFIX);
}

/**
 * Whether the control plane signed it for this device, in the epoch of now, and it is not over. Never throws.
 * @param key Ed25519, public
 * @param now Unix milliseconds
 */
export function verifyLoginToken(text: string, subject: LoginSubject, key: KeyObject, now: number): boolean {
  if (!isLoginToken(text) || text.length !== TOKEN_LENGTH) return false;
  const bytes = Buffer.from(text.slice(PREFIX.length), 'base64url');
  if (bytes.length !== TOKEN_BYTES) return false;
  const times = bytes.subarray(0, 2 * TIME_BYTES);
  if (now >= times.readUIntBE(TIME_BYTES, TIME_BYTES) * 1000) return false;
  return verify(null, signedBytes(times, subject), key, bytes.subarray(times.length));
}

function signedBytes(times: Buffer, { deviceId, loginEpoch }: LoginSubject): Buffer {
  return Buffer.from(JSON.stringify([CONTEXT, times.toString('hex'), deviceId, loginEpoch]));
}
