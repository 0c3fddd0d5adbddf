import { createPacketCipher, HandshakeCrypto, PACKET_CIPHER_SCRATCH_BYTES, type Arena } from '@sallyport/io';
import type { AttachProtocol, DataPlane, PlaneProtocol, ProtocolHalves } from '@sallyport/runtime';
import {
  allocateTables,
  openTables,
  TAG_BYTES,
  TRANSPORT_HEADER_BYTES,
  WireGuardDevice,
  WireGuardPackets,
  type TableRegions,
} from '@sallyport/wireguard';

const SCRATCH_BYTES = PACKET_CIPHER_SCRATCH_BYTES + WireGuardPackets.scratchBytes;

/** The interface index of a zone of IPv6 addresses and back. */
export interface Zones {
  readonly index: (zone: string) => number;
  readonly name: (index: number) => string;
}

/** WireGuard's packet half, in whatever thread. */
export const attachWireGuard: AttachProtocol = (arena, regions, scratch) => {
  const tables = openTables(arena, regions as TableRegions);
  const cipher = createPacketCipher(arena, scratch);
  return {
    packets: new WireGuardPackets(arena, cipher, tables, scratch + PACKET_CIPHER_SCRATCH_BYTES),
    routes: tables.allowedIps,
  };
};

export interface PreparedWireGuard {
  /** For the plane's options. */
  readonly protocol: PlaneProtocol;
  /** Once there is the plane. */
  attach(plane: DataPlane): { readonly device: WireGuardDevice; readonly halves: ProtocolHalves };
}

/** Lays WireGuard's tables in the arena of a data plane to come, which it may have to itself or share. */
export function prepareWireGuard(
  arena: Arena,
  options: { readonly zones?: Zones | undefined; readonly onEvent?: ((kind: string) => void) | undefined } = {},
): PreparedWireGuard {
  const { zones, onEvent } = options;
  const regions = allocateTables((bytes) => arena.allocate(bytes));
  return {
    protocol: {
      listeners: [0, 1],
      overheadBytes: TRANSPORT_HEADER_BYTES + TAG_BYTES,
      tables: regions,
      scratchBytes: SCRATCH_BYTES,
      onEvent: ({ kind }) => onEvent?.(kind),
    },
    attach(plane) {
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
      const { packets } = attachWireGuard(arena, regions, arena.allocate(SCRATCH_BYTES));
      return { device, halves: { sessions: device.sessions, packets } };
    },
  };
}
