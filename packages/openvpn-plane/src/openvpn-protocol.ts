import { PATH_BYTES, type Listener } from '@sallyport/core';
import { eraseDataCiphers, type Arena } from '@sallyport/io';
import { allocateDataTables, OPENVPN_OVERHEAD_BYTES, SharedDataSessions, type DataCapacity } from '@sallyport/openvpn';
import type { DataPlane, PlaneProtocol } from '@sallyport/runtime';
import { nodeOpenVpnCrypto } from './node-crypto.ts';
import { OpenVpnSide } from './openvpn-side.ts';
import { attachOpenVpn, OPENVPN_SCRATCH_BYTES } from './packets.ts';

export interface PreparedOpenVpn {
  /** For the plane's options. */
  readonly protocol: PlaneProtocol;
  /** Once there is the plane, whose `index`-th protocol this is. */
  attach(plane: DataPlane, index: number): OpenVpnSide;
}

/** Lays OpenVPN's tables in the arena of a data plane to come, which it may have to itself or share. */
export function prepareOpenVpn(
  arena: Arena,
  options: { readonly listeners: readonly Listener[]; readonly capacity?: DataCapacity | undefined },
): PreparedOpenVpn {
  const regions = allocateDataTables((bytes) => arena.allocate(bytes), options.capacity);
  return {
    protocol: {
      listeners: options.listeners,
      overheadBytes: OPENVPN_OVERHEAD_BYTES,
      tables: regions,
      scratchBytes: OPENVPN_SCRATCH_BYTES,
    },
    attach(plane, index) {
      const data = new SharedDataSessions({
        memory: arena,
        regions,
        crypto: nodeOpenVpnCrypto,
        exclusive: (change) => {
          plane.exclusive(change);
        },
        forgetSessions: (gone) => {
          plane.forgetSessions(gone);
        },
        eraseKeys: (first, end) => {
          eraseDataCiphers(arena, regions.ciphers, first, end);
        },
      });
      const { packets } = attachOpenVpn(arena, regions, arena.allocate(OPENVPN_SCRATCH_BYTES));
      return new OpenVpnSide({ arena, plane, index, data, packets, scratchPath: arena.allocate(PATH_BYTES) });
    },
  };
}
