/** DER (ITU-T X.690), as far as a certificate (RFC 5280 section 4.1) needs it. */
import { randomBytes } from 'node:crypto';

export const INTEGER = 0x02;
export const BIT_STRING = 0x03;
export const UTC_TIME = 0x17;
export const GENERALIZED_TIME = 0x18;
export const SEQUENCE = 0x30;
const UTF8_STRING = 0x0c;
const SET = 0x31;

/** id-at-commonName, 2.5.4.3. */
const COMMON_NAME = Buffer.from('0603550403', 'hex');
const SERIAL_BYTES = 16;

/** One value: tag, length, content. The content has at most 65,535 bytes. */
export function der(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  const length =
    body.length < 0x80
      ? [body.length]
      : body.length < 0x100
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...length), body]);
}

/** A distinguished name of one common name. */
export function derName(commonName: string): Buffer {
  return der(SEQUENCE, der(SET, der(SEQUENCE, COMMON_NAME, der(UTF8_STRING, Buffer.from(commonName, 'utf8')))));
}

/** A random serial number. */
export function derSerial(): Buffer {
  const serial = randomBytes(SERIAL_BYTES);
  // Positive, and without a leading zero.
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return der(INTEGER, serial);
}

/** A certificate as PEM, from what is signed, the algorithm, and the signature. */
export function pemCertificate(toBeSigned: Buffer, algorithm: Buffer, signature: Buffer): string {
  const signed = der(SEQUENCE, toBeSigned, algorithm, der(BIT_STRING, Buffer.of(0), signature));
  const lines = signed.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}
