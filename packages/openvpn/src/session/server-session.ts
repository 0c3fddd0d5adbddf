import { DropReason, type Instant, type Scheduled, type SessionId, type SessionOutbox } from '@sallyport/core';
import type { TlsOutput } from '../tls.ts';
import { authFailed, authPending, infoPre, parseControlMessage, type AuthFailure } from '../wire/control-message.ts';
import type { ControlPacket } from '../wire/control-packet.ts';
import { RANDOM_BYTES, type DecodedKeyMethod2, type KeyMethod2 } from '../wire/key-method.ts';
import { P_CONTROL_HARD_RESET_SERVER_V2, type Header } from '../wire/opcodes.ts';
import { ivProto, IvProto, parsePeerInfo } from '../wire/peer-info.ts';
import { pushReply } from '../wire/push-reply.ts';
import { parseIpv4, parseIpv6 } from './addresses.ts';
import type { Verdict } from './authentication.ts';
import { ControlChannel } from './control-channel.ts';
import { DataChannel } from './data-channel.ts';
import { failureOf, textOf } from './farewell.ts';
import type { ExchangeOwner, KeyExchange } from './key-exchange.ts';
import { loginOf } from './login.ts';
import { agree, isOpenVpn3, type Agreement } from './negotiation.ts';
import { answerTo, pushOptions, tokenOption } from './push-options.ts';
import type { ServerContext, ServerSessionOptions } from './server-context.ts';
import type { ClientView, ClosedBecause, Ending } from './server-events.ts';
import { SessionPath } from './session-path.ts';
import { FAREWELL_MS, UNPROVEN_MS } from './settings.ts';

const NO_PEER_INFO: ReadonlyMap<string, string> = new Map();

/** A client has made its key so long after it acknowledged ours, if it ever does. */
const SETTLE_MS = 2_000;
/** A client waits so much longer than its user is given, so that it hears what became of it. */
const PENDING_GRACE_S = 5;

/**
 * `negotiating`: until it has said who it is. `deciding`: a verdict is awaited. `leaving`: its data channel is closed, and it
 * is told why.
 */
type State = 'negotiating' | 'deciding' | 'admitted' | 'leaving' | 'gone';

/** The server's end of one client's connection, from its proof of address to its end. */
export class ServerSession implements Scheduled, ExchangeOwner {
  deadline: Instant = Infinity;
  queuePosition = -1;
  /** How it is found: by the client's session id. */
  readonly key: string;
  /** What limits count it by. */
  readonly source: string;
  /** What its tls-crypt-v2 key says. */
  readonly profile: Uint8Array | undefined;
  /** Whether it has proved its address. */
  proven: boolean;
  deviceId: string | undefined;
  /** 0 until it was let in. */
  session: SessionId = 0;
  /** The request that it waits for the verdict of. */
  request = 0;
  readonly #context: ServerContext;
  readonly #control: ControlChannel;
  readonly #path: SessionPath;
  readonly #since: Instant;
  #state: State = 'negotiating';
  #agreement: Agreement | undefined;
  #peerInfo: ReadonlyMap<string, string> = NO_PEER_INFO;
  #proto = 0;
  #userName = '';
  #channel: DataChannel | undefined;
  /** Options of the push reply, until they were sent. */
  #push: readonly string[] | undefined;
  #pushRequested = false;
  #decideBy: Instant = Infinity;
  /** Whether the exchange of a renegotiation is not over. */
  #renewing = false;
  #leaveBy: Instant = Infinity;
  /** Records of TLS that came since it was told why it has to leave. */
  #farewellSent = false;

