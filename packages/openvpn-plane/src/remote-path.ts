import { SocketAddress } from 'node:net';
import { PATH_BYTES, PATH_FAMILY, PATH_PORT, PATH_REMOTE, type Memory } from '@sallyport/core';
import { parseIpv4, parseIpv6 } from '@sallyport/openvpn';

/**
 * Where a server is, for a connection: an address without a zone, and a port. The datagrams leave by listener 0. Throws a
 * RangeError where it is no address.
 */
export function remotePath(address: string, port: number): Uint8Array {
  const four = parseIpv4(address);
  const bytes = four ?? parseIpv6(address);
  if (bytes === undefined) throw new RangeError(`${address} is no IP address`);
  const path = new Uint8Array(PATH_BYTES);
  const view = new DataView(path.buffer);
  view.setUint16(PATH_FAMILY, four === undefined ? 6 : 4, true);
  view.setUint16(PATH_PORT, port, true);
  path.set(bytes, PATH_REMOTE);
  return path;
}

/** The remote address of the path record at `path`, as text in its canonical form. */
export function remoteAddress({ u8, view }: Memory, path: number): string {
  const at = path + PATH_REMOTE;
  if (view.getUint16(path + PATH_FAMILY, true) === 4) return u8.subarray(at, at + 4).join('.');
  const words = Array.from({ length: 8 }, (_, i) => view.getUint16(at + 2 * i).toString(16));
  return new SocketAddress({ address: words.join(':'), family: 'ipv6' }).address;
}

export function remotePort({ view }: Memory, path: number): number {
  return view.getUint16(path + PATH_PORT, true);
}
