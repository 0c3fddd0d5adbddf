// A gateway whose peers' sending and receiving keys are the same, so that what goes out can come in again.
import assert from 'node:assert/strict';
import {
  copyPath,
  DROP_REASONS,
  PacketBatch,
  PATH_BYTES,
  PATH_FAMILY,
  PATH_PORT,
  PATH_TOS,
  type DropReasonName,
  type Outbox,
} from '@sallyport/core';
import { Inbound, Outbound } from '@sallyport/gateway';
import { Arena, createPacketCipher, PACKET_CIPHER_SCRATCH_BYTES } from '@sallyport/io';
import { Coalescer, COALESCER_SCRATCH_BYTES } from '@sallyport/wire';
import { allocateTables, openPools, openTables, WireGuardPackets, type AllowedIps } from '@sallyport/wireguard';
import {
  KEYPAIR_CREATED,
  KEYPAIR_LOCAL_INDEX,
  KEYPAIR_PEER,
  KEYPAIR_RECEIVE_KEY,
  KEYPAIR_REMOTE_INDEX,
  KEYPAIR_SEND_KEY,
  PEER_CURRENT,
  PEER_ENDPOINT,
} from '../../packages/wireguard/src/layout.ts';
import { kernelPackets } from '../wire/frames.ts';
import { buildVirtioHeader, concat } from '../wire/packets.ts';

export const MTU = 1420;
export const NOW = 1000;
export const PORT = 51820;
const TRAIN_ROOM = 1 << 20;
const MAX_PATHS = 64;

export interface Train {
  readonly datagrams: readonly Uint8Array[];
  readonly tos?: number;
  readonly segmentSize?: number;
}

export interface SealedDatagram {
  readonly bytes: Uint8Array;
  readonly ecn: number;
  readonly path: number;
}

export class Rig implements Outbox {
  readonly arena = Arena.create(16 * 1024 * 1024);
  readonly inbound: Inbound;
  readonly outbound: Outbound;
  readonly packets: WireGuardPackets;
  readonly allowedIps: AllowedIps;
  /** Sessions: 10.0.0.0/8 and fd00::/8 belong to the first, 192.0.2.0/24 and 2001:db8::/32 to the second. */
  readonly sessions: readonly [number, number];
  /** What reached TUN, as the kernel sees it. */
  readonly written: Uint8Array[] = [];
  readonly drops: DropReasonName[] = [];
  readonly refused: { packet: Uint8Array; reason: DropReasonName }[] = [];
  readonly sent: SealedDatagram[] = [];
  /** Where the output area begins. */
  readonly area: number;
  flushes = 0;
  readonly #waiting: { at: number; length: number; path: number; ecn: number }[] = [];
  readonly #frame: number;
  readonly #train: number;
  readonly #paths: number;

