/** How a certificate that no authority signed is trusted: once, by its fingerprint, and then no other. */
import { createHash } from 'node:crypto';
import { createInterface } from 'node:readline/promises';
import { connect as connectTls } from 'node:tls';
import { CommandFailure, EXIT_BAD_INPUT, EXIT_UNAVAILABLE } from '../command.ts';

const TIMEOUT_MS = 10_000;

/** The fingerprint to pin, or undefined where an authority of the system's vouches for the server. */
export async function trustedFingerprint(url: URL, given: string | undefined): Promise<string | undefined> {
  if (url.protocol !== 'https:') return undefined;
  const { authorized, fingerprint } = await look(url);
  if (given !== undefined) {
    const wanted = given.replaceAll(':', '').toLowerCase();
    if (wanted === fingerprint) return fingerprint;
    throw new CommandFailure(
      EXIT_BAD_INPUT,
      `${url.host} has another certificate: its fingerprint is ${fingerprint}. Somebody may be in between.`,
    );
  }
  if (authorized) return undefined;
  if (!process.stdin.isTTY)
    throw new CommandFailure(
      EXIT_BAD_INPUT,
      `no authority vouches for the certificate of ${url.host}; compare its fingerprint with the one that the server ` +
        `printed at its start and give it: --fingerprint ${fingerprint}`,
    );
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const answer = await terminal.question(
    `No authority vouches for the certificate of ${url.host}. The server printed a fingerprint at its start. Is it\n` +
      `  ${fingerprint}\n(yes or no)? `,
  );
  terminal.close();
  if (answer.trim().toLowerCase() === 'yes') return fingerprint;
  throw new CommandFailure(EXIT_BAD_INPUT, 'not trusted; nothing was sent');
}

function look(url: URL): Promise<{ authorized: boolean; fingerprint: string }> {
  return new Promise((resolve, reject) => {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const port = url.port === '' ? 443 : Number(url.port);
    const name = /^[\d.]+$|:/.test(host) ? {} : { servername: host };
    const socket = connectTls({ host, port, rejectUnauthorized: false, timeout: TIMEOUT_MS, ...name }, () => {
      const { raw } = socket.getPeerCertificate();
      resolve({ authorized: socket.authorized, fingerprint: createHash('sha256').update(raw).digest('hex') });
      socket.destroy();
    });
    socket.on('timeout', () => socket.destroy(new Error('no answer')));
    socket.on('error', (error) => {
      reject(new CommandFailure(EXIT_UNAVAILABLE, `${url.host} can't be reached: ${error.message}`, { cause: error }));
    });
  });
}
