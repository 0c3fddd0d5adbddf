import {
  generateKeys,
  iperf,
  ping,
  until,
  wire,
  WireGuardDevice,
  type IperfOptions,
  type IperfResult,
  type Laboratory,
  type NetworkNamespace,
  type Program,
  type WireGuardKeys,
} from '@sallyport/netlab';

/** One end of a tunnel. */
export interface TunnelEnd {
  readonly namespace: NetworkNamespace;
  readonly device: WireGuardDevice;
  readonly keys: WireGuardKeys;
  /** Inside the tunnel. */
  readonly ipv4: string;
  readonly ipv6: string;
  /** `address:port` on the wire. */
  readonly endpoint: string;
}

/** Two namespaces joined by a veth pair, with a WireGuard tunnel between them. */
export interface Tunnel {
  readonly near: TunnelEnd;
  readonly far: TunnelEnd;
}

const listenPort = 51820;

/** Builds a tunnel whose ends both are served by `program`. */
export async function openTunnel(laboratory: Laboratory, label: string, program: Program): Promise<Tunnel> {
  const ends = await Promise.all([1, 2].map((host) => openEnd(laboratory, `${label}-${String(host)}`, program, host)));
  const [near, far] = ends as [TunnelEnd, TunnelEnd];
  await wire(
    { namespace: near.namespace, name: 'wire', addresses: ['192.0.2.1/24'] },
    { namespace: far.namespace, name: 'wire', addresses: ['192.0.2.2/24'] },
  );
  await configureOnePeer(near, far);
  await configureOnePeer(far, near);
  for (const end of ends) await end.device.up([`${end.ipv4}/24`, `${end.ipv6}/64`]);
  await shakeHands(near, far);
  return { near, far };
}

async function openEnd(laboratory: Laboratory, label: string, program: Program, host: number): Promise<TunnelEnd> {
  const namespace = await laboratory.namespace(label);
  return {
    namespace,
    device: await WireGuardDevice.start(namespace, program),
    keys: generateKeys(),
    ipv4: `10.99.0.${String(host)}`,
    ipv6: `fd99::${String(host)}`,
    endpoint: `192.0.2.${String(host)}:${String(listenPort)}`,
  };
}

/** Has `from` shake hands with `to`, so that no figure's first packets wait for that. */
export async function shakeHands(from: TunnelEnd, to: TunnelEnd): Promise<void> {
  for (const address of [to.ipv4, to.ipv6]) {
    const answered = async () => (await ping(from.namespace, address, { count: 1, waitMs: 500 })).received === 1;
    await until('the tunnel', answered, 20_000);
  }
}

/** Gives `end` the other end as its only peer. */
async function configureOnePeer(end: TunnelEnd, peer: TunnelEnd): Promise<void> {
  await end.device.configure({
    privateKey: end.keys.privateKey,
    listenPort,
    peers: [
      {
        publicKey: peer.keys.publicKey,
        endpoint: peer.endpoint,
        allowedIps: [`${peer.ipv4}/32`, `${peer.ipv6}/128`],
      },
    ],
  });
}

/** Sends from the near end to the far end through the tunnel. */
export function transfer(
  { near, far }: Tunnel,
  options: IperfOptions,
  family: 'ipv4' | 'ipv6' = 'ipv4',
): Promise<IperfResult> {
  return iperf({ client: near.namespace, server: far.namespace, address: far[family] }, options);
}
