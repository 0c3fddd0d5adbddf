import type { Duplex } from 'node:stream';
import type { ZodType } from 'zod';
import { encodeFrame, FrameDecoder } from './frames.ts';
import { LinkError } from './link-error.ts';
import {
  fromControl,
  fromGateway,
  MAX_FRAME_BYTES,
  MAX_GATEWAY_FRAME_BYTES,
  type FromControl,
  type FromGateway,
} from './messages.ts';

/** A link is given up when nothing is heard for this long, and a moment later (a quarter of {@link PING_MS}) still isn't. */
export const SILENCE_MS = 30_000;
/** How often the control plane asks whether the gateway is there. */
export const PING_MS = 10_000;
/** A gateway says who it is within this time. */
const FIRST_MESSAGE_MS = 10_000;
/** What is still to be sent has this long when the link is closed. */
const FLUSH_MS = 2000;
/** Long frames are written in pieces, whose departure shows that the other side reads. */
const PIECE_BYTES = 64 * 1024;
/** Messages that may wait beside one of the greatest length. */
const SEND_SLACK_BYTES = 4 * 1024 * 1024;
/** Of a fault's words, which may hold the other side's. */
const MAX_FAULT_LENGTH = 200;

export interface LinkTimes {
  readonly pingMs: number;
  readonly silenceMs: number;
  readonly firstMessageMs: number;
}

const TIMES: LinkTimes = { pingMs: PING_MS, silenceMs: SILENCE_MS, firstMessageMs: FIRST_MESSAGE_MS };

interface Message {
  readonly kind: string;
}

interface LinkSide<In> {
  readonly name: 'control' | 'gateway';
  readonly incoming: ZodType<In>;
  readonly maxIncoming: number;
  readonly maxOutgoing: number;
}

/** The control plane's end of a link. */
export type ControlLink = LinkConnection<FromGateway, FromControl>;
/** The gateway's end of a link. */
export type GatewayLink = LinkConnection<FromControl, FromGateway>;

/** The control plane's end, over a stream whose other end has proved to hold the key with this hash. */
export function controlLink(stream: Duplex, peerKeyHash: string, times?: Partial<LinkTimes>): ControlLink {
  const side = {
    name: 'control',
    incoming: fromGateway,
    maxIncoming: MAX_GATEWAY_FRAME_BYTES,
    maxOutgoing: MAX_FRAME_BYTES,
  } as const;
  return new LinkConnection(stream, peerKeyHash, side, { ...TIMES, ...times });
}

/** The gateway's end. */
export function gatewayLink(stream: Duplex, peerKeyHash: string, times?: Partial<LinkTimes>): GatewayLink {
  const side = {
    name: 'gateway',
    incoming: fromControl,
    maxIncoming: MAX_FRAME_BYTES,
    maxOutgoing: MAX_GATEWAY_FRAME_BYTES,
  } as const;
  return new LinkConnection(stream, peerKeyHash, side, { ...TIMES, ...times });
}

/** Messages in both directions, each checked against its schema. Pings and pongs stay in here. */
export class LinkConnection<In extends Message, Out extends Message> {
  /** SHA-256 of the other side's public key, lower-case hex: who it is. */
  readonly peerKeyHash: string;
  readonly #stream: Duplex;
  readonly #side: LinkSide<In>;
  readonly #times: LinkTimes;
  readonly #decoder: FrameDecoder;
  readonly #closeListeners: ((error: LinkError | undefined) => void)[] = [];
  readonly #watch: NodeJS.Timeout;
  #reading = false;
  #ended: { readonly error: LinkError | undefined } | undefined;
  #queue: Buffer[] = [];
  #queuedBytes = 0;
  readonly #startedAt = performance.now();
  #lastSignAt = this.#startedAt;
  #lastPingAt = this.#startedAt;
  #heardAny = false;
  /** It was silent for too long when last looked at. */
  #doubted = false;
  #latencyMs: number | undefined;

