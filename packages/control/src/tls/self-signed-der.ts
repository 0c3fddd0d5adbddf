import { createPublicKey, randomBytes, sign, type KeyObject } from 'node:crypto';
import { isIPv4, isIPv6 } from 'node:net';

// DER (ITU-T X.690): the tags of what a certificate (RFC 5280 section 4.1) is made of.
const BOOLEAN = 0x01;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const UTF8_STRING = 0x0c;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
const SET = 0x31;
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;

/** ecdsa-with-SHA256, 1.2.840.10045.4.3.2 (RFC 5758 section 3.2); it has no parameters. */
const ECDSA_WITH_SHA256 = Buffer.from('06082a8648ce3d040302', 'hex');
/** id-at-commonName, 2.5.4.3. */
const COMMON_NAME = Buffer.from('0603550403', 'hex');
/** id-ce-basicConstraints, -keyUsage, -extKeyUsage, -subjectAltName (RFC 5280 section 4.2.1). */
const BASIC_CONSTRAINTS = Buffer.from('0603551d13', 'hex');
const KEY_USAGE = Buffer.from('0603551d0f', 'hex');
const EXTENDED_KEY_USAGE = Buffer.from('0603551d25', 'hex');
const SUBJECT_ALT_NAME = Buffer.from('0603551d11', 'hex');
/** id-kp-serverAuth, 1.3.6.1.5.5.7.3.1. */
const SERVER_AUTH = Buffer.from('06082b06010505070301', 'hex');
/** A bit string in which only the first bit is set: digitalSignature. */
const DIGITAL_SIGNATURE = Buffer.from('03020780', 'hex');

const SERIAL_BYTES = 16;

/**
 * A self-signed certificate of a TLS server (PEM), for host names (ASCII) and addresses. `key` is an ECDSA key on P-256.
 */
export function selfSign(hosts: readonly string[], key: KeyObject, from: Date, to: Date): string {
  const algorithm = der(SEQUENCE, ECDSA_WITH_SHA256);
  const commonName = Buffer.from(hosts[0] ?? '', 'utf8');
  const name = der(SEQUENCE, der(SET, der(SEQUENCE, COMMON_NAME, der(UTF8_STRING, commonName))));
  const serial = randomBytes(SERIAL_BYTES);
  // Positive, and without a leading zero.
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  const toBeSigned = der(
    SEQUENCE,
    // Version 3, the one with extensions.
    der(VERSION, der(INTEGER, Buffer.of(2))),
    der(INTEGER, serial),
    algorithm,
    name,
    der(SEQUENCE, time(from), time(to)),
    name,
    createPublicKey(key).export({ type: 'spki', format: 'der' }),
    der(
      EXTENSIONS,
      der(
        SEQUENCE,
        // No certificate authority.
        extension(BASIC_CONSTRAINTS, true, der(SEQUENCE)),
        extension(KEY_USAGE, true, DIGITAL_SIGNATURE),
        extension(EXTENDED_KEY_USAGE, false, der(SEQUENCE, SERVER_AUTH)),
        extension(SUBJECT_ALT_NAME, false, der(SEQUENCE, ...hosts.map(alternativeName))),
      ),
    ),
  );
  const signature = der(BIT_STRING, Buffer.of(0), sign('sha256', toBeSigned, key));
  const base64 = der(SEQUENCE, toBeSigned, algorithm, signature).toString('base64');
  const lines = base64.match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

function extension(id: Buffer, critical: boolean, value: Buffer): Buffer {
  const flag = critical ? der(BOOLEAN, Buffer.of(0xff)) : Buffer.alloc(0);
  return der(SEQUENCE, id, flag, der(OCTET_STRING, value));
}

function alternativeName(host: string): Buffer {
  if (isIPv4(host)) return der(IP_ADDRESS, Buffer.from(host.split('.').map(Number)));
  if (isIPv6(host)) return der(IP_ADDRESS, ipv6Bytes(host));
  return der(DNS_NAME, Buffer.from(host, 'ascii'));
}

function ipv6Bytes(address: string): Buffer {
  // The URL's form has no zone, and an IPv4 address at its end is in hexadecimal.
  const canonical = new URL(`http://[${address.replace(/%.*$/, '')}]`).hostname.slice(1, -1);
  const [head = [], tail = []] = canonical.split('::').map((part) => part.split(':').filter((word) => word !== ''));
  const words = [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => '0'), ...tail];
  return Buffer.from(words.map((word) => word.padStart(4, '0')).join(''), 'hex');
}

/** RFC 5280 section 4.1.2.5: until 2049 with two digits for the year, then with four. */
function time(date: Date): Buffer {
  const digits = date.toISOString().replace(/\.\d+|[-:T]/g, '');
  return date.getUTCFullYear() < 2050
    ? der(UTC_TIME, Buffer.from(digits.slice(2)))
    : der(GENERALIZED_TIME, Buffer.from(digits));
}

function der(tag: number, ...content: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(content);
  const length =
    body.length < 0x80
      ? [body.length]
      : body.length < 0x100
        ? [0x81, body.length]
        : [0x82, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.of(tag, ...length), body]);
}
