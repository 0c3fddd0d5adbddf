import type { Memory } from './memory.ts';

/**
 * A path names how a datagram came, or has to go: remote address and port, the local address that the remote
 * wrote to, and the interface it came in by. It is a record of {@link PATH_BYTES} bytes in {@link Memory}.
 *
 * IPv4 addresses use the first 4 of the 16 address bytes; the rest is zero. A local address of zero means that
 * the kernel chooses.
 */
export const PATH_BYTES = 64;

/** u16: 4 or 6; 0 where there is no path. */
export const PATH_FAMILY = 0;
/** u16: the remote port, in host order. */
export const PATH_PORT = 2;
/** u32: the scope (interface index) of a link-local IPv6 remote, or 0. */
export const PATH_SCOPE = 4;
/** 16 bytes: the remote address, in network order. */
export const PATH_REMOTE = 8;
/** 16 bytes: the local address, in network order; zero where unknown. */
export const PATH_LOCAL = 24;
/** u32: the interface that the datagram came in by, or 0. */
export const PATH_INTERFACE = 40;
/** u32: the outer header's TOS or traffic class byte of a datagram that came in. */
export const PATH_TOS = 44;
/** u32: the record that this one is a copy of, or 0: who finds the local address gone has it forgotten there too. */
export const PATH_ORIGIN = 48;
/** u32: which of the device's listeners ({@link Listener}) the datagram came in by, or leaves by. */
export const PATH_LISTENER = 52;

/** A device may listen on several ports at once, {@link LISTENERS} at the most; the first is 0. */
export type Listener = 0 | 1 | 2;
export const LISTENERS = 3;

/** Whether two paths have the same remote, local address, interface and listener. */
export function samePath(memory: Memory, a: number, b: number): boolean {
  const { u32 } = memory;
  for (let k = 0; k <= PATH_INTERFACE >> 2; k++) if (u32[(a >> 2) + k] !== u32[(b >> 2) + k]) return false;
  return u32[(a + PATH_LISTENER) >> 2] === u32[(b + PATH_LISTENER) >> 2];
}

/** Copies a path record. */
export function copyPath(memory: Memory, to: number, from: number): void {
  const { u32 } = memory;
  for (let k = 0; k < PATH_BYTES >> 2; k++) u32[(to >> 2) + k] = u32[(from >> 2) + k];
}

/** Forgets the local address and interface of a path and of its origin, so that the kernel chooses again. */
export function forgetLocal(memory: Memory, at: number): void {
  const origin = memory.u32[(at + PATH_ORIGIN) >> 2];
  if (origin !== 0 && origin !== at) forgetLocal(memory, origin);
  for (let k = PATH_LOCAL >> 2; k <= PATH_INTERFACE >> 2; k++) memory.u32[(at >> 2) + k] = 0;
}
