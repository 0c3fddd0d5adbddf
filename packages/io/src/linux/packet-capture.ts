import { Buffer } from 'node:buffer';
import { setTimeout as delay } from 'node:timers/promises';
import koffi from 'koffi';
import { errno, libc, SystemCallError } from '../libc.ts';
import { getSocketOption, setSocketOption } from '../socket-option.ts';

const library = koffi.load('libc.so.6');
const receive = library.func(
  'int64_t recvfrom(int fd, _Out_ uint8_t *to, size_t bytes, int flags, _Out_ uint8_t *address, _Inout_ uint32_t *length)',
) as unknown as (fd: number, to: Buffer, bytes: number, flags: number, address: Buffer, length: number[]) => number;

const AF_PACKET = 17;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x80000;
/** ETH_P_ALL, in network order. */
const ALL_PROTOCOLS = 0x0300;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;
const PACKET_OUTGOING = 4;
const ADDRESS_BYTES = 20;

const BUFFER_BYTES = 8 * 1024 * 1024;
/** The headers are enough. */
const SNAP_BYTES = 256;
const TURN_MS = 20;
const PACKETS_A_TURN = 2000;

export interface OutgoingPacket {
  readonly interfaceIndex: number;
  /** 0x0800 for IPv4, 0x86dd for IPv6, 0x0806 for ARP. */
  readonly etherType: number;
  /** From the network header on, its beginning. Valid during the call alone. */
  readonly bytes: Uint8Array;
}

/**
 * Gives `onPacket` each packet that leaves the machine by any interface, for `milliseconds`. Returns how many packets were
 * missed because they came too fast. Throws a SystemCallError; takes root or CAP_NET_RAW.
 */
export async function captureOutgoing(
  milliseconds: number,
  onPacket: (packet: OutgoingPacket) => void,
  { signal, onBegun }: { readonly signal?: AbortSignal; readonly onBegun?: () => void } = {},
): Promise<number> {
  const fd = libc.socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, ALL_PROTOCOLS);
  if (fd < 0) throw new SystemCallError('capture packets', errno());
  try {
    const size = Buffer.alloc(4);
    size.writeInt32LE(BUFFER_BYTES);
    setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, size);
    const bytes = Buffer.alloc(SNAP_BYTES);
    const address = Buffer.alloc(ADDRESS_BYTES);
    onBegun?.();
    const end = performance.now() + milliseconds;
    let left = true;
    while (left && signal?.aborted !== true) {
      // What came until now is still looked at after the end.
      left = performance.now() < end;
      for (let i = 0; i < PACKETS_A_TURN; i++) {
        const length = receive(fd, bytes, SNAP_BYTES, 0, address, [ADDRESS_BYTES]);
        if (length < 0) break;
        // struct sockaddr_ll: family, protocol (network order), index, hardware type, packet type
        if (address[10] !== PACKET_OUTGOING) continue;
        onPacket({
          interfaceIndex: address.readInt32LE(4),
          etherType: address.readUInt16BE(2),
          bytes: bytes.subarray(0, length),
        });
      }
      if (left) await delay(TURN_MS);
    }
    const statistics = Buffer.alloc(8);
    return getSocketOption(fd, SOL_PACKET, PACKET_STATISTICS, statistics) < 0 ? 0 : statistics.readUInt32LE(4);
  } finally {
    libc.close(fd);
  }
}
