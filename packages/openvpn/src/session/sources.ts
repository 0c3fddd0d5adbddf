import { PATH_FAMILY, PATH_LOCAL, PATH_PORT, PATH_REMOTE, type Instant, type Memory } from '@sallyport/core';
import { MAX_SOURCES, STARTS_WINDOW_MS } from './settings.ts';

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

interface Source {
  handshakes: number;
  starts: number;
  windowEnds: Instant;
}

/** Key exchanges by source: those in progress, and those begun lately. Only sources that proved their address get here. */
export class Sources {
  readonly #sources = new Map<string, Source>();
  #sweepAt: Instant = -Infinity;

  /** Counts a start; false, counting nothing, where the source has too many. */
  start(key: string, limits: { handshakes: number; starts: number }, now: Instant): boolean {
    this.#sweep(now);
    let source = this.#sources.get(key);
    if (source === undefined) {
      if (this.#sources.size >= MAX_SOURCES) return false;
      source = { handshakes: 0, starts: 0, windowEnds: now + STARTS_WINDOW_MS };
      this.#sources.set(key, source);
    }
    if (now >= source.windowEnds) {
      source.starts = 0;
      source.windowEnds = now + STARTS_WINDOW_MS;
    }
    if (source.handshakes >= limits.handshakes || source.starts >= limits.starts) return false;
    source.handshakes++;
    source.starts++;
    return true;
  }

  /** A key exchange is no longer in progress. */
  end(key: string): void {
    const source = this.#sources.get(key);
    if (source !== undefined) source.handshakes--;
  }

  get size(): number {
    return this.#sources.size;
  }

  /** Forgets, once a window, those that nothing is known of any more. */
  #sweep(now: Instant): void {
    if (now < this.#sweepAt) return;
    this.#sweepAt = now + STARTS_WINDOW_MS;
    for (const [key, source] of this.#sources)
      if (source.handshakes === 0 && now >= source.windowEnds) this.#sources.delete(key);
  }
}
