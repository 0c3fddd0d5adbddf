/**
 * The client's browser: page-client.ts CERTIFICATE-FILE ADDRESS... Fetches the page from each address by HTTP and HTTPS
 * and prints a JSON array of `Visit`.
 */
import { readFileSync } from 'node:fs';
import { get } from 'node:http';
import { get as getTls } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { pageHost } from './page.ts';

/** One fetch of the page. */
export interface Visit {
  readonly scheme: 'http' | 'https';
  readonly address: string;
  readonly status: number;
  /** The version of TLS whose certificate was verified; null for HTTP. */
  readonly tls: string | null;
  readonly page: string;
}

const timeoutMs = 60_000;

function fetchPage(scheme: 'http' | 'https', address: string, ca: Buffer): Promise<Visit> {
  return new Promise((resolve, reject) => {
    const options = { host: address, headers: { host: pageHost }, servername: pageHost, ca, timeout: timeoutMs };
    const request = (scheme === 'https' ? getTls : get)(options, (response) => {
      const socket = response.socket as Partial<TLSSocket>;
      let page = '';
      response.setEncoding('utf8').on('data', (text: string) => (page += text));
      response.on('error', reject).on('end', () => {
        const tls = scheme === 'https' && socket.authorized === true ? (socket.getProtocol?.() ?? null) : null;
        resolve({ scheme, address, status: response.statusCode ?? 0, tls, page });
      });
    });
    request.on('timeout', () => request.destroy(new Error(`${scheme} ${address}: no answer`))).on('error', reject);
  });
}

const [certificateFile = '', ...addresses] = process.argv.slice(2);
const ca = readFileSync(certificateFile);
const visits: Visit[] = [];
for (const address of addresses) {
  for (const scheme of ['http', 'https'] as const) visits.push(await fetchPage(scheme, address, ca));
}
process.stdout.write(JSON.stringify(visits));
