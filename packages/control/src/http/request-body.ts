import type { IncomingMessage } from 'node:http';
import { ApiError } from './api-error.ts';
import { MAX_BODY_BYTES } from './limits.ts';
import { JsonFault, parseStrictJson } from './strict-json.ts';

/** Refuses a body by what its headers say, before anything of it is read. */
export function checkBodyHeaders(request: IncomingMessage): void {
  if (Number(request.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLarge();
}

/** Reads a body of JSON in one of these media types. Throws an {@link ApiError}. `bytes` is what was sent. */
export async function readJsonBody(
  request: IncomingMessage,
  mediaTypes: readonly string[] = ['application/json'],
): Promise<{ readonly bytes: Buffer; readonly value: unknown }> {
  const type = (request.headers['content-type'] ?? '').split(';')[0].trim().toLowerCase();
  if (!mediaTypes.includes(type)) {
    throw new ApiError('unsupportedMediaType', `Send the body as JSON, with "content-type: ${mediaTypes[0]}".`);
  }
  if ((request.headers['content-encoding'] ?? 'identity') !== 'identity') {
    throw new ApiError('unsupportedMediaType', 'Send the body as it is, without a content-encoding.');
  }
  const bytes = await readBytes(request);
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch {
    throw invalidBody('the body is no UTF-8');
  }
  try {
    return { bytes, value: parseStrictJson(text) };
  } catch (error) {
    if (error instanceof JsonFault) throw invalidBody(error.message);
    throw error;
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function readBytes(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size <= MAX_BODY_BYTES) {
        chunks.push(chunk);
        return;
      }
      request.off('data', onData);
      request.pause();
      chunks.length = 0;
      reject(tooLarge());
    };
    request.on('data', onData);
    request.on('end', () => resolve(Buffer.concat(chunks)));
    request.on('error', () => reject(invalidBody('the body broke off')));
    request.on('close', () => reject(invalidBody('the body broke off')));
  });
}

function tooLarge(): ApiError {
  return new ApiError('tooLarge', `A body can have ${MAX_BODY_BYTES} bytes at most.`);
}

function invalidBody(message: string): ApiError {
  return new ApiError('invalidRequest', 'The body of the request is faulty.', { faults: [{ at: '/body', message }] });
}
