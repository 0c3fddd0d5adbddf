import {
  DropReason,
  type Instant,
  type Memory,
  type Secret,
  type SessionHalf,
  type SessionId,
  type SessionOutbox,
} from '@sallyport/core';
import type { OpenVpnCrypto } from '../crypto.ts';
import type { DataSessions } from '../data/data-sessions.ts';
import type { TlsEngine, TlsOutput } from '../tls.ts';
import { EXIT, parseControlMessage, PUSH_REQUEST, type ControlMessage } from '../wire/control-message.ts';
import { earlyNegotiation, type ControlPacket } from '../wire/control-packet.ts';
import { OCC_EXIT, occMessage, occOpcode } from '../wire/inner.ts';
import { PRE_MASTER_BYTES, RANDOM_BYTES, type KeyMethod2 } from '../wire/key-method.ts';
import {
  P_CONTROL_HARD_RESET_CLIENT_V2,
  P_CONTROL_HARD_RESET_CLIENT_V3,
  P_CONTROL_HARD_RESET_SERVER_V2,
  readHeader,
  SESSION_ID_BYTES,
} from '../wire/opcodes.ts';
import { optionOf } from '../wire/options-string.ts';
import { PushReplyReader } from '../wire/push-reply.ts';
import type { ClientEnding, ClientEvent } from './client-events.ts';
import { clientOptionsString, clientPeerInfo, makeClientWrap, type ClientWrap } from './client-parts.ts';
import { ControlChannel } from './control-channel.ts';
import { DataChannel } from './data-channel.ts';
import type { ExchangeOwner, KeyExchange } from './key-exchange.ts';
import { readPulled, readToken, type Pulled } from './pulled.ts';
import { CLIENT_SETTINGS, type ClientSettings } from './settings.ts';
import { sameRemote } from './sources.ts';

/** A server pushes unasked where it can; one that does not is asked, first after a moment. */
const FIRST_PUSH_REQUEST_MS = 1_000;
const PUSH_REQUEST_MS = 5_000;
/** The longest time that it lets a server have its user log in elsewhere. */
const MAX_PENDING_MS = 600_000;
/** How long a goodbye is waited for to arrive. */
const GOODBYE_MS = 1_000;
export interface ClientOptions {
  readonly memory: Memory;
  readonly crypto: OpenVpnCrypto;
  readonly tls: TlsEngine;
  readonly data: DataSessions;
  /** Unix time in milliseconds. */
  readonly wallClock: () => number;
  /** A path record that nobody else uses. */
  readonly scratchPath: number;
  /** Where the server is: the bytes of a path record. */
  readonly remote: Uint8Array;
  readonly wrap: ClientWrap;
  /** Asked for each key exchange; a token that the server gave goes before. Answers to challenges are in the password. */
  readonly credentials?:
    (() => { readonly userName: string; readonly password: Secret<string> } | undefined) | undefined;
  /** Asked for each option that is pushed; what it refuses counts as if it had not been. */
  readonly acceptPushed?: ((option: string) => boolean) | undefined;
  readonly report: (event: ClientEvent) => void;
  /** The datagrams go over TCP. */
  readonly tcp?: boolean | undefined;
  /** What it says of itself beside what it can do: `IV_VER`, `IV_PLAT`, `IV_SSO`, `UV_…`. */
  readonly peerInfo?: ReadonlyMap<string, string> | undefined;
  readonly settings?: Partial<ClientSettings> | undefined;
}

/** `authenticating`: the keys are exchanged, and the push reply is awaited. */
export type ClientState = 'idle' | 'negotiating' | 'authenticating' | 'connected' | 'leaving' | 'ended';

