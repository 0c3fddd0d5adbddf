import { Arena } from '@sallyport/io';
import { CLIENT_DATA_CAPACITY, type DataCapacity } from '@sallyport/openvpn';
import { DataPlane, defaultWorkers } from '@sallyport/runtime';
import { prepareOpenVpn } from './openvpn-protocol.ts';
import type { OpenVpnSide } from './openvpn-side.ts';

/** Address space, not memory: the kernel gives pages as tables and queues fill. */
export const OPENVPN_ARENA_BYTES = 256 * 1024 * 1024;

export interface OpenVpnPlaneOptions {
  /** The interface to create. */
  readonly name: string;
  readonly mtu: number;
  readonly workers?: number | undefined;
  /** By default a server's. */
  readonly capacity?: DataCapacity | undefined;
  /** The interface came up, or went down. */
  readonly onLink?: ((up: boolean) => void) | undefined;
}

export interface OpenVpnPlane {
  readonly plane: DataPlane;
  readonly side: OpenVpnSide;
  /** Starts the workers, and settles when they are at work. */
  readonly start: () => Promise<void>;
}

/** Creates an interface whose packets OpenVPN alone carries. Takes root; throws a SystemCallError. */
export function openOpenVpnPlane(options: OpenVpnPlaneOptions): OpenVpnPlane {
  const arena = Arena.create(OPENVPN_ARENA_BYTES);
  const openvpn = prepareOpenVpn(arena, { listeners: [0], capacity: options.capacity });
  const plane = new DataPlane({
    arena,
    name: options.name,
    workers: options.workers ?? defaultWorkers(),
    mtu: options.mtu,
    workerModule: new URL('./openvpn-worker.ts', import.meta.url),
    protocols: [openvpn.protocol],
    onLink: options.onLink ?? (() => undefined),
  });
  const side = openvpn.attach(plane, 0);
  return { plane, side, start: () => plane.start([side.halves]) };
}

/** The same for a client of one server at a time. */
export function openOpenVpnClientPlane(options: Omit<OpenVpnPlaneOptions, 'capacity'>): OpenVpnPlane {
  return openOpenVpnPlane({ ...options, capacity: CLIENT_DATA_CAPACITY });
}
