import { PATH_FAMILY, PATH_LOCAL, PATH_PORT, PATH_REMOTE, type Memory } from '@sallyport/core';

/** Where a datagram came from, as bytes: family, address, port. What a cookie is bound to. */
export function sourceAddress({ u8, view }: Memory, path: number): Uint8Array {
  const bytes = view.getUint16(path + PATH_FAMILY, true) === 4 ? 4 : 16;
  const source = new Uint8Array(3 + bytes);
  source[0] = bytes;
  source.set(u8.subarray(path + PATH_PORT, path + PATH_PORT + 2), 1);
  source.set(u8.subarray(path + PATH_REMOTE, path + PATH_REMOTE + bytes), 3);
  return source;
}

/** Whether two paths have the same remote address and port; by which of our addresses they came does not matter. */
export function sameRemote({ u32 }: Memory, a: number, b: number): boolean {
  for (let k = 0; k < PATH_LOCAL >> 2; k++) if (u32[(a >> 2) + k] !== u32[(b >> 2) + k]) return false;
  return true;
}

/**
 * What limits count by: an IPv4 address, or the /64 of an IPv6 address, which one client has all of. Clients over TCP come
 * by loopback addresses, one a connection.
 */
export function sourceKey({ u8, view }: Memory, path: number): string {
  const bytes = view.getUint16(path + PATH_FAMILY, true) === 4 ? 4 : 8;
  let key = '';
  for (let i = 0; i < bytes; i++) key += String.fromCharCode(u8[path + PATH_REMOTE + i]);
  return key;
}
