import { networkInterfaces } from 'node:os';
import { SystemCallError } from '@sallyport/io';
import { serveUapi, type DataPlane, type UapiServer } from '@sallyport/runtime';
import { encodeDeviceState, UapiDecoder, type DeviceChange } from '@sallyport/wireguard';
import { openWireGuardPlane } from '@sallyport/wireguard-plane';

const EINVAL = 22;
const ENOSPC = 28;

export interface RunningDevice {
  /** Settles when the interface is gone; rejects when the device failed. */
  readonly closed: Promise<void>;
  /** What was dropped so far, and why. */
  readonly drops: DataPlane['drops'];
  /** Removes socket and interface. */
  close(): void;
}

/** Creates the WireGuard interface `name` and serves its configuration socket. */
export async function startDevice(
  name: string,
  options: {
    /** `error` is what an operator has to know, `verbose` what happens from moment to moment. Neither holds keys. */
    readonly log: (level: 'error' | 'verbose', message: string) => void;
    readonly workers?: number;
    /** Another module in the place of WireGuard's own, for benchmarks. */
    readonly workerModule?: URL;
  },
): Promise<RunningDevice> {
  const { log } = options;
  let listenPort = 0;
  let fwmark = 0;

  const { plane, device, start } = openWireGuardPlane({
    name,
    workers: options.workers,
    workerModule: options.workerModule,
    onEvent: (kind) => {
      log('verbose', kind);
    },
    zones: { index: zoneIndex, name: zoneName },
    onLink: (up) => {
      try {
        if (up) begin();
        else {
          plane.stopListening();
          device.sessions.stop();
        }
      } catch (error) {
        if (!(error instanceof SystemCallError)) throw error;
        log('error', `${error.message}: choose another port with "wg set ${name} listen-port"`);
      }
    },
  });

  /** The interface is up: listen, and let sessions begin. */
  function begin(): void {
    listenPort = plane.listen(listenPort, fwmark);
    device.sessions.start(plane.now);
  }

  function set(change: DeviceChange): number {
    plane.lookAtLink();
    try {
      if (change.fwmark !== undefined) {
        fwmark = change.fwmark;
        plane.setMark(fwmark);
      }
      if (change.listenPort !== undefined) {
        if (!plane.up) listenPort = change.listenPort;
        else if (!plane.listening) {
          listenPort = change.listenPort;
          begin();
        } else if (change.listenPort !== listenPort || change.listenPort === 0)
          listenPort = plane.listen(change.listenPort, fwmark);
      }
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      log('error', error.message);
      return error.errno;
    }
    const fault = device.apply(change, plane.now);
    plane.reschedule();
    if (fault === undefined) return 0;
    log('error', `configuration: ${fault}`);
    return fault === 'invalidPublicKey' || fault === 'invalidVariant' ? EINVAL : ENOSPC;
  }

  let server: UapiServer;
  try {
    await start();
    // Last: whoever finds the socket finds a device that is at work.
    server = await serveUapi<DeviceChange>(name, {
      newDecoder: () => new UapiDecoder(),
      get: () => {
        plane.lookAtLink();
        const variant = device.variant(0);
        return encodeDeviceState({
          privateKey: device.privateKey,
          listenPort,
          fwmark,
          variant,
          peers: device.peerStates(),
        });
      },
      set,
      log: (message) => {
        log('error', message);
      },
      removed: () => {
        plane.close();
      },
    });
  } catch (error) {
    plane.close();
    throw error;
  }
  const closed = plane.closed.finally(() => {
    server.close();
  });
  return {
    closed,
    get drops() {
      return plane.drops;
    },
    close() {
      server.close();
      plane.close();
    },
  };
}

/** The interface index of a zone, which is one or an interface's name; 0 where there is none. */
function zoneIndex(zone: string): number {
  if (/^\d+$/.test(zone)) return Number(zone);
  const link = networkInterfaces()[zone]?.find((address) => address.family === 'IPv6' && address.scopeid !== 0);
  return link?.family === 'IPv6' ? link.scopeid : 0;
}

function zoneName(index: number): string {
  for (const [name, addresses] of Object.entries(networkInterfaces()))
    if (addresses?.some((address) => address.family === 'IPv6' && address.scopeid === index) === true) return name;
  return String(index);
}
