import { PATH_BYTES, type Listener } from '@sallyport/core';
import { createDataCipher, DATA_CIPHER_SCRATCH_BYTES, eraseDataCiphers, type Arena } from '@sallyport/io';
import {
  allocateDataTables,
  openDataTables,
  OPENVPN_OVERHEAD_BYTES,
  OpenVpnPackets,
  SharedDataSessions,
  type DataCapacity,
  type DataRegions,
} from '@sallyport/openvpn';
import type { AttachProtocol, DataPlane, PlaneProtocol } from '@sallyport/runtime';
import { nodeOpenVpnCrypto } from './node-crypto.ts';
import { OpenVpnSide } from './openvpn-side.ts';

const SCRATCH_BYTES = DATA_CIPHER_SCRATCH_BYTES + OpenVpnPackets.scratchBytes;

/** OpenVPN's packet half, in whatever thread. */
export const attachOpenVpn: AttachProtocol = (arena, tables, scratch) => {
  const regions = tables as DataRegions;
  const { peerIds, routes } = openDataTables(arena, regions);
  const cipher = createDataCipher(arena, scratch, regions.ciphers);
  return { packets: new OpenVpnPackets(arena, cipher, { peerIds }, scratch + DATA_CIPHER_SCRATCH_BYTES), routes };
};

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
      scratchBytes: SCRATCH_BYTES,
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
      const { packets } = attachOpenVpn(arena, regions, arena.allocate(SCRATCH_BYTES));
      return new OpenVpnSide({ arena, plane, index, data, packets, scratchPath: arena.allocate(PATH_BYTES) });
    },
  };
}
