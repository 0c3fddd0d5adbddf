import type { IncomingMessage, ServerResponse } from 'node:http';
import { ApiError } from './http/api-error.ts';
import { baseHeaders, problemAnswer } from './http/answers.ts';

/** What is answered while the database can't be reached yet: alive, not ready. */
export async function answerWhileWaiting(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const headers = baseHeaders((request.socket as { readonly encrypted?: boolean }).encrypted === true);
  const json = { ...headers, 'content-type': 'application/json' };
  const path = request.url?.split('?')[0];
  if (path === '/healthz') response.writeHead(200, json).end('{"status":"ok"}');
  else if (path === '/readyz') {
    response.writeHead(503, json).end('{"status":"notReady","checks":{"storage":"failed"}}');
  } else {
    const detail = 'The service is starting, or waits for its database; try again in a moment.';
    const answer = problemAnswer(new ApiError('unavailable', detail, { retryAfter: 2 }), '', headers);
    response.writeHead(answer.status, Object.fromEntries(answer.headers)).end(await answer.text());
  }
}
