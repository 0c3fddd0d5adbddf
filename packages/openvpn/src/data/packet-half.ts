import {
  DropReason,
  type Instant,
  type Memory,
  type Outbox,
  type PacketBatch,
  type PacketHalf,
  type SealRoom,
  type SessionId,
} from '@sallyport/core';
import { isControlOpcode, P_DATA_V2 } from '../wire/opcodes.ts';
import type { DataPacketCipher } from './cipher.ts';
import { OPCODE_BYTES, ROOMS } from './format.ts';
import { SESSION_FORMAT } from './layout.ts';
import { DATA_LIMITS, type DataLimits } from './limits.ts';
import { Opener } from './opener.ts';
import { Sealer } from './sealer.ts';
import type { DataTables } from './tables.ts';

const MALFORMED_DATAGRAM = DropReason.malformedDatagram;
const UNKNOWN_MESSAGE_TYPE = DropReason.unknownMessageType;

/**
 * OpenVPN's packet half: P_DATA_V2 against keys in shared memory. Control packets go to the session half unlooked at.
 * Pings end here, having counted; what else comes out of the tunnel and is no IP packet is the session half's too.
 * Nothing is ever held: a packet for a session without a key is undeliverable. What is compressed is no IP packet:
 * compression is refused when options are agreed.
 */
export class OpenVpnPackets implements PacketHalf {
  static readonly scratchBytes = Sealer.scratchBytes;

  readonly #memory: Memory;
  readonly #sealer: Sealer;
  readonly #opener: Opener;

  /** `scratch` is {@link scratchBytes} zeroed bytes of this thread's own. */
  constructor(
    memory: Memory,
    cipher: DataPacketCipher,
    tables: Pick<DataTables, 'peerIds'>,
    scratch: number,
    limits: DataLimits = DATA_LIMITS,
  ) {
    this.#memory = memory;
    this.#sealer = new Sealer(memory, cipher, scratch, limits);
    this.#opener = new Opener(memory, cipher, tables.peerIds, limits);
  }

  /** The room around a packet of this session. */
  room(session: SessionId): SealRoom {
    return ROOMS[this.#memory.u32[(session + SESSION_FORMAT) >> 2]];
  }

  seal(plain: PacketBatch, now: Instant, out: Outbox): void {
    const { owner } = plain;
    let first = 0;
    while (first < plain.count) {
      const session = owner[first];
      let end = first + 1;
      while (end < plain.count && owner[end] === session) end++;
      this.#sealer.sealRun(plain, first, end, session, now, out);
      first = end;
    }
  }

  open(wire: PacketBatch, now: Instant, out: Outbox): void {
    const { view } = this.#memory;
    let first = 0;
    while (first < wire.count) {
      const at = wire.at[first];
      const path = wire.owner[first];
      const opcode = wire.length[first] < OPCODE_BYTES ? -1 : view.getUint32(at);
      let end = first + 1;
      if (opcode >>> 27 === P_DATA_V2) {
        while (
          end < wire.count &&
          wire.owner[end] === path &&
          wire.length[end] >= OPCODE_BYTES &&
          view.getUint32(wire.at[end]) === opcode
        )
          end++;
        this.#opener.openRun(wire, first, end, now, out);
      } else if (opcode === -1) out.drop(MALFORMED_DATAGRAM);
      else if (isControlOpcode(opcode >>> 27)) out.control(at, wire.length[first], path);
      else out.drop(UNKNOWN_MESSAGE_TYPE);
      first = end;
    }
  }
}
