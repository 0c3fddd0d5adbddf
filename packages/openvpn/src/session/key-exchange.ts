import type { Instant, SessionOutbox } from '@sallyport/core';
import type { OpenVpnCrypto } from '../crypto.ts';
import type { TlsEngine, TlsOutput, TlsSession } from '../tls.ts';
import { ControlTextReader, encodeText } from '../wire/control-message.ts';
import type { ControlPacket } from '../wire/control-packet.ts';
import { DATA_KEYS_LABEL, KEY_MATERIAL_BYTES, keyMaterialByPrf } from '../wire/data-key-material.ts';
import {
  decodeKeyMethod2,
  encodeKeyMethod2,
  MAX_KEY_METHOD_BYTES,
  type DecodedKeyMethod2,
  type KeyMethod2,
} from '../wire/key-method.ts';
import { isHardReset, P_CONTROL_SOFT_RESET_V1 } from '../wire/opcodes.ts';
import type { ReliableLayer } from '../wire/reliable.ts';

/** The peer's part of the keys is one record of TLS, or a few. */
const MAX_KEY_METHOD_PIECES = 64;

/** What a session hears of its key exchange. */
export interface ExchangeOwner {
  /** The peer's reset came, the first packet of its side. */
  resetCame(exchange: KeyExchange, payload: Uint8Array, now: Instant, out: SessionOutbox): void;
  /** TLS stands. */
  secured(exchange: KeyExchange, now: Instant, out: SessionOutbox): void;
  /** The peer's part of the keys, and who it says it is. */
  keysCame(exchange: KeyExchange, message: DecodedKeyMethod2, now: Instant, out: SessionOutbox): void;
  textsCame(exchange: KeyExchange, texts: readonly string[], now: Instant, out: SessionOutbox): void;
  /** TLS ended, or the peer broke the rules. Nothing more comes of it. */
  failed(exchange: KeyExchange, reason: string, now: Instant, out: SessionOutbox): void;
}

/**
 * One key id: the reliable layer, TLS over it, key method 2 in that, and after it the control channel's texts. Packets go
 * in by {@link KeyExchange.receive}, TLS output by {@link KeyExchange.handleTls}; what is to be sent is in `reliable`.
 */
export class KeyExchange {
  readonly tlsId: number;
  readonly keyId: number;
  readonly reliable: ReliableLayer;
  readonly startedAt: Instant;
  /** The peer's (DER), once TLS stands. */
  certificate: Uint8Array | undefined;
  readonly #engine: TlsEngine;
  readonly #owner: ExchangeOwner;
  readonly #texts = new ControlTextReader();
  #tls: TlsSession | undefined;
  #local: KeyMethod2 | undefined;
  #remote: KeyMethod2 | undefined;
  /** The peer's part of the keys so far, where it did not come in one piece. */
  #gathered: Uint8Array | undefined;
  #gatheredBytes = 0;
  #pieces = 0;
  /** Said before the keys were exchanged, or before the peer has read ours. */
  #waiting: string[] = [];
  /** The peer has to acknowledge our part of the keys before anything is said. */
  #afterKeys = false;
  /** Our part of the keys is not in the reliable layer yet. */
  #keysInTls = false;
  #closed = false;

  constructor(options: {
    engine: TlsEngine;
    owner: ExchangeOwner;
    tlsId: number;
    keyId: number;
    reliable: ReliableLayer;
    now: Instant;
  }) {
    this.#engine = options.engine;
    this.#owner = options.owner;
    this.tlsId = options.tlsId;
    this.keyId = options.keyId;
    this.reliable = options.reliable;
    this.startedAt = options.now;
  }

  /** Whether both sides' parts of the keys are here. */
  get exchanged(): boolean {
    return this.#local !== undefined && this.#remote !== undefined;
  }

  /** Whether nothing waits to be said. */
  get saidAll(): boolean {
    return this.#waiting.length === 0;
  }

