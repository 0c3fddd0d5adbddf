/**
 * The internet host's web server: page-server.ts MARKER KEY-FILE CERTIFICATE-FILE. Serves the page by HTTP and HTTPS,
 * IPv4 and IPv6, and prints `ready` once it does.
 */
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Server } from 'node:net';
import { pageText } from './page.ts';

const [marker = '', keyFile = '', certificateFile = ''] = process.argv.slice(2);

function answer(request: IncomingMessage, response: ServerResponse): void {
  // A socket for both families shows an IPv4 address as an IPv6 one.
  const visitor = (request.socket.remoteAddress ?? '').replace(/^::ffff:/, '');
  response.setHeader('content-type', 'text/plain; charset=utf-8');
  response.end(pageText(marker, visitor));
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject).listen(port, '::', resolve);
  });
}

const tls = { key: readFileSync(keyFile), cert: readFileSync(certificateFile) };
await listen(createServer(answer), 80);
await listen(createTlsServer(tls, answer), 443);
process.stdout.write('ready\n');
