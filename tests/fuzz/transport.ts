// Mutated datagrams through the whole way in: demultiplex, open, source check, coalesce. `npm run fuzz` calls it at length.
import assert from 'node:assert/strict';
import { copyPath, DropReason, PacketBatch, PATH_FAMILY, PATH_PORT, PATH_TOS, type Outbox } from '@sallyport/core';
import { Inbound } from '@sallyport/gateway';
import { Arena, createPacketCipher, PACKET_CIPHER_SCRATCH_BYTES } from '@sallyport/io';
import { SeededRandom } from '@sallyport/testkit';
import { Coalescer, COALESCER_SCRATCH_BYTES } from '@sallyport/wire';
import { allocateTables, openTables, WireGuardPackets } from '@sallyport/wireguard';
import {
  KEYPAIR_COUNTER_LOW,
  KEYPAIR_CREATED,
  KEYPAIR_LOCAL_INDEX,
  KEYPAIR_PEER,
  KEYPAIR_RECEIVE_KEY,
  KEYPAIR_REMOTE_INDEX,
  KEYPAIR_SEND_KEY,
  KEYPAIR_WINDOW,
  PEER_CURRENT,
  PEER_ENDPOINT,
} from '../../packages/wireguard/src/layout.ts';
import { REPLAY_WINDOW } from '../../packages/wireguard/src/constants.ts';
import { buildPacket, TCP, UDP } from '../wire/packets.ts';

const INDEX = 0x8badf00d;
const MTU = 1420;
const NOW = 1000;

export interface TransportFuzzResult {
  /** Datagrams whose packet reached TUN, or that were valid keepalives or handshakes. */
  readonly accepted: number;
  /** Datagrams that were counted as dropped. */
  readonly dropped: number;
}

/** One peer with one keypair, whose sending and receiving keys are the same, so that it can talk to itself. */
class Loop implements Outbox {
  readonly arena = Arena.create(16 * 1024 * 1024);
  readonly path: number;
  readonly plainAt: number;
  readonly trainAt: number;
  readonly packets: WireGuardPackets;
  readonly inbound: Inbound;
  readonly peer: number;
  readonly keypair: number;
  readonly batch = new PacketBatch(1);
  accepted = 0;
  dropped = 0;
  sealedLength = 0;

  constructor() {
    const { arena } = this;
    const allocate = (bytes: number): number => arena.allocate(bytes);
    const regions = allocateTables(allocate, { peers: 4, keypairs: 4, allowedIps: 16 });
    const tables = openTables(arena, regions);
    const { indices, allowedIps } = tables;
    const cipher = createPacketCipher(arena, allocate(PACKET_CIPHER_SCRATCH_BYTES));
    this.packets = new WireGuardPackets(arena, cipher, tables, allocate(WireGuardPackets.scratchBytes));
    this.path = allocate(64);
    this.plainAt = allocate(4096) + 256;
    this.trainAt = allocate(70_000) + 64;
    this.peer = regions.peers;
    this.keypair = regions.keypairs;
    const { keypair } = this;
    arena.u32[(keypair + KEYPAIR_PEER) >> 2] = this.peer;
    arena.u32[(keypair + KEYPAIR_LOCAL_INDEX) >> 2] = INDEX;
    arena.u32[(keypair + KEYPAIR_REMOTE_INDEX) >> 2] = INDEX;
    arena.f64[(keypair + KEYPAIR_CREATED) >> 3] = NOW;
    for (let i = 0; i < 32; i++) {
      arena.u8[keypair + KEYPAIR_SEND_KEY + i] = i;
      arena.u8[keypair + KEYPAIR_RECEIVE_KEY + i] = i;
    }
    assert.ok(indices.insert(INDEX, keypair));
    arena.u32[(this.peer + PEER_CURRENT) >> 2] = keypair;
    arena.view.setUint16(this.path + PATH_FAMILY, 4, true);
    arena.view.setUint16(this.path + PATH_PORT, 51820, true);
    copyPath(arena, this.peer + PEER_ENDPOINT, this.path);
    allowedIps.insert(4, Uint8Array.of(10, 0, 0, 0), 8, this.peer);
    allowedIps.insert(6, Uint8Array.of(0xfd, ...new Array<number>(15).fill(0)), 8, this.peer);
    const coalescer = new Coalescer(
      arena,
      allocate(COALESCER_SCRATCH_BYTES),
      { frame: () => undefined },
      { tcp: true, udp: true },
    );
    this.inbound = new Inbound(
      arena,
      [{ packets: this.packets, routes: allowedIps, out: this, listeners: [0] }],
      coalescer,
    );
  }

