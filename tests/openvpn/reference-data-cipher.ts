import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  randomBytes,
  timingSafeEqual,
  type CipherGCMTypes,
} from 'node:crypto';
import type { Memory } from '@sallyport/core';
import type { DataPacketCipher } from '@sallyport/openvpn';

const AEADS = ['', 'aes-256-gcm', 'aes-128-gcm', 'chacha20-poly1305'];

interface Key {
  readonly name: string;
  readonly key: Uint8Array;
  readonly mac: Uint8Array;
}

/** The data channel's ciphers by node:crypto, on memory of any kind. */
export class ReferenceDataCipher implements DataPacketCipher {
  readonly nonce: number;
  readonly #memory: Memory;
  #sealing: Key = { name: '', key: new Uint8Array(), mac: new Uint8Array() };
  #opening = this.#sealing;

  /** `scratch` is 16 bytes. */
  constructor(memory: Memory, scratch: number) {
    this.#memory = memory;
    this.nonce = scratch;
  }

  useSealingKey(cipher: number, keyAt: number): void {
    this.#sealing = this.#key(cipher, keyAt);
  }

  useOpeningKey(cipher: number, keyAt: number): void {
    this.#opening = this.#key(cipher, keyAt);
  }

  #key(cipher: number, at: number): Key {
    const { u8 } = this.#memory;
    const name = AEADS[cipher] ?? 'aes-256-cbc';
    return { name, key: u8.slice(at, at + (cipher === 2 ? 16 : 32)), mac: u8.slice(at + 32, at + 64) };
  }

  seal(header: number, headerBytes: number, at: number, length: number, tag: number): void {
    const { u8 } = this.#memory;
    const { name, key } = this.#sealing;
    const cipher = createCipheriv(name as CipherGCMTypes, key, u8.slice(this.nonce, this.nonce + 12), {
      authTagLength: 16,
    });
    cipher.setAAD(u8.slice(header, header + headerBytes));
    u8.set(cipher.update(u8.slice(at, at + length)), at);
    cipher.final();
    u8.set(cipher.getAuthTag(), tag);
  }

  open(header: number, headerBytes: number, at: number, length: number, tag: number): boolean {
    const { u8 } = this.#memory;
    const { name, key } = this.#opening;
    const cipher = createDecipheriv(name as CipherGCMTypes, key, u8.slice(this.nonce, this.nonce + 12), {
      authTagLength: 16,
    });
    cipher.setAAD(u8.slice(header, header + headerBytes));
    cipher.setAuthTag(u8.slice(tag, tag + 16));
    u8.set(cipher.update(u8.slice(at, at + length)), at);
    try {
      cipher.final();
      return true;
    } catch {
      return false;
    }
  }

  sealCbc(at: number, length: number): void {
    const { u8 } = this.#memory;
    const { key, mac } = this.#sealing;
    u8.set(randomBytes(16), at - 16);
    const cipher = createCipheriv('aes-256-cbc', key, u8.slice(at - 16, at)).setAutoPadding(false);
    u8.set(cipher.update(u8.slice(at, at + length)), at);
    u8.set(
      createHmac('sha256', mac)
        .update(u8.slice(at - 16, at + length))
        .digest(),
      at - 48,
    );
  }

  openCbc(at: number, length: number): boolean {
    const { u8 } = this.#memory;
    const { key, mac } = this.#opening;
    const made = createHmac('sha256', mac)
      .update(u8.slice(at - 16, at + length))
      .digest();
    if (!timingSafeEqual(made, u8.slice(at - 48, at - 16))) return false;
    const cipher = createDecipheriv('aes-256-cbc', key, u8.slice(at - 16, at)).setAutoPadding(false);
    u8.set(cipher.update(u8.slice(at, at + length)), at);
    return true;
  }
}
