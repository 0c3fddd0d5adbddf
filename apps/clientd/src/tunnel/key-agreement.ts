/** Preshared keys agreed with gateways by ML-KEM-768 (FIPS 203), and kept for the next handshakes. docs/protocols/post-quantum.md */
import { decapsulate, generateKeyPairSync, hkdfSync } from 'node:crypto';
import { keyRenewalAt } from '@sallyport/client';
import { CIPHERTEXT_BYTES, ENCAPSULATION_KEY_BYTES, PRESHARED_KEY_BYTES } from '@sallyport/tunnel-service';
import { decodeBase64Key } from '@sallyport/wireguard';
import { z } from 'zod';
import { unixNow } from '../forward-clock.ts';
import { JsonFile } from '../files/json-file.ts';
import type { TunnelService } from './tunnel-service.ts';

/** Between tries where a session does without the key that there is, as with a gateway that was started anew. */
const UNUSED_RETRY_MS = 15_000;
const ANSWER_TIMEOUT_MS = 1000;
const TRIES = 5;
const MAX_GATEWAYS = 32;
const INFO = 'sallyport psk v1';

const agreedKeys = z.record(
  z.string(),
  /** The newest first; base64. When the newest was agreed, Unix milliseconds. */
  z.strictObject({ keys: z.array(z.string()).min(1).max(2), agreedAt: z.number() }),
);
type AgreedKeys = z.infer<typeof agreedKeys>;

/** The keys of all gateways, in a file that a boot empties: a gateway that forgot its own lets in without. */
export class AgreedKeyStore {
  readonly #file: JsonFile<typeof agreedKeys>;
  #keys: AgreedKeys = {};

  constructor(path: string) {
    this.#file = new JsonFile(path, agreedKeys);
  }

  async load(): Promise<void> {
    this.#keys = (await this.#file.read()) ?? {};
  }

  /** Those of a gateway, the older first, as a tunnel takes them. */
  keysOf(gateway: string): Uint8Array[] {
    return (this.#keys[gateway]?.keys ?? []).toReversed().map((key) => new Uint8Array(Buffer.from(key, 'base64')));
  }

  agreedAt(gateway: string): number | undefined {
    return this.#keys[gateway]?.agreedAt;
  }

  async add(gateway: string, key: Uint8Array, now: number): Promise<void> {
    const before = this.#keys[gateway]?.keys ?? [];
    const others = Object.entries(this.#keys).filter(([name]) => name !== gateway);
    // The oldest go.
    others.sort(([, a], [, b]) => b.agreedAt - a.agreedAt);
    this.#keys = {
      ...Object.fromEntries(others.slice(0, MAX_GATEWAYS - 1)),
      [gateway]: { keys: [Buffer.from(key).toString('base64'), ...before.slice(0, 1)], agreedAt: now },
    };
    await this.#file.write(this.#keys);
  }

  async clear(): Promise<void> {
    this.#keys = {};
    await this.#file.remove();
  }
}

export interface KeyAgreementOptions {
  readonly service: TunnelService;
  /** WireGuard public keys, base64: the gateway's and the device's. */
  readonly gatewayKey: string;
  readonly deviceKey: string;
  readonly store: AgreedKeyStore;
  /** A new key is there: from the next handshake on it counts. */
  readonly onAgreed: (key: Uint8Array) => void;
  readonly onFault: (message: string) => void;
}

/** Agrees keys with one gateway while a tunnel to it is in use. */
export class KeyAgreement {
  readonly #options: KeyAgreementOptions;
  readonly #random = Math.random();
  #busy = false;
  #triedAt = 0;
  #failures = 0;

  constructor(options: KeyAgreementOptions) {
    this.#options = options;
  }

  /** Agrees a key if it is time, or where the session (`agreed` false) does without. To be called often. */
  look(agreed: boolean): void {
    const { store, gatewayKey, onFault } = this.#options;
    const now = unixNow();
    const agreedAt = store.agreedAt(gatewayKey);
    const unused = agreedAt !== undefined && !agreed && now - Math.max(this.#triedAt, agreedAt) >= UNUSED_RETRY_MS;
    const renewAt = keyRenewalAt({ agreedAt, triedAt: this.#triedAt, failures: this.#failures }, this.#random);
    if (this.#busy || (now < renewAt && !(unused && this.#failures === 0))) return;
    this.#busy = true;
    this.#triedAt = now;
    this.#agree()
      .then(
        (done) => {
          this.#failures = done ? 0 : this.#failures + 1;
        },
        (error: unknown) => {
          this.#failures++;
          onFault(`no key was agreed: ${error instanceof Error ? error.message : String(error)}`);
        },
      )
      .finally(() => {
        this.#busy = false;
      });
  }

  /** False where the gateway didn't answer. */
  async #agree(): Promise<boolean> {
    const { service, gatewayKey, deviceKey, store, onAgreed } = this.#options;
    const { publicKey, privateKey } = generateKeyPairSync('ml-kem-768');
    // SubjectPublicKeyInfo ends with the key itself.
    const encapsulationKey = publicKey.export({ format: 'der', type: 'spki' }).subarray(-ENCAPSULATION_KEY_BYTES);
    const ciphertext = await service.requestKey(encapsulationKey, ANSWER_TIMEOUT_MS, TRIES);
    if (ciphertext?.length !== CIPHERTEXT_BYTES) return false;
    const shared = decapsulate(privateKey, ciphertext);
    const key = presharedKey(shared, gatewayKey, deviceKey);
    shared.fill(0);
    await store.add(gatewayKey, key, unixNow());
    onAgreed(key);
    key.fill(0);
    return true;
  }
}

/** HKDF-SHA-256 of the shared secret, bound to the two ends' WireGuard keys. */
export function presharedKey(shared: Uint8Array, gatewayKey: string, deviceKey: string): Uint8Array {
  const ends = [gatewayKey, deviceKey].map((key) => {
    const bytes = decodeBase64Key(key);
    if (bytes === undefined) throw new TypeError('no WireGuard key');
    return bytes;
  });
  const info = Buffer.concat([Buffer.from(INFO), ...ends]);
  return new Uint8Array(hkdfSync('sha256', shared, new Uint8Array(0), info, PRESHARED_KEY_BYTES));
}