  constructor(context: ServerContext, options: ServerSessionOptions) {
    const { wrap, sessionId, clientId, proven, now } = options;
    this.#context = context;
    this.key = options.key;
    this.source = options.source;
    this.profile = options.profile && new Uint8Array(options.profile);
    this.proven = proven;
    this.#since = now;
    this.#path = new SessionPath(context, options.path);
    this.#control = new ControlChannel({
      owner: this,
      tls: context.tls,
      wrap,
      sessionId,
      remoteId: clientId,
      openTlsId: () => context.openTlsId(this),
      closeTlsId: (id) => {
        context.closeTlsId(id);
      },
      resumed: proven,
      now,
    });
  }

  get #exchange(): KeyExchange {
    return this.#control.exchange;
  }

  get state(): State {
    return this.#state;
  }

  view(): ClientView | undefined {
    if (this.#channel === undefined || this.deviceId === undefined || this.#agreement === undefined) return undefined;
    const { cipher, format, advancesBy } = this.#agreement;
    return {
      session: this.session,
      deviceId: this.deviceId,
      since: this.#since,
      keysSince: this.#channel.keysSince,
      cipher,
      format,
      advancesBy,
    };
  }

  // --- what comes ---------------------------------------------------------------------------------------------------

  /** A datagram whose header names this session. */
  receive(datagram: Uint8Array, header: Header, path: number, now: Instant, out: SessionOutbox): void {
    const packet = this.#control.unwrap(datagram, header.keyId);
    if (typeof packet === 'number') {
      out.drop(packet);
      return;
    }
    if (!this.#path.allows(path, this.session, this.#control.isAuthenticated)) {
      out.drop(DropReason.wrongSource);
      return;
    }
    this.take(packet, now, out);
  }

  /** A client that has proved nothing yet is answered by a session id that is none, and that it has to acknowledge. */
  answerReset(now: Instant): void {
    this.#exchange.reliable.start(P_CONTROL_HARD_RESET_SERVER_V2, now);
  }

  /** The same, taken out of its wrap. */
  take(packet: ControlPacket, now: Instant, out: SessionOutbox): void {
    if (this.#state === 'gone') {
      out.drop(DropReason.unknownReceiver);
      return;
    }
    if (this.#control.asksForNext(packet)) {
      if (!this.#mayRenegotiate(now) || !this.#context.mayRenegotiate(this, now)) {
        out.drop(DropReason.rateLimited);
        return;
      }
      this.#renegotiate(now);
    }
    const fault = this.#exchange.receive(packet, now, out);
    if (fault === DropReason.unknownReceiver) {
      out.drop(fault);
      return;
    }
    // Who acknowledges our random session id has received it.
    this.proven ||= packet.remoteSessionId !== undefined;
    if (this.#channel !== undefined) this.#channel.lastControlAt = now;
    if (fault !== undefined) out.drop(fault);
  }

  handleTls(id: number, output: TlsOutput, now: Instant, out: SessionOutbox): void {
    if (id !== this.#exchange.tlsId) return;
    this.#exchange.handleTls(output, now, out);
    if (this.#state === 'leaving' && output.kind === 'records' && this.#exchange.saidAll) this.#farewellSent = true;
  }

  /** The packet half wants it to be looked at. */
  attend(now: Instant, out: SessionOutbox): void {
    this.#channel?.attend(now);
    this.service(now, out);
  }

  /** The client said goodbye. */
  exit(now: Instant, out: SessionOutbox): void {
    if (this.#state === 'gone') return;
    this.#context.counters.exits++;
    this.flush(now, out);
    this.vanish('exit');
  }

  // --- ExchangeOwner ------------------------------------------------------------------------------------------------

  resetCame(): void {
    // There is nothing in it.
  }

  secured(): void {
    // The client's part of the keys comes first.
  }

  keysCame(exchange: KeyExchange, message: DecodedKeyMethod2, now: Instant, out: SessionOutbox): void {
    const { crypto } = this.#context;
    const peerInfo = parsePeerInfo(message.peerInfo);
    exchange.sendKeys(
      {
        preMaster: undefined,
        random1: crypto.random(RANDOM_BYTES),
        random2: crypto.random(RANDOM_BYTES),
        options: answerTo(message.options),
        userName: undefined,
        password: undefined,
        peerInfo: '',
      },
      isOpenVpn3(peerInfo),
    );
    if (this.#state === 'leaving') return;
    if (message.tooLong) {
      this.#refuse({ kind: 'plain', text: 'user name or password is too long' }, now, out);
      return;
    }
    if (this.#agreement === undefined) {
      this.#peerInfo = peerInfo;
      this.#proto = ivProto(this.#peerInfo);
      const agreement = agree(this.#context.settings, this.#peerInfo, message.options);
      if (typeof agreement === 'string') {
        this.#refuse({ kind: 'plain', text: agreement }, now, out);
        return;
      }
      this.#agreement = agreement;
      this.#pushRequested = agreement.awaitsPush;
    }
    this.#ask(exchange, message, now, out);
  }

  textsCame(_exchange: KeyExchange, texts: readonly string[], now: Instant, out: SessionOutbox): void {
    for (const text of texts) {
      const message = parseControlMessage(text);
      if (message.kind === 'pushRequest') {
        this.#pushRequested = true;
        this.#answerPush(now, out);
      } else if (message.kind === 'exit') this.exit(now, out);
    }
  }

  failed(_exchange: KeyExchange, _reason: string, now: Instant, out: SessionOutbox): void {
    if (this.#state === 'negotiating' || this.#state === 'deciding') this.#context.counters.handshakesFailed++;
    // An alert of TLS may be on its way to the client: it says there what is wrong.
    this.flush(now, out);
    this.vanish(this.#renewing ? 'renegotiationFailed' : 'failed');
  }

  // --- the verdict --------------------------------------------------------------------------------------------------

  #ask(exchange: KeyExchange, message: KeyMethod2, now: Instant, out: SessionOutbox): void {
    const login = loginOf(message);
    if (login === undefined) {
      this.#refuse({ kind: 'plain', text: 'the answer to the challenge is malformed' }, now, out);
      return;
    }
    this.#userName = message.userName ?? '';
    if (this.#state === 'negotiating') this.#state = 'deciding';
    this.#decideBy = now + this.#context.settings.handWindowMs;
    this.#context.ask(this, {
      profile: this.profile,
      certificate: exchange.certificate,
      userName: message.userName,
      ...login,
      peerInfo: this.#peerInfo,
      path: this.#path.at(this.session),
      renewing: this.#state === 'admitted' ? this.deviceId : undefined,
    });
  }

  /** The verdict of the request came. */
  decide(verdict: Verdict, now: Instant, out: SessionOutbox): void {
    const renewing = this.#state === 'admitted';
    if (!renewing && this.#state !== 'deciding') return;
    if (verdict.kind === 'pending') {
      const longest = this.#context.settings.maxPendingMs;
      const timeout = Math.max(0, Math.min(verdict.timeoutSeconds * 1000, longest));
      this.#decideBy = now + timeout;
      if (renewing) return;
      this.#exchange.say(
        authPending(Math.ceil(timeout / 1000) + PENDING_GRACE_S, this.#can(IvProto.authPendingKeyword)),
      );
      const info = infoPre(verdict.info);
      if (info !== undefined) this.#exchange.say(info);
      this.#context.pending(this, now, out);
      return;
    }
    this.request = 0;
    this.#decideBy = Infinity;
    if (verdict.kind === 'refuse') this.#refuse(failureOf(verdict, this.#userName), now, out);
    else if (renewing) this.#renewed(verdict, now, out);
    else this.#admit(verdict, now, out);
  }

  /** Whether the client has said by a bit of `IV_PROTO` that it can do this. */
  #can(bit: number): boolean {
    return (this.#proto & bit) !== 0;
  }

  #refuse(failure: AuthFailure, now: Instant, out: SessionOutbox): void {
    this.#context.counters.refused++;
    this.#context.report({ kind: 'refused', reason: failure.kind === 'challenge' ? 'challenge' : failure.text });
    // Clients before 2.6 would show the brackets to their user, and not come again.
    const temporary = failure.kind !== 'temporary' || this.#can(IvProto.authFailTemp);
    this.#leave(authFailed(temporary ? failure : { kind: 'plain', text: failure.text }), 'refused', now, out);
  }

  #admit(verdict: Extract<Verdict, { kind: 'admit' }>, now: Instant, out: SessionOutbox): void {
    const context = this.#context;
    const { data, settings, counters } = context;
    const agreement = this.#agreement;
    const client = this.#control.remoteId;
    if (agreement === undefined || client === undefined) return;
    const ipv6 = verdict.ipv6 === undefined ? undefined : parseIpv6(verdict.ipv6);
    const addresses = { ipv4: parseIpv4(verdict.ipv4), ipv6 };
    context.replaceOf(verdict.deviceId);
    const session = data.count < settings.maxSessions ? data.open(now) : 0;
    if (session === 0) {
      const text = 'the server is full';
      this.#refuse({ kind: 'temporary', backoffSeconds: 30, advance: 'remote', text }, now, out);
      return;
    }
    data.setPath(session, this.#path.at(this.session));
    data.setAddresses(session, addresses);
    this.session = session;
    this.deviceId = verdict.deviceId;
    this.#channel = new DataChannel({
      data,
      crypto: context.crypto,
      session,
      server: true,
      agreement,
      ids: { client, server: this.#control.sessionId },
      times: () => {
        // The server waits longer than its client, so that it does not close what the client still takes for open.
        const { pingMs, pingRestartMs, renegotiateMs, renegotiateBytes, transitionMs } = context.settings;
        return { pingMs, silenceMs: 2 * pingRestartMs, renegotiateMs, renegotiateBytes, transitionMs };
      },
      now,
    });
    this.#state = 'admitted';
    context.admitted(this, verdict.deviceId);
    if (!this.#channel.install(this.#exchange, now, now)) {
      this.vanish('failed');
      return;
    }
    if (agreement.dynamicTlsCrypt) this.#control.useDynamicWrap();
    counters.admitted++;
    this.#push = pushOptions(settings, context.network(), agreement, verdict, data.peerId(session));
    this.#answerPush(now, out);
    const { cipher, format } = agreement;
    const path = data.pathOf(session);
    context.report({ kind: 'established', session, deviceId: verdict.deviceId, cipher, format, peerInfo: this.#peerInfo, path }); // prettier-ignore
    this.#peerInfo = NO_PEER_INFO;
    out.event({ kind: 'established', session });
  }

  #renewed(verdict: Extract<Verdict, { kind: 'admit' }>, now: Instant, out: SessionOutbox): void {
    if (verdict.deviceId !== this.deviceId) {
      this.#refuse({ kind: 'plain', text: 'a renegotiation can not change who it is' }, now, out);
      return;
    }
    // Clients make their key when ours has come: a moment after it was acknowledged they surely have it.
    if (this.#channel?.install(this.#exchange, now + SETTLE_MS, now) !== true) {
      this.vanish('renegotiationFailed');
      return;
    }
    this.#renewing = false;
    this.#context.counters.renegotiations++;
    this.#context.report({ kind: 'renegotiated', session: this.session, deviceId: verdict.deviceId });
    if (verdict.token !== undefined) this.#sayPush([tokenOption(verdict.token.reveal())]);
  }

  #answerPush(now: Instant, out: SessionOutbox): void {
    if (this.#push === undefined || !this.#pushRequested || this.#state !== 'admitted') return;
    const options = this.#push;
    this.#push = undefined;
    if (this.#sayPush(options)) return;
    this.#refuse({ kind: 'plain', text: 'an option for the client is too long' }, now, out);
  }

  #sayPush(options: readonly string[]): boolean {
    const pieces = pushReply(options);
    for (const piece of pieces ?? []) this.#exchange.say(piece);
    return pieces !== undefined;
  }

  // --- renegotiation ------------------------------------------------------------------------------------------------

  #mayRenegotiate(now: Instant): boolean {
    return this.#state === 'admitted' && !this.#renewing && this.#channel?.mayRenegotiate(now) === true;
  }

  #beginRenegotiation(now: Instant): void {
    // What the client still waits for of this exchange would be lost with it.
    if (!this.#mayRenegotiate(now) || !this.#exchange.reliable.idle || this.#push !== undefined) return;
    this.#renegotiate(now);
  }

  #renegotiate(now: Instant): void {
    this.#renewing = true;
    this.#channel?.renegotiating();
    this.#control.renegotiate(now);
  }

  // --- time ---------------------------------------------------------------------------------------------------------

  /** Does what is due. */
  service(now: Instant, out: SessionOutbox): void {
    const { settings, counters } = this.#context;
    if (this.#state === 'leaving') {
      if (now >= this.#leaveBy || (this.#farewellSent && this.#exchange.reliable.idle)) this.#end();
      return;
    }
    if (this.#state === 'admitted') this.#serviceData(now, out);
    if (this.#state === 'gone' || now < this.#negotiateBy()) return;
    if (this.#state === 'admitted') {
      this.vanish('renegotiationFailed');
    } else if (this.#state === 'deciding') {
      this.#context.unask(this);
      this.#refuse({ kind: 'temporary', backoffSeconds: settings.pingMs / 1000, advance: 'no', text: 'the login took too long' }, now, out); // prettier-ignore
    } else {
      counters.handshakesTimedOut++;
      this.#end();
    }
  }

  #serviceData(now: Instant, out: SessionOutbox): void {
    const told = this.#exchange.exchanged && this.#exchange.reliable.idle;
    const due = this.#channel?.service(now, told, out);
    if (due === 'renegotiate') this.#beginRenegotiation(now);
    if (due !== 'silent') return;
    this.#context.counters.pingTimeouts++;
    this.vanish('pingTimeout');
  }

  /** When the exchange in progress must have come further. */
  #negotiateBy(): Instant {
    if (this.request !== 0) return this.#decideBy;
    if (this.#state !== 'negotiating' && !this.#renewing) return Infinity;
    return this.#exchange.startedAt + (this.proven ? this.#context.settings.handWindowMs : UNPROVEN_MS);
  }

  /** When it next has work. */
  nextDeadline(now: Instant): Instant {
    if (this.#state === 'gone') return Infinity;
    const retransmit = this.#exchange.reliable.pollTimeout() ?? Infinity;
    if (this.#state === 'leaving')
      return this.#farewellSent && this.#exchange.reliable.idle ? now : Math.min(retransmit, this.#leaveBy);
    return Math.min(retransmit, this.#negotiateBy(), this.#channel?.deadline(now) ?? Infinity);
  }

  /** Sends what is to be sent. */
  flush(now: Instant, out: SessionOutbox): void {
    if (this.#state === 'gone') return;
    if (this.#control.flush(now, () => this.#path.at(this.session), out)) return;
    this.vanish('failed');
  }

  // --- its end ------------------------------------------------------------------------------------------------------

  /** Ends it from here. Its data channel is closed when this returns; the client is told for a while. */
  disconnect(ending: Ending, because: ClosedBecause, now: Instant, out: SessionOutbox): void {
    if (this.#state === 'gone' || this.#state === 'leaving') return;
    this.#leave(textOf(ending, this.#agreement?.advancesBy), because, now, out);
  }

  /**
   * Ends it without a word: it failed, is one too many, or its device came again and was let in, which may be itself an hour
   * ago.
   */
  vanish(because: ClosedBecause): void {
    this.#close(because);
    this.#end();
  }

  #leave(text: string, because: ClosedBecause, now: Instant, out: SessionOutbox): void {
    this.#close(because);
    this.#state = 'leaving';
    this.#leaveBy = now + FAREWELL_MS;
    this.#exchange.say(text);
    this.flush(now, out);
  }

  /** Closes the data channel. */
  #close(because: ClosedBecause): void {
    const { data } = this.#context;
    this.#context.unask(this);
    const { session, deviceId } = this;
    if (session === 0 || deviceId === undefined) return;
    const activity = data.activity(session);
    this.#path.remember(data.pathOf(session));
    this.#channel = undefined;
    this.session = 0;
    data.close(session);
    this.#context.report({ kind: 'closed', session, deviceId, because, activity });
  }

  #end(): void {
    this.#context.unask(this);
    this.#state = 'gone';
    this.#control.close();
  }
}
