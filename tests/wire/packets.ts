// Packets and frames for tests, built and checked naively and independently of packages/wire.

import assert from 'node:assert/strict';

export interface PacketShape {
  readonly version: 4 | 6;
  readonly protocol: number;
  readonly source?: Uint8Array;
  readonly destination?: Uint8Array;
  readonly tos?: number;
  readonly flowLabel?: number;
  readonly ttl?: number;
  readonly identification?: number;
  readonly dontFragment?: boolean;
  readonly ipOptions?: Uint8Array;
  /** IPv6 extension headers, whole, with their own next-header bytes still to be set. */
  readonly extensions?: readonly { readonly type: number; readonly bytes: Uint8Array }[];
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  readonly sequence?: number;
  readonly acknowledgment?: number;
  readonly flags?: number;
  readonly reserved?: number;
  readonly window?: number;
  readonly options?: Uint8Array;
  readonly payload?: Uint8Array;
}

export const TCP = 6;
export const UDP = 17;

/** RFC 1071, section 4.1, word by word, most significant byte first. */
export function naiveSum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) {
    sum += bytes[i] * 256 + (bytes[i + 1] ?? 0);
    if (sum > 0xffff) sum -= 0xffff;
  }
  return sum;
}

export function naiveChecksum(...parts: Uint8Array[]): number {
  return 0xffff - naiveSum(concat(...parts));
}

export function concat(...parts: Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function u16(value: number): number[] {
  return [(value >>> 8) & 0xff, value & 0xff];
}

function u32(value: number): number[] {
  return [...u16(value >>> 16), ...u16(value)];
}

function addresses(shape: PacketShape): { source: Uint8Array; destination: Uint8Array } {
  const v4 = { source: new Uint8Array([10, 7, 0, 2]), destination: new Uint8Array([192, 0, 2, 33]) };
  const v6 = {
    source: new Uint8Array([0xfd, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]),
    destination: new Uint8Array([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xab, 0xcd]),
  };
  const chosen = shape.version === 4 ? v4 : v6;
  return { source: shape.source ?? chosen.source, destination: shape.destination ?? chosen.destination };
}

/** The pseudo-header of RFC 9293, section 3.1 or RFC 8200, section 8.1. */
export function pseudoHeader(shape: PacketShape, transportLength: number): Uint8Array {
  const { source, destination } = addresses(shape);
  const tail =
    shape.version === 4
      ? [0, shape.protocol, ...u16(transportLength)]
      : [...u32(transportLength), 0, 0, 0, shape.protocol];
  return concat(source, destination, new Uint8Array(tail));
}

function transportHeader(shape: PacketShape, payloadLength: number): Uint8Array {
  const ports = [...u16(shape.sourcePort ?? 40000), ...u16(shape.destinationPort ?? 443)];
  if (shape.protocol === UDP) return new Uint8Array([...ports, ...u16(8 + payloadLength), 0, 0]);
  if (shape.protocol !== TCP) return new Uint8Array(0);
  const options = shape.options ?? new Uint8Array(0);
  const dataOffset = (20 + options.length) / 4;
  const fixed = [
    ...ports,
    ...u32(shape.sequence ?? 0),
    ...u32(shape.acknowledgment ?? 0x01020304),
    (dataOffset << 4) | (shape.reserved ?? 0),
    shape.flags ?? 0x10,
    ...u16(shape.window ?? 501),
    ...[0, 0, 0, 0],
  ];
  return concat(new Uint8Array(fixed), options);
}

function ipHeader(shape: PacketShape, upperLength: number): Uint8Array {
  const { source, destination } = addresses(shape);
  const ttl = shape.ttl ?? 64;
  const tos = shape.tos ?? 0;
  if (shape.version === 4) {
    const options = shape.ipOptions ?? new Uint8Array(0);
    const length = 20 + options.length;
    const header = concat(
      new Uint8Array([
        0x40 | (length / 4),
        tos,
        ...u16(length + upperLength),
        ...u16(shape.identification ?? 0),
        ...u16((shape.dontFragment ?? true) ? 0x4000 : 0),
        ttl,
        shape.protocol,
        0,
        0,
      ]),
      source,
      destination,
      options,
    );
    header.set(u16(naiveChecksum(header)), 10);
    return header;
  }
  const extensions = (shape.extensions ?? []).map((extension) => extension.bytes.slice());
  const types = [...(shape.extensions ?? []).map((extension) => extension.type), shape.protocol];
  extensions.forEach((bytes, i) => (bytes[0] = types[i + 1]));
  const first = ((6 << 28) | (tos << 20) | (shape.flowLabel ?? 0)) >>> 0;
  const payloadLength = extensions.reduce((length, bytes) => length + bytes.length, upperLength);
  return concat(
    new Uint8Array([...u32(first), ...u16(payloadLength), types[0], ttl]),
    source,
    destination,
    ...extensions,
  );
}

/** Where the transport header starts. */
export function transportOffset(shape: PacketShape): number {
  return ipHeader(shape, 0).length;
}

/** A whole packet with right checksums. */
export function buildPacket(shape: PacketShape): Uint8Array {
  const payload = shape.payload ?? new Uint8Array(0);
  const transport = transportHeader(shape, payload.length);
  const upper = concat(transport, payload);
  if (transport.length > 0) {
    const checksum = naiveChecksum(pseudoHeader(shape, upper.length), upper);
    if (shape.protocol === UDP) upper.set(u16(checksum || 0xffff), 6);
    else upper.set(u16(checksum), 16);
  }
  return concat(ipHeader(shape, upper.length), upper);
}

export interface VirtioHeader {
  readonly flags: number;
  readonly gsoType: number;
  readonly hdrLen: number;
  readonly gsoSize: number;
  readonly csumStart: number;
  readonly csumOffset: number;
}

export function buildVirtioHeader(header: Partial<VirtioHeader>): Uint8Array {
  const bytes = new Uint8Array(10);
  const view = new DataView(bytes.buffer);
  bytes[0] = header.flags ?? 0;
  bytes[1] = header.gsoType ?? 0;
  view.setUint16(2, header.hdrLen ?? 0, true);
  view.setUint16(4, header.gsoSize ?? 0, true);
  view.setUint16(6, header.csumStart ?? 0, true);
  view.setUint16(8, header.csumOffset ?? 0, true);
  return bytes;
}

export function parseVirtioHeader(bytes: Uint8Array): VirtioHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return {
    flags: bytes[0],
    gsoType: bytes[1],
    hdrLen: view.getUint16(2, true),
    gsoSize: view.getUint16(4, true),
    csumStart: view.getUint16(6, true),
    csumOffset: view.getUint16(8, true),
  };
}