  constructor(stream: Duplex, peerKeyHash: string, side: LinkSide<In>, times: LinkTimes) {
    this.peerKeyHash = peerKeyHash;
    this.#stream = stream;
    this.#side = side;
    this.#times = times;
    this.#decoder = new FrameDecoder(side.maxIncoming);
    stream.on('error', (error) => {
      this.#finish(new LinkError('disconnected', `the link broke: ${error.message}`, { cause: error }));
    });
    stream.on('close', () => {
      this.#finish(new LinkError('disconnected', 'the link was closed by the other side'));
    });
    this.#watch = setInterval(
      () => {
        this.#look();
      },
      Math.max(5, Math.min(times.pingMs, times.silenceMs, times.firstMessageMs) / 4),
    );
  }

  /** The last round trip; known to the control plane alone. */
  get latencyMs(): number | undefined {
    return this.#latencyMs;
  }

  get closed(): boolean {
    return this.#ended !== undefined;
  }

  /**
   * Reading begins with this call. Where the listener returns a promise, the next message waits for it; where it
   * throws, the link ends.
   */
  onMessage(listener: (message: In) => void | Promise<void>): void {
    if (this.#reading) throw new Error('a link has one listener for messages');
    this.#reading = true;
    void this.#read(listener);
  }

  /** Called once, at the end: without an error where this side closed it. */
  onClose(listener: (error: LinkError | undefined) => void): void {
    const ended = this.#ended;
    if (ended === undefined) this.#closeListeners.push(listener);
    else
      queueMicrotask(() => {
        listener(ended.error);
      });
  }

  /**
   * Sends a message after those before it; false where the link is closed, or is closed now because the other side
   * does not read. Throws a RangeError where the message is longer than a frame may be.
   */
  send(message: Out): boolean {
    if (this.#ended !== undefined) return false;
    const { maxOutgoing } = this.#side;
    const frame = encodeFrame(JSON.stringify(message), maxOutgoing);
    if (this.#queuedBytes + frame.length > maxOutgoing + SEND_SLACK_BYTES) {
      this.#finish(new LinkError('notReading', 'the other side does not read what it is sent'));
      return false;
    }
    for (let at = 0; at < frame.length; at += PIECE_BYTES) this.#queue.push(frame.subarray(at, at + PIECE_BYTES));
    const idle = this.#queuedBytes === 0;
    this.#queuedBytes += frame.length;
    if (idle) this.#write();
    return true;
  }

  /** Ends the link from this side, once what was sent has gone out; `reason` is for this side's listeners. */
  close(reason?: LinkError): void {
    if (this.#ended !== undefined) return;
    this.#end(reason);
    if (this.#queuedBytes === 0) this.#stream.end();
    const timer = setTimeout(() => this.#stream.destroy(), FLUSH_MS);
    this.#stream.once('close', () => {
      clearTimeout(timer);
    });
    // The other side's answer to the end is read away, or it would not be seen.
    if (!this.#reading) this.#stream.resume();
  }

  /** One piece after the other: given all at once, the stream would tell of the last one's departure alone. */
  #write(): void {
    const piece = this.#queue.shift();
    if (piece === undefined) {
      if (this.#ended !== undefined) this.#stream.end();
      return;
    }
    this.#stream.write(piece, (error) => {
      if (error !== null && error !== undefined) return;
      this.#queuedBytes -= piece.length;
      // A long message that goes out slowly keeps the answer to a ping waiting.
      if (piece.length === PIECE_BYTES) this.#lastSignAt = performance.now();
      this.#write();
    });
  }

  async #read(listener: (message: In) => void | Promise<void>): Promise<void> {
    try {
      for await (const chunk of this.#stream as AsyncIterable<Buffer>) {
        if (this.#ended !== undefined) continue;
        // What a gateway sends counts when it is whole: one that drips bytes is not heard.
        if (this.#side.name === 'gateway') this.#lastSignAt = performance.now();
        this.#decoder.push(chunk);
        for (let frame = this.#decoder.next(); frame !== undefined; frame = this.#decoder.next()) {
          if (this.#ended !== undefined) break;
          await this.#take(frame, listener);
        }
      }
      this.#finish(new LinkError('disconnected', 'the other side ended the link'));
    } catch (error) {
      this.#finish(
        error instanceof LinkError
          ? error
          : new LinkError('disconnected', `the link broke: ${(error as Error).message}`, { cause: error }),
      );
    }
  }

  async #take(frame: Buffer | 'tooLong', listener: (message: In) => void | Promise<void>): Promise<void> {
    if (frame === 'tooLong')
      throw new LinkError('frameTooLong', `a frame is longer than ${this.#side.maxIncoming} bytes`);
    const message = decodeMessage(frame, this.#side.incoming);
    this.#lastSignAt = performance.now();
    this.#heardAny = true;
    if (message.kind === 'ping') {
      this.send({ kind: 'pong', sent: (message as unknown as { sent: number }).sent } as unknown as Out);
    } else if (message.kind === 'pong') {
      const latency = performance.now() - (message as unknown as { sent: number }).sent;
      if (latency >= 0 && latency < this.#times.silenceMs) this.#latencyMs = latency;
    } else
      try {
        await listener(message);
      } catch (error) {
        throw new LinkError('handlerFailed', 'a message could not be dealt with', { cause: error });
      }
  }

  #look(): void {
    const now = performance.now();
    const { pingMs, silenceMs, firstMessageMs } = this.#times;
    // Whoever had no processor for as long has not read yet what came meanwhile, nor asked for an answer.
    const wasDoubted = this.#doubted;
    this.#doubted = now - this.#lastSignAt > silenceMs;
    if (this.#doubted && wasDoubted) {
      this.#finish(new LinkError('silent', `nothing was heard for ${Math.round(silenceMs / 1000)} seconds`));
      return;
    }
    if (this.#side.name === 'gateway') return;
    if (!this.#doubted && !this.#heardAny && now - this.#startedAt > firstMessageMs) {
      this.#finish(new LinkError('silent', 'the gateway did not say who it is'));
      return;
    }
    if (now - this.#lastPingAt >= pingMs) {
      this.#lastPingAt = now;
      this.send({ kind: 'ping', sent: now } as unknown as Out);
    }
  }

  /** The link is over, and nothing more can go out. */
  #finish(error: LinkError): void {
    this.#end(error);
    this.#queue = [];
    this.#stream.destroy();
  }

  #end(error: LinkError | undefined): void {
    if (this.#ended !== undefined) return;
    this.#ended = { error };
    clearInterval(this.#watch);
    for (const listener of this.#closeListeners.splice(0)) listener(error);
  }
}

/** A frame's message. Throws a LinkError that names the first fault, without what the message holds. */
export function decodeMessage<T>(frame: Uint8Array, schema: ZodType<T>): T {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(frame));
  } catch {
    throw new LinkError('invalidMessage', 'a frame does not hold JSON');
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const place = issue === undefined || issue.path.length === 0 ? 'message' : issue.path.join('.');
  const fault = `${place}: ${issue?.message ?? 'not understood'}`.slice(0, MAX_FAULT_LENGTH);
  throw new LinkError('invalidMessage', `a message is not valid: ${fault.replace(/[^\x20-\x7e]/g, '?')}`);
}
