import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { Secret } from '@sallyport/core';
import {
  checkCertificate,
  HandedCertificate,
  loadCertificate,
  storeCertificate,
  type Certificate,
  type CertificateSource,
} from './certificate.ts';
import { selfSign } from './self-signed-der.ts';

const DAY_MS = 86_400_000;
/** Apple's systems refuse certificates of servers that are valid for longer, whoever signed them. */
const LIFETIME_DAYS = 825;
const RENEW_DAYS = 60;
const CHECK_MS = DAY_MS;

/** A new key (ECDSA, P-256) and a certificate signed with it, for host names and addresses. */
export function makeSelfSigned(hosts: readonly string[], now: number): Certificate {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const from = new Date(now - DAY_MS);
  const chain = selfSign(hosts, privateKey, from, new Date(from.getTime() + LIFETIME_DAYS * DAY_MS));
  return { chain, key: new Secret(privateKey.export({ type: 'pkcs8', format: 'pem' })) };
}

/**
 * The self-signed certificate of `folder`, made where there is none that serves, and made anew two months before it
 * expires.
 */
export async function openSelfSigned(
  folder: string,
  hosts: readonly string[],
  now: () => number,
): Promise<CertificateSource> {
  const kept = await loadCertificate(folder);
  const certificate = kept !== undefined && serves(kept, hosts, now()) ? kept : await renew();
  const source = new HandedCertificate(certificate, now());
  const timer = setInterval(() => {
    if (serves(source.current, hosts, now())) return;
    // A disk that is full now may have room tomorrow; until then the old one has weeks left.
    renew().then(
      (renewed) => source.replace(renewed, now()),
      () => undefined,
    );
  }, CHECK_MS);
  timer.unref();
  return {
    get current() {
      return source.current;
    },
    onChange: (listener) => source.onChange(listener),
    close: () => {
      clearInterval(timer);
      source.close();
    },
  };

  async function renew(): Promise<Certificate> {
    const made = makeSelfSigned(hosts, now());
    await storeCertificate(folder, made);
    return made;
  }
}

function serves(certificate: Certificate, hosts: readonly string[], now: number): boolean {
  try {
    checkCertificate(certificate, now);
  } catch {
    return false;
  }
  const parsed = new X509Certificate(certificate.chain);
  if (parsed.validToDate.getTime() < now + RENEW_DAYS * DAY_MS) return false;
  return hosts.every((host) => (isIP(host) === 0 ? parsed.checkHost(host) : parsed.checkIP(host)) !== undefined);
}
