/** The asker's end of the tunnel service: datagrams to the gateway's tunnel address, by one interface alone. */
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { openMarkedUdpSocket } from '@sallyport/io';
import {
  decodeMessage,
  encodeMessage,
  HEADER_BYTES,
  LEAST_PADDING,
  TUNNEL_SERVICE_PORT,
  type TunnelServiceMessage,
} from '@sallyport/tunnel-service';

/** IPv4 and UDP, before a message. */
const HEADERS_BEFORE = 20 + 8;
const MAX_WAITING = 64;

export interface TunnelServiceOptions {
  /** The interface, by which alone it sends and hears. */
  readonly device: string;
  /** Chooses the routing table; 0: none. */
  readonly mark: number;
  /** The gateway's IPv4 address in the tunnel. */
  readonly gateway: string;
}

export interface Pong {
  readonly roundTripMs: number;
  /** The gateway asks to be left. */
  readonly draining: boolean;
}

type Answer = Extract<TunnelServiceMessage, { kind: 'pong' | 'keyAnswer' | 'pathMtuTaken' }>;

export class TunnelService {
  readonly #gateway: string;
  readonly #socket: Socket;
  readonly #waiting = new Map<bigint, (answer: Answer | undefined) => void>();
  #closed = false;

  /** Throws a SystemCallError where there is no such interface. */
  constructor({ device, mark, gateway }: TunnelServiceOptions) {
    this.#gateway = gateway;
    const fd = openMarkedUdpSocket(4, { mark, device }, true);
    this.#socket = createSocket('udp4');
    this.#socket.bind({ fd });
    // Too long for the interface, no way there just now: an answer that doesn't come says as much.
    this.#socket.on('error', () => undefined);
    this.#socket.on('message', (bytes, { address, port }) => {
      if (address !== gateway || port !== TUNNEL_SERVICE_PORT) return;
      const message = decodeMessage(bytes);
      if (message?.kind === 'pong' || message?.kind === 'keyAnswer' || message?.kind === 'pathMtuTaken')
        this.#waiting.get(message.id)?.(message);
    });
  }

  /** Undefined where no answer came in time. */
  async ping(timeoutMs: number, padding = LEAST_PADDING): Promise<Pong | undefined> {
    const sentAt = performance.now();
    const answer = await this.#ask({ kind: 'ping', id: newId(), padding }, timeoutMs);
    if (answer?.kind !== 'pong' || answer.padding !== padding) return undefined;
    return { roundTripMs: performance.now() - sentAt, draining: answer.draining };
  }

  /** Whether a packet of `bytes`, IP header included, passes to the gateway and back. */
  async probe(bytes: number, timeoutMs: number): Promise<boolean> {
    return (await this.ping(timeoutMs, bytes - HEADERS_BEFORE - HEADER_BYTES)) !== undefined;
  }

  /** The ciphertext that holds a preshared key; asked for `tries` times under one number, so that one is made. */
  async requestKey(encapsulationKey: Uint8Array, timeoutMs: number, tries: number): Promise<Uint8Array | undefined> {
    const id = newId();
    for (let i = 0; i < tries; i++) {
      const answer = await this.#ask({ kind: 'keyRequest', id, encapsulationKey }, timeoutMs);
      if (answer?.kind === 'keyAnswer') return answer.ciphertext;
    }
    return undefined;
  }

  /** Names the largest packet that the gateway may send here. False where it didn't answer. */
  async tellPathMtu(mtu: number, timeoutMs: number, tries: number): Promise<boolean> {
    const id = newId();
    for (let i = 0; i < tries; i++)
      if ((await this.#ask({ kind: 'pathMtu', id, mtu }, timeoutMs))?.kind === 'pathMtuTaken') return true;
    return false;
  }

  /** What is asked, or still to be asked once more, has no answer. */
  close(): void {
    this.#closed = true;
    for (const answered of this.#waiting.values()) answered(undefined);
    this.#socket.close();
  }

  #ask(message: TunnelServiceMessage, timeoutMs: number): Promise<Answer | undefined> {
    if (this.#closed || this.#waiting.size >= MAX_WAITING) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      const end = (answer: Answer | undefined): void => {
        clearTimeout(timer);
        this.#waiting.delete(message.id);
        resolve(answer);
      };
      const timer = setTimeout(end, timeoutMs, undefined);
      this.#waiting.set(message.id, end);
      this.#socket.send(encodeMessage(message), TUNNEL_SERVICE_PORT, this.#gateway, () => undefined);
    });
  }
}

function newId(): bigint {
  return randomBytes(8).readBigUInt64BE();
}
