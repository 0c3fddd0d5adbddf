import { constants, randomBytes, type X509Certificate } from 'node:crypto';
import { Duplex } from 'node:stream';
import { connect, createSecureContext, TLSSocket, type SecureContext } from 'node:tls';
import type { Secret } from '@sallyport/core';
import type { TlsEngine, TlsOutput, TlsSession } from '@sallyport/openvpn';

/** Bytes of records that may wait for OpenSSL to take them: it takes them at once, so more is a fault. */
const MAX_WAITING_BYTES = 256 * 1024;
/**
 * Bytes of records that a client's handshake may take: its hello, a certificate of any sane key, its signature. OpenSSL
 * verifies all certificates that it is shown, wherever they lead, and the thread stands still for it.
 */
const MAX_HANDSHAKE_BYTES = 6 * 1024;
/** Bytes of records that a client may send by one TLS session: it logs in, and says a few short things. */
const MAX_CLIENT_BYTES = 64 * 1024;
/** Records wait for those that follow them in a moment, until there are so many bytes. */
const MAX_JOINED_BYTES = 4096;
const MAX_REASON_LENGTH = 200;

export interface NodeTlsOptions {
  readonly role: 'server' | 'client';
  /** PEM, one or several: what the peer's certificate has to lead to. Undefined: {@link check} decides alone. */
  readonly authority: string | undefined;
  /** PEM, with what it needs to lead to the authority. A server has both. */
  readonly certificate?: string | undefined;
  readonly privateKey?: Secret<string> | undefined;
  readonly minVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined;
  readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3' | undefined;
  /** What else is wrong with the peer's certificate, in words. Called after it was verified against the authority. */
  readonly check?: ((certificate: X509Certificate) => string | undefined) | undefined;
}

/** Gives what sessions make to the protocol, never from within a call of theirs. */
export type TellTlsOutput = (id: number, output: TlsOutput) => void;

/**
 * TLS by `node:tls`, over whatever carries its records. A server asks for a certificate and goes on without a good one: what
 * that means is the caller's to say, and so the peer hears what is wrong. A client takes only a verified server.
 */
export class NodeTls implements TlsEngine {
  readonly #tell: TellTlsOutput;
  #options: NodeTlsOptions;
  #context: SecureContext;

  /** Throws where certificate, key or authority can't be used. */
  constructor(options: NodeTlsOptions, tell: TellTlsOutput) {
    this.#options = options;
    this.#context = contextOf(options);
    this.#tell = tell;
  }

  /** Other certificates for the sessions from now on; throws as the constructor does, and changes nothing then. */
  configure(options: NodeTlsOptions): void {
    this.#context = contextOf(options);
    this.#options = options;
  }

  open(id: number): TlsSession {
    return new NodeTlsSession(id, this.#options, this.#context, this.#tell);
  }
}

function contextOf({ authority, certificate, privateKey, minVersion, maxVersion }: NodeTlsOptions): SecureContext {
  return createSecureContext({
    // An empty list is nobody; leaving it out would be everybody that browsers trust.
    ca: authority ?? [],
    cert: certificate,
    key: privateKey?.reveal(),
    minVersion: minVersion ?? 'TLSv1.2',
    maxVersion,
    // Each session proves itself anew, once.
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  });
}

class NodeTlsSession implements TlsSession {
  readonly #id: number;
  readonly #tell: TellTlsOutput;
  readonly #check: NodeTlsOptions['check'];
  readonly #verifies: boolean;
  readonly #isServer: boolean;
  readonly #carrier: Duplex;
  readonly #socket: TLSSocket;
  #outputs: TlsOutput[] = [];
  #telling = false;
  /** Records that were not told of yet. */
  #made: Uint8Array[] = [];
  #madeBytes = 0;
  /** They are the session tickets of TLS 1.3, which nobody waits for, and go with what is said next. */
  #onlyTickets = false;
  /** Plaintext that waits for what was said before it to be a record. */
  #unsent: Uint8Array[] = [];
  #sending = false;
  #receivedBytes = 0;
  /** Records that came behind the bytes that a handshake may take. */
  #held: Uint8Array[] | undefined;
  #isSecure = false;
  #ended = false;
  #closed = false;