/** OpenVPN's session half, the client's end: one connection to one server, from the first packet to its end. */
export class OpenVpnClient implements SessionHalf, ExchangeOwner {
  readonly #options: ClientOptions;
  readonly #settings: ClientSettings;
  readonly #remote: Uint8Array;
  readonly #pushReader = new PushReplyReader();
  #state: ClientState = 'idle';
  #control: ControlChannel | undefined;
  #lastTlsId = 0;
  #session: SessionId = 0;
  #channel: DataChannel | undefined;
  #pulled: Pulled | undefined;
  #token: Secret<string> | undefined;
  #serverCipher: string | undefined;
  /** Whether the exchange of a renegotiation is not over. */
  #renewing = false;
  #pushBy: Instant = Infinity;
  #askAt: Instant = Infinity;
  #leaveBy: Instant = Infinity;
  #deadline: Instant = Infinity;
  #goodbyeSent = false;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#settings = { ...CLIENT_SETTINGS, ...options.settings };
    this.#remote = new Uint8Array(options.remote);
  }

  get #exchange(): KeyExchange | undefined {
    return this.#control?.exchange;
  }

  get state(): ClientState {
    return this.#state;
  }

  /** 0 until it is connected. */
  get session(): SessionId {
    return this.#session;
  }

  /** Sends the first packet. Once. */
  start(now: Instant, out: SessionOutbox): void {
    if (this.#state !== 'idle') return;
    this.#state = 'negotiating';
    const { tls, crypto, wrap, wallClock } = this.#options;
    const sessionId = crypto.random(SESSION_ID_BYTES);
    sessionId[0] |= 1; // All zero is none.
    this.#control = new ControlChannel({
      owner: this,
      tls,
      wrap: makeClientWrap(wrap, crypto, Math.floor(wallClock() / 1000)),
      sessionId,
      openTlsId: () => ++this.#lastTlsId,
      closeTlsId: () => undefined,
      now,
    });
    const v2 = wrap.kind === 'tls-crypt-v2';
    this.#control.exchange.reliable.start(v2 ? P_CONTROL_HARD_RESET_CLIENT_V3 : P_CONTROL_HARD_RESET_CLIENT_V2, now);
    this.#flush(now, out);
  }

  /** Says goodbye; `ended` comes within a second. */
  stop(now: Instant, out: SessionOutbox): void {
    if (this.#state === 'ended' || this.#state === 'leaving') return;
    if (this.#state !== 'connected') {
      this.#end({ kind: 'stopped' });
      return;
    }
    this.#state = 'leaving';
    this.#leaveBy = now + GOODBYE_MS;
    if (this.#pulled?.exitNotify === true) this.#exchange?.say(EXIT);
    else if (this.#options.tcp !== true) out.seal(this.#session, [occMessage(OCC_EXIT)]);
    else this.#leaveBy = now;
    this.#flush(now, out);
  }

  /** Exchanges new keys, as it does by itself in time; nothing where that is under way. */
  renegotiate(now: Instant, out: SessionOutbox): void {
    this.#beginRenegotiation(now);
    this.#flush(now, out);
  }

  handleTls(id: number, output: TlsOutput, now: Instant, out: SessionOutbox): void {
    if (this.#exchange?.tlsId !== id) return;
    this.#exchange.handleTls(output, now, out);
    if (this.#state === 'leaving' && output.kind === 'records') this.#goodbyeSent = true;
    this.#flush(now, out);
  }

  // --- SessionHalf --------------------------------------------------------------------------------------------------

  noteBacklog(): void {
    // One server's packets are no load.
  }

  handleControl(message: Uint8Array, path: number, now: Instant, out: SessionOutbox): void {
    const header = readHeader(message);
    if (typeof header === 'number') {
      out.drop(header);
      return;
    }
    const { memory } = this.#options;
    if (this.#control === undefined || !sameRemote(memory, path, this.#remotePath())) {
      out.drop(DropReason.wrongSource);
      return;
    }
    const packet = this.#control.unwrap(message, header.keyId);
    const fault = typeof packet === 'number' ? packet : this.#take(this.#control, packet, now, out);
    if (fault !== undefined) out.drop(fault);
    this.#flush(now, out);
  }

  handleHold(_packet: Uint8Array, _session: SessionId, _now: Instant, out: SessionOutbox): void {
    out.drop(DropReason.noRoute);
  }

  handleInner(message: Uint8Array, session: SessionId, _now: Instant, out: SessionOutbox): void {
    if (session === this.#session && this.#state === 'connected' && occOpcode(message) === OCC_EXIT)
      this.#end({ kind: 'exit' });
    else out.drop(DropReason.malformedPacket);
  }

  handleAttend(session: SessionId, now: Instant, out: SessionOutbox): void {
    if (session !== this.#session || this.#state !== 'connected') return;
    this.#channel?.attend(now);
    this.handleTimeout(now, out);
  }

  handleTimeout(now: Instant, out: SessionOutbox): void {
    this.#service(now, out);
    this.#flush(now, out);
  }

  pollTimeout(): { at: Instant; reason: string } | undefined {
    return this.#deadline === Infinity ? undefined : { at: this.#deadline, reason: "the connection's timer" };
  }

  // --- ExchangeOwner ------------------------------------------------------------------------------------------------

  resetCame(exchange: KeyExchange, payload: Uint8Array): void {
    if (exchange.keyId === 0) {
      const { wrap } = this.#options;
      const early = earlyNegotiation(payload);
      if (typeof early !== 'number' && early.resendWrappedKey && wrap.kind === 'tls-crypt-v2')
        exchange.reliable.resendWrappedKey(wrap.wrappedKey.length);
    }
    exchange.openTls();
  }

  secured(exchange: KeyExchange): void {
    const { crypto } = this.#options;
    const login = this.#login();
    exchange.sendKeys({
      preMaster: crypto.random(PRE_MASTER_BYTES),
      random1: crypto.random(RANDOM_BYTES),
      random2: crypto.random(RANDOM_BYTES),
      options: clientOptionsString(this.#settings, this.#options.tcp === true, this.#options.wrap.kind === 'tls-auth'),
      userName: login?.userName,
      password: login?.password,
      peerInfo: clientPeerInfo(this.#settings, this.#options.peerInfo),
    });
  }

  keysCame(exchange: KeyExchange, message: KeyMethod2, now: Instant, out: SessionOutbox): void {
    if (this.#renewing) this.#renewed(exchange, now);
    else {
      this.#serverCipher = optionOf(message.options, 'cipher');
      this.#state = 'authenticating';
      this.#pushBy = now + this.#settings.handWindowMs;
      this.#askAt = now + FIRST_PUSH_REQUEST_MS;
    }
    this.#flush(now, out);
  }

  textsCame(_exchange: KeyExchange, texts: readonly string[], now: Instant): void {
    for (const text of texts) {
      if (this.#state === 'ended' || this.#state === 'leaving') return;
      this.#hear(parseControlMessage(text), now);
    }
  }

  failed(_exchange: KeyExchange, text: string, now: Instant, out: SessionOutbox): void {
    // An alert of TLS may be on its way.
    this.#flush(now, out);
    this.#end({ kind: 'tls', text });
  }

  // --- key exchanges ------------------------------------------------------------------------------------------------

  #take(control: ControlChannel, packet: ControlPacket, now: Instant, out: SessionOutbox): number | undefined {
    if (control.remoteId === undefined) {
      // Whose packets it takes from now on is said by the one that answers its own first.
      const { opcode, remoteSessionId, sessionId } = packet;
      if (opcode !== P_CONTROL_HARD_RESET_SERVER_V2 || remoteSessionId === undefined) return DropReason.unknownReceiver;
      if (!this.#options.crypto.equal(remoteSessionId, control.sessionId)) return DropReason.unknownReceiver;
      control.remoteId = new Uint8Array(sessionId);
    }
    if (control.asksForNext(packet)) {
      if (!this.#mayRenegotiate(now)) return DropReason.rateLimited;
      this.#renegotiate(control, now);
    }
    const fault = control.exchange.receive(packet, now, out);
    if (fault !== DropReason.unknownReceiver && this.#channel !== undefined) this.#channel.lastControlAt = now;
    return fault;
  }

  #mayRenegotiate(now: Instant): boolean {
    return this.#state === 'connected' && !this.#renewing && this.#channel?.mayRenegotiate(now) === true;
  }

  #beginRenegotiation(now: Instant): void {
    const control = this.#control;
    if (control === undefined || !this.#mayRenegotiate(now) || !control.exchange.reliable.idle) return;
    this.#renegotiate(control, now);
  }

  #renegotiate(control: ControlChannel, now: Instant): void {
    this.#renewing = true;
    this.#channel?.renegotiating();
    control.renegotiate(now);
  }

  #login(): { userName: string; password: Secret<string> } | undefined {
    const login = this.#options.credentials?.();
    const token = this.#token;
    if (token === undefined) return login;
    return { userName: this.#pulled?.tokenUserName ?? login?.userName ?? '', password: token };
  }

  #renewed(exchange: KeyExchange, now: Instant): void {
    const { handWindowMs, renegotiateMs } = this.#settings;
    // The server has its key once it has decided, which may take it the whole window.
    const useAt = now + (renegotiateMs === 0 ? handWindowMs : Math.min(handWindowMs, renegotiateMs / 2));
    if (this.#channel?.install(exchange, useAt, now) !== true) {
      this.#end({ kind: 'tls', text: 'no key could be made' });
      return;
    }
    this.#renewing = false;
    this.#options.report({ kind: 'renegotiated' });
  }

  // --- what the server says -----------------------------------------------------------------------------------------

  #hear(message: ControlMessage, now: Instant): void {
    const { report } = this.#options;
    switch (message.kind) {
      case 'pushReply':
        this.#pull(message.options, now);
        return;
      case 'authFailed':
        this.#end({ kind: 'authFailed', failure: message.failure });
        return;
      case 'authPending': {
        const { timeoutSeconds } = message;
        const timeout = Math.min((timeoutSeconds ?? 0) * 1000, MAX_PENDING_MS);
        if (this.#state === 'authenticating') this.#pushBy = Math.max(this.#pushBy, now + timeout);
        report({ kind: 'authenticationPending', timeoutSeconds });
        return;
      }
      case 'infoPre':
      case 'info':
        report({ kind: 'info', text: message.text });
        return;
      case 'restart': {
        const { advance, keepPassword, text } = message;
        this.#end({ kind: 'restart', advance, keepPassword, text });
        return;
      }
      case 'halt':
        this.#end({ kind: 'halt', text: message.text });
        return;
      case 'exit':
        this.#end({ kind: 'exit' });
        return;
      case 'pushRequest':
      case 'crResponse':
      case 'unknown':
        return;
    }
  }

  #pull(piece: readonly string[], now: Instant): void {
    const { acceptPushed } = this.#options;
    const whole = this.#pushReader.push(piece);
    if (whole === 'more') return;
    if (typeof whole === 'number') {
      this.#end({ kind: 'refusedPush', text: 'the server pushed more than could be taken' });
      return;
    }
    const options = acceptPushed === undefined ? whole : whole.filter(acceptPushed);
    if (this.#state === 'connected') this.#noteToken(readToken(options), undefined);
    else if (this.#state === 'authenticating') this.#connect(options, now);
  }

  #connect(options: readonly string[], now: Instant): void {
    const { data, crypto, report } = this.#options;
    const control = this.#control;
    const server = control?.remoteId;
    const pulled = readPulled(options, this.#settings, this.#serverCipher);
    if (typeof pulled === 'string') {
      this.#end({ kind: 'refusedPush', text: pulled });
      return;
    }
    const session = data.open(now);
    if (session === 0 || control === undefined || server === undefined) {
      this.#end({ kind: 'refusedPush', text: 'there is no room for another session' });
      return;
    }
    this.#session = session;
    this.#pulled = pulled;
    this.#channel = new DataChannel({
      data,
      crypto,
      session,
      server: false,
      agreement: pulled,
      ids: { client: control.sessionId, server },
      times: () => ({ ...this.#settings, pingMs: pulled.pingMs, silenceMs: pulled.pingRestartMs }),
      now,
    });
    data.setPeerId(session, pulled.peerId);
    data.setPath(session, this.#remotePath());
    data.setAddresses(session, 'everything');
    if (pulled.dynamicTlsCrypt) control.useDynamicWrap();
    if (!this.#channel.install(control.exchange, now, now)) {
      this.#end({ kind: 'tls', text: 'no key could be made' });
      return;
    }
    this.#state = 'connected';
    this.#pushBy = Infinity;
    this.#askAt = Infinity;
    this.#noteToken(pulled.token, pulled.tokenUserName);
    const { ipv4, ipv6, gateway, mtu, peerId, cipher, format } = pulled;
    report({
      kind: 'connected',
      session,
      configuration: { ipv4, ipv6, gateway, mtu, peerId, cipher, format, options },
    });
  }

  #noteToken(token: Secret<string> | undefined, userName: string | undefined): void {
    if (token === undefined) return;
    this.#token = token;
    this.#options.report({ kind: 'token', userName, token });
  }

  // --- time ---------------------------------------------------------------------------------------------------------

  #service(now: Instant, out: SessionOutbox): void {
    if (this.#state === 'leaving' && this.#nextDeadline(now) <= now) {
      const said = this.#goodbyeSent && this.#exchange?.reliable.idle === true;
      if (said || now >= this.#leaveBy) this.#end({ kind: 'stopped' });
      return;
    }
    if (now >= this.#negotiateBy()) {
      this.#end({ kind: 'timeout', phase: 'handshake' });
      return;
    }
    if (this.#state === 'authenticating') {
      if (now >= this.#pushBy) {
        this.#end({ kind: 'timeout', phase: 'push' });
      } else if (now >= this.#askAt) {
        this.#exchange?.say(PUSH_REQUEST);
        this.#askAt = now + PUSH_REQUEST_MS;
      }
    } else if (this.#state === 'connected') this.#serviceData(now, out);
  }

  #serviceData(now: Instant, out: SessionOutbox): void {
    const due = this.#channel?.service(now, true, out);
    if (due === 'silent') this.#end({ kind: 'timeout', phase: 'ping' });
    else if (due === 'renegotiate') this.#beginRenegotiation(now);
  }

  #negotiateBy(): Instant {
    if (this.#exchange === undefined || !(this.#state === 'negotiating' || this.#renewing)) return Infinity;
    return this.#exchange.startedAt + this.#settings.handWindowMs;
  }

  #nextDeadline(now: Instant): Instant {
    const exchange = this.#exchange;
    if (exchange === undefined) return Infinity;
    const retransmit = exchange.reliable.pollTimeout() ?? Infinity;
    if (this.#state === 'leaving')
      return this.#goodbyeSent && exchange.reliable.idle ? -Infinity : Math.min(retransmit, this.#leaveBy);
    const data = this.#state === 'connected' ? this.#channel?.deadline(now) : undefined;
    return Math.min(retransmit, this.#negotiateBy(), this.#pushBy, this.#askAt, data ?? Infinity);
  }

  /** After anything that happened: sends what there is to send, and says when there is more to do. */
  #flush(now: Instant, out: SessionOutbox): void {
    this.#send(now, out);
    this.#deadline = this.#nextDeadline(now);
  }

  #send(now: Instant, out: SessionOutbox): void {
    if (this.#control?.flush(now, () => this.#remotePath(), out) !== false) return;
    this.#end({ kind: 'tls', text: 'the packet ids are used up' });
  }

  #end(ending: ClientEnding): void {
    if (this.#state === 'ended') return;
    this.#state = 'ended';
    this.#control?.close();
    this.#control = undefined;
    this.#channel = undefined;
    if (this.#session !== 0) this.#options.data.close(this.#session);
    this.#session = 0;
    this.#options.report({ kind: 'ended', ending });
  }

  /** A record of the server's path. */
  #remotePath(): number {
    const { memory, scratchPath } = this.#options;
    memory.u8.set(this.#remote, scratchPath);
    return scratchPath;
  }
}
