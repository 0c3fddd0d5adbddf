/*
 * Tunnels have addresses of their own on this machine, so that the protocol behind, which limits handshakes by address,
 * can tell them apart: 127.64.0.0/10. As numbers.
 */
import { createHash, randomBytes } from 'node:crypto';

const FIRST = 0x7f400000;
const COUNT = 0x400000;

export function addressText(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}

/** Another one for each tunnel. */
export class LocalAddresses {
  #last = COUNT - 1;

  next(): number {
    this.#last = (this.#last + 1) % COUNT;
    return FIRST + this.#last;
  }
}

/** The same one for whoever comes from the same place, so that limits by address hold for logins too. */
export class SourceAddresses {
  /** Nobody can choose whom to share one with. */
  readonly #salt = randomBytes(16);

  of(key: string): number {
    return FIRST + (createHash('sha256').update(this.#salt).update(key).digest().readUInt32BE(0) % COUNT);
  }
}
