import { Arena } from '@sallyport/io';
import { OPENVPN_ARENA_BYTES, prepareOpenVpn, type OpenVpnSide } from '@sallyport/openvpn-plane';
import { DataPlane, defaultWorkers } from '@sallyport/runtime';
import type { WireGuardDevice } from '@sallyport/wireguard';
import { prepareWireGuard, WIREGUARD_ARENA_BYTES } from '@sallyport/wireguard-plane';

/** The plane's listeners; the first speaks WireGuard. */
export const AMNEZIAWG = 1;
const OPENVPN = 2;

export interface GatewayPlaneOptions {
  readonly interfaceName: string;
  /** WireGuard's; 0 lets the kernel choose. */
  readonly listenPort: number;
  /** Where AmneziaWG is spoken; 0: nowhere. */
  readonly amneziawgPort: number;
  /** Where OpenVPN is spoken; 0: nowhere. */
  readonly openvpnPort: number;
  readonly mtu: number;
  readonly workers?: number | undefined;
}

/** The gateway's interface, with all protocols behind it. */
export interface GatewayPlane {
  readonly plane: DataPlane;
  /** Where WireGuard listens. */
  readonly listenPort: number;
  readonly wireguard: WireGuardDevice;
  readonly openvpn: OpenVpnSide | undefined;
}

/** Its place among the plane's protocols. */
export const WIREGUARD_PROTOCOL = 0;
export const OPENVPN_PROTOCOL = 1;

/**
 * Opens the TUN device and the sockets, and starts the workers: all that needs privileges. Sessions begin once there are
 * keys and the interface is up. Throws a SystemCallError.
 */
export async function openGatewayPlane(options: GatewayPlaneOptions): Promise<GatewayPlane> {
  const { interfaceName, listenPort, amneziawgPort, openvpnPort, mtu, workers } = options;
  const speaksOpenVpn = openvpnPort !== 0;
  const arena = Arena.create(WIREGUARD_ARENA_BYTES + (speaksOpenVpn ? OPENVPN_ARENA_BYTES : 0));
  const wireguard = prepareWireGuard(arena);
  const openvpn = speaksOpenVpn ? prepareOpenVpn(arena, { listeners: [OPENVPN] }) : undefined;
  const plane = new DataPlane({
    arena,
    name: interfaceName,
    workers: workers ?? defaultWorkers(),
    mtu,
    workerModule: new URL('./gateway-worker.ts', import.meta.url),
    protocols: [wireguard.protocol, ...(openvpn === undefined ? [] : [openvpn.protocol])],
    // The sockets stay: to open them again may take the privileges that are gone by then.
    onLink: (up) => {
      if (up) device.sessions.start(plane.now);
      else device.sessions.stop();
    },
  });
  const { device, halves } = wireguard.attach(plane);
  const side = openvpn?.attach(plane, OPENVPN_PROTOCOL);
  try {
    const port = plane.listen(listenPort, 0);
    if (amneziawgPort !== 0) plane.listen(amneziawgPort, 0, { listener: AMNEZIAWG });
    if (openvpnPort !== 0) plane.listen(openvpnPort, 0, { listener: OPENVPN });
    await plane.start([halves, ...(side === undefined ? [] : [side.halves])]);
    return { plane, listenPort: port, wireguard: device, openvpn: side };
  } catch (error) {
    plane.close();
    throw error;
  }
}
