import { constants } from 'node:crypto';
import type { Secret } from '@sallyport/core';
import { addressOfBuffer } from '../libc.ts';
import * as ssl from './libssl.ts';
import { libssl, loadLibssl } from './libssl.ts';

type Address = number;
type Version = 'TLSv1.2' | 'TLSv1.3';

// Where things lie in the scratch memory. What is longer than DATA goes in pieces.
const POINTER = 0;
const NO_PASSWORD = 8; // a byte that stays zero
const DATA = 64;
const SCRATCH_BYTES = 65_536;
const DATA_BYTES = SCRATCH_BYTES - DATA;
/** The plaintext of a record. */
const RECORD_BYTES = 16_384;

const VERSIONS: Readonly<Record<Version, number>> = { 'TLSv1.2': 0x0303, 'TLSv1.3': 0x0304 };

/** A compressed certificate costs its sender more than the rest of the handshake, and has no length that counts. */
const NO_COMPRESSED_CERTIFICATES = 2 ** 32 + 2 ** 33; // SSL_OP_NO_TX_CERTIFICATE_COMPRESSION, SSL_OP_NO_RX_…
const OPTIONS = constants.SSL_OP_NO_TICKET + constants.SSL_OP_NO_RENEGOTIATION + NO_COMPRESSED_CERTIFICATES;

const { buffer } = new WebAssembly.Memory({ initial: 1, maximum: 1 });
/** Of this thread, and only within a call: everything secret is gone from it when that returns. */
const scratch = new Uint8Array(buffer);
const view = new DataView(buffer);
const base: Address = addressOfBuffer(buffer);

/** What OpenSSL says is wrong; it is in words. */
export class TlsError extends Error {
  override readonly name = 'TlsError';
}

export interface TlsContextOptions {
  readonly role: 'server' | 'client';
  /** PEM: what a peer's certificate has to lead to; without one it leads nowhere. */
  readonly authority?: string | undefined;
  /** PEM, the own certificate first, then what it needs to lead to an authority: no other is sent. */
  readonly certificate?: string | undefined;
  /** PEM, not encrypted. */
  readonly privateKey?: Secret<string> | undefined;
  readonly minVersion: Version;
  readonly maxVersion?: Version | undefined;
  /** For key exchanges, the best first, as OpenSSL names them and between colons; by default OpenSSL's own. */
  readonly groups?: string | undefined;
}

const freeContexts = new FinalizationRegistry<Address>((address) => {
  libssl.freeContext(address);
});

/**
 * What TLS sessions have in common. Nothing is resumed or renegotiated. Certificates are asked for and verified, and the
 * handshake goes on whatever comes of it: see {@link TlsConnection.verifyError}.
 */
export class TlsContext {
  readonly #address: Address;
  readonly #isServer: boolean;