  /** Begins anew with the same keys. */
  reset(): void {
    this.accepted = 0;
    this.dropped = 0;
    this.arena.u8.fill(0, this.keypair + KEYPAIR_WINDOW, this.keypair + KEYPAIR_WINDOW + REPLAY_WINDOW.bytes);
    this.arena.u32[(this.keypair + KEYPAIR_COUNTER_LOW) >> 2] = 0;
  }

  /** Seals a packet and leaves the datagram in JavaScript. */
  seal(packet: Uint8Array): Uint8Array {
    this.arena.u8.set(packet, this.plainAt);
    this.batch.count = 0;
    this.batch.push(this.plainAt, packet.length, this.peer);
    this.packets.seal(this.batch, NOW, this, MTU);
    return this.arena.u8.slice(this.plainAt - 16, this.plainAt - 16 + this.sealedLength);
  }

  datagram(_at: number, length: number): void {
    this.sealedLength = length;
  }

  packet(at: number, length: number, session: number, path: number): void {
    const before = this.dropped;
    this.inbound.handlePacket(at, length, session, path);
    if (this.dropped === before) this.accepted++;
  }

  control(): void {
    this.accepted++;
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

  undeliverable(): void {
    assert.fail('there is an endpoint');
  }

  drop(reason: number): void {
    assert.ok(reason >= 0 && reason < Object.keys(DropReason).length);
    this.dropped++;
  }
}

let loop: Loop | undefined;

/** Sends `iterations` datagrams, most of them damaged, in trains; every one has to be accounted for. */
export function fuzzTransport(iterations: number, seed: number): TransportFuzzResult {
  const random = new SeededRandom(seed);
  loop ??= new Loop();
  loop.reset();
  const { arena, trainAt, path } = loop;
  let keepalives = 0;
  let sent = 0;
  while (sent < iterations) {
    const count = 1 + random.below(8);
    const version = random.below(2) === 0 ? 4 : 6;
    const protocol = random.below(2) === 0 ? TCP : UDP;
    const payload = random.bytes(random.below(1300));
    const shape = { version, protocol, payload } as const;
    let at = trainAt;
    let segment = 0;
    for (let i = 0; i < count; i++) {
      let datagram: Uint8Array;
      const kind = random.below(10);
      if (kind === 0) datagram = random.bytes(random.below(200));
      else if (kind === 1) datagram = loop.seal(new Uint8Array(0));
      else if (kind === 2) datagram = loop.seal(random.bytes(1 + random.below(1400)));
      else datagram = loop.seal(buildPacket(shape));
      if (random.below(3) === 0 && datagram.length > 0)
        for (let k = random.below(4); k >= 0; k--) datagram[random.below(datagram.length)] = random.below(256);
      if (random.below(10) === 0) datagram = datagram.subarray(0, random.below(datagram.length + 1));
      // A train is datagrams of one size, the last one shorter.
      if (i === 0) segment = datagram.length;
      if (i > 0 && datagram.length > segment) datagram = datagram.subarray(0, segment);
      if (segment === 0) break;
      arena.u8.set(datagram, at);
      at += datagram.length;
      if (datagram.length < segment) break;
    }
    arena.u32[(path + PATH_TOS) >> 2] = random.below(6) === 0 ? random.below(256) : 0;
    const datagrams = segment === 0 ? 1 : Math.ceil((at - trainAt) / segment);
    const before = loop.accepted + loop.dropped;
    loop.inbound.handleTrain(trainAt, at - trainAt, segment, path, NOW);
    loop.inbound.flush(NOW);
    const accounted: number = loop.accepted + loop.dropped - before;
    assert.ok(accounted <= datagrams, `seed ${String(seed)}: ${String(accounted)} of ${String(datagrams)} datagrams`);
    keepalives += datagrams - accounted;
    sent += datagrams;
  }
  return { accepted: loop.accepted + keepalives, dropped: loop.dropped };
}
