import { PROBLEMS, type Problem } from '@sallyport/api';
import { ApiError } from './api-error.ts';

/** What every answer says to browsers: keep nothing, guess nothing, show it in no frame, tell no other site. */
export function baseHeaders(secure: boolean): Record<string, string> {
  return {
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    ...(secure ? { 'strict-transport-security': 'max-age=31536000' } : {}),
  };
}

/** An error as problem+json. What is no ApiError says nothing but the number by which its cause is found in the log. */
export function problemAnswer(error: unknown, requestId: string, headers: Readonly<Record<string, string>>): Response {
  const known =
    error instanceof ApiError
      ? error
      : new ApiError('internal', `Something went wrong here; the log has its cause under request ${requestId}.`);
  const [status, title] = PROBLEMS[known.code];
  const body: Problem = {
    type: `urn:sallyport:problem:${known.code}`,
    title,
    status,
    code: known.code,
    detail: known.detail,
    ...(known.more.faults === undefined ? {} : { faults: known.more.faults }),
    ...(known.more.tests === undefined ? {} : { tests: known.more.tests }),
    ...(known.more.methods === undefined ? {} : { methods: known.more.methods }),
  };
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      ...headers,
      'content-type': 'application/problem+json',
      ...(known.retryAfter === undefined ? {} : { 'retry-after': String(Math.max(1, Math.ceil(known.retryAfter))) }),
      ...(status === 401 ? { 'www-authenticate': 'Bearer realm="sallyport"' } : {}),
      // The rest of a body that was refused is not read.
      ...(status === 413 ? { connection: 'close' } : {}),
    },
  });
}
