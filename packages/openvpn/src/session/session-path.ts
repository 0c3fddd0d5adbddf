import { PATH_BYTES, type Memory, type SessionId } from '@sallyport/core';
import type { DataSessions } from '../data/data-sessions.ts';
import { sameRemote } from './sources.ts';

interface Places {
  readonly memory: Memory;
  readonly data: DataSessions;
  readonly scratchPath: number;
}

/**
 * Where a client is: where it began, until it was let in; then where its data channel was last heard of; and that for
 * good once the data channel is closed. `session` is 0 before and after.
 */
export class SessionPath {
  readonly #places: Places;
  readonly #bytes = new Uint8Array(PATH_BYTES);

  constructor(places: Places, path: number) {
    this.#places = places;
    this.remember(path);
  }

  /** A path record, good until something else is asked for one. */
  at(session: SessionId): number {
    const { memory, data, scratchPath } = this.#places;
    if (session !== 0) return data.pathOf(session);
    memory.u8.set(this.#bytes, scratchPath);
    return scratchPath;
  }

  remember(path: number): void {
    this.#bytes.set(this.#places.memory.u8.subarray(path, path + PATH_BYTES));
  }

  /** Whether a packet may come from there: authentic ones of a client that was let in from anywhere. */
  allows(path: number, session: SessionId, authentic: boolean): boolean {
    return (session !== 0 && authentic) || sameRemote(this.#places.memory, path, this.at(session));
  }
}
