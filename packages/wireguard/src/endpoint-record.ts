import {
  PATH_BYTES,
  PATH_FAMILY,
  PATH_LISTENER,
  PATH_PORT,
  PATH_REMOTE,
  PATH_SCOPE,
  type Memory,
} from '@sallyport/core';
import type { Endpoint } from './uapi.ts';

/** Writes an endpoint as the path record at `at`, its local address left to the kernel. */
export function writeEndpoint({ u8, u32, view }: Memory, at: number, endpoint: Endpoint, scope: number): void {
  u8.fill(0, at, at + PATH_BYTES);
  view.setUint16(at + PATH_FAMILY, endpoint.family, true);
  view.setUint16(at + PATH_PORT, endpoint.port, true);
  u8.set(endpoint.address, at + PATH_REMOTE);
  u32[(at + PATH_SCOPE) >> 2] = scope;
  u32[(at + PATH_LISTENER) >> 2] = endpoint.listener ?? 0;
}

/** The endpoint that the path record at `at` leads to; undefined where there is none. */
export function readEndpoint(
  { u8, u32, view }: Memory,
  at: number,
  zoneName: (index: number) => string,
): Endpoint | undefined {
  const family = view.getUint16(at + PATH_FAMILY, true);
  if (family !== 4 && family !== 6) return undefined;
  const scope = u32[(at + PATH_SCOPE) >> 2];
  return {
    family,
    address: u8.slice(at + PATH_REMOTE, at + PATH_REMOTE + (family === 4 ? 4 : 16)),
    port: view.getUint16(at + PATH_PORT, true),
    scope: scope === 0 ? '' : zoneName(scope),
    ...(u32[(at + PATH_LISTENER) >> 2] === 0 ? {} : { listener: 1 }),
  };
}
