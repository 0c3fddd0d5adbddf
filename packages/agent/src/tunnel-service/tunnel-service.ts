import { createSocket, type RemoteInfo, type Socket, type SocketOptions } from 'node:dgram';
import type { Privileged } from '@sallyport/privileged';
import { TUNNEL_SERVICE_PORT } from '@sallyport/tunnel-service';
import type { Clock } from '../clock.ts';
import type { Tunnel } from '../tunnel.ts';
import { agree } from './post-quantum.ts';
import { Talks, type Decision, type TalksOptions } from './talks.ts';

/** The addresses may come a moment after they were asked for. */
const RETRY_MS = 1000;
/** Requests to the helper of which nobody has heard yet; more are left unanswered. */
const MAX_LIMITING = 32;

export interface TunnelServiceOptions extends TalksOptions {
  /** The gateway's WireGuard public key, base64. */
  readonly gatewayKey: string;
  readonly tunnels: readonly Tunnel[];
  readonly privileged: Privileged;
  readonly clock: Clock;
  /** By default those of the system. */
  readonly openSocket?: ((options: SocketOptions) => Socket) | undefined;
  /** Why it can't be reached, in an operator's words; undefined when it can. */
  readonly onProblem: (problem: string | undefined) => void;
}

/** Answers devices at the gateway's tunnel addresses. docs/protocols/tunnel-service.md */
export class TunnelService {
  readonly #options: TunnelServiceOptions;
  readonly #talks: Talks;
  readonly #ears = new Map<string, Ear>();
  #limiting = 0;
  #lapsing = false;

  constructor(options: TunnelServiceOptions) {
    this.#options = options;
    this.#talks = new Talks(options, options.clock.now());
  }

  /** Listens at these addresses, and at no others any more; tries again where one can't be had. */
  listen(addresses: readonly string[]): void {
    for (const [address, ear] of this.#ears)
      if (!addresses.includes(address)) {
        ear.close();
        this.#ears.delete(address);
      }
    for (const address of addresses) {
      if (this.#ears.has(address)) continue;
      const ear = new Ear(address, this.#options.clock, {
        openSocket: this.#options.openSocket ?? createSocket,
        heard: (bytes, from, answer) => void this.#hear(bytes, from, answer),
        problem: () => {
          this.#tellProblem();
        },
      });
      this.#ears.set(address, ear);
    }
    this.#tellProblem();
  }

  /** To be called every second or so: takes back the limits of devices that are gone. */
  async look(): Promise<void> {
    if (this.#lapsing) return;
    this.#lapsing = true;
    try {
      for (const { ipv4, ipv6 } of this.#talks.lapse(this.#options.clock.now()))
        await this.#options.privileged.request({ kind: 'setDeviceMtu', ipv4, ipv6, mtu: null });
    } catch {
      // The helper is gone, or has too much to do. Whoever gets the address names its own limit.
    } finally {
      this.#lapsing = false;
    }
  }

  stop(): void {
    this.listen([]);
  }

  async #hear(bytes: Uint8Array, from: string, answer: (bytes: Uint8Array) => void): Promise<void> {
    const { clock } = this.#options;
    const decision = this.#talks.hear(bytes, from, clock.now());
    if (decision === undefined) return;
    if (decision.kind === 'answer') answer(decision.bytes);
    else if (decision.kind === 'agreeKey') this.#agree(decision, answer);
    else await this.#limit(decision, answer);
  }

  #agree(decision: Extract<Decision, { kind: 'agreeKey' }>, answer: (bytes: Uint8Array) => void): void {
    const { gatewayKey, tunnels, clock } = this.#options;
    const { device, publicKey, encapsulationKey } = decision;
    const agreement = agree(encapsulationKey, gatewayKey, publicKey);
    if (agreement === undefined) return;
    // The gateway has it first: the device begins a handshake as soon as it has the answer.
    const taken = tunnels.filter((tunnel) => tunnel.setAgreedKey?.(device.id, agreement.presharedKey) === true);
    agreement.presharedKey.reveal().fill(0);
    if (taken.length > 0) answer(this.#talks.agreed(decision, agreement.ciphertext, clock.now()));
  }

  async #limit(decision: Extract<Decision, { kind: 'limitMtu' }>, answer: (bytes: Uint8Array) => void): Promise<void> {
    const { privileged, clock } = this.#options;
    if (this.#limiting >= MAX_LIMITING) return;
    const { device, mtu } = decision;
    const { ipv4, ipv6 } = device;
    this.#limiting++;
    try {
      const { error } = await privileged.request({ kind: 'setDeviceMtu', ipv4, ipv6, mtu });
      if (error !== undefined) return;
      const bytes = this.#talks.limited(decision, clock.now());
      if (bytes !== undefined) answer(bytes);
      else await privileged.request({ kind: 'setDeviceMtu', ipv4, ipv6, mtu: null });
    } catch {
      // The device asks again.
    } finally {
      this.#limiting--;
    }
  }

  #tellProblem(): void {
    const faults = Array.from(this.#ears.values(), ({ fault }) => fault).filter((fault) => fault !== undefined);
    this.#options.onProblem(
      faults.length === 0 ? undefined : `devices can't reach the tunnel service: ${faults.join('; ')}`,
    );
  }
}

interface Listening {
  readonly openSocket: (options: SocketOptions) => Socket;
  readonly heard: (bytes: Uint8Array, from: string, answer: (bytes: Uint8Array) => void) => void;
  /** {@link Ear.fault} is another now. */
  readonly problem: () => void;
}

/** A socket at one address, opened again until it can be had. */
class Ear {
  readonly #address: string;
  readonly #clock: Clock;
  readonly #listening: Listening;
  #socket: Socket | undefined;
  #cancelRetry: (() => void) | undefined;
  #closed = false;
  fault: string | undefined;

  constructor(address: string, clock: Clock, listening: Listening) {
    this.#address = address;
    this.#clock = clock;
    this.#listening = listening;
    this.#open();
  }

  close(): void {
    this.#closed = true;
    this.#cancelRetry?.();
    this.#socket?.close();
    this.#socket = undefined;
  }

  #open(): void {
    const ipv6 = this.#address.includes(':');
    const socket = this.#listening.openSocket({ type: ipv6 ? 'udp6' : 'udp4', ipv6Only: ipv6 });
    this.#socket = socket;
    socket.on('listening', () => {
      this.#say(undefined);
    });
    socket.on('message', (bytes, { address, port }: RemoteInfo) => {
      this.#listening.heard(bytes, address, (answer) => {
        // A device that has gone meanwhile can't be sent to.
        if (this.#socket === socket) socket.send(answer, port, address, () => undefined);
      });
    });
    socket.on('error', (error) => {
      if (this.#socket !== socket) return;
      this.#socket = undefined;
      socket.close();
      this.#say(error.message);
      this.#cancelRetry = this.#clock.after(RETRY_MS, () => {
        this.#open();
      });
    });
    socket.bind({ address: this.#address, port: TUNNEL_SERVICE_PORT, exclusive: true });
  }

  #say(fault: string | undefined): void {
    if (this.#closed || this.fault === fault) return;
    this.fault = fault;
    this.#listening.problem();
  }
}
