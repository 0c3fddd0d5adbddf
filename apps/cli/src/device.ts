import { availableParallelism, networkInterfaces } from 'node:os';
import {
  Arena,
  createPacketCipher,
  HandshakeCrypto,
  PACKET_CIPHER_SCRATCH_BYTES,
  SystemCallError,
} from '@sallyport/io';
import { DataPlane, DEFAULT_MTU, serveUapi, type UapiServer } from '@sallyport/runtime';
import {
  allocateTables,
  encodeDeviceState,
  openTables,
  TAG_BYTES,
  TRANSPORT_HEADER_BYTES,
  UapiDecoder,
  WireGuardDevice,
  WireGuardPackets,
  type DeviceChange,
} from '@sallyport/wireguard';

/** One worker a core, but no more: beyond it the TUN device's own locks cost more than a worker brings. */
const MAX_WORKERS = 4;

/** Address space, not memory: the kernel gives pages as tables and queues fill. */
const ARENA_BYTES = 704 * 1024 * 1024;

const EINVAL = 22;
const ENOSPC = 28;

export interface RunningDevice {
  /** Settles when the interface is gone; rejects when the device failed. */
  readonly closed: Promise<void>;
  /** What was dropped so far, and why. */
  readonly drops: DataPlane['drops'];
  /** Removes socket and interface. */
  close(): void;
}

/** Creates the WireGuard interface `name` and serves its configuration socket. */
export async function startDevice(
  name: string,
  options: {
    /** `error` is what an operator has to know, `verbose` what happens from moment to moment. Neither holds keys. */
    readonly log: (level: 'error' | 'verbose', message: string) => void;
    readonly workers?: number;
    /** Another module in the place of wireguard-worker.ts, for benchmarks. */
    readonly workerModule?: URL;
  },
): Promise<RunningDevice> {
  const { log } = options;
  const arena = Arena.create(ARENA_BYTES);
  const regions = allocateTables((bytes) => arena.allocate(bytes));
  let listenPort = 0;
  let fwmark = 0;

  const plane = new DataPlane({
    arena,
    name,
    workers: options.workers ?? Math.min(MAX_WORKERS, availableParallelism()),
    mtu: DEFAULT_MTU,
    overheadBytes: TRANSPORT_HEADER_BYTES + TAG_BYTES,
    workerModule: options.workerModule ?? new URL('./wireguard-worker.ts', import.meta.url),
    protocol: regions,
    protocolScratchBytes: WireGuardPackets.scratchBytes,
    onEvent: ({ kind }) => {
      log('verbose', kind);
    },
    onLink: (up) => {
      try {
        if (up) begin();
        else {
          plane.stopListening();
          device.sessions.stop();
        }
      } catch (error) {
        if (!(error instanceof SystemCallError)) throw error;
        log('error', `${error.message}: choose another port with "wg set ${name} listen-port"`);
      }
    },
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
    zoneIndex,
    zoneName,
  });

  /** The interface is up: listen, and let sessions begin. */
  function begin(): void {
    listenPort = plane.listen(listenPort, fwmark);
    device.sessions.start(plane.now);
  }

  function set(change: DeviceChange): number {
    plane.lookAtLink();
    try {
      if (change.fwmark !== undefined) {
        fwmark = change.fwmark;
        plane.setMark(fwmark);
      }
      if (change.listenPort !== undefined) {
        if (!plane.up) listenPort = change.listenPort;
        else if (!plane.listening) {
          listenPort = change.listenPort;
          begin();
        } else if (change.listenPort !== listenPort || change.listenPort === 0)
          listenPort = plane.listen(change.listenPort, fwmark);
      }
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      log('error', error.message);
      return error.errno;
    }
    const fault = device.apply(change, plane.now);
    plane.reschedule();
    if (fault === undefined) return 0;
    log('error', `configuration: ${fault}`);
    return fault === 'invalidPublicKey' ? EINVAL : ENOSPC;
  }

  const cipher = createPacketCipher(arena, arena.allocate(PACKET_CIPHER_SCRATCH_BYTES));
  const { indices } = openTables(arena, regions);
  let server: UapiServer;
  try {
    await plane.start(
      device.sessions,
      new WireGuardPackets(arena, cipher, indices, arena.allocate(WireGuardPackets.scratchBytes)),
    );
    // Last: whoever finds the socket finds a device that is at work.
    server = await serveUapi<DeviceChange>(name, {
      newDecoder: () => new UapiDecoder(),
      get: () => {
        plane.lookAtLink();
        return encodeDeviceState({ privateKey: device.privateKey, listenPort, fwmark, peers: device.peerStates() });
      },
      set,
      log: (message) => {
        log('error', message);
      },
      removed: () => {
        plane.close();
      },
    });
  } catch (error) {
    plane.close();
    throw error;
  }
  const closed = plane.closed.finally(() => {
    server.close();
  });
  return {
    closed,
    get drops() {
      return plane.drops;
    },
    close() {
      server.close();
      plane.close();
    },
  };
}

/** The interface index of a zone, which is one or an interface's name; 0 where there is none. */
function zoneIndex(zone: string): number {
  if (/^\d+$/.test(zone)) return Number(zone);
  const link = networkInterfaces()[zone]?.find((address) => address.family === 'IPv6' && address.scopeid !== 0);
  return link?.family === 'IPv6' ? link.scopeid : 0;
}

function zoneName(index: number): string {
  for (const [name, addresses] of Object.entries(networkInterfaces()))
    if (addresses?.some((address) => address.family === 'IPv6' && address.scopeid === index) === true) return name;
  return String(index);
}
