/** stream-client.ts ADDRESS: reads from stream-server.ts, verifies, and prints for what arrives `MILLISECONDS TOTAL-BYTES`. */
import { connect } from 'node:net';

const socket = connect({ host: process.argv[2] ?? '', port: 9000 });
let total = 0;
let word = 0;
socket.on('data', (data: Buffer) => {
  for (let i = 0; i < data.length; i++, total++) {
    // Little endian, as the machines are that this runs on.
    const at = total % 4;
    word = at === 0 ? (data[i] ?? 0) : (word | ((data[i] ?? 0) << (8 * at))) >>> 0;
    if (at === 3 && word !== (total - 3) / 4) {
      process.stdout.write(`wrong at ${String(total)}\n`);
      process.exit(1);
    }
  }
  process.stdout.write(`${String(Date.now())} ${String(total)}\n`);
});
socket.on('error', (error: NodeJS.ErrnoException) => {
  process.stdout.write(`ended by ${error.code ?? error.message}\n`);
  process.exit(2);
});
socket.on('end', () => {
  process.stdout.write('ended\n');
  process.exit(3);
});
