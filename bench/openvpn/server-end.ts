/**
 * Our gateway's OpenVPN without a control plane: lets in whoever has a certificate and a profile. Its argument is a file
 * with a `ServerOrder` in JSON; it says that it serves by a line of JSON.
 */
import { readFileSync } from 'node:fs';
import { Secret } from '@sallyport/core';
import { openOpenVpnPlane, type OpenVpnService } from '@sallyport/openvpn-plane';
import { innerAddress, MTU, PORT, SERVER_INNER } from './addresses.ts';
import type { Credentials } from './credentials.ts';

export interface ServerOrder {
  readonly interfaceName: string;
  readonly credentials: Credentials;
  /** How often each end says that it is there, where it has nothing else to say. */
  readonly pingSeconds: number;
}

const { interfaceName, credentials, pingSeconds } = JSON.parse(readFileSync(process.argv[2], 'utf8')) as ServerOrder;
const MANY = 1_000_000;

const { plane, side, start } = openOpenVpnPlane({ name: interfaceName, mtu: MTU });
await start();
const service: OpenVpnService = side.serve({
  key: { kind: 'tls-crypt-v2', serverKey: new Uint8Array(Buffer.from(credentials.serverKey, 'base64')) },
  tls: {
    authority: credentials.authority,
    certificate: credentials.server.certificate,
    privateKey: new Secret(credentials.server.privateKey),
  },
  network: () => ({ ipv4: { gateway: SERVER_INNER, prefixLength: 16 } }),
  settings: {
    dataCiphers: ['AES-256-GCM'],
    tunMtu: MTU,
    pingMs: pingSeconds * 1000,
    pingRestartMs: 6 * pingSeconds * 1000,
    maxSessions: 16_000,
    // More log in at once than a gateway would let in, and all have one address.
    maxStarts: MANY,
    maxArrivals: MANY,
    maxHandshakesPerSource: MANY,
    maxStartsPerSource: MANY,
  },
  authenticate: ({ id, certificate, profile }) => {
    const deviceId = Buffer.from(profile?.subarray(1) ?? []).toString();
    service.decide(
      id,
      certificate === undefined
        ? { kind: 'refuse', reason: 'no certificate' }
        : { kind: 'admit', deviceId, ipv4: innerAddress(Number(deviceId)), ipv6: undefined, push: [] },
    );
  },
});
plane.listen(PORT, 0);
console.log(JSON.stringify({ interfaceName }));
await plane.closed;
