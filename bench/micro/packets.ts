import { createHmac } from 'node:crypto';
import {
  copyPath,
  PacketBatch,
  PATH_FAMILY,
  PATH_PORT,
  type Outbox,
  type PacketHalf,
} from '../../packages/core/src/index.ts';
import { Arena } from '../../packages/io/src/arena.ts';
import {
  createDataCipher,
  DATA_CIPHER_SCRATCH_BYTES,
  eraseDataCiphers,
} from '../../packages/io/src/openssl/data-cipher.ts';
import { createPacketCipher, PACKET_CIPHER_SCRATCH_BYTES } from '../../packages/io/src/openssl/packet-cipher.ts';
import { allocateDataTables, openDataTables, OpenVpnPackets, SharedDataSessions, type DataKey } from '../../packages/openvpn/src/index.ts'; // prettier-ignore
import { allocateTables, openTables, WireGuardPackets } from '../../packages/wireguard/src/index.ts';
import * as wg from '../../packages/wireguard/src/layout.ts';

/*
 * Nanoseconds a packet for sealing and opening by the packet halves of both protocols, system calls and all else left out:
 * trains of one session, and packets that come alone. The protocols take turns in many short rounds; of each the quickest
 * counts, as everything that disturbs makes a round slower. Whoever is measured talks to itself: what was sealed is opened where it lies.
 *
 *   node bench/micro/packets.ts
 */

const ROUNDS = 120;
const MTU = 1420;
const PACKETS = 512;

const arena = Arena.create(64 * 1024 * 1024);
const allocate = (bytes: number): number => arena.allocate(bytes);
const path = allocate(64);
arena.view.setUint16(path + PATH_FAMILY, 4, true);
arena.view.setUint16(path + PATH_PORT, 1194, true);
const area = allocate(1024 * 1024) + 128;

class Counter implements Outbox {
  sealed = 0;
  opened = 0;
  datagram(): void {
    this.sealed++;
  }
  packet(): void {
    this.opened++;
  }
  attend(): boolean {
    return true;
  }
  control(): void {
    throw new Error('control');
  }
  inner(): void {
    throw new Error('inner');
  }
  hold(): void {
    throw new Error('hold');
  }
  undeliverable(): void {
    throw new Error('undeliverable');
  }
  drop(): void {
    throw new Error('drop');
  }
}

interface Contender {
  readonly name: string;
  readonly packets: PacketHalf;
  readonly session: number;
}

function wireGuard(): Contender {
  const tables = allocateTables(allocate, { peers: 4, keypairs: 4, allowedIps: 16 });
  const opened = openTables(arena, tables);
  const { peers: peer, keypairs: keypair } = tables;
  const { u8, u32 } = arena;
  u32[(keypair + wg.KEYPAIR_PEER) >> 2] = peer;
  u32[(keypair + wg.KEYPAIR_LOCAL_INDEX) >> 2] = 7;
  u32[(keypair + wg.KEYPAIR_REMOTE_INDEX) >> 2] = 7;
  arena.f64[(keypair + wg.KEYPAIR_CREATED) >> 3] = 1000;
  for (let i = 0; i < 64; i++) u8[keypair + wg.KEYPAIR_SEND_KEY + i] = i & 31;
  opened.indices.insert(7, keypair);
  u32[(peer + wg.PEER_CURRENT) >> 2] = keypair;
  copyPath(arena, peer + wg.PEER_ENDPOINT, path);
  const cipher = createPacketCipher(arena, allocate(PACKET_CIPHER_SCRATCH_BYTES));
  const packets = new WireGuardPackets(arena, cipher, opened, allocate(WireGuardPackets.scratchBytes));
  return { name: 'WireGuard', packets, session: peer };
}

function openVpn(cipher: DataKey['cipher'], format: DataKey['format']): Contender {
  const regions = allocateDataTables(allocate, { sessions: 4, keys: 4, epochKeys: 4 });
  const sessions = new SharedDataSessions({
    memory: arena,
    regions,
    crypto: {
      hmac: (hash, key, parts) => {
        const mac = createHmac(hash, key);
        for (const part of parts) mac.update(part);
        return new Uint8Array(mac.digest());
      },
    },
    exclusive: (change) => {
      change();
    },
    forgetSessions: () => undefined,
    eraseKeys: (first, end) => {
      eraseDataCiphers(arena, regions.ciphers, first, end);
    },
  });
  const data = createDataCipher(arena, allocate(DATA_CIPHER_SCRATCH_BYTES), regions.ciphers);
  const tables = openDataTables(arena, regions);
  const packets = new OpenVpnPackets(arena, data, tables, allocate(OpenVpnPackets.scratchBytes));
  const session = sessions.open(1000);
  sessions.setPath(session, path);
  const material = Uint8Array.from({ length: 256 }, (_, i) => i & 127); // both directions are the same
  sessions.installKey(session, 0, { cipher, format, material, server: true });
  sessions.sendWith(session, 0);
  return { name: `${cipher} ${format}`, packets, session };
}

const contenders = [
  wireGuard(),
  openVpn('AES-256-GCM', 'v2'),
  openVpn('AES-128-GCM', 'v2'),
  openVpn('CHACHA20-POLY1305', 'v2'),
  openVpn('AES-256-GCM', 'epoch'),
  openVpn('AES-256-CBC', 'v2'),
];

/** Seals and opens a round's packets in batches of `run`; nanoseconds a packet of both. */
function round({ packets, session }: Contender, length: number, run: number): [number, number] {
  const out = new Counter();
  const room = packets.room(session);
  const { headroom } = room;
  const stride = headroom + room.paddedLength(length, MTU) + room.tailroom;
  const batches: PacketBatch[] = [];
  for (let i = 0; i < PACKETS; i += run) {
    const batch = new PacketBatch(run);
    for (let k = 0; k < run; k++) {
      const at = area + (i + k) * stride + headroom;
      arena.u8[at] = 0x45;
      arena.u8[at + 1] = 0;
      batch.push(at, length, session);
    }
    batches.push(batch);
  }
  const begin = performance.now();
  for (const batch of batches) packets.seal(batch, 1000, out, MTU);
  const between = performance.now();
  for (const batch of batches)
    for (let k = 0; k < run; k++) {
      batch.at[k] -= headroom;
      batch.length[k] = stride;
      batch.owner[k] = path;
    }
  const start = performance.now();
  for (const batch of batches) packets.open(batch, 1000, out);
  const end = performance.now();
  if (out.sealed !== PACKETS || out.opened !== PACKETS) throw new Error('something was lost');
  return [((between - begin) * 1e6) / PACKETS, ((end - start) * 1e6) / PACKETS];
}

for (const [length, run] of [
  [1400, 32],
  [64, 64],
  [1400, 1],
  [64, 1],
]) {
  const quickest = contenders.map((): [number, number] => [Infinity, Infinity]);
  for (let i = 0; i < ROUNDS; i++)
    contenders.forEach((contender, k) => {
      const [seal, open] = round(contender, length, run);
      quickest[k] = [Math.min(quickest[k][0], seal), Math.min(quickest[k][1], open)];
    });
  console.log(`\n${`${String(length)} bytes, ${String(run)} at once`.padEnd(24)} seal ns  open ns  of WireGuard's`);
  contenders.forEach(({ name }, k) => {
    const [seal, open] = quickest[k];
    const ratios = `${(seal / quickest[0][0]).toFixed(2)}, ${(open / quickest[0][1]).toFixed(2)}`;
    console.log(`${name.padEnd(24)} ${seal.toFixed(0).padStart(7)} ${open.toFixed(0).padStart(8)}  ${ratios}`);
  });
}
