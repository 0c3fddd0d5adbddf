import { X509Certificate } from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { Secret } from '@sallyport/core';

/** What a TLS server shows and signs with: the certificate with its chain, and the private key; PEM. */
export interface Certificate {
  readonly chain: string;
  readonly key: Secret<string>;
}

/** Where the web server's certificate comes from; it may become another one at any time. */
export interface CertificateSource {
  readonly current: Certificate;
  onChange(listener: (certificate: Certificate) => void): void;
  close(): void;
}

/** A certificate can't be used; the message says why. */
export class CertificateError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CertificateError';
  }
}

/** Checks that chain and key can be read, belong together, and are valid at `now` (Unix milliseconds). */
export function checkCertificate(certificate: Certificate, now: number): void {
  try {
    createSecureContext({ cert: certificate.chain, key: certificate.key.reveal() });
  } catch (error) {
    // OpenSSL's words name neither the key nor its bytes.
    const reason = error instanceof Error ? error.message : 'unreadable';
    throw new CertificateError(`certificate and key can't be used: ${reason}`, { cause: error });
  }
  const { validFromDate, validToDate } = new X509Certificate(certificate.chain);
  if (validToDate.getTime() <= now) {
    throw new CertificateError(`the certificate expired on ${validToDate.toISOString()}; renew it`);
  }
  if (validFromDate.getTime() > now) {
    throw new CertificateError(
      `the certificate is valid from ${validFromDate.toISOString()} on only; is this machine's clock right?`,
    );
  }
}

/** SHA-256 of the first certificate, as browsers and OpenSSL show it: hexadecimal, with colons. */
export function fingerprintOf(certificate: Certificate): string {
  return new X509Certificate(certificate.chain).fingerprint256;
}

const CHAIN_FILE = 'certificate.pem';
const KEY_FILE = 'key.pem';

/** The certificate kept in `folder`, or undefined where there is none. */
export async function loadCertificate(folder: string): Promise<Certificate | undefined> {
  try {
    const [chain, key] = await Promise.all([
      readFile(join(folder, CHAIN_FILE), 'utf8'),
      readFile(join(folder, KEY_FILE), 'utf8'),
    ]);
    return { chain, key: new Secret(key) };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Keeps a certificate in `folder`. A crash between the two files leaves a pair that {@link checkCertificate} refuses. */
export async function storeCertificate(folder: string, certificate: Certificate): Promise<void> {
  await writeDurably(join(folder, KEY_FILE), certificate.key.reveal());
  await writeDurably(join(folder, CHAIN_FILE), certificate.chain);
}

/** Replaces a file that only its owner may read, as a whole. */
export async function writeDurably(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.new`;
  const file = await open(temporary, 'w', 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

/** A certificate that is handed over, and may be again. */
export class HandedCertificate implements CertificateSource {
  #current: Certificate;
  readonly #listeners: ((certificate: Certificate) => void)[] = [];

  /** Throws {@link CertificateError}. */
  constructor(certificate: Certificate, now: number) {
    checkCertificate(certificate, now);
    this.#current = certificate;
  }

  get current(): Certificate {
    return this.#current;
  }

  /** Throws {@link CertificateError}, and keeps the one that it has. */
  replace(certificate: Certificate, now: number): void {
    checkCertificate(certificate, now);
    this.#current = certificate;
    for (const listener of this.#listeners) listener(certificate);
  }

  onChange(listener: (certificate: Certificate) => void): void {
    this.#listeners.push(listener);
  }

  close(): void {
    this.#listeners.length = 0;
  }
}
