import { createPublicKey, sign, type KeyObject } from 'node:crypto';
import { isIPv4, isIPv6 } from 'node:net';
import {
  der,
  derName,
  derSerial,
  GENERALIZED_TIME,
  INTEGER,
  pemCertificate,
  SEQUENCE,
  UTC_TIME,
} from '@sallyport/link';

// Further tags.
const BOOLEAN = 0x01;
const OCTET_STRING = 0x04;
const VERSION = 0xa0;
const EXTENSIONS = 0xa3;
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;

/** ecdsa-with-SHA256, 1.2.840.10045.4.3.2 (RFC 5758 section 3.2); it has no parameters. */
const ECDSA_WITH_SHA256 = Buffer.from('06082a8648ce3d040302', 'hex');
/** id-ce-basicConstraints, -keyUsage, -extKeyUsage, -subjectAltName (RFC 5280 section 4.2.1). */
const BASIC_CONSTRAINTS = Buffer.from('0603551d13', 'hex');
const KEY_USAGE = Buffer.from('0603551d0f', 'hex');
const EXTENDED_KEY_USAGE = Buffer.from('0603551d25', 'hex');
const SUBJECT_ALT_NAME = Buffer.from('0603551d11', 'hex');
/** id-kp-serverAuth, 1.3.6.1.5.5.7.3.1. */
const SERVER_AUTH = Buffer.from('06082b06010505070301', 'hex');
/** A bit string in which only the first bit is set: digitalSignature. */
const DIGITAL_SIGNATURE = Buffer.from('03020780', 'hex');

/**
 * A self-signed certificate of a TLS server (PEM), for host names (ASCII) and addresses. `key` is an ECDSA key on P-256.
 */
export function selfSign(hosts: readonly string[], key: KeyObject, from: Date, to: Date): string {
  const algorithm = der(SEQUENCE, ECDSA_WITH_SHA256);
  const name = derName(hosts[0] ?? '');
  const toBeSigned = der(
    SEQUENCE,
    // Version 3, the one with extensions.
    der(VERSION, der(INTEGER, Buffer.of(2))),
    derSerial(),
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
  return pemCertificate(toBeSigned, algorithm, sign('sha256', toBeSigned, key));
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
