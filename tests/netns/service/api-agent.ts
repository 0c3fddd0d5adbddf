/**
 * Calls the API from the machine that it runs on: api-agent.ts SOCKET takes one request a connection there, a line of
 * JSON, and answers with one. A test reaches the service from within a namespace so without a process for each call.
 */
import { createServer } from 'node:net';
import { ApiClient, ApiProblem, allRoutes } from '@sallyport/api';
import type { AgentAnswer, AgentRequest } from './api.ts';

async function answer({ url, fingerprint, token, route, input }: AgentRequest): Promise<AgentAnswer> {
  const contract = allRoutes.find(({ id }) => id === route);
  if (contract === undefined) throw new Error(`there is no route ${route}`);
  const client = new ApiClient({ url, token, certificateSha256: fingerprint, timeoutMs: 60_000 });
  const sentAt = Date.now();
  try {
    const result = await client.callUntyped(contract, input);
    return { sentAt, answeredAt: Date.now(), result };
  } catch (error) {
    const problem = error instanceof ApiProblem ? error.problem : undefined;
    return { sentAt, answeredAt: Date.now(), message: (error as Error).message, ...(problem && { problem }) };
  }
}

const server = createServer({ allowHalfOpen: true }, (socket) => {
  let text = '';
  socket.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
    if (!text.endsWith('\n')) return;
    answer(JSON.parse(text) as AgentRequest).then(
      (result) => socket.end(JSON.stringify(result)),
      (error: unknown) => socket.destroy(error as Error),
    );
  });
  socket.on('error', () => undefined);
});
server.listen(process.argv[2], () => process.stdout.write('ready\n'));
