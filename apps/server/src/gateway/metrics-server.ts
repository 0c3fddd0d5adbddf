import type { AddressInfo } from 'node:net';

// Not an import: see packages/link/src/client.ts.
const { createServer } = process.getBuiltinModule('node:http');

/** Serves `/metrics` at a loopback address; the text is asked for each time. Rejects where the port is taken. */
export async function serveMetrics(
  at: { readonly host: string; readonly port: number },
  text: () => Promise<string>,
): Promise<{ port: number; close(): void }> {
  const server = createServer({ maxHeaderSize: 4096, requestTimeout: 10_000 }, (request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end();
      return;
    }
    text().then(
      (body) => response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }).end(body),
      () => response.writeHead(500).end(),
    );
  });
  server.maxConnections = 16;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(at.port, at.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
