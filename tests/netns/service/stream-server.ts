/**
 * Sends without end to whoever connects, port 9000, both families: words of four bytes that count up from 0, 4 KiB
 * every 10 ms, as long as the other side takes them.
 */
import { createServer } from 'node:net';

const CHUNK = 4096;
const server = createServer((socket) => {
  let next = 0;
  const timer = setInterval(() => {
    if (socket.writableNeedDrain) return;
    const words = new Uint32Array(CHUNK / 4);
    for (let i = 0; i < words.length; i++) words[i] = next++;
    socket.write(new Uint8Array(words.buffer));
  }, 10);
  socket.on('error', () => undefined).on('close', () => clearInterval(timer));
  socket.resume();
});
server.listen(9000, '::', () => process.stdout.write('ready\n'));
