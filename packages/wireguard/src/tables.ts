import { PATH_BYTES, RecordPool, type Memory } from '@sallyport/core';
import { AllowedIps } from './allowed-ips.ts';
import { REPLAY_WINDOW } from './constants.ts';
import { IndexTable } from './index-table.ts';
import { KEYPAIR_WINDOW, PEER_BYTES } from './layout.ts';
import { VariantTable } from './variant.ts';

/** How many of each a device can have. Memory is touched only as they come. */
export interface Capacity {
  readonly peers: number;
  readonly keypairs: number;
  readonly allowedIps: number;
}

export const DEFAULT_CAPACITY: Capacity = { peers: 1 << 17, keypairs: 3 << 16, allowedIps: 1 << 19 };

const KEYPAIR_BYTES = (KEYPAIR_WINDOW + REPLAY_WINDOW.bytes + 63) & -64;

/** Where the tables of a device lie in memory: plain numbers, so that they can be handed to another thread. */
export interface TableRegions {
  readonly capacity: Capacity;
  readonly peers: number;
  readonly keypairs: number;
  readonly indices: number;
  readonly allowedIps: number;
  readonly variants: number;
  /** A path record for the session half alone. */
  readonly sessionPath: number;
}

/** The tables that both halves share. */
export interface Tables {
  readonly indices: IndexTable;
  readonly allowedIps: AllowedIps;
  readonly variants: VariantTable;
}

export function allocateTables(
  allocate: (bytes: number) => number,
  capacity: Capacity = DEFAULT_CAPACITY,
): TableRegions {
  return {
    capacity,
    peers: allocate(RecordPool.bytes(PEER_BYTES, capacity.peers)),
    keypairs: allocate(RecordPool.bytes(KEYPAIR_BYTES, capacity.keypairs)),
    indices: allocate(IndexTable.bytes(capacity.keypairs)),
    allowedIps: allocate(AllowedIps.bytes(capacity.allowedIps)),
    variants: allocate(VariantTable.bytes),
    sessionPath: allocate(PATH_BYTES),
  };
}

/** The tables as any thread reads them. */
export function openTables(memory: Memory, regions: TableRegions): Tables {
  return {
    indices: new IndexTable(memory, regions.indices, regions.capacity.keypairs),
    allowedIps: new AllowedIps(memory, regions.allowedIps, regions.capacity.allowedIps),
    variants: new VariantTable(memory, regions.variants),
  };
}

/** The records of peers and keypairs, for the one thread that creates and frees them. */
export function openPools(memory: Memory, regions: TableRegions): { peers: RecordPool; keypairs: RecordPool } {
  return {
    peers: new RecordPool(memory, regions.peers, PEER_BYTES, regions.capacity.peers),
    keypairs: new RecordPool(memory, regions.keypairs, KEYPAIR_BYTES, regions.capacity.keypairs),
  };
}
