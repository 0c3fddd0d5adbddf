import { createDataCipher, DATA_CIPHER_SCRATCH_BYTES } from '@sallyport/io/packets';
import { openDataTables, OpenVpnPackets, type DataRegions } from '@sallyport/openvpn/packets';
import type { AttachProtocol } from '@sallyport/runtime';

export const OPENVPN_SCRATCH_BYTES = DATA_CIPHER_SCRATCH_BYTES + OpenVpnPackets.scratchBytes;

/** OpenVPN's packet half, in whatever thread. A worker loads this, and nothing of sessions. */
export const attachOpenVpn: AttachProtocol = (arena, tables, scratch) => {
  const regions = tables as DataRegions;
  const { peerIds, routes } = openDataTables(arena, regions);
  const cipher = createDataCipher(arena, scratch, regions.ciphers);
  return { packets: new OpenVpnPackets(arena, cipher, { peerIds }, scratch + DATA_CIPHER_SCRATCH_BYTES), routes };
};
