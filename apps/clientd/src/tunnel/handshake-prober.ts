/** Handshakes from sockets of their own, beside the tunnel: whether a way works, and how long an answer takes. */
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import type { Secret } from '@sallyport/core';
import { HandshakeCrypto, openMarkedUdpSocket } from '@sallyport/io';
import {
  CookieGenerator,
  decodeBase64Key,
  decodeVariant,
  HandshakePeer,
  Identity,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_RESPONSE,
  PLAIN_VARIANT,
  wipeKeys,
  writeType,
  type PendingInitiation,
  type Variant,
} from '@sallyport/wireguard';
import { unixNow } from '../forward-clock.ts';

/** A lost datagram is no answer yet. */
const RETRY_MS = 700;
const MAX_INDEX = 2 ** 32 - 1;

export interface ProbeTarget {
  /** The gateway's, base64. */
  readonly publicKey: string;
  readonly address: string;
  readonly port: number;
  /** Of the datagrams; 0: none, for a relay on this machine. */
  readonly mark: number;
  readonly variant: Variant | undefined;
  readonly timeoutMs: number;
}

/** One for a device's key. */
export class HandshakeProber {
  readonly #crypto = new HandshakeCrypto();
  readonly #identity: Identity;
  readonly #peers = new Map<string, HandshakePeer>();

  constructor(privateKey: Secret<Uint8Array>) {
    this.#identity = new Identity(this.#crypto, privateKey.reveal());
  }

  dispose(): void {
    for (const peer of this.#peers.values()) peer.wipe();
    this.#identity.dispose();
  }

  /** A key that a gateway may answer with. */
  setAgreedKey(publicKey: string, key: Uint8Array): void {
    this.#peer(publicKey)?.setAgreedKey(key.slice());
  }

  /** The round-trip time of a handshake, milliseconds; undefined where none was answered in time. */
  async measure(target: ProbeTarget): Promise<number | undefined> {
    const { address, port, mark, variant = PLAIN_VARIANT, timeoutMs } = target;
    const peer = this.#peer(target.publicKey);
    if (peer === undefined) return undefined;
    const cookies = new CookieGenerator(this.#crypto, peer.publicKey);
    const family = isIPv6(address) ? 6 : 4;
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
    const sent: { readonly pending: PendingInitiation; readonly at: number }[] = [];
    let retry: NodeJS.Timeout | undefined;
    let timer: NodeJS.Timeout | undefined;
    try {
      const fd = openMarkedUdpSocket(family, { mark });
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject);
        socket.bind({ fd }, () => {
          socket.off('error', reject);
          resolve();
        });
      });
      return await new Promise((resolve) => {
        const send = (): void => {
          const begun = this.#identity.createInitiation(peer, randomInt(1, MAX_INDEX), unixNow());
          if (begun === undefined) {
            resolve(undefined);
            return;
          }
          // The MACs are about the type word too.
          writeType(begun.message.bytes, variant.h1);
          cookies.addMacs(begun.message, performance.now());
          sent.push({ pending: begun.pending, at: performance.now() });
          for (const datagram of datagramsOf(begun.message.bytes, variant, this.#crypto))
            socket.send(datagram, port, address, () => undefined);
          retry = setTimeout(send, RETRY_MS);
        };
        timer = setTimeout(() => {
          resolve(undefined);
        }, timeoutMs);
        // A port that is closed there, a network that is not: time tells.
        socket.on('error', () => undefined);
        socket.on('message', (bytes) => {
          const message = decodeVariant(bytes, variant);
          if (message.type === MESSAGE_COOKIE_REPLY) {
            if (cookies.consumeReply(message, performance.now())) {
              clearTimeout(retry);
              send();
            }
          } else if (message.type === MESSAGE_RESPONSE) {
            const answered = sent.find(({ pending }) => pending.senderIndex === message.receiverIndex);
            const keys = answered && this.#identity.consumeResponse(answered.pending, peer, message);
            if (keys === undefined || answered === undefined) return;
            wipeKeys(keys);
            resolve(performance.now() - answered.at);
          }
        });
        send();
      });
    } catch {
      return undefined;
    } finally {
      clearTimeout(retry);
      clearTimeout(timer);
      for (const { pending } of sent) if (!pending.isWiped) pending.wipe();
      socket.close();
    }
  }

  #peer(publicKey: string): HandshakePeer | undefined {
    const known = this.#peers.get(publicKey);
    if (known !== undefined) return known;
    const key = decodeBase64Key(publicKey);
    if (key === undefined) return undefined;
    const peer = new HandshakePeer(key);
    this.#peers.set(publicKey, peer);
    return peer;
  }
}

/** An initiation as a variant sends it: junk first, and random bytes before it. */
function datagramsOf(initiation: Uint8Array, variant: Variant, crypto: HandshakeCrypto): Uint8Array[] {
  const { jc, jmin, jmax, s1 } = variant;
  const random = (bytes: number): Uint8Array => {
    const made = new Uint8Array(bytes);
    crypto.random(made);
    return made;
  };
  const junk = Array.from({ length: jc }, () => random(Math.max(1, randomInt(jmin, jmax + 1))));
  const message = new Uint8Array(s1 + initiation.length);
  message.set(random(s1));
  message.set(initiation, s1);
  return [...junk, message];
}
