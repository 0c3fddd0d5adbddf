/** How long things may take, milliseconds. */

/** Until the daemon has brought a desired into force; then it counts as failed. */
export const APPLY_MS = 15_000;
/** Until the control plane has answered; the daemon's own limit is 10 s. */
export const FETCH_MS = 12_000;
export const PORTAL_MS = 4_000;
export const MEASURE_MS = 3_000;

export const PING_MS = 1_000;
/** While it is not known whether the gateway is there. */
export const URGENT_PING_MS = 200;
/** Without a word from the gateway until it is suspected: two pings and their answers. */
export const SILENCE_MS = 2_500;
/** What a suspected gateway has to answer until others are tried beside it: with a handshake of theirs below 5 s in all. */
export const LAST_CHANCE_MS = 1_000;

/** Until the way back to a cheaper transport is tried: the first time, and at the most. */
export const FIRST_RETURN_MS = 30_000;
export const LONGEST_RETURN_MS = 600_000;
export const PROBE_MS = 4_000;
/** Until the tunnel has to be heard by the way that it was moved to. */
export const MOVE_MS = 3_000;
/** How long a moved tunnel goes straight back to where it came from when it falls silent. */
export const TRIAL_MS = 60_000;
