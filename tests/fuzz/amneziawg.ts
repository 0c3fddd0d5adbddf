// Junk and damaged handshake messages at the port of a variant, through both halves. `npm run fuzz` calls it at length.
import assert from 'node:assert/strict';
import {
  DropReason,
  PacketBatch,
  PATH_FAMILY,
  PATH_LISTENER,
  PATH_PORT,
  Secret,
  type Listener,
  type Outbox,
  type SessionOutbox,
} from '../../packages/core/src/index.ts';
import { Arena } from '../../packages/io/src/arena.ts';
import { createPacketCipher, PACKET_CIPHER_SCRATCH_BYTES } from '../../packages/io/src/openssl/packet-cipher.ts';
import { HandshakeCrypto } from '../../packages/io/src/openssl/wireguard-crypto.ts';
import { SeededRandom } from '../../packages/testkit/src/seeded-random.ts';
import { CookieGenerator } from '../../packages/wireguard/src/cookie.ts';
import { WireGuardDevice } from '../../packages/wireguard/src/device.ts';
import { HandshakePeer, Identity } from '../../packages/wireguard/src/handshake.ts';
import {
  decodeVariant,
  MESSAGE_RESPONSE,
  MESSAGE_TRANSPORT,
  writeType,
} from '../../packages/wireguard/src/messages.ts';
import { WireGuardPackets } from '../../packages/wireguard/src/packet-half.ts';
import { allocateTables, openTables } from '../../packages/wireguard/src/tables.ts';
import { checkVariant, PLAIN_VARIANT, type Variant } from '../../packages/wireguard/src/variant.ts';
import { UNCHANGED_DEVICE, UNCHANGED_PEER } from '../../packages/wireguard/src/uapi.ts';

/** From its type word to the end of mac1: a change elsewhere, in padding and mac2, is none. */
const AUTHENTIC_BYTES = 132;
const LENGTHS = [0, 1, 3, 4, 31, 32, 64, 92, 148, 1280, 2000];

/** A gateway that speaks WireGuard by its first listener and a variant by its second. */
class Gateway {
  readonly #random: SeededRandom;
  readonly #arena = Arena.create(2 * 1024 * 1024);
  readonly #crypto = new HandshakeCrypto();
  readonly #device: WireGuardDevice;
  readonly #packets: WireGuardPackets;
  readonly #datagram: number;
  readonly #paths: readonly [number, number];
  readonly #batch = new PacketBatch(1);
  readonly #client: Identity;
  readonly #aboutGateway: HandshakePeer;
  readonly #toGateway: CookieGenerator;
  #now = 1000;
  #controls = 0;
  #drops = 0;
  #answers: Uint8Array[] = [];
  accepted = 0;
  dropped = 0;

