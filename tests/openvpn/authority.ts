// An authority of OpenVPN's for tests, and certificates by it: good ones, and those that must not do.
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  X509CertificateGenerator,
  type X509Certificate,
} from '@peculiar/x509';
import { Secret } from '@sallyport/core';

const DAY_MS = 86_400_000;
const ELLIPTIC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const RSA = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  publicExponent: Uint8Array.of(1, 0, 1),
  modulusLength: 2048,
} as const;

export interface Issued {
  /** PEM. */
  readonly certificate: string;
  readonly privateKey: Secret<string>;
  /** SHA-256 of the DER, hexadecimal. */
  readonly sha256: string;
}

export interface IssueOptions {
  readonly usage: 'server' | 'client';
  readonly rsa?: boolean;
  /** Days from now, by default a year; below 0 it has expired. */
  readonly days?: number;
}

export class TestAuthority {
  /** PEM. */
  readonly certificate: string;
  readonly #parsed: X509Certificate;
  readonly #key: webcrypto.CryptoKey;
  #serial = 1;

  private constructor(parsed: X509Certificate, key: webcrypto.CryptoKey) {
    this.#parsed = parsed;
    this.#key = key;
    this.certificate = pem(parsed);
  }

  static async make(name = 'Test authority'): Promise<TestAuthority> {
    const keys = await webcrypto.subtle.generateKey(ELLIPTIC, true, ['sign', 'verify']);
    const parsed = await X509CertificateGenerator.createSelfSigned({
      serialNumber: '01',
      name: [{ CN: [name] }],
      notBefore: new Date(Date.now() - 400 * DAY_MS),
      notAfter: new Date(Date.now() + 400 * DAY_MS),
      signingAlgorithm: ELLIPTIC,
      keys,
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      ],
    });
    return new TestAuthority(parsed, keys.privateKey);
  }

  async issue(name: string, { usage, rsa = false, days = 365 }: IssueOptions): Promise<Issued> {
    const keys = rsa
      ? await webcrypto.subtle.generateKey(RSA, true, ['sign', 'verify'])
      : await webcrypto.subtle.generateKey(ELLIPTIC, true, ['sign', 'verify']);
    const parsed = await X509CertificateGenerator.create({
      serialNumber: (++this.#serial).toString(16).padStart(4, '0'),
      subject: [{ CN: [name] }],
      issuer: this.#parsed.subjectName,
      notBefore: new Date(Date.now() - 300 * DAY_MS),
      notAfter: new Date(Date.now() + days * DAY_MS),
      signingAlgorithm: ELLIPTIC,
      signingKey: this.#key,
      publicKey: keys.publicKey,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage[`${usage}Auth`]]),
      ],
    });
    return issued(parsed, keys.privateKey);
  }
}

/** A certificate by nobody, with this text in an extension that nobody knows. */
export async function selfSigned(text: string): Promise<Issued> {
  const keys = await webcrypto.subtle.generateKey(ELLIPTIC, true, ['sign', 'verify']);
  const parsed = await X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: [{ CN: ['by nobody'] }],
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + DAY_MS),
    signingAlgorithm: ELLIPTIC,
    keys,
    extensions: [new Extension('1.3.6.1.4.1.99999.1', false, Buffer.from(text))],
  });
  return issued(parsed, keys.privateKey);
}

async function issued(parsed: X509Certificate, privateKey: webcrypto.CryptoKey): Promise<Issued> {
  const key = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', privateKey)).toString('base64');
  const lines = key.match(/.{1,64}/g) ?? [];
  const digest = await webcrypto.subtle.digest('SHA-256', parsed.rawData);
  return {
    certificate: pem(parsed),
    privateKey: new Secret(['-----BEGIN PRIVATE KEY-----', ...lines, '-----END PRIVATE KEY-----', ''].join('\n')),
    sha256: Buffer.from(digest).toString('hex'),
  };
}

function pem(certificate: X509Certificate): string {
  return `${certificate.toString('pem').trim()}\n`;
}
