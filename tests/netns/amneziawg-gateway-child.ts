// A gateway in the namespace that it is started in: WireGuard by its first listener, a variant by its second. Its
// configuration is the JSON of the file named; it says "started" once it is at work.
import { readFileSync } from 'node:fs';
import { Secret } from '@sallyport/core';
import { parseIpPrefix, type Variant } from '@sallyport/wireguard';
import { openWireGuardPlane } from '@sallyport/wireguard-plane';

export interface GatewayConfiguration {
  readonly name: string;
  /** Base64. */
  readonly privateKey: string;
  readonly ports: readonly [number, number];
  readonly variant: Variant;
  /** Base64 keys, and the prefixes of each. */
  readonly peers: Readonly<Record<string, readonly string[]>>;
}

const { name, privateKey, ports, variant, peers } = JSON.parse(
  readFileSync(process.argv[2], 'utf8'),
) as GatewayConfiguration;
const { plane, device, start } = openWireGuardPlane({
  name,
  workers: 2,
  onLink: (up) => {
    if (!up) return;
    plane.listen(ports[0], 0);
    plane.listen(ports[1], 0, { listener: 1 });
    device.sessions.start(plane.now);
  },
});
device.setVariant(1, variant);
const fault = device.apply(
  {
    privateKey: new Secret(new Uint8Array(Buffer.from(privateKey, 'base64'))),
    listenPort: undefined,
    fwmark: undefined,
    replacePeers: true,
    peers: Object.entries(peers).map(([publicKey, prefixes]) => ({
      publicKey: new Uint8Array(Buffer.from(publicKey, 'base64')),
      remove: false,
      updateOnly: false,
      presharedKey: undefined,
      endpoint: undefined,
      persistentKeepalive: undefined,
      replaceAllowedIps: true,
      allowedIps: prefixes.flatMap((text) => {
        const prefix = parseIpPrefix(text);
        return prefix === undefined ? [] : [{ ...prefix, remove: false }];
      }),
    })),
  },
  plane.now,
);
if (fault !== undefined) throw new Error(fault);
await start();
process.stdout.write('started\n');
