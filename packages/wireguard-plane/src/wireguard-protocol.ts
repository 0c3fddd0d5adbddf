import { HandshakeCrypto, type Arena } from '@sallyport/io';
import type { DataPlane, PlaneProtocol, ProtocolHalves } from '@sallyport/runtime';
import { allocateTables, TAG_BYTES, TRANSPORT_HEADER_BYTES, WireGuardDevice } from '@sallyport/wireguard';
import { attachWireGuard, WIREGUARD_SCRATCH_BYTES } from './packets.ts';

/** The interface index of a zone of IPv6 addresses and back. */
export interface Zones {
  readonly index: (zone: string) => number;
  readonly name: (index: number) => string;
}

export interface PreparedWireGuard {
  /** For the plane's options. */
  readonly protocol: PlaneProtocol;
  /** Once there is the plane. */
  attach(plane: DataPlane): { readonly device: WireGuardDevice; readonly halves: ProtocolHalves };
}

/** Lays WireGuard's tables in the arena of a data plane to come, which it may have to itself or share. */
export function prepareWireGuard(
  arena: Arena,
  options: {
    readonly zones?: Zones | undefined;
    readonly onEvent?: ((kind: string) => void) | undefined;
    readonly wallClock?: (() => number) | undefined;
  } = {},
): PreparedWireGuard {
  const { zones, onEvent, wallClock = () => Date.now() } = options;
  const regions = allocateTables((bytes) => arena.allocate(bytes));
  return {
    protocol: {
      listeners: [0, 1],
      overheadBytes: TRANSPORT_HEADER_BYTES + TAG_BYTES,
      tables: regions,
      scratchBytes: WIREGUARD_SCRATCH_BYTES,
      onEvent: ({ kind }) => onEvent?.(kind),
    },
    attach(plane) {
      const device = new WireGuardDevice({
        memory: arena,
        regions,
        crypto: new HandshakeCrypto(),
        wallClock,
        exclusive: (change) => {
          plane.exclusive(change);
        },
        forgetSessions: (gone) => {
          plane.forgetSessions(gone);
        },
        zoneIndex: zones?.index ?? (() => 0),
        zoneName: zones?.name ?? String,
      });
      const { packets } = attachWireGuard(arena, regions, arena.allocate(WIREGUARD_SCRATCH_BYTES));
      return { device, halves: { sessions: device.sessions, packets } };
    },
  };
}
