/** A passkey in software (Web Authentication Level 3, ES256), and the browser in front of it. What it says can be bent. */
import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';

export interface Bent {
  readonly origin?: string;
  readonly rpId?: string;
  readonly type?: string;
  /** Default: true. */
  readonly userVerified?: boolean;
  /** Default: one more than before. */
  readonly counter?: number;
  readonly userHandle?: string | null;
  readonly challenge?: string;
}

export interface CreationOptions {
  readonly challenge: string;
  readonly rp: { readonly id: string };
  readonly user: { readonly id: string };
  readonly excludeCredentials: readonly { readonly id: string }[];
  readonly authenticatorSelection: { readonly residentKey: string; readonly userVerification: string };
  readonly attestation: string;
}

export interface RequestOptions {
  readonly challenge: string;
  readonly rpId: string;
  readonly userVerification: string;
  readonly allowCredentials?: readonly { readonly id: string }[];
}

export class SoftwarePasskey {
  readonly id = randomBytes(32).toString('base64url');
  readonly #origin: string;
  readonly #publicKey: KeyObject;
  readonly #privateKey: KeyObject;
  #userHandle = '';
  counter = 0;

  constructor(origin: string) {
    this.#origin = origin;
    ({ publicKey: this.#publicKey, privateKey: this.#privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' }));
  }

  /** The answer of `navigator.credentials.create`, as JSON. */
  create(options: object, bent: Bent = {}): Record<string, unknown> {
    const { challenge, rp, user } = options as CreationOptions;
    this.#userHandle = user.id;
    const { x, y } = this.#publicKey.export({ format: 'jwk' }) as { x: string; y: string };
    const key = cborMap([
      [1, 2],
      [3, -7],
      [-1, 1],
      [-2, Buffer.from(x, 'base64url')],
      [-3, Buffer.from(y, 'base64url')],
    ]);
    const id = Buffer.from(this.id, 'base64url');
    const length = Buffer.alloc(2);
    length.writeUInt16BE(id.length);
    const authData = Buffer.concat([this.#head(rp.id, bent, 0x40), Buffer.alloc(16), length, id, key]);
    const attestation = cborMap([
      ['fmt', 'none'],
      ['attStmt', []],
      ['authData', authData],
    ]);
    return this.#answer({
      clientDataJSON: this.#clientData('webauthn.create', challenge, bent).toString('base64url'),
      attestationObject: attestation.toString('base64url'),
      transports: ['internal', 'nonsense'],
    });
  }

  /** The answer of `navigator.credentials.get`, as JSON. */
  get(options: object, bent: Bent = {}): Record<string, unknown> {
    const { challenge, rpId } = options as RequestOptions;
    const authenticatorData = this.#head(rpId, bent, 0);
    const clientData = this.#clientData('webauthn.get', challenge, bent);
    const signature = sign('sha256', Buffer.concat([authenticatorData, sha256(clientData)]), this.#privateKey);
    const userHandle = bent.userHandle === undefined ? this.#userHandle : bent.userHandle;
    return this.#answer({
      clientDataJSON: clientData.toString('base64url'),
      authenticatorData: authenticatorData.toString('base64url'),
      signature: signature.toString('base64url'),
      ...(userHandle === null ? {} : { userHandle }),
    });
  }

  #answer(response: object): Record<string, unknown> {
    return { id: this.id, rawId: this.id, type: 'public-key', clientExtensionResults: {}, response };
  }

  #clientData(type: string, challenge: string, bent: Bent): Buffer {
    const data = {
      type: bent.type ?? type,
      challenge: bent.challenge ?? challenge,
      origin: bent.origin ?? this.#origin,
    };
    return Buffer.from(JSON.stringify({ ...data, crossOrigin: false }));
  }

  #head(rpId: string, bent: Bent, more: number): Buffer {
    this.counter = bent.counter ?? this.counter + 1;
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(this.counter);
    const flags = 0x01 | (bent.userVerified === false ? 0 : 0x04) | more;
    return Buffer.concat([sha256(Buffer.from(bent.rpId ?? rpId)), Buffer.from([flags]), counter]);
  }
}

function sha256(bytes: Buffer): Buffer {
  return createHash('sha256').update(bytes).digest();
}

type Cbor = number | string | Buffer | readonly [Cbor, Cbor][];

function cborMap(entries: readonly [Cbor, Cbor][]): Buffer {
  return Buffer.concat([cborHead(5, entries.length), ...entries.flatMap(([key, value]) => [cbor(key), cbor(value)])]);
}

function cbor(value: Cbor): Buffer {
  if (typeof value === 'number') return value < 0 ? cborHead(1, -1 - value) : cborHead(0, value);
  if (typeof value === 'string') return Buffer.concat([cborHead(3, value.length), Buffer.from(value)]);
  if (Buffer.isBuffer(value)) return Buffer.concat([cborHead(2, value.length), value]);
  return cborMap(value);
}

/** RFC 8949, 3: the major type and its argument. */
function cborHead(major: number, argument: number): Buffer {
  if (argument < 24) return Buffer.from([(major << 5) | argument]);
  if (argument < 256) return Buffer.from([(major << 5) | 24, argument]);
  return Buffer.from([(major << 5) | 25, argument >> 8, argument & 255]);
}
