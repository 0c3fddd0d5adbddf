/** TCP connections of the daemon's own: marked, so that they leave beside the tunnel, and by address. */
import { lookup } from 'node:dns/promises';
import { isIP, type Socket } from 'node:net';
import { OUTSIDE_MARK } from '@sallyport/client';
import { connectMarkedTcp } from '@sallyport/io';
import { messageOf } from '../failure.ts';

const STAGGER_MS = 300;

/** {@link reachFirst}, for whom it is all the same which it was. */
export async function connectFirst(
  addresses: readonly string[],
  port: number,
  timeoutMs: number,
  mark = OUTSIDE_MARK,
): Promise<Socket> {
  return (await reachFirst(addresses, port, timeoutMs, mark)).socket;
}

/**
 * Connects to the first of `addresses` that answers; the next is tried beside it after 300 ms, or as soon as one fails
 * (RFC 8305 in its simplest form). Rejects when none did within `timeoutMs`.
 */
export function reachFirst(
  addresses: readonly string[],
  port: number,
  timeoutMs: number,
  mark = OUTSIDE_MARK,
): Promise<{ readonly socket: Socket; readonly address: string }> {
  return new Promise((resolve, reject) => {
    const open = new Set<Socket>();
    const faults: string[] = [];
    let next = 0;
    let stagger: NodeJS.Timeout | undefined;
    let done = false;
    const tryNext = (): void => {
      clearTimeout(stagger);
      if (done) return;
      const address = addresses[next++];
      if (address === undefined) {
        if (open.size > 0) return;
        done = true;
        reject(new Error(faults.length === 0 ? 'no address is known' : faults.join('; ')));
        return;
      }
      stagger = setTimeout(tryNext, STAGGER_MS);
      const failed = (error: unknown): void => {
        faults.push(messageOf(error));
        tryNext();
      };
      try {
        const socket = connectMarkedTcp(address, port, { mark }, timeoutMs);
        open.add(socket);
        socket.once('connect', () => {
          if (done) return;
          done = true;
          clearTimeout(stagger);
          open.delete(socket);
          for (const other of open) other.destroy();
          resolve({ socket, address });
        });
        socket.on('error', (error) => {
          open.delete(socket);
          if (!done) failed(error);
        });
      } catch (error) {
        failed(error);
      }
    };
    tryNext();
  });
}

/** The addresses of a host, by the system's names; an address is its own. Empty where names aren't to be had. */
export async function addressesOf(host: string): Promise<string[]> {
  const bare = host.replace(/^\[|\]$/g, '');
  if (isIP(bare) !== 0) return [bare];
  try {
    return (await lookup(bare, { all: true })).map(({ address }) => address).slice(0, 8);
  } catch {
    return [];
  }
}
