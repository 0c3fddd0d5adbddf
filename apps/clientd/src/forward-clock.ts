/**
 * Unix milliseconds by the system's clock, which never go back: where that was set back they go on from where they were. A
 * gateway refuses a handshake that is older than the last one of this device, of whatever tunnel: a machine whose clock was
 * ahead until it asked a time server would be kept out for as long.
 */
export function forwardClock(wall: () => number, steady: () => number): () => number {
  let difference = -Infinity;
  return () => {
    const now = steady();
    difference = Math.max(difference, wall() - now);
    return Math.round(now + difference);
  };
}

/** That of this process. */
export const unixNow = forwardClock(
  () => Date.now(),
  () => performance.now(),
);
