/** A client's end of the tunnel over TLS; prints the port that WireGuard sends to. */
import { connect } from 'node:net';
import { openCarrierClient } from '@sallyport/carrier';

const [host = '', port = '', certificateSha256 = '', wireguardPort = '', path = '/tunnel'] = process.argv.slice(2);

const client = await openCarrierClient({
  socket: connect(Number(port), host),
  host,
  port: Number(port),
  path,
  certificateSha256,
  wireguardPort: Number(wireguardPort),
  onClose: (reason) => {
    console.error(reason);
    process.exit(1);
  },
});
console.log(JSON.stringify({ port: client.port }));
