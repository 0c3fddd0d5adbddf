import { createPacketCipher, PACKET_CIPHER_SCRATCH_BYTES } from '@sallyport/io/packets';
import type { AttachProtocol } from '@sallyport/runtime';
import { openTables, WireGuardPackets, type TableRegions } from '@sallyport/wireguard/packets';

export const WIREGUARD_SCRATCH_BYTES = PACKET_CIPHER_SCRATCH_BYTES + WireGuardPackets.scratchBytes;

/** WireGuard's packet half, in whatever thread. A worker loads this, and nothing of sessions. */
export const attachWireGuard: AttachProtocol = (arena, regions, scratch) => {
  const tables = openTables(arena, regions as TableRegions);
  const cipher = createPacketCipher(arena, scratch);
  return {
    packets: new WireGuardPackets(arena, cipher, tables, scratch + PACKET_CIPHER_SCRATCH_BYTES),
    routes: tables.allowedIps,
  };
};
