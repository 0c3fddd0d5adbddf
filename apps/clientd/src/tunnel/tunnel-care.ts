/** Looks after the tunnel in use: pings, keys, the path's MTU. */
import type { Desired, Event } from '@sallyport/client';
import type { Hop } from './hop.ts';
import { KeyAgreement, type AgreedKeyStore } from './key-agreement.ts';
import { MtuCare } from './mtu-care.ts';
import type { TunnelService } from './tunnel-service.ts';

/** An answer that comes later is of no use. */
const PONG_TIMEOUT_MS = 3000;
/** The entry is asked seldom: it is heard whenever the exit is. */
const ENTRY_PING_EVERY = 10;
/** More than handshakes alone bring between two pings. */
const DATA_BYTES = 400;
const EXIT_IN_ENTRY_BYTES = 80;

export interface OpenTunnel {
  readonly hop: Hop;
  readonly service: TunnelService;
}

export interface TunnelCareOptions {
  readonly tunnelOf: (attempt: number) => OpenTunnel | undefined;
  readonly store: AgreedKeyStore;
  /** The device's public key, base64. */
  readonly deviceKey: () => string;
  readonly report: (event: Event) => void;
  readonly onAgreed: (gatewayKey: string, key: Uint8Array) => void;
  readonly onFault: (message: string) => void;
}

export class TunnelCare {
  readonly #options: TunnelCareOptions;
  readonly #agreements = new Map<string, { readonly agreement: KeyAgreement; readonly service: TunnelService }>();
  #desired: Desired | undefined;
  #timer: NodeJS.Timeout | undefined;
  #ticks = 0;
  #receivedBytes = 0;
  #entryRoundTripMs: number | undefined;
  #mtu: { readonly key: string; readonly service: TunnelService; readonly care: MtuCare } | undefined;
  #toldEntry = '';

  constructor(options: TunnelCareOptions) {
    this.#options = options;
  }

  /** Of the entry's last answered ping. */
  get entryRoundTripMs(): number | undefined {
    return this.#desired?.currentEntry === undefined ? undefined : this.#entryRoundTripMs;
  }

  /** Looks after what is wanted now. */
  follow(desired: Desired): void {
    const before = this.#desired;
    this.#desired = desired;
    if (desired.current !== before?.current) this.#receivedBytes = 0;
    if (desired.currentEntry !== before?.currentEntry) this.#entryRoundTripMs = undefined;
    const { pingEveryMs } = desired;
    if (pingEveryMs === undefined) {
      clearTimeout(this.#timer);
    } else if (pingEveryMs !== before?.pingEveryMs || desired.current !== before.current) this.#tickIn(0);
    this.#followMtu(desired);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#mtu?.care.stop();
  }

  #tickIn(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#tick();
    }, delayMs);
  }

  #tick(): void {
    const desired = this.#desired;
    const { pingEveryMs, current, currentEntry } = desired ?? {};
    if (desired === undefined || pingEveryMs === undefined || current === undefined) return;
    this.#tickIn(pingEveryMs);
    this.#ticks++;
    const tunnel = this.#options.tunnelOf(current);
    if (tunnel !== undefined) this.#careFor(current, tunnel, true);
    const entry = currentEntry === undefined ? undefined : this.#options.tunnelOf(currentEntry);
    if (entry !== undefined && currentEntry !== undefined) this.#careFor(currentEntry, entry, false);
    this.#followMtu(desired);
  }

  #careFor(attempt: number, { hop, service }: OpenTunnel, exit: boolean): void {
    const { report } = this.#options;
    const activity = hop.activityOf(attempt);
    const plan = hop.planOf(attempt);
    if (activity === undefined || plan === undefined) return;
    if (exit) {
      if (activity.receivedBytes > this.#receivedBytes + DATA_BYTES && this.#receivedBytes > 0) report({ kind: 'heard', attempt }); // prettier-ignore
      this.#receivedBytes = activity.receivedBytes;
    }
    if (exit || this.#entryRoundTripMs === undefined || this.#ticks % ENTRY_PING_EVERY === 1)
      void service.ping(PONG_TIMEOUT_MS).then((pong) => {
        if (pong === undefined) return;
        const { roundTripMs, draining } = pong;
        if (exit) {
          this.#mtu?.care.noteRoundTrip(roundTripMs);
          report({ kind: 'heard', attempt, roundTripMs, draining });
        } else this.#entryRoundTripMs = roundTripMs;
      });
    if (plan.postQuantum && activity.lastHandshakeUnixMs > 0)
      this.#agreementWith(plan.publicKey, service).look(activity.sessionAgreed);
  }

  #agreementWith(gatewayKey: string, service: TunnelService): KeyAgreement {
    const known = this.#agreements.get(gatewayKey);
    if (known?.service === service) return known.agreement;
    const { store, deviceKey, onAgreed, onFault } = this.#options;
    const agreement = new KeyAgreement({
      service,
      gatewayKey,
      deviceKey: deviceKey(),
      store,
      onAgreed: (key) => {
        onAgreed(gatewayKey, key);
      },
      onFault,
    });
    this.#agreements.set(gatewayKey, { agreement, service });
    return agreement;
  }

  /** Searches where that is wanted; where the MTU is set by hand the gateway is told all the same. */
  #followMtu({ current, currentEntry, mtuSearch, routes, pingEveryMs }: Desired): void {
    const tunnel = current === undefined || pingEveryMs === undefined ? undefined : this.#options.tunnelOf(current);
    const held = routes?.routes.find(({ mtu }) => mtu !== undefined)?.mtu;
    const bounds = mtuSearch ?? (held === undefined ? undefined : { floor: held, ceiling: held });
    const key = bounds === undefined ? '' : `${String(current)} ${String(bounds.floor)} ${String(bounds.ceiling)}`;
    if (this.#mtu?.key !== key || this.#mtu.service !== tunnel?.service) {
      this.#mtu?.care.stop();
      this.#mtu = undefined;
      if (tunnel !== undefined && current !== undefined && bounds !== undefined) {
        const onFound = (mtu: number): void => {
          this.#options.report({ kind: 'mtu', attempt: current, mtu });
        };
        const onNarrow = (): void => {
          this.#options.report({ kind: 'narrow', attempt: current });
        };
        const granted = mtuSearch === undefined;
        const care = new MtuCare({ service: tunnel.service, ...bounds, held: held ?? bounds.floor, granted, onFound, onNarrow }); // prettier-ignore
        this.#mtu = { key, service: tunnel.service, care };
      }
    }
    // What the exit sends is a packet of the entry's tunnel.
    const entry = currentEntry === undefined ? undefined : this.#options.tunnelOf(currentEntry);
    const toldEntry = entry === undefined || held === undefined ? '' : `${String(currentEntry)} ${String(held)}`;
    if (toldEntry !== this.#toldEntry) {
      this.#toldEntry = toldEntry;
      if (held !== undefined) void entry?.service.tellPathMtu(held + EXIT_IN_ENTRY_BYTES, PONG_TIMEOUT_MS, 2);
    }
  }
}
