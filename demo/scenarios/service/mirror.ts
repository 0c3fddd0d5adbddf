/** Answers every request on port 80 with the address that it comes from, and prints `ready` once it does. */
import { createServer } from 'node:http';

const server = createServer((request, response) => {
  // A socket for both families shows an IPv4 address as an IPv6 one.
  const visitor = (request.socket.remoteAddress ?? '').replace(/^::ffff:/, '');
  response.setHeader('content-type', 'text/plain');
  if (request.url !== '/stream') {
    response.end(`${visitor}\n`);
    return;
  }
  // A transfer that goes on until somebody ends it.
  const timer = setInterval(() => response.write(`${visitor}\n`), 20);
  response.on('close', () => clearInterval(timer));
});
server.listen(80, '::', () => process.stdout.write('ready\n'));
