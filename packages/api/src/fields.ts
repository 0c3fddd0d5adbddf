/** The fields that entities are made of. */
import { z } from 'zod';
import { canonicalNameServer, canonicalUrl } from './name-server.ts';

export const id = z.string().min(1).max(64).meta({ description: 'An identifier that the server gave' });
/** A name in lower case that commands and addresses can hold. */
export const slug = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/, 'lower-case letters, digits, ".", "_" and "-", at most 63')
  .meta({ description: 'A short name in lower case' });
export const label = z
  .string()
  .trim()
  .min(1)
  .max(100)

  .regex(/^[^\u0000-\u001f\u007f\u202a-\u202e\u2066-\u2069]*$/, 'no control characters')
  .meta({ description: 'A name for people' });
export const note = z.string().max(500);
export const time = z.iso.datetime('a UTC time: 2027-01-31T00:00:00Z').meta({ description: 'UTC, RFC 3339' });
/** Secrets are marked for the command line, which never takes them as arguments. */
export const password = z.string().min(10, 'at least 10 characters').max(200).meta({ format: 'password' });
/** A token that this service gave: a prefix that says its kind, then random bytes in base64url. */
export const token = z
  .string()
  .regex(/^sp[a-z]_[A-Za-z0-9_-]{32,128}$/, 'a token that begins with "sp", a letter and "_"')
  .meta({ format: 'password' });
export const bytes = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);
export const bitsPerSecond = z.number().int().min(64_000).max(1_000_000_000_000);
export const seconds = z.number().int().min(60).max(31_536_000);
export const ipv4 = z.ipv4('an IPv4 address: 192.0.2.1');
export const ipv6 = z.ipv6('an IPv6 address: 2001:db8::1');
/** As gateways ask it; see {@link canonicalNameServer}. */
export const nameServer = z
  .string()
  .max(300)
  .refine(
    (text) => canonicalNameServer(text) !== undefined,
    'a name server: 192.0.2.53, udp://192.0.2.53:53, tls://9.9.9.9:853#dns.quad9.net or https://dns.quad9.net/dns-query',
  );
export const listUrl = z
  .string()
  .max(300)
  .refine((text) => canonicalUrl(text) !== undefined, 'an address that begins with https://');
export const port = z.number().int().min(1).max(65_535);
export const publicKey = z
  .base64('44 characters of base64')
  .length(44, '44 characters of base64')
  .meta({ description: 'A WireGuard public key: 32 bytes in base64' });
/** Strictly checked where it is taken; see the control plane's subject-key.ts. */
export const certificateKey = z
  .base64('a public key: SPKI, DER in base64')
  .min(40)
  .max(1500)
  .meta({ description: 'The public key that the certificate is issued for (SPKI, DER in base64): EC, Ed25519 or RSA' });
export const country = z.string().regex(/^[A-Z]{2}$/, 'two capital letters (ISO 3166-1)');
export const version = z.number().int().min(1).meta({ description: 'Grows with each change; the ETag holds it' });

/** A page of a list: what it holds, and where the next one begins. */
export function page<T extends z.ZodType>(item: T) {
  return z.strictObject({ items: z.array(item), next: z.string().nullable() });
}

export const pageQuery = {
  limit: z.coerce.number().int().min(1).max(1000).default(100),
  // A name of 100 letters takes up to 300 bytes, and base64 a third more.
  after: z.string().max(600).optional().meta({ description: 'The `next` of the page before' }),
  search: z.string().max(100).optional(),
};
