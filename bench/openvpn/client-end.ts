/** Our own client; its argument is a file with a `ClientOrder` in JSON. Says what it is connected as by a line of JSON. */
import { readFileSync } from 'node:fs';
import { Secret } from '@sallyport/core';
import { openOpenVpnClientPlane, remotePath } from '@sallyport/openvpn-plane';
import { MTU, PORT, SERVER_OUTER } from './addresses.ts';
import { clientKey, type Credentials } from './credentials.ts';

export interface ClientOrder {
  readonly interfaceName: string;
  readonly credentials: Credentials;
}

const { interfaceName, credentials } = JSON.parse(readFileSync(process.argv[2], 'utf8')) as ClientOrder;

const { plane, side, start } = openOpenVpnClientPlane({ name: interfaceName, mtu: MTU });
await start();
plane.listen(0, 0);
side.connect({
  remote: remotePath(SERVER_OUTER, PORT),
  wrap: { kind: 'tls-crypt-v2', ...clientKey(credentials, 1) },
  tls: {
    authority: credentials.authority,
    certificate: credentials.client.certificate,
    privateKey: new Secret(credentials.client.privateKey),
  },
  settings: { dataCiphers: ['AES-256-GCM'], tunMtu: MTU },
  report: (event) => {
    if (event.kind === 'connected') console.log(JSON.stringify(event.configuration));
    if (event.kind !== 'ended') return;
    console.error(JSON.stringify(event.ending));
    process.exit(1);
  },
});
await plane.closed;
