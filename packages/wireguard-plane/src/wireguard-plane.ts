import { Arena } from '@sallyport/io';
import { DataPlane, DEFAULT_MTU, defaultWorkers } from '@sallyport/runtime';
import type { Endpoint, WireGuardDevice } from '@sallyport/wireguard';
import { prepareWireGuard, type Zones } from './wireguard-protocol.ts';

/** Address space, not memory: the kernel gives pages as tables and queues fill. */
export const WIREGUARD_ARENA_BYTES = 704 * 1024 * 1024;

export interface WireGuardPlaneOptions {
  /** The interface to create. */
  readonly name: string;
  readonly mtu?: number | undefined;
  readonly workers?: number | undefined;
  /** Another module in the place of wireguard-worker.ts, for benchmarks. */
  readonly workerModule?: URL | undefined;
  /** What happens from moment to moment: `kind` says it. No keys. */
  readonly onEvent?: ((kind: string) => void) | undefined;
  /** The interface came up, or went down. Sessions begin and end with `device.sessions.start` and `stop`. */
  readonly onLink: (up: boolean) => void;
  /** By default nobody names zones. */
  readonly zones?: Zones | undefined;
  /** Unix milliseconds; by default the system's. */
  readonly wallClock?: (() => number) | undefined;
}

export interface WireGuardPlane {
  readonly plane: DataPlane;
  readonly device: WireGuardDevice;
  /** Starts the workers, and settles when they are at work. */
  readonly start: () => Promise<void>;
  /** The device's `startHandshake`, done at once. */
  readonly startHandshake: (publicKey: Uint8Array) => boolean;
  /** The device's `probeEndpoint`, done at once. */
  readonly probeEndpoint: (publicKey: Uint8Array, endpoint: Endpoint) => boolean;
}

/** Creates an interface whose packets WireGuard carries. Takes root; throws a SystemCallError. */
export function openWireGuardPlane(options: WireGuardPlaneOptions): WireGuardPlane {
  const arena = Arena.create(WIREGUARD_ARENA_BYTES);
  const wireguard = prepareWireGuard(arena, options);
  const plane = new DataPlane({
    arena,
    name: options.name,
    workers: options.workers ?? defaultWorkers(),
    mtu: options.mtu ?? DEFAULT_MTU,
    workerModule: options.workerModule ?? new URL('./wireguard-worker.ts', import.meta.url),
    protocols: [wireguard.protocol],
    onLink: options.onLink,
  });
  const { device, halves } = wireguard.attach(plane);
  return {
    plane,
    device,
    start: () => plane.start([halves]),
    startHandshake: (publicKey) => plane.run(0, (now) => device.startHandshake(publicKey, now)),
    probeEndpoint: (publicKey, endpoint) => plane.run(0, (now) => device.probeEndpoint(publicKey, endpoint, now)),
  };
}
