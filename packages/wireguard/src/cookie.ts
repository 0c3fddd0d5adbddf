import type { Instant } from '@sallyport/core';
import type { WireGuardCrypto } from './crypto.ts';
import { ascii, HASH_BYTES, KEY_BYTES, MAC_BYTES, secretBytes } from './crypto.ts';
import type { CookieReply, Initiation, Response } from './messages.ts';
import { MACS_BYTES, newCookieReply } from './messages.ts';

/*
 * MACs and cookies, sections 5.3, 5.4.4 and 5.4.7 of WireGuard's paper. Both MACs are about a whole handshake message:
 * mac1 about what precedes it, mac2 about mac1 as well.
 *
 * A source is the bytes of an address, 4 or 16 in network order, followed by the two of the port.
 */

const LABEL_MAC1 = ascii('mac1----');
const LABEL_COOKIE = ascii('cookie--');

/** How long a cookie is good for, and how often the secret behind cookies changes (sections 5.4.4 and 5.4.7). */
export const COOKIE_LIFETIME_MS = 120_000;

type HandshakeMessage = Initiation | Response;

function beforeMac1({ bytes }: HandshakeMessage): Uint8Array {
  return bytes.subarray(0, bytes.length - MACS_BYTES);
}

function mac1Of({ bytes }: HandshakeMessage): Uint8Array {
  return bytes.subarray(bytes.length - MACS_BYTES, bytes.length - MAC_BYTES);
}

function beforeMac2({ bytes }: HandshakeMessage): Uint8Array {
  return bytes.subarray(0, bytes.length - MAC_BYTES);
}

function mac2Of({ bytes }: HandshakeMessage): Uint8Array {
  return bytes.subarray(bytes.length - MAC_BYTES);
}

function labelledKey(crypto: WireGuardCrypto, label: Uint8Array, publicKey: Uint8Array): Uint8Array {
  const key = new Uint8Array(HASH_BYTES);
  crypto.hash(key, label, publicKey);
  return key;
}

/** The receiver's side: checks MACs, and gives out cookies to those who have to show where they are. */
export class CookieChecker {
  readonly #crypto: WireGuardCrypto;
  readonly #mac1Key: Uint8Array;
  readonly #cookieKey: Uint8Array;
  readonly #secret = secretBytes(KEY_BYTES);
  #secretMadeAt: Instant = -Infinity;
  readonly #cookie = secretBytes(MAC_BYTES);
  readonly #mac = new Uint8Array(MAC_BYTES);

  /** `publicKey` is the receiver's own. */
  constructor(crypto: WireGuardCrypto, publicKey: Uint8Array) {
    this.#crypto = crypto;
    this.#mac1Key = labelledKey(crypto, LABEL_MAC1, publicKey);
    this.#cookieKey = labelledKey(crypto, LABEL_COOKIE, publicKey);
  }

  /** Whether the sender knows our public key. */
  checkMac1(message: HandshakeMessage): boolean {
    this.#crypto.mac(this.#mac, this.#mac1Key, beforeMac1(message));
    return this.#crypto.equal(this.#mac, mac1Of(message));
  }

  /** Whether the sender has had a cookie of ours at `source`, and so receives what is sent there. */
  checkMac2(message: HandshakeMessage, source: Uint8Array, now: Instant): boolean {
    this.#makeCookie(source, now);
    this.#crypto.mac(this.#mac, this.#cookie, beforeMac2(message));
    return this.#crypto.equal(this.#mac, mac2Of(message));
  }

  /** The cookie for `source`, in reply to `message`, whose mac1 was checked. */
  createReply(message: HandshakeMessage, source: Uint8Array, now: Instant): CookieReply {
    const reply = newCookieReply(message.senderIndex);
    this.#makeCookie(source, now);
    this.#crypto.random(reply.nonce);
    this.#crypto.xseal(reply.encryptedCookie, this.#cookieKey, reply.nonce, this.#cookie, mac1Of(message));
    return reply;
  }

  #makeCookie(source: Uint8Array, now: Instant): void {
    if (now >= this.#secretMadeAt + COOKIE_LIFETIME_MS) {
      this.#crypto.random(this.#secret);
      this.#secretMadeAt = now;
    }
    this.#crypto.mac(this.#cookie, this.#secret, source);
  }
}

/** The sender's side, one for each peer: adds MACs to what is sent to it, and keeps the cookie that it gave. */
export class CookieGenerator {
  readonly #crypto: WireGuardCrypto;
  readonly #publicKey: Uint8Array;
  /** Worked out at first use: most of many peers are never spoken to. */
  #mac1Key: Uint8Array | undefined;
  /** mac1 of the last message, while a cookie in reply to it may come. */
  #lastMac1: Uint8Array | undefined;
  #cookie: Uint8Array | undefined;
  #cookieAt: Instant = -Infinity;

  /** `publicKey` is the peer's. */
  constructor(crypto: WireGuardCrypto, publicKey: Uint8Array) {
    this.#crypto = crypto;
    this.#publicKey = publicKey;
  }

  /** Writes mac1, and mac2 while there is a fresh cookie. */
  addMacs(message: HandshakeMessage, now: Instant): void {
    const mac1 = mac1Of(message);
    this.#mac1Key ??= labelledKey(this.#crypto, LABEL_MAC1, this.#publicKey);
    this.#crypto.mac(mac1, this.#mac1Key, beforeMac1(message));
    this.#lastMac1 = mac1.slice();
    const mac2 = mac2Of(message);
    if (this.#cookie !== undefined && now < this.#cookieAt + COOKIE_LIFETIME_MS)
      this.#crypto.mac(mac2, this.#cookie, beforeMac2(message));
    else mac2.fill(0);
  }

  /** Keeps the cookie of a reply to the last message sent; false, nothing having changed, if it is no such reply. */
  consumeReply(reply: CookieReply, now: Instant): boolean {
    if (this.#lastMac1 === undefined) return false;
    const cookie = secretBytes(MAC_BYTES);
    const key = labelledKey(this.#crypto, LABEL_COOKIE, this.#publicKey);
    if (!this.#crypto.xopen(cookie, key, reply.nonce, reply.encryptedCookie, this.#lastMac1)) return false;
    this.#cookie = cookie;
    this.#cookieAt = now;
    this.#lastMac1 = undefined;
    return true;
  }
}