  /** Begins TLS: for the side that speaks first in it. */
  openTls(): void {
    if (!this.#closed) this.#tls ??= this.#engine.open(this.tlsId);
  }

  /** Takes a packet of this key id; a DropReason where it goes no further. */
  receive(packet: ControlPacket, now: Instant, out: SessionOutbox): number | undefined {
    const fault = this.reliable.receive(packet, now);
    // A packet that goes no further may acknowledge something too.
    this.#sayWaiting();
    if (fault !== undefined) return fault;
    for (let next = this.reliable.read(); next !== undefined && !this.#closed; next = this.reliable.read()) {
      if (isHardReset(next.opcode) || next.opcode === P_CONTROL_SOFT_RESET_V1)
        this.#owner.resetCame(this, next.payload, now, out);
      else if (next.payload.length !== 0) {
        this.openTls();
        this.#tls?.receive(next.payload);
      }
    }
    return undefined;
  }

  handleTls(output: TlsOutput, now: Instant, out: SessionOutbox): void {
    if (this.#closed) return;
    if (output.kind === 'records') {
      this.#keysInTls = false;
      if (!this.reliable.write(output.bytes)) this.#fail('more waits to be sent than there is room for', now, out);
    } else if (output.kind === 'secure') {
      this.certificate = output.certificate;
      this.#owner.secured(this, now, out);
    } else if (output.kind === 'plaintext') this.#read(output.bytes, now, out);
    else this.#fail(output.reason, now, out);
  }

  /** Sends this side's part of the keys. `first`: nothing is said before the peer has them. */
  sendKeys(message: KeyMethod2, first = false): void {
    this.#local = message;
    this.#afterKeys = first;
    this.#keysInTls = true;
    this.#tls?.send(encodeKeyMethod2(message));
    this.#sayWaiting();
  }

  /** Says something on the control channel: now, or once the keys are exchanged. */
  say(text: string): void {
    this.#waiting.push(text);
    this.#sayWaiting();
  }

  /**
   * The data channel's keys, by keying material of TLS (`exported`) or by the PRF of key method 2. The caller erases them.
   * Undefined where TLS has ended meanwhile.
   */
  material(
    exported: boolean,
    crypto: OpenVpnCrypto,
    ids: { readonly client: Uint8Array; readonly server: Uint8Array },
    server: boolean,
  ): Uint8Array | undefined {
    if (exported) return this.export(DATA_KEYS_LABEL);
    const client = server ? this.#remote : this.#local;
    const other = server ? this.#local : this.#remote;
    if (client?.preMaster === undefined || other === undefined) return undefined;
    return keyMaterialByPrf(crypto, {
      client: { preMaster: client.preMaster, random1: client.random1, random2: client.random2 },
      server: { random1: other.random1, random2: other.random2 },
      clientSessionId: ids.client,
      serverSessionId: ids.server,
    });
  }

  /** Keying material of TLS, the caller's to erase. Undefined where TLS has ended meanwhile. */
  export(label: string): Uint8Array | undefined {
    try {
      const exported = this.#tls?.exportKey(label, KEY_MATERIAL_BYTES);
      if (exported === undefined) return undefined;
      const own = new Uint8Array(exported);
      exported.fill(0);
      return own;
    } catch {
      return undefined; // Its end is on the way.
    }
  }

  /** Erases what keys were made of. */
  forgetKeys(): void {
    for (const side of [this.#local, this.#remote]) {
      side?.preMaster?.fill(0);
      side?.random1.fill(0);
      side?.random2.fill(0);
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#waiting = [];
    this.#gathered?.fill(0);
    this.#gathered = undefined;
    this.forgetKeys();
    this.#tls?.close();
    this.#tls = undefined;
  }

  #read(plaintext: Uint8Array, now: Instant, out: SessionOutbox): void {
    if (this.#remote !== undefined) {
      const texts = this.#texts.push(plaintext);
      if (typeof texts === 'number') this.#fail('what came on the control channel is no text', now, out);
      else if (texts.length !== 0) this.#owner.textsCame(this, texts, now, out);
      return;
    }
    const message = this.#gather(plaintext);
    if (message === 'more') return;
    if (message === 'short' || typeof message === 'number') {
      this.#fail('the keys that came are malformed', now, out);
      return;
    }
    // Names and passwords are the owner's for the time of the call, and not kept.
    this.#remote = { ...message, userName: undefined, password: undefined };
    this.#owner.keysCame(this, message, now, out);
    this.#sayWaiting();
  }

  /** The peer's part of the keys, once it is whole. What is undecoded of it is erased then. */
  #gather(plaintext: Uint8Array): ReturnType<typeof decodeKeyMethod2> | 'more' {
    const from = this.#local === undefined ? 'client' : 'server';
    let message: ReturnType<typeof decodeKeyMethod2> = 'short';
    this.#pieces++;
    if (this.#gathered === undefined) message = decodeKeyMethod2(plaintext, from);
    const bytes = this.#gatheredBytes + plaintext.length;
    if (message === 'short' && this.#pieces <= MAX_KEY_METHOD_PIECES && bytes <= MAX_KEY_METHOD_BYTES) {
      this.#gathered ??= new Uint8Array(MAX_KEY_METHOD_BYTES);
      this.#gathered.set(plaintext, this.#gatheredBytes);
      this.#gatheredBytes = bytes;
      message = decodeKeyMethod2(this.#gathered.subarray(0, bytes), from);
      if (message === 'short') return 'more';
    }
    this.#gathered?.fill(0);
    this.#gathered = undefined;
    return message;
  }

  #sayWaiting(): void {
    if (!this.exchanged || this.#tls === undefined) return;
    if (this.#afterKeys && (this.#keysInTls || !this.reliable.idle)) return;
    this.#afterKeys = false;
    for (const text of this.#waiting.splice(0)) this.#tls.send(encodeText(text));
  }

  #fail(reason: string, now: Instant, out: SessionOutbox): void {
    this.#owner.failed(this, reason, now, out);
  }
}

/** The key id after this one: 0 is the first exchange's, and no other's. */
export function nextKeyId(keyId: number): number {
  return (keyId % 7) + 1;
}
