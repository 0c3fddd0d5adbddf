import {
  generateKeys,
  wire,
  WireGuardDevice,
  withLaboratory,
  type NetworkNamespace,
  type Program,
} from '@sallyport/netlab';

/** A host with a WireGuard device; its addresses in the tunnel. */
export interface HubHost {
  readonly namespace: NetworkNamespace;
  readonly device: WireGuardDevice;
  readonly publicKey: string;
  readonly ipv4: string;
  readonly ipv6: string;
}

/** One host that every other one has a tunnel to. */
export interface Hub {
  readonly hub: HubHost;
  readonly spokes: readonly HubHost[];
}

const listenPort = 51820;

/** Builds a hub and its spokes, hands them to `use` and removes everything. */
export function withHub(
  hubProgram: Program,
  spokePrograms: readonly Program[],
  use: (hub: Hub) => Promise<void>,
): Promise<void> {
  return withLaboratory(async (laboratory) => {
    const open = async (label: string, number: number, program: Program) => {
      const namespace = await laboratory.namespace(label);
      const keys = generateKeys();
      const device = await WireGuardDevice.start(namespace, program);
      return { namespace, device, ...keys, ipv4: `10.88.0.${String(number)}`, ipv6: `fd88::${String(number)}` };
    };
    const hub = await open('hub', 1, hubProgram);
    await hub.namespace.forward();
    const spokes = await Promise.all(
      spokePrograms.map((program, spoke) => open(`spoke${String(spoke)}`, spoke + 2, program)),
    );
    await hub.device.configure({
      privateKey: hub.privateKey,
      listenPort,
      peers: spokes.map(({ publicKey, ipv4, ipv6 }) => ({ publicKey, allowedIps: [`${ipv4}/32`, `${ipv6}/128`] })),
    });
    await hub.device.up([`${hub.ipv4}/24`, `${hub.ipv6}/64`]);
    for (const [number, spoke] of spokes.entries()) {
      const [hubEnd, spokeEnd] = [1, 2].map((end) => `192.0.2.${String(number * 4 + end)}`);
      await wire(
        { namespace: hub.namespace, name: `spoke${String(number)}`, addresses: [`${hubEnd ?? ''}/30`] },
        { namespace: spoke.namespace, name: 'uplink', addresses: [`${spokeEnd ?? ''}/30`] },
      );
      await spoke.device.configure({
        privateKey: spoke.privateKey,
        peers: [
          {
            publicKey: hub.publicKey,
            endpoint: `${hubEnd ?? ''}:${String(listenPort)}`,
            allowedIps: ['10.88.0.0/24', 'fd88::/64'],
          },
        ],
      });
      await spoke.device.up([`${spoke.ipv4}/24`, `${spoke.ipv6}/64`]);
    }
    await use({ hub, spokes });
  });
}
