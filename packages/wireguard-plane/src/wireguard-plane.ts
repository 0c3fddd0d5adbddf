import { availableParallelism } from 'node:os';
import { Arena, createPacketCipher, HandshakeCrypto, PACKET_CIPHER_SCRATCH_BYTES } from '@sallyport/io';
import { DataPlane, DEFAULT_MTU } from '@sallyport/runtime';
import {
  allocateTables,
  openTables,
  TAG_BYTES,
  TRANSPORT_HEADER_BYTES,
  WireGuardDevice,
  WireGuardPackets,
  type Endpoint,
} from '@sallyport/wireguard';

/** One worker a core, but no more: beyond it the TUN device's own locks cost more than a worker brings. */
const MAX_WORKERS = 4;
/** Address space, not memory: the kernel gives pages as tables and queues fill. */
const ARENA_BYTES = 704 * 1024 * 1024;

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
  /** The interface index of a zone of IPv6 addresses and back; by default nobody names one. */
  readonly zones?: { readonly index: (zone: string) => number; readonly name: (index: number) => string } | undefined;
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
  const { name, zones, onEvent } = options;
  const arena = Arena.create(ARENA_BYTES);
  const regions = allocateTables((bytes) => arena.allocate(bytes));
  const plane = new DataPlane({
    arena,
    name,
    workers: options.workers ?? Math.min(MAX_WORKERS, availableParallelism()),
    mtu: options.mtu ?? DEFAULT_MTU,
    overheadBytes: TRANSPORT_HEADER_BYTES + TAG_BYTES,
    workerModule: options.workerModule ?? new URL('./wireguard-worker.ts', import.meta.url),
    protocol: regions,
    protocolScratchBytes: WireGuardPackets.scratchBytes,
    onEvent: ({ kind }) => onEvent?.(kind),
    onLink: options.onLink,
  });
  const device = new WireGuardDevice({
    memory: arena,
    regions,
    crypto: new HandshakeCrypto(),
    wallClock: () => Date.now(),
    exclusive: (change) => {
      plane.exclusive(change);
    },
    forgetSessions: (gone) => {
      plane.forgetSessions(gone);
    },
    zoneIndex: zones?.index ?? (() => 0),
    zoneName: zones?.name ?? String,
  });
  const cipher = createPacketCipher(arena, arena.allocate(PACKET_CIPHER_SCRATCH_BYTES));
  const scratch = arena.allocate(WireGuardPackets.scratchBytes);
  const rescheduled = (done: boolean): boolean => {
    plane.reschedule();
    return done;
  };
  return {
    plane,
    device,
    start: () => plane.start(device.sessions, new WireGuardPackets(arena, cipher, openTables(arena, regions), scratch)),
    startHandshake: (publicKey) => rescheduled(device.startHandshake(publicKey, plane.now)),
    probeEndpoint: (publicKey, endpoint) => rescheduled(device.probeEndpoint(publicKey, endpoint, plane.now)),
  };
}
