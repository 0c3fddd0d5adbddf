import type { Memory } from '../../packages/core/src/index.ts';

/** How many keys are remembered: those of the last handshakes. */
const REMEMBERED = 24;
/** So much of a key is looked for: half of it left behind is no better than the whole. */
const PART_BYTES = 16;

/** The last keys that a peer used, of which none may be found in its memory once they are erased. */
export class UsedKeys {
  readonly #keys = new Set<string>();

  /** `key` is 32 bytes, a character each. */
  add(key: string): void {
    const keys = this.#keys;
    if (keys.has(key)) return;
    keys.add(key);
    if (keys.size > REMEMBERED) keys.delete(keys.values().next().value ?? '');
  }

  clear(): void {
    this.#keys.clear();
  }

  /** Whether either half of one of them is anywhere in this memory. */
  areIn({ u8 }: Memory): boolean {
    const bytes = Buffer.from(u8.buffer, u8.byteOffset, u8.byteLength);
    for (const key of this.#keys)
      for (const part of [key.slice(0, PART_BYTES), key.slice(PART_BYTES)])
        if (bytes.includes(Buffer.from(part, 'latin1'))) return true;
    return false;
  }
}
