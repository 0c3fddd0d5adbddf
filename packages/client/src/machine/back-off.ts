/**
 * How long to wait after the n-th failure in a row (n from 0), milliseconds: doubled each time between the bounds, and
 * then between half and all of it, so that many clients don't come at once.
 */
export function backOffMs(failures: number, random: number, firstMs = 1000, longestMs = 60_000): number {
  const whole = Math.min(longestMs, firstMs * 2 ** Math.min(failures, 30));
  return Math.round(whole / 2 + (whole / 2) * random);
}