/** The packet as the kernel leaves it to the device to complete: its checksum field holds the pseudo-header's sum. */
export function buildPartialPacket(shape: PacketShape): Uint8Array {
  const packet = buildPacket(shape);
  const transport = transportOffset(shape);
  const sum = naiveSum(pseudoHeader(shape, packet.length - transport));
  packet.set(u16(sum), transport + (shape.protocol === UDP ? 6 : 16));
  return packet;
}

/** What TUN gives for a super-packet. */
export function buildSuperFrame(shape: PacketShape, gsoType: number, gsoSize: number): Uint8Array {
  const packet = buildPartialPacket(shape);
  const csumStart = transportOffset(shape);
  const hdrLen = packet.length - (shape.payload?.length ?? 0);
  const csumOffset = shape.protocol === UDP ? 6 : 16;
  return concat(buildVirtioHeader({ flags: 1, gsoType, hdrLen, gsoSize, csumStart, csumOffset }), packet);
}

/** The packets that a super-packet stands for, each built on its own. */
export function expectedSegments(shape: PacketShape, gsoSize: number): Uint8Array[] {
  const payload = shape.payload ?? new Uint8Array(0);
  const count = Math.max(1, Math.ceil(payload.length / gsoSize));
  return Array.from({ length: count }, (_, k) => {
    const flags = shape.flags ?? 0x10;
    const notFirst = k > 0 ? ~0x80 : ~0;
    const notLast = k < count - 1 ? ~0x09 : ~0;
    return buildPacket({
      ...shape,
      identification: ((shape.identification ?? 0) + k) & 0xffff,
      sequence: ((shape.sequence ?? 0) + k * gsoSize) >>> 0,
      flags: flags & notFirst & notLast,
      payload: payload.subarray(k * gsoSize, (k + 1) * gsoSize),
    });
  });
}

/**
 * Asserts that two lists hold the same bytes. Where they don't it says where: the comparison that deepEqual prints
 * takes gigabytes for packets of this size.
 */
export function assertSamePackets(actual: readonly Uint8Array[], expected: readonly Uint8Array[], what = ''): void {
  for (let i = 0; i < Math.max(actual.length, expected.length); i++) {
    const got = actual.at(i) ?? new Uint8Array(0);
    const wanted = expected.at(i) ?? new Uint8Array(0);
    if (Buffer.compare(got, wanted) === 0) continue;
    const at = got.findIndex((byte, k) => byte !== wanted[k]);
    const place = at < 0 ? got.length : at;
    const excerpt = (bytes: Uint8Array): string => Buffer.from(bytes.slice(0, 96)).toString('hex');
    assert.fail(
      `${what} packet ${i} of ${actual.length}, expected ${expected.length}, differs at byte ${place}; ` +
        `lengths ${got.length} and ${wanted.length}\n  got      ${excerpt(got)}\n  expected ${excerpt(wanted)}`,
    );
  }
  assert.equal(actual.length, expected.length, what);
}
