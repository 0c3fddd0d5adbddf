/** How providers are asked: for a while, for an answer of some size, and only where they said they are. */
import type { CustomFetch } from 'openid-client';

/** From the first byte of the request to the last of the answer. */
export const ANSWER_MS = 5000;
export const ANSWER_BYTES = 512 * 1024;

/** No answer came, or none that could be taken. The message says why, for people, without anything of the answer. */
export class NoAnswer extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.name = 'NoAnswer';
  }
}

/** Whether a provider may be at this address: by TLS, or on this very machine, for trying out. */
export function isAllowedAddress(url: URL): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname));
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}

/** `fetch` within these bounds. Follows no redirect. Throws {@link NoAnswer}. */
export const boundedFetch: CustomFetch = async (url, { body, headers, method, signal }) => {
  const { host } = new URL(url);
  if (!isAllowedAddress(new URL(url))) throw new NoAnswer(`${host} is neither reached by https nor on this machine`);
  const timeout = AbortSignal.timeout(ANSWER_MS);
  try {
    const response = await fetch(url, {
      method,
      headers,
      redirect: 'manual',
      signal: signal === undefined ? timeout : AbortSignal.any([timeout, signal]),
      ...(body === null || body === undefined
        ? {}
        : { body: body as string | URLSearchParams | Uint8Array<ArrayBuffer> }),
    });
    const bytes = await readBounded(response, host);
    const { status } = response;
    if (status >= 300 && status < 400) throw new NoAnswer(`${host} sends to another address (HTTP ${status})`);
    return new Response(bytes.length === 0 ? null : bytes, { status, headers: response.headers });
  } catch (error) {
    if (error instanceof NoAnswer) throw error;
    if (timeout.aborted) throw new NoAnswer(`${host} did not answer within ${ANSWER_MS / 1000} seconds`, error);
    throw new NoAnswer(`${host} cannot be reached (${reasonOf(error)})`, error);
  }
};

async function readBounded(response: Response, host: string): Promise<Buffer<ArrayBuffer>> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  if (response.body === null) return Buffer.alloc(0);
  // Leaving the loop ends the connection.
  for await (const chunk of response.body as ReadableStream<Uint8Array> & AsyncIterable<Uint8Array>) {
    size += chunk.length;
    if (size > ANSWER_BYTES) throw new NoAnswer(`${host} gave an answer of more than ${ANSWER_BYTES / 1024} KiB`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** `ECONNREFUSED`, `CERT_HAS_EXPIRED`: what the system calls it. */
function reasonOf(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { code } = cause as { code?: unknown };
    if (typeof code === 'string' && /^[A-Z0-9_]{1,50}$/.test(code)) return code;
  }
  return 'no connection';
}