  /** Throws a TlsError where certificate, key, authority or groups can't be used. */
  constructor(options: TlsContextOptions) {
    loadLibssl();
    this.#isServer = options.role === 'server';
    const method = this.#isServer ? libssl.serverMethod() : libssl.clientMethod();
    this.#address = clean(() => mustBe(libssl.newContext(method)));
    freeContexts.register(this, this.#address);
    clean(() => {
      this.#configure(options);
      if (options.authority) this.#trust(options.authority);
      if (options.certificate !== undefined) this.#showCertificate(options.certificate);
      if (options.privateKey !== undefined) this.#showKey(options.privateKey);
    });
  }

  open(): TlsConnection {
    return new TlsConnection(this.#address, this.#isServer);
  }

  #configure({ minVersion, maxVersion, groups }: TlsContextOptions): void {
    const context = this.#address;
    const ciphers = constants.defaultCipherList.split(':');
    const isSuite = (name: string): boolean => name.startsWith('TLS_');
    mustBe(libssl.setCipherSuites(context, ciphers.filter(isSuite).join(':')));
    mustBe(libssl.setCipherList(context, ciphers.filter((name) => !isSuite(name)).join(':')));
    mustBe(libssl.contextControl(context, ssl.SSL_CTRL_SET_MIN_PROTO_VERSION, VERSIONS[minVersion], 0));
    if (maxVersion !== undefined)
      mustBe(libssl.contextControl(context, ssl.SSL_CTRL_SET_MAX_PROTO_VERSION, VERSIONS[maxVersion], 0));
    if (groups !== undefined) this.#controlText(ssl.SSL_CTRL_SET_GROUPS_LIST, groups);
    libssl.setOptions(context, OPTIONS);
    mustBe(libssl.setTickets(context, 0));
    libssl.contextControl(context, ssl.SSL_CTRL_SET_SESS_CACHE_MODE, ssl.SSL_SESS_CACHE_OFF, 0);
    // To find the rest of its own chain OpenSSL would verify its own certificate for each session.
    const mode = ssl.SSL_MODE_NO_AUTO_CHAIN | ssl.SSL_MODE_RELEASE_BUFFERS;
    libssl.contextControl(context, ssl.SSL_CTRL_MODE, mode, 0);
    libssl.askForCertificate(context);
  }

  #trust(pem: string): void {
    const store = libssl.certificateStore(this.#address);
    for (const certificate of readCertificates(pem)) {
      const added = libssl.addToStore(store, certificate) > 0;
      if (added && this.#isServer) libssl.addClientAuthority(this.#address, certificate);
      libssl.freeCertificate(certificate);
      if (!added) throw tlsError();
    }
  }

  #showCertificate(pem: string): void {
    readCertificates(pem).forEach((certificate, i) => {
      const context = this.#address;
      const taken =
        i === 0
          ? libssl.useCertificate(context, certificate)
          : libssl.contextControl(context, ssl.SSL_CTRL_CHAIN_CERT, 1, certificate);
      libssl.freeCertificate(certificate);
      mustBe(taken);
    });
  }

  #showKey(pem: Secret<string>): void {
    const key = withText(pem.reveal(), (text) => libssl.readPrivateKey(text, 0, 0, base + NO_PASSWORD));
    const taken = libssl.usePrivateKey(this.#address, mustBe(key));
    libssl.freeKey(key);
    mustBe(taken);
    mustBe(libssl.checkPrivateKey(this.#address));
  }

  #controlText(command: number, text: string): void {
    const { written } = new TextEncoder().encodeInto(text, scratch.subarray(DATA));
    scratch[DATA + written] = 0;
    mustBe(libssl.contextControl(this.#address, command, 0, base + DATA));
  }
}

/**
 * One session: records go in and out by hand, and everything happens within the calls. To be freed; no method may be called
 * after that, nor after one has thrown but {@link takeRecords} and {@link free}.
 */
export class TlsConnection {
  readonly #session: Address;
  /** OpenSSL's, who frees them. */
  readonly #in: Address;
  readonly #out: Address;

  /** By a {@link TlsContext}. */
  constructor(context: Address, isServer: boolean) {
    this.#session = clean(() => mustBe(libssl.newSession(context)));
    this.#in = clean(() => libssl.newBuffer(libssl.memoryBuffers()));
    this.#out = clean(() => libssl.newBuffer(libssl.memoryBuffers()));
    libssl.setBuffers(this.#session, this.#in, this.#out);
    if (this.#in === 0 || this.#out === 0) {
      this.free();
      throw new TlsError('out of memory');
    }
    if (isServer) libssl.accept(this.#session);
    else libssl.connect(this.#session);
  }

  /** Takes records that came, for {@link shakeHands} and {@link read}. */
  giveRecords(records: Uint8Array): void {
    clean(() => {
      write(this.#in, records);
    });
  }

  /** Records to be sent. Undefined where there are none. */
  takeRecords(): Uint8Array | undefined {
    const pieces: Uint8Array[] = [];
    for (;;) {
      const length = libssl.readBuffer(this.#out, base + DATA, DATA_BYTES);
      if (length <= 0) break;
      pieces.push(scratch.slice(DATA, DATA + length));
      if (length < DATA_BYTES) break;
    }
    return pieces.length > 1 ? Buffer.concat(pieces) : pieces[0];
  }

  /** Goes on with the handshake: true once it is done, false where it waits for records. Throws a TlsError. */
  shakeHands(): boolean {
    return clean(() => {
      const result = libssl.shakeHands(this.#session);
      return result > 0 || this.#waits(result);
    });
  }

  /** What the peer says next. Undefined where nothing has come, null where it has closed. Throws a TlsError. */
  read(): Uint8Array | undefined | null {
    return clean(() => {
      const length = libssl.read(this.#session, base + DATA, RECORD_BYTES);
      if (length > 0) return take(length);
      if (libssl.errorOf(this.#session, length) === ssl.SSL_ERROR_ZERO_RETURN) return null;
      this.#waits(length);
      return undefined;
    });
  }

  /** Says something, in a record of its own where it fits one; only once the handshake is done. Throws a TlsError. */
  write(plaintext: Uint8Array): void {
    clean(() => {
      for (let at = 0; at < plaintext.length; at += RECORD_BYTES) {
        const piece = plaintext.subarray(at, at + RECORD_BYTES);
        scratch.set(piece, DATA);
        const result = libssl.write(this.#session, base + DATA, piece.length);
        scratch.fill(0, DATA, DATA + piece.length);
        if (result <= 0) throw tlsError('nothing can be said yet');
      }
    });
  }

  /** Keying material (RFC 5705) without context, which is not the same as with an empty one. Throws a TlsError. */
  exportKey(label: string, bytes: number): Uint8Array {
    if (bytes > DATA_BYTES) throw new RangeError('too much keying material');
    return clean(() => {
      mustBe(libssl.exportKey(this.#session, base + DATA, bytes, label, Buffer.byteLength(label), 0, 0, 0));
      return take(bytes);
    });
  }

  /** The peer's own, DER, verified or not. Undefined where it has shown none. */
  peerCertificate(): Uint8Array | undefined {
    const certificate = libssl.peerCertificate(this.#session);
    if (certificate === 0) return undefined;
    return clean(() => {
      const length = libssl.writeCertificate(certificate, 0);
      if (length <= 0 || length > DATA_BYTES) return undefined;
      view.setBigUint64(POINTER, BigInt(base + DATA), true);
      libssl.writeCertificate(certificate, base + POINTER);
      return scratch.slice(DATA, DATA + length);
    });
  }

  /** What is wrong with the peer's certificate, in words. Undefined where nothing is, and where there is none. */
  verifyError(): string | undefined {
    const result = libssl.verifyResult(this.#session);
    return result === ssl.X509_V_OK ? undefined : libssl.verifyText(result);
  }

  free(): void {
    libssl.freeSession(this.#session);
  }

  /** False, or it throws what went wrong instead. */
  #waits(result: number): false {
    if (libssl.errorOf(this.#session, result) === ssl.SSL_ERROR_WANT_READ) return false;
    throw tlsError();
  }
}

/** Moves bytes out of the scratch memory. */
function take(length: number): Uint8Array {
  const end = DATA + length;
  const bytes = scratch.slice(DATA, end);
  scratch.fill(0, DATA, end);
  return bytes;
}

/** Writes to one of OpenSSL's buffers, which take everything. */
function write(to: Address, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; at += DATA_BYTES) {
    const piece = bytes.subarray(at, at + DATA_BYTES);
    scratch.set(piece, DATA);
    const written = libssl.writeBuffer(to, base + DATA, piece.length);
    scratch.fill(0, DATA, DATA + piece.length);
    if (written !== piece.length) throw tlsError('out of memory');
  }
}

/** Reads from a text as from a file. OpenSSL erases what it held of it. */
function withText<T>(text: string, read: (from: Address) => T): T {
  const from = mustBe(libssl.newBuffer(libssl.memoryBuffers()));
  const bytes = new TextEncoder().encode(text);
  try {
    write(from, bytes);
    return read(from);
  } finally {
    bytes.fill(0);
    libssl.freeBuffer(from);
  }
}

/** All certificates of a text, at least one, the caller's to free. */
function readCertificates(pem: string): Address[] {
  return withText(pem, (text) => {
    const certificates: Address[] = [];
    for (;;) {
      const certificate = libssl.readCertificate(text, 0, 0, base + NO_PASSWORD);
      if (certificate === 0) break;
      certificates.push(certificate);
    }
    // What ends them is the text, and no certificate that can't be read.
    if (certificates.length > 0 && libssl.lastError() === ssl.PEM_NO_START_LINE) return certificates;
    for (const certificate of certificates) libssl.freeCertificate(certificate);
    throw tlsError('no certificate');
  });
}

/**
 * Calls OpenSSL with no error noted, neither before nor after. They are noted by thread, not by session, and what asks how a
 * session fares takes any for its own: here, and in node:tls, which would end another connection for it.
 */
function clean<T>(call: () => T): T {
  libssl.clearErrors();
  try {
    return call();
  } finally {
    libssl.clearErrors();
  }
}

/** An address or a status, neither of which may be 0. */
function mustBe(result: number): number {
  if (result <= 0) throw tlsError();
  return result;
}

/** What OpenSSL noted last. */
function tlsError(otherwise = 'TLS failed'): TlsError {
  const error = libssl.lastError();
  return new TlsError((error === 0 ? undefined : libssl.reasonOf(error)) ?? otherwise);
}
