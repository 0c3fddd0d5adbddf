/**
 * The authority of OpenVPN's certificates: those of gateways and of devices. Its key, the one that the keys of profiles are
 * wrapped with and the one that login tokens are signed with are made when the first gateway offers OpenVPN or the first
 * device of it is added, and lie sealed in the database. Private keys of gateways and devices never come here:
 * certificates are issued for public ones.
 */
// The library is put together by decorators and wants this first.
import 'reflect-metadata';
import { createPrivateKey, generateKeyPairSync, randomBytes, X509Certificate, type KeyObject } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PublicKey,
  SubjectKeyIdentifierExtension,
  X509Certificate as Parsed,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { Secret } from '@sallyport/core';
import { sealedSecret } from '../store/secrets.ts';
import type { Store } from '../store/store.ts';
import { SERVER_KEY_BYTES } from './client-key.ts';

const DAY_MS = 86_400_000;
/** A profile holds the authority's certificate: when it ends, all of them do. */
const AUTHORITY_DAYS = 20 * 365;
const DEVICE_DAYS = 365;
const GATEWAY_DAYS = 365;
/** A gateway gets another certificate when so little is left of its own. */
const RENEW_GATEWAY_DAYS = 90;
/** Clocks differ: certificates count from a while before they are made. */
const BACKDATED_MS = DAY_MS;
const SERIAL_BYTES = 16;

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** How the common name of a gateway's certificate begins; profiles have clients look for it. */
export const GATEWAY_NAME_PREFIX = 'sallyport-gateway-';

export interface IssuedCertificate {
  readonly pem: string;
  /** Of the DER, hexadecimal. */
  readonly sha256: string;
  /** Unix milliseconds. */
  readonly expiresAt: number;
}

const authorities = new WeakMap<Store, Promise<OpenVpnAuthority>>();

/** The service's own, the same at every control node; not to be called within `store.write`, which it may need itself. */
export function openVpnAuthority(store: Store): Promise<OpenVpnAuthority> {
  let authority = authorities.get(store);
  if (authority === undefined) {
    authority = OpenVpnAuthority.open(store);
    authorities.set(store, authority);
    authority.catch(() => authorities.delete(store));
  }
  return authority;
}

export class OpenVpnAuthority {
  /** PEM. */
  readonly certificate: string;
  /** What the keys of profiles are wrapped with; see {@link wrapClientKey}. */
  readonly clientKey: Secret<Buffer>;
  /** What login tokens are signed with: Ed25519, private. No gateway has it. */
  readonly tokenKey: KeyObject;
  readonly #parsed: Parsed;
  readonly #key: CryptoKey;

  private constructor(
    certificate: string,
    key: CryptoKey,
    { clientKey, tokenKey }: Pick<OpenVpnAuthority, 'clientKey' | 'tokenKey'>,
  ) {
    this.certificate = certificate;
    this.#parsed = new Parsed(certificate);
    this.#key = key;
    this.clientKey = clientKey;
    this.tokenKey = tokenKey;
  }

  static async open(store: Store): Promise<OpenVpnAuthority> {
    // The authority last: where there is a certificate of it, nothing of this has to be written any more.
    const clientKey = await sealedSecret(store, 'openvpn-client-key', () => randomBytes(SERVER_KEY_BYTES));
    const sealedToken = await sealedSecret(store, 'openvpn-token-key', () =>
      generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'der' }),
    );
    const tokenKey = createPrivateKey({ key: sealedToken.reveal(), type: 'pkcs8', format: 'der' });
    const fresh = await makeAuthority(store.now());
    const sealed = await sealedSecret(store, 'openvpn-authority', () => Buffer.from(JSON.stringify(fresh)));
    const kept = JSON.parse(sealed.reveal().toString()) as typeof fresh;
    const bytes = Buffer.from(kept.privateKey, 'base64');
    const key = await crypto.subtle.importKey('pkcs8', bytes, ALGORITHM, false, ['sign']);
    return new OpenVpnAuthority(kept.certificate, key, { clientKey, tokenKey });
  }

  /** For a device, by a public key (SPKI) that was checked. */
  issueForDevice(deviceId: string, publicKey: Uint8Array, now: number): Promise<IssuedCertificate> {
    return this.#issue(deviceId, publicKey, ExtendedKeyUsage.clientAuth, now, DEVICE_DAYS);
  }

  /** For a gateway, by a public key (SPKI) that was checked. */
  issueForGateway(gatewayId: string, publicKey: Uint8Array, now: number): Promise<IssuedCertificate> {
    return this.#issue(GATEWAY_NAME_PREFIX + gatewayId, publicKey, ExtendedKeyUsage.serverAuth, now, GATEWAY_DAYS);
  }

  async #issue(
    name: string,
    spki: Uint8Array,
    usage: ExtendedKeyUsage,
    now: number,
    days: number,
  ): Promise<IssuedCertificate> {
    const publicKey = new PublicKey(Uint8Array.from(spki));
    const notAfter = new Date(Math.min(wholeSecond(now + days * DAY_MS), this.#parsed.notAfter.getTime()));
    const certificate = await X509CertificateGenerator.create({
      serialNumber: newSerial(),
      subject: [{ CN: [name] }],
      issuer: this.#parsed.subjectName,
      notBefore: new Date(wholeSecond(now - BACKDATED_MS)),
      notAfter,
      signingAlgorithm: ALGORITHM,
      signingKey: this.#key,
      publicKey,
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([usage]),
        await SubjectKeyIdentifierExtension.create(publicKey),
        await AuthorityKeyIdentifierExtension.create(this.#parsed),
      ],
    });
    return { pem: pemOf(certificate), sha256: sha256Of(certificate), expiresAt: notAfter.getTime() };
  }
}

/** Whether a gateway's certificate is to be made anew by now. */
export function isGatewayCertificateDue(expiresAt: number, now: number): boolean {
  return expiresAt - now < RENEW_GATEWAY_DAYS * DAY_MS;
}

async function makeAuthority(now: number): Promise<{ readonly certificate: string; readonly privateKey: string }> {
  const keys = await crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    // Another service's has another name: some programs find authorities by it alone.
    name: [{ CN: [`Sallyport OpenVPN authority ${randomBytes(4).toString('hex')}`] }],
    notBefore: new Date(wholeSecond(now - BACKDATED_MS)),
    notAfter: new Date(wholeSecond(now + AUTHORITY_DAYS * DAY_MS)),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const privateKey = Buffer.from(await crypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return { certificate: pemOf(certificate), privateKey };
}

/** Positive and without a leading zero byte (RFC 5280, section 4.1.2.2). */
function newSerial(): string {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes[0] = (bytes[0] & 0x3f) | 0x40;
  return bytes.toString('hex');
}

/** Certificates know no fractions of a second. */
function wholeSecond(milliseconds: number): number {
  return Math.floor(milliseconds / 1000) * 1000;
}

function pemOf(certificate: Parsed): string {
  return `${certificate.toString('pem').trim()}\n`;
}

function sha256Of(certificate: Parsed): string {
  return new X509Certificate(Buffer.from(certificate.rawData)).fingerprint256.replaceAll(':', '').toLowerCase();
}
