import { randomBytes, X509Certificate } from 'node:crypto';
import type { Secret } from '@sallyport/core';
import { TlsContext, TlsError, type TlsConnection } from '@sallyport/io';
import type { TlsEngine, TlsOutput, TlsSession } from '@sallyport/openvpn';

/**
 * Bytes of records that a client's handshake may take: its hello, a certificate of any sane key, its signature. OpenSSL
 * verifies all certificates that it is shown, wherever they lead, and the thread stands still for it.
 */
const MAX_HANDSHAKE_BYTES = 6 * 1024;
/** Bytes of records that a client may send by one TLS session: it logs in, and says a few short things. */
const MAX_CLIENT_BYTES = 64 * 1024;
const MAX_REASON_LENGTH = 200;

export interface OpenSslTlsOptions {
  readonly role: 'server' | 'client';
  /** PEM, one or several: what the peer's certificate has to lead to. Undefined: {@link check} decides alone. */
  readonly authority: string | undefined;
  /** PEM, with what it needs to lead to the authority. A server has both. */
  readonly certificate?: string | undefined;
  readonly privateKey?: Secret<string> | undefined;
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined;
  readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined;
  /** For key exchanges, as OpenSSL names them; by default its own. */
  readonly groups?: string | undefined;
  /** What else is wrong with the peer's certificate, in words. Called after it was verified against the authority. */
  readonly check?: ((certificate: X509Certificate) => string | undefined) | undefined;
}

/** Gives what sessions make to the protocol, never from within a call of theirs. */
export type TellTlsOutput = (id: number, output: TlsOutput) => void;

/**
 * TLS by OpenSSL, over whatever carries its records. A server asks for a certificate and goes on without a good one: what
 * that means is the caller's to say, and so the peer hears what is wrong. A client takes only a verified server.
 */
export class OpenSslTls implements TlsEngine {
  readonly #tell: TellTlsOutput;
  #options: OpenSslTlsOptions;
  #context: TlsContext;

  /** Throws where certificate, key or authority can't be used. */
  constructor(options: OpenSslTlsOptions, tell: TellTlsOutput) {
    this.#options = options;
    this.#context = contextOf(options);
    this.#tell = tell;
  }

  /** Other certificates for the sessions from now on; throws as the constructor does, and changes nothing then. */
  configure(options: OpenSslTlsOptions): void {
    this.#context = contextOf(options);
    this.#options = options;
  }

  open(id: number): TlsSession {
    return new OpenSslTlsSession(id, this.#options, this.#context.open(), this.#tell);
  }
}

function contextOf(options: OpenSslTlsOptions): TlsContext {
  return new TlsContext({ ...options, minVersion: options.minVersion ?? 'TLSv1.2' });
}

class OpenSslTlsSession implements TlsSession {
  readonly #id: number;
  readonly #tell: TellTlsOutput;
  readonly #options: OpenSslTlsOptions;
  readonly #isServer: boolean;
  /** Undefined once it has ended or was closed. */
  #connection: TlsConnection | undefined;
  #outputs: TlsOutput[] = [];
  #telling = false;
  #receivedBytes = 0;
  #isSecure = false;
  #closed = false;

  constructor(id: number, options: OpenSslTlsOptions, connection: TlsConnection, tell: TellTlsOutput) {
    this.#id = id;
    this.#tell = tell;
    this.#options = options;
    this.#isServer = options.role === 'server';
    this.#connection = connection;
    if (!this.#isServer) this.#goOn();
  }

  receive(records: Uint8Array): void {
    if (this.#connection === undefined) return;
    const spare = MAX_HANDSHAKE_BYTES - this.#receivedBytes;
    this.#receivedBytes += records.length;
    if (!this.#isServer) {
      this.#goOn(records);
      return;
    }
    if (this.#receivedBytes > MAX_CLIENT_BYTES) {
      this.#end('too much was sent');
      return;
    }
    // A client goes on without waiting: what comes behind a handshake's bytes is looked at once that is done.
    const first = this.#isSecure ? records.length : Math.max(0, Math.min(spare, records.length));
    if (first > 0) this.#goOn(records.subarray(0, first));
    if (first === records.length) return;
    if (this.#isSecure) this.#goOn(records.subarray(first));
    else this.#end('the handshake is too long');
  }

  send(plaintext: Uint8Array): void {
    try {
      this.#connection?.write(plaintext);
      this.#tellSoon();
    } catch (error) {
      this.#fail(error);
    }
  }

  exportKey(label: string, bytes: number): Uint8Array {
    // It may have ended a moment ago, which the caller is told next: until then, a key that nobody else has.
    return this.#connection?.exportKey(label, bytes) ?? randomBytes(bytes);
  }

  close(): void {
    this.#closed = true;
    this.#outputs = [];
    this.#free();
  }

  /** Gives OpenSSL records, if any, and has it do what it can. */
  #goOn(records?: Uint8Array): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    try {
      this.#tellSoon();
      if (records !== undefined) connection.giveRecords(records);
      if (!this.#isSecure) {
        if (!connection.shakeHands()) return;
        this.#secure(connection);
      }
      while (this.#connection !== undefined) {
        const bytes = connection.read();
        if (bytes === undefined) return;
        if (bytes === null) this.#end('closed by the peer');
        else this.#outputs.push({ kind: 'plaintext', bytes });
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #secure(connection: TlsConnection): void {
    this.#isSecure = true;
    const certificate = connection.peerCertificate();
    const wrong = this.#whatIsWrong(connection, certificate);
    if (wrong !== undefined && !this.#isServer) this.#end(wrong);
    else this.#outputs.push({ kind: 'secure', certificate: wrong === undefined ? certificate : undefined });
  }

  #whatIsWrong(connection: TlsConnection, certificate: Uint8Array | undefined): string | undefined {
    if (certificate === undefined) return 'no certificate was shown';
    const { authority, check } = this.#options;
    const notVerified = authority === undefined ? undefined : connection.verifyError();
    if (notVerified !== undefined || check === undefined) return notVerified;
    try {
      const parsed = new X509Certificate(certificate);
      // Node takes PEM wherever it finds it, and so another certificate that stands in an extension of this one.
      if (!parsed.raw.equals(certificate)) return 'the certificate is ambiguous';
      return check(parsed);
    } catch {
      return 'the certificate could not be checked';
    }
  }

  #fail(error: unknown): void {
    if (!(error instanceof TlsError)) throw error;
    this.#end(error.message);
  }

  /** An alert comes before the end that it brings. */
  #end(reason: string): void {
    if (this.#connection === undefined) return;
    this.#takeRecords();
    this.#outputs.push({ kind: 'ended', reason: reason.slice(0, MAX_REASON_LENGTH) });
    this.#free();
    this.#tellSoon();
  }

  #free(): void {
    this.#connection?.free();
    this.#connection = undefined;
  }

  #takeRecords(): void {
    const bytes = this.#connection?.takeRecords();
    if (bytes !== undefined) this.#outputs.push({ kind: 'records', bytes });
  }

  #tellSoon(): void {
    if (this.#telling || this.#closed) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#tellAll();
    });
  }

  /** Tells what there is to tell, and last the records of all of it, so that they share packets. */
  #tellAll(): void {
    for (;;) {
      if (this.#outputs.length === 0) this.#takeRecords();
      const next = this.#outputs.shift();
      if (next === undefined) break;
      this.#tell(this.#id, next);
    }
    this.#telling = false;
  }
}
