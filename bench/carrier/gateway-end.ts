/** A gateway's end of the tunnel over TLS, with the privileges that it has in the service; prints its certificate's hash. */
import { X509Certificate } from 'node:crypto';
import { CarrierServer } from '@sallyport/carrier';
import { makeSelfSigned } from '@sallyport/control';

const [address = '', port = '', wireguardPort = ''] = process.argv.slice(2);
const NOBODY = 65_534;

const { chain, key } = makeSelfSigned([address], Date.now());
const server = await CarrierServer.bind({
  listen: [{ host: address, port: Number(port) }],
  wireguardPort: Number(wireguardPort),
});
process.setgroups?.([]);
process.setgid?.(NOBODY);
process.setuid?.(NOBODY);
server.open('/tunnel', { chain, key: key.reveal() });
console.log(JSON.stringify({ certificateSha256: new X509Certificate(chain).fingerprint256 }));