  constructor(id: number, options: NodeTlsOptions, secureContext: SecureContext, tell: TellTlsOutput) {
    this.#id = id;
    this.#tell = tell;
    this.#check = options.check;
    this.#verifies = options.authority !== undefined;
    this.#isServer = options.role === 'server';
    this.#carrier = new Duplex({
      read: () => undefined,
      write: (bytes: Buffer, _encoding, done) => {
        this.#records(bytes);
        done();
      },
      writev: (chunks, done) => {
        this.#records(Buffer.concat(chunks.map(({ chunk }) => chunk as Buffer)));
        done();
      },
    });
    const common = { secureContext, rejectUnauthorized: false } as const;
    if (this.#isServer) {
      this.#socket = new TLSSocket(this.#carrier, { ...common, isServer: true, requestCert: true });
      this.#socket.once('secure', () => {
        this.#secure();
      });
    } else {
      this.#socket = connect({ ...common, socket: this.#carrier, checkServerIdentity: () => undefined });
      this.#socket.once('secureConnect', () => {
        this.#secure();
      });
    }
    this.#socket.on('data', (bytes: Buffer) => {
      this.#output({ kind: 'plaintext', bytes: new Uint8Array(bytes) });
    });
    this.#socket.on('error', (error: Error & { code?: unknown }) => {
      this.#end(typeof error.code === 'string' ? error.code : error.message);
    });
    this.#socket.on('close', () => {
      this.#end('closed by the peer');
    });
  }

  receive(records: Uint8Array): void {
    if (this.#ended || this.#closed) return;
    this.#receivedBytes += records.length;
    if (this.#isServer && this.#receivedBytes > MAX_CLIENT_BYTES) this.#end('too much was sent');
    else if (this.#isServer && !this.#isSecure && this.#receivedBytes > MAX_HANDSHAKE_BYTES)
      this.#hold(new Uint8Array(records));
    else this.#give(records);
  }

  send(plaintext: Uint8Array): void {
    if (this.#ended || this.#closed) return;
    this.#unsent.push(new Uint8Array(plaintext));
    this.#sendNext();
  }

  exportKey(label: string, bytes: number): Uint8Array {
    // It may have ended a moment ago, which the caller is told next: until then, a key that nobody else has.
    if (this.#socket.destroyed) return randomBytes(bytes);
    // Without context, which is not the same as with an empty one (RFC 5705 section 4), whatever the types say.
    return this.#socket.exportKeyingMaterial(bytes, label, undefined as unknown as Buffer);
  }

  close(): void {
    this.#closed = true;
    this.#outputs = [];
    this.#made = [];
    this.#destroy();
  }

  #give(records: Uint8Array): void {
    this.#carrier.push(new Uint8Array(records));
    if (this.#carrier.readableLength > MAX_WAITING_BYTES) this.#end('too many records wait');
  }

  /**
   * Gives what came behind a handshake's bytes to OpenSSL once the handshake is done: a client goes on without waiting. What
   * OpenSSL has makes it secure within a turn of the event loop, or never.
   */
  #hold(records: Uint8Array): void {
    if (this.#held !== undefined) {
      this.#held.push(records);
      return;
    }
    this.#held = [records];
    setImmediate(() => {
      if (!this.#isSecure) this.#end('the handshake is too long');
    });
  }

  /** One record for each `send`: written together they would share one, which OpenVPN 2 cuts after 2,048 bytes. */
  #sendNext(): void {
    const next = this.#sending ? undefined : this.#unsent.shift();
    if (next === undefined) return;
    this.#sending = true;
    this.#onlyTickets = false;
    this.#socket.write(next, () => {
      this.#sending = false;
      if (!this.#ended && !this.#closed) this.#sendNext();
    });
  }

  #secure(): void {
    this.#isSecure = true;
    this.#onlyTickets = this.#isServer && !this.#sending && this.#socket.getProtocol() === 'TLSv1.3';
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const records of held) this.#give(records);
    const certificate = this.#socket.getPeerX509Certificate();
    const wrong = this.#whatIsWrong(certificate);
    if (wrong !== undefined && !this.#isServer) this.#end(wrong);
    else {
      const good = wrong === undefined ? certificate : undefined;
      this.#output({ kind: 'secure', certificate: good && new Uint8Array(good.raw) });
    }
  }

  #whatIsWrong(certificate: X509Certificate | undefined): string | undefined {
    if (certificate === undefined) return 'no certificate was shown';
    return (this.#verifies ? this.#verifyError() : undefined) ?? this.#check?.(certificate);
  }

  /**
   * What OpenSSL found when it verified the peer's certificate. Node asks a server's in the same way and keeps it for its
   * own servers; nobody to ask counts as a fault.
   */
  #verifyError(): string | undefined {
    const socket = this.#socket;
    if (!this.#isServer) return socket.authorized ? undefined : messageOf(socket.authorizationError);
    const { ssl } = socket as unknown as {
      ssl?: { verifyError?: () => (Error & { code?: string }) | null | undefined };
    };
    if (ssl?.verifyError === undefined) return 'the certificate could not be verified';
    const error = ssl.verifyError();
    return error === null || error === undefined ? undefined : messageOf(error.code ?? error);
  }

  #records(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#output({ kind: 'records', bytes });
  }

  #end(reason: string): void {
    if (this.#ended) return;
    this.#output({ kind: 'ended', reason: reason.slice(0, MAX_REASON_LENGTH) });
    this.#ended = true;
    this.#destroy();
  }

  #destroy(): void {
    this.#held = undefined;
    this.#unsent = [];
    this.#socket.destroy();
    this.#carrier.destroy();
  }

  #output(output: TlsOutput): void {
    if (this.#ended || this.#closed) return;
    this.#outputs.push(output);
    if (this.#telling) return;
    this.#telling = true;
    queueMicrotask(() => {
      this.#tellAll();
    });
  }

  /** Tells what there is to tell, and last the records of all of it, so that they share packets. */
  #tellAll(): void {
    for (let next = this.#outputs.shift(); next !== undefined; next = this.#outputs.shift()) {
      if (next.kind === 'records') {
        this.#made.push(next.bytes);
        this.#madeBytes += next.bytes.length;
        continue;
      }
      // An alert comes before the end that it brings.
      if (next.kind === 'ended') this.#tellRecords();
      if (!this.#closed) this.#tell(this.#id, next);
      if (this.#closed) return;
    }
    this.#telling = false;
    const more = this.#onlyTickets || this.#unsent.length > 0;
    if (!more || this.#madeBytes >= MAX_JOINED_BYTES) this.#tellRecords();
  }

  #tellRecords(): void {
    const made = this.#made;
    if (made.length === 0) return;
    this.#made = [];
    this.#madeBytes = 0;
    this.#tell(this.#id, { kind: 'records', bytes: made.length === 1 ? made[0] : Buffer.concat(made) });
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : typeof error === 'string' ? error : 'not verified';
}
