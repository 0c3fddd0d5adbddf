import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Agent } from 'node:https';
import { join } from 'node:path';
import { Secret } from '@sallyport/core';
import type * as acme from 'acme-client';
import {
  checkCertificate,
  HandedCertificate,
  loadCertificate,
  storeCertificate,
  writeDurably,
  type Certificate,
  type CertificateSource,
} from './certificate.ts';
import { makeSelfSigned } from './self-signed.ts';

export interface AcmeOptions {
  /** Where account and certificate are kept. */
  readonly folder: string;
  readonly domains: readonly string[];
  readonly email: string;
  /** The URL of the authority's directory. */
  readonly directory: string;
  /** The certificates (PEM) by which the directory is recognised, where the system's do not do. */
  readonly directoryCa?: string | undefined;
  readonly now: () => number;
  readonly log: (level: 'info' | 'warn', message: string) => void;
}

export interface AcmeCertificate extends CertificateSource {
  /** Answers the authority's questions; false where the request is none. */
  answer(request: IncomingMessage, response: ServerResponse): boolean;
}

const HOUR_MS = 3_600_000;
/** The authority allows five failures an hour for a name; doubling from here stays far below. */
const FIRST_RETRY_MS = 15 * 60_000;
const LAST_RETRY_MS = 12 * HOUR_MS;
const CHALLENGE_PATH = '/.well-known/acme-challenge/';
/** More are not open at a time: one for each name of an order. */
const MAX_CHALLENGES = 100;

/** Loads the client, while the program's files can still be read. */
export function loadAcmeClient(): Promise<typeof acme> {
  return import('acme-client');
}

/**
 * A certificate from an ACME authority (RFC 8555), by http-01. A kept one serves at once; without one a self-signed does
 * until the authority has answered. It is renewed when a third of its life is left.
 */
export async function openAcme(client: typeof acme, options: AcmeOptions): Promise<AcmeCertificate> {
  const { now, log } = options;
  const challenges = new Map<string, string>();
  const kept = await usable(options);
  const source = new HandedCertificate(kept ?? makeSelfSigned(options.domains, now()), now());
  let obtained = kept !== undefined;
  let retryMs = FIRST_RETRY_MS;
  let timer: NodeJS.Timeout | undefined;
  let closed = false;

  const look = async (): Promise<void> => {
    let waitMs = HOUR_MS;
    if (!obtained || isDue(source.current, now())) {
      try {
        const certificate = await order(client, options, challenges);
        await storeCertificate(options.folder, certificate);
        source.replace(certificate, now());
        obtained = true;
        retryMs = FIRST_RETRY_MS;
        log('info', `obtained a certificate for ${options.domains.join(', ')}`);
      } catch (error) {
        waitMs = retryMs;
        retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
        const reason = error instanceof Error ? error.message.slice(0, 500) : 'unknown';
        log(
          'warn',
          `no certificate from ${options.directory}: ${reason}; next attempt in ${String(waitMs / 60_000)} minutes. ` +
            `Do the names lead to this machine, and is its port 80 reachable?`,
        );
      }
    }
    if (closed) return;
    timer = setTimeout(() => void look(), waitMs);
    timer.unref();
  };
  timer = setTimeout(() => void look(), 0);

  return {
    get current() {
      return source.current;
    },
    onChange: (listener) => source.onChange(listener),
    close: () => {
      closed = true;
      clearTimeout(timer);
      source.close();
    },
    answer: (request, response) => {
      const path = request.url ?? '';
      if (request.method !== 'GET' || !path.startsWith(CHALLENGE_PATH)) return false;
      const authorization = challenges.get(path.slice(CHALLENGE_PATH.length));
      response.writeHead(authorization === undefined ? 404 : 200, { 'content-type': 'application/octet-stream' });
      response.end(authorization ?? '');
      return true;
    },
  };
}

/** The kept certificate, if it is for these names and still valid. */
async function usable({ folder, domains, now }: AcmeOptions): Promise<Certificate | undefined> {
  const kept = await loadCertificate(folder);
  if (kept === undefined) return undefined;
  try {
    checkCertificate(kept, now());
  } catch {
    return undefined;
  }
  const parsed = new X509Certificate(kept.chain);
  return domains.every((domain) => parsed.checkHost(domain) !== undefined) ? kept : undefined;
}

function isDue(certificate: Certificate, now: number): boolean {
  const { validFromDate, validToDate } = new X509Certificate(certificate.chain);
  const from = validFromDate.getTime();
  const to = validToDate.getTime();
  return now >= to - (to - from) / 3;
}

async function order(client: typeof acme, options: AcmeOptions, challenges: Map<string, string>): Promise<Certificate> {
  if (options.directoryCa !== undefined) {
    client.axios.defaults.httpsAgent = new Agent({ ca: options.directoryCa });
  }
  const session = new client.Client({
    directoryUrl: options.directory,
    accountKey: await accountKey(client, options.folder),
  });
  const [commonName = '', ...altNames] = options.domains;
  const [key, csr] = await client.crypto.createCsr({ commonName, altNames: [commonName, ...altNames] });
  const chain = await session.auto({
    csr,
    email: options.email,
    termsOfServiceAgreed: true,
    challengePriority: ['http-01'],
    // Asking oneself by one's public name fails behind many routers; the authority's answer is what counts.
    skipChallengeVerification: true,
    challengeCreateFn: (_authorization, challenge, keyAuthorization) => {
      if (challenge.type !== 'http-01') throw new Error(`the authority offers no http-01, only ${challenge.type}`);
      if (challenges.size >= MAX_CHALLENGES) throw new Error('too many questions are open');
      challenges.set(challenge.token, keyAuthorization);
      return Promise.resolve();
    },
    challengeRemoveFn: (_authorization, challenge) => {
      challenges.delete(challenge.token);
      return Promise.resolve();
    },
  });
  return { chain, key: new Secret(key.toString()) };
}

/** The account's key, kept so that a renewal is known to be ours. */
async function accountKey(client: typeof acme, folder: string): Promise<string> {
  const path = join(folder, 'account-key.pem');
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  const key = (await client.crypto.createPrivateEcdsaKey()).toString();
  await writeDurably(path, key);
  return key;
}
