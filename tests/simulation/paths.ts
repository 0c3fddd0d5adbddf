import assert from 'node:assert/strict';
import { PATH_BYTES, PATH_FAMILY, PATH_PORT, PATH_REMOTE, type Memory } from '../../packages/core/src/index.ts';
import { parseEndpoint } from '../../packages/wireguard/src/uapi.ts';

/** Writes the path record at `at` for an address of the simulated network, such as `192.0.2.1:51820`. */
export function writePath({ u8, view }: Memory, at: number, address: string): void {
  const endpoint = parseEndpoint(address);
  assert.ok(endpoint?.family === 4, address);
  u8.fill(0, at, at + PATH_BYTES);
  view.setUint16(at + PATH_FAMILY, endpoint.family, true);
  view.setUint16(at + PATH_PORT, endpoint.port, true);
  u8.set(endpoint.address, at + PATH_REMOTE);
}

/** The address of the simulated network that the path record at `at` leads to. */
export function addressAt({ u8, view }: Memory, at: number): string {
  const port = view.getUint16(at + PATH_PORT, true);
  return `${u8.subarray(at + PATH_REMOTE, at + PATH_REMOTE + 4).join('.')}:${port}`;
}