  constructor(random: SeededRandom) {
    const arena = this.#arena;
    this.#random = random;
    const allocate = (bytes: number): number => arena.allocate(bytes);
    const regions = allocateTables(allocate, { peers: 4, keypairs: 16, allowedIps: 4 });
    this.#device = new WireGuardDevice({
      memory: arena,
      regions,
      crypto: this.#crypto,
      wallClock: () => this.#now,
      exclusive: (change) => {
        change();
      },
      forgetSessions: () => undefined,
      zoneIndex: () => 0,
      zoneName: () => '',
    });
    const cipher = createPacketCipher(arena, allocate(PACKET_CIPHER_SCRATCH_BYTES));
    this.#packets = new WireGuardPackets(
      arena,
      cipher,
      openTables(arena, regions),
      allocate(WireGuardPackets.scratchBytes),
    );
    this.#datagram = allocate(4096) + 64;
    this.#paths = [allocate(64), allocate(64)];
    this.#paths.forEach((path, listener) => {
      arena.view.setUint16(path + PATH_FAMILY, 4, true);
      arena.view.setUint16(path + PATH_PORT, 5555, true);
      arena.u32[(path + PATH_LISTENER) >> 2] = listener;
    });
    this.#client = new Identity(this.#crypto, random.bytes(32));
    const peers = [{ ...UNCHANGED_PEER, publicKey: this.#client.publicKey }];
    const privateKey = new Secret(random.bytes(32));
    assert.equal(this.#device.apply({ ...UNCHANGED_DEVICE, privateKey, peers }, 0), undefined);
    this.#device.sessions.start(0);
    const publicKey = this.#device.publicKey;
    assert.ok(publicKey !== undefined);
    this.#aboutGateway = new HandshakePeer(publicKey);
    this.#toGateway = new CookieGenerator(this.#crypto, publicKey);
  }

  /** Sends damaged forms of an initiation, and then the initiation. */
  run(mutations: number): void {
    this.#now += 1000;
    this.#device.sessions.handleTimeout(this.#now, this.#sessionOutbox);
    const random = this.#random;
    const listener: Listener = random.chance(0.8) ? 1 : 0;
    const variant = listener === 1 ? anyVariant(random) : PLAIN_VARIANT;
    this.#device.setVariant(listener, variant);
    const genuine = this.#initiation(variant);
    for (let i = 0; i < mutations; i++) {
      const bytes = this.#mutation(genuine, variant);
      const isGenuine =
        bytes.length === genuine.length &&
        bytes.subarray(variant.s1, variant.s1 + AUTHENTIC_BYTES).every((byte, k) => byte === genuine[variant.s1 + k]) &&
        decodeVariant(bytes, variant).type !== MESSAGE_TRANSPORT;
      if (isGenuine) continue;
      this.#arrive(bytes, listener, variant);
      assert.equal(this.#answers.length, 0, 'a forged message was answered');
      this.dropped++;
    }
    // The other port is none for it, unless it speaks the same.
    this.#device.setVariant(1, listener === 1 ? variant : anyVariant(random));
    this.#arrive(genuine, listener === 1 ? 0 : 1, listener === 1 ? PLAIN_VARIANT : this.#device.variant(1));
    assert.equal(this.#answers.length, 0, 'the wrong port answered');
    this.dropped++;
    this.#arrive(genuine, listener, variant);
    assert.equal(this.#answers.length, 1, 'the right message is answered after the wrong ones');
    const answer = decodeVariant(this.#answers[0], variant);
    assert.equal(answer.type, MESSAGE_RESPONSE);
    assert.equal(this.#answers[0].length, 92 + variant.s2);
    this.accepted++;
  }

  #initiation(variant: Variant): Uint8Array {
    const created = this.#client.createInitiation(this.#aboutGateway, this.#random.u32(), this.#now);
    assert.ok(created !== undefined);
    created.pending.wipe();
    writeType(created.message.bytes, variant.h1);
    this.#toGateway.addMacs(created.message, this.#now);
    return Uint8Array.from([...this.#random.bytes(variant.s1), ...created.message.bytes]);
  }

  /** Hands a datagram to the packet half, and on to the session half where it says so. */
  #arrive(bytes: Uint8Array, listener: 0 | 1, variant: Variant = PLAIN_VARIANT): void {
    const { u8 } = this.#arena;
    this.#answers = [];
    this.#controls = this.#drops = 0;
    u8.fill(0xee, this.#datagram - 64, this.#datagram + 4000);
    u8.set(bytes, this.#datagram);
    this.#batch.count = 0;
    this.#batch.push(this.#datagram, bytes.length, this.#paths[listener]);
    this.#packets.open(this.#batch, this.#now, this.#outbox);
    const { type } = decodeVariant(bytes, variant);
    const isControl = type !== 0 && type !== MESSAGE_TRANSPORT;
    assert.equal(this.#controls, isControl ? 1 : 0, 'both halves tell the same of a datagram');
    assert.ok(this.#drops === 1 || this.#answers.length === 1, 'every datagram is accounted for');
  }

  readonly #outbox: Outbox = {
    control: (at, length, path) => {
      this.#controls++;
      this.#device.sessions.handleControl(this.#arena.u8.slice(at, at + length), path, this.#now, this.#sessionOutbox);
    },
    drop: () => {
      this.#drops++;
    },
    datagram: () => assert.fail('nothing is sealed'),
    packet: () => assert.fail('there is no key'),
    hold: () => assert.fail('nothing is sealed'),
    inner: () => assert.fail('there is no key'),
    undeliverable: () => assert.fail('nothing is sealed'),
    attend: () => true,
  };

  readonly #sessionOutbox: SessionOutbox = {
    message: (message) => {
      this.#answers.push(message.slice());
    },
    seal: () => undefined,
    drop: (reason) => {
      assert.notEqual(reason, DropReason.queueFull);
      this.#drops++;
    },
    event: () => undefined,
  };

  /** Junk, or the message with changes, or random bytes that have the length and the type word of one. */
  #mutation(genuine: Uint8Array, { s1, s2, h1, h2, h3, h4 }: Variant): Uint8Array {
    const random = this.#random;
    const kind = random.below(4);
    if (kind === 0) return random.bytes(random.below(1500));
    if (kind === 1) {
      const [padding, length, type] = random.pick([
        [s1, s1 + 148, h1],
        [s2, s2 + 92, h2],
        [0, 64, h3],
        [0, 32 + random.below(200), h4],
        [random.below(200), random.pick(LENGTHS), random.pick([h1, h2, h3, h4, 1, 2, 3, 4])],
      ] as const);
      const bytes = random.bytes(length);
      if (length >= padding + 4) writeType(bytes.subarray(padding), type);
      return bytes;
    }
    const bytes = genuine.slice(0, random.chance(0.2) ? random.below(genuine.length + 1) : genuine.length);
    if (kind === 3) return Uint8Array.from([...bytes, ...random.bytes(random.below(3))]);
    for (let changes = 1 + random.below(3); changes > 0 && bytes.length > 0; changes--)
      bytes[random.below(bytes.length)] ^= 1 << random.below(8);
    return bytes;
  }
}

function anyVariant(random: SeededRandom): Variant {
  for (;;) {
    const type = (): number => (random.chance(0.5) ? random.u32() : random.below(12));
    const [h1, h2, h3, h4] = [type(), type(), type(), type()];
    const [s1, s2] = [random.below(200), random.below(200)];
    const variant = { jc: random.below(4), jmin: 10, jmax: 50, s1, s2, h1, h2, h3, h4 };
    // The first listener must not understand what is meant for the second.
    if (checkVariant(variant) === undefined && (s1 !== 0 || h1 !== 1)) return variant;
  }
}

/** Sends about `iterations` datagrams; throws where a forged one is answered or anything else goes wrong. */
export function fuzzAmneziaWg(iterations: number, seed: number): { accepted: number; dropped: number } {
  const gateway = new Gateway(new SeededRandom(seed));
  const each = 200;
  for (let done = 0; done < iterations; done += each) gateway.run(Math.min(each, iterations - done));
  return { accepted: gateway.accepted, dropped: gateway.dropped };
}
