import { concatenate } from './bytes.ts';
import { decodeBody, encodeBody, type ControlPacket } from './control-packet.ts';
import type { ControlWrap, WrapOptions } from './control-wrap.ts';
import { HEADER_BYTES, readHeader, writeHeader } from './opcodes.ts';
import { dynamicWrap } from './tls-crypt.ts';

class PlainWrap implements ControlWrap {
  readonly overhead = 0;
  readonly #options: WrapOptions;

  constructor(options: WrapOptions) {
    this.#options = options;
  }

  wrap(packet: ControlPacket): Uint8Array {
    const header = new Uint8Array(HEADER_BYTES);
    writeHeader(header, packet);
    return concatenate([header, encodeBody(packet)]);
  }

  unwrap(datagram: Uint8Array): ControlPacket | number {
    const header = readHeader(datagram);
    return typeof header === 'number' ? header : decodeBody(header, datagram.subarray(HEADER_BYTES));
  }

  dynamic(material: Uint8Array): ControlWrap {
    return dynamicWrap(this.#options, material, undefined);
  }

  erase(): void {
    // It has no key.
  }
}

/** No protection but that of TLS. */
export function plainWrap(options: WrapOptions): ControlWrap {
  return new PlainWrap(options);
}
