/**
 * Each tunnel has an address of its own on this machine, so that the protocol behind it, which limits handshakes by
 * address, can tell them apart: 127.64.0.0/10.
 */
const FIRST = 0x7f400000;
const COUNT = 0x400000;

/** Addresses in turn, as numbers. */
export class LocalAddresses {
  #last = COUNT - 1;

  next(): number {
    this.#last = (this.#last + 1) % COUNT;
    return FIRST + this.#last;
  }
}