  constructor() {
    const { arena } = this;
    const allocate = (bytes: number): number => arena.allocate(bytes);
    const regions = allocateTables(allocate, { peers: 4, keypairs: 4, allowedIps: 16 });
    const tables = openTables(arena, regions);
    const { indices, allowedIps } = tables;
    const pools = openPools(arena, regions);
    this.allowedIps = allowedIps;
    const cipher = createPacketCipher(arena, allocate(PACKET_CIPHER_SCRATCH_BYTES));
    this.packets = new WireGuardPackets(arena, cipher, tables, allocate(WireGuardPackets.scratchBytes));
    this.#paths = allocate(MAX_PATHS * PATH_BYTES);
    arena.view.setUint16(this.#paths + PATH_FAMILY, 4, true);
    arena.view.setUint16(this.#paths + PATH_PORT, PORT, true);
    const openSession = (index: number): number => {
      const peer = pools.peers.allocate();
      const keypair = pools.keypairs.allocate();
      arena.u32[(keypair + KEYPAIR_PEER) >> 2] = peer;
      arena.u32[(keypair + KEYPAIR_LOCAL_INDEX) >> 2] = index;
      arena.u32[(keypair + KEYPAIR_REMOTE_INDEX) >> 2] = index;
      arena.f64[(keypair + KEYPAIR_CREATED) >> 3] = NOW;
      arena.u8.fill(index, keypair + KEYPAIR_SEND_KEY, keypair + KEYPAIR_SEND_KEY + 32);
      arena.u8.fill(index, keypair + KEYPAIR_RECEIVE_KEY, keypair + KEYPAIR_RECEIVE_KEY + 32);
      assert.ok(indices.insert(index, keypair));
      arena.u32[(peer + PEER_CURRENT) >> 2] = keypair;
      copyPath(arena, peer + PEER_ENDPOINT, this.#paths);
      return peer;
    };
    this.sessions = [openSession(17), openSession(18)];
    allowedIps.insert(4, Uint8Array.of(10, 0, 0, 0), 8, this.sessions[0]);
    allowedIps.insert(6, Uint8Array.of(0xfd, ...new Array<number>(15).fill(0)), 8, this.sessions[0]);
    allowedIps.insert(4, Uint8Array.of(192, 0, 2, 0), 24, this.sessions[1]);
    allowedIps.insert(6, Uint8Array.of(0x20, 1, 0xd, 0xb8, ...new Array<number>(12).fill(0)), 32, this.sessions[1]);
    const sink = {
      frame: (at: Int32Array, length: Int32Array, count: number): void => {
        const parts = Array.from({ length: count }, (_, i) => arena.u8.slice(at[i], at[i] + length[i]));
        this.written.push(...kernelPackets(concat(...parts)));
      },
    };
    const coalescer = new Coalescer(arena, allocate(COALESCER_SCRATCH_BYTES), sink, { tcp: true, udp: true });
    const protocol = { packets: this.packets, routes: allowedIps, out: this, listeners: [0 as const] };
    this.inbound = new Inbound(arena, [protocol], coalescer);
    this.#frame = allocate(66_000) + 6;
    this.#train = allocate(TRAIN_ROOM + 256) + 64;
    this.area = allocate(Outbound.areaBytes);
    this.outbound = new Outbound(arena, [protocol], () => this.#takeSent(), this.area, MTU);
  }

  /** A frame as TUN gives it. */
  putFrame(frame: Uint8Array): void {
    this.arena.u8.set(frame, this.#frame);
    this.outbound.handleFrame(this.#frame, frame.length, NOW);
  }

  /** A packet that needs nothing done. */
  putPacket(packet: Uint8Array): void {
    this.putFrame(concat(buildVirtioHeader({}), packet));
  }

  /** Seals any bytes for a session, whatever routes say, and returns the datagram. */
  seal(packet: Uint8Array, session: number): Uint8Array {
    const { arena } = this;
    const at = this.#train + 1024;
    arena.u8.set(packet, at);
    const batch = new PacketBatch(1);
    batch.push(at, packet.length, session);
    this.packets.seal(batch, NOW, this, MTU);
    this.#takeSent();
    this.flushes--;
    const last = this.sent.pop();
    assert.ok(last !== undefined);
    return last.bytes;
  }

  /** Datagrams of one size, the last may be shorter, that come with this TOS byte in the outer header. */
  receive(datagrams: readonly Uint8Array[], tos = 0, segmentSize = datagrams[0].length): void {
    this.receiveAll([{ datagrams, tos, segmentSize }]);
  }

  /** Several such trains at once, each by a path of its own: from ports of which the first is WireGuard's. */
  receiveAll(trains: readonly Train[]): void {
    const { arena } = this;
    let at = this.#train;
    for (const [i, { datagrams, tos, segmentSize }] of trains.entries()) {
      const path = this.#paths + i * PATH_BYTES;
      const bytes = concat(...datagrams);
      arena.u8.set(bytes, at);
      arena.view.setUint16(path + PATH_FAMILY, 4, true);
      arena.view.setUint16(path + PATH_PORT, PORT + i, true);
      arena.u32[(path + PATH_TOS) >> 2] = tos ?? 0;
      this.inbound.handleTrain(at, bytes.length, segmentSize ?? datagrams[0].length, path, NOW);
      at += bytes.length;
    }
    this.inbound.flush(NOW);
  }

  /** As the sockets do: what lies in memory now is what leaves. */
  #takeSent(): void {
    this.flushes++;
    for (const { at, length, path, ecn } of this.#waiting.splice(0))
      this.sent.push({ bytes: this.arena.u8.slice(at, at + length), path, ecn });
  }

  // --- Outbox ---

  datagram(at: number, length: number, path: number, ecn: number): void {
    this.#waiting.push({ at, length, path, ecn });
  }

  packet(at: number, length: number, session: number, path: number): void {
    this.inbound.handlePacket(at, length, session, path);
  }

  control(): void {
    assert.fail('no handshake was sent');
  }

  inner(): void {
    assert.fail('WireGuard says nothing inside');
  }

  hold(): void {
    assert.fail('there is a key');
  }

  attend(): boolean {
    return true;
  }

  undeliverable(at: number, length: number, reason: number): void {
    this.refused.push({ packet: this.arena.u8.slice(at, at + length), reason: DROP_REASONS[reason] });
  }

  drop(reason: number): void {
    this.drops.push(DROP_REASONS[reason]);
  }
}
