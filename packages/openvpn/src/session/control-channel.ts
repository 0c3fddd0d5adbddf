import type { Instant, SessionOutbox } from '@sallyport/core';
import type { TlsEngine } from '../tls.ts';
import type { ControlPacket } from '../wire/control-packet.ts';
import { DYNAMIC_TLS_CRYPT_LABEL, type ControlWrap } from '../wire/control-wrap.ts';
import { P_CONTROL_SOFT_RESET_V1 } from '../wire/opcodes.ts';
import { ReliableLayer } from '../wire/reliable.ts';
import { KeyExchange, nextKeyId, type ExchangeOwner } from './key-exchange.ts';

export interface ControlChannelOptions {
  readonly owner: ExchangeOwner;
  readonly tls: TlsEngine;
  readonly wrap: ControlWrap;
  /** Ours. */
  readonly sessionId: Uint8Array;
  /** The peer's, where it is known. */
  readonly remoteId?: Uint8Array | undefined;
  /** A number for a TLS session that has none yet. */
  readonly openTlsId: () => number;
  readonly closeTlsId: (id: number) => void;
  /** The resets of the first exchange are over. */
  readonly resumed?: boolean | undefined;
  readonly now: Instant;
}

/** What protects the control channel of one session, and its key exchange; only the newest one is spoken in. */
export class ControlChannel {
  readonly sessionId: Uint8Array;
  remoteId: Uint8Array | undefined;
  readonly #options: ControlChannelOptions;
  #dynamicWrap: ControlWrap | undefined;
  #exchange: KeyExchange;

  constructor(options: ControlChannelOptions) {
    this.#options = options;
    this.sessionId = new Uint8Array(options.sessionId);
    this.remoteId = options.remoteId && new Uint8Array(options.remoteId);
    this.#exchange = this.#open(0, options.now, options.resumed === true);
  }

  get exchange(): KeyExchange {
    return this.#exchange;
  }

  /** Whether packets prove whose they are before TLS looks at them. */
  get isAuthenticated(): boolean {
    return this.#options.wrap.overhead !== 0;
  }

  /** Whether a packet asks for the next exchange. */
  asksForNext(packet: ControlPacket): boolean {
    return packet.opcode === P_CONTROL_SOFT_RESET_V1 && packet.keyId === nextKeyId(this.#exchange.keyId);
  }

  /** Begins the next exchange, which is the end of the one before. */
  renegotiate(now: Instant): void {
    const keyId = nextKeyId(this.#exchange.keyId);
    this.#closeExchange();
    this.#exchange = this.#open(keyId, now, false);
    this.#exchange.reliable.start(P_CONTROL_SOFT_RESET_V1, now);
  }

  /** Later exchanges are wrapped with a key of this one's TLS (`dyn-tls-crypt`). */
  useDynamicWrap(): void {
    const material = this.#exchange.export(DYNAMIC_TLS_CRYPT_LABEL);
    if (material !== undefined) this.#dynamicWrap = this.#options.wrap.dynamic(material);
    material?.fill(0);
  }

  /** A packet out of its wrap, or a DropReason. */
  unwrap(datagram: Uint8Array, keyId: number): ControlPacket | number {
    return this.#wrapOf(keyId).unwrap(datagram);
  }

  /** Sends what is to be sent now. False where the session has to end, its packet ids being used up. */
  flush(now: Instant, path: () => number, out: SessionOutbox): boolean {
    const wrap = this.#wrapOf(this.#exchange.keyId);
    for (const packet of this.#exchange.reliable.poll(now)) {
      const datagram = wrap.wrap(packet);
      if (datagram === undefined) return false;
      out.message(datagram, path());
    }
    return true;
  }

  close(): void {
    this.#closeExchange();
    this.#options.wrap.erase();
    this.#dynamicWrap?.erase();
  }

  #open(keyId: number, now: Instant, resumed: boolean): KeyExchange {
    const { sessionId, remoteId } = this;
    const { tls: engine, owner, openTlsId } = this.#options;
    const wrapOverhead = this.#wrapOf(keyId).overhead;
    const reliable = new ReliableLayer({ keyId, sessionId, remoteSessionId: remoteId, wrapOverhead, resumed });
    return new KeyExchange({ engine, owner, tlsId: openTlsId(), keyId, reliable, now });
  }

  #closeExchange(): void {
    this.#options.closeTlsId(this.#exchange.tlsId);
    this.#exchange.close();
  }

  #wrapOf(keyId: number): ControlWrap {
    return keyId === 0 ? this.#options.wrap : (this.#dynamicWrap ?? this.#options.wrap);
  }
}
