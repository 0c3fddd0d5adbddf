import { request as requestHttps } from 'node:https';
import type { Socket } from 'node:net';
import { connect } from 'node:tls';
import { gatewayLink, type GatewayLink, type LinkTimes } from './connection.ts';
import { hashPublicKey, type LinkIdentity } from './identity.ts';
import { LinkError } from './link-error.ts';
import { LINK_PATH, LINK_UPGRADE } from './messages.ts';

// An import would build undici, for the names that node:http has of it: 4 MB more in each gateway.
const { request: requestHttp } = process.getBuiltinModule('node:http');

const OPEN_MS = 20_000;

export interface OpenLinkOptions {
  /** The API's address: `https://vpn.example.org`, `http://127.0.0.1:8080`. */
  readonly url: string;
  readonly identity: LinkIdentity;
  /** Whether this is the control plane's key. Asked before anything is sent to it. */
  readonly expectKey: (keyHash: string) => boolean;
  /** Stops the attempt; a link that is open stays open. */
  readonly signal?: AbortSignal | undefined;
  readonly openMs?: number;
  readonly times?: Partial<LinkTimes>;
}

/** Opens a link to the control plane. Rejects with a LinkError; nothing is left open then. */
export async function openLink(options: OpenLinkOptions): Promise<GatewayLink> {
  const { identity, expectKey, signal, openMs = OPEN_MS } = options;
  const url = new URL(options.url);
  const where = url.host;
  return new Promise<GatewayLink>((resolve, reject) => {
    let socket: Socket | undefined;
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    };
    const fail = (code: LinkError['code'], message: string, cause?: unknown): void => {
      settle();
      request.destroy();
      socket?.destroy();
      reject(new LinkError(code, message, { cause }));
    };
    const abort = (): void => {
      fail('aborted', 'the attempt was stopped');
    };
    const timer = setTimeout(() => {
      fail('unreachable', `${where} did not open the link within ${openMs / 1000} seconds`);
    }, openMs);

    const request = (url.protocol === 'http:' ? requestHttp : requestHttps)({
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? undefined : Number(url.port),
      path: `${url.pathname.replace(/\/$/, '')}${LINK_PATH}`,
      headers: { host: url.host, connection: 'Upgrade', upgrade: LINK_UPGRADE },
      agent: false,
      // The TLS inside proves who answers; the one outside may be a proxy's.
      rejectUnauthorized: false,
    });
    if (signal?.aborted === true) {
      request.on('error', () => undefined);
      abort();
      return;
    }
    signal?.addEventListener('abort', abort);
    request.on('error', (error) => {
      fail('unreachable', `${where} can't be reached: ${error.message}`, error);
    });
    request.on('response', (response) => {
      fail('notALink', `${where} answered ${response.statusCode ?? 0}: it is no control plane, or a proxy before it lets no "Upgrade" through`); // prettier-ignore
    });
    request.on('upgrade', (response, outer: Socket, head: Buffer) => {
      socket = outer;
      outer.on('error', (error) => {
        fail('handshakeFailed', `the connection to ${where} broke: ${error.message}`, error);
      });
      if (response.headers.upgrade?.toLowerCase() !== LINK_UPGRADE) {
        fail('notALink', `${where} changed to another protocol than ${LINK_UPGRADE}`);
        return;
      }
      if (head.length > 0) outer.unshift(head);
      const secure = connect({
        socket: outer,
        cert: identity.certificatePem,
        key: identity.privateKeyPem.reveal(),
        rejectUnauthorized: false,
        minVersion: 'TLSv1.3',
      });
      const broken = (error?: Error): void => {
        fail('handshakeFailed', `the TLS handshake with the control plane behind ${where} failed: ${error?.message ?? 'it hung up'}`, error); // prettier-ignore
      };
      secure.on('error', broken);
      secure.once('close', broken);
      secure.once('secureConnect', () => {
        const certificate = secure.getPeerX509Certificate();
        const keyHash = certificate === undefined ? '' : hashPublicKey(certificate.publicKey);
        if (!expectKey(keyHash)) {
          fail('wrongKey', `${where} is not the control plane that this gateway belongs to: its key is another`);
          return;
        }
        settle();
        secure.off('close', broken);
        resolve(gatewayLink(secure, keyHash, options.times));
        secure.off('error', broken);
      });
    });
    request.end();
  });
}
