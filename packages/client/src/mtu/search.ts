/**
 * Finds the largest packet that passes through the tunnel, and notices when it does not pass any more. With every large
 * ping goes a small one: where both are missing the path is down or lossy, and says nothing about sizes. No answer of a
 * router's is needed (RFC 8899, section 4.3, does the same for other protocols).
 */

/** Sizes are whole packets in the tunnel, IP header included, bytes. */
export interface MtuSearch {
  /** What has to pass; less is not looked for. */
  readonly floor: number;
  /** It is known to pass, or taken for granted. */
  readonly floorPasses: boolean;
  readonly ceiling: number;
  /** The largest that is known to pass, and the smallest that does not (or one above the ceiling). */
  readonly low: number;
  readonly high: number;
  /** What is in force: `found` of the last result. */
  readonly held: number;
  /** `raise`: is there more than what is held? `check`: does what is held still pass? */
  readonly mode: 'search' | 'raise' | 'check' | 'hold';
  readonly probe: Probe | undefined;
  /** In the mode `hold`. */
  readonly checkAt: number;
  readonly raiseAt: number;
  readonly answerMs: number;
}

interface Probe {
  readonly size: number;
  readonly deadline: number;
  readonly smallAnswered: boolean;
  /** Tries that only the small ping came back from; that none did. */
  readonly lost: number;
  readonly silent: number;
}

export type MtuEvent =
  { readonly kind: 'answered'; readonly size: number } | { readonly kind: 'roundTrip'; readonly ms: number } | { readonly kind: 'time' }; // prettier-ignore

export interface MtuStep {
  readonly search: MtuSearch;
  /** The sizes of the pings to send now. */
  readonly send: readonly number[];
  /** A result that is another one than what is in force. */
  readonly found: number | undefined;
  /** Not even the floor passes, though the small ping does. */
  readonly narrow: boolean;
}

/** The size of the ping that goes with a large one. */
export const SMALL_PING = 100;
const step = 4;
const triesToLose = 4;
/** Of the floor: without it the way is given up. */
const triesToGiveUp = 8;
const triesToDoubt = 10;
const checkEveryMs = 15_000;
const raiseEveryMs = 600_000;

/**
 * `held`: what is in force while it is searched. `granted`: the floor is taken for granted; with a ceiling that is the same
 * nothing is searched. Take in `time` to begin.
 */
export function startMtuSearch(floor: number, ceiling: number, held: number, now: number, granted = false): MtuSearch {
  const within = Math.min(Math.max(held, floor), ceiling);
  const begun = { floor, floorPasses: granted, ceiling, low: floor, high: ceiling + 1, held: within, answerMs: 400 };
  const search: MtuSearch = { ...begun, mode: 'search', probe: undefined, checkAt: now, raiseAt: now };
  return granted && floor >= ceiling ? { ...search, mode: 'hold', checkAt: Infinity, raiseAt: Infinity } : search;
}

/** When `time` has to be taken in next. */
export function mtuDeadline({ mode, probe, checkAt, raiseAt }: MtuSearch): number {
  if (probe !== undefined) return probe.deadline;
  return mode === 'hold' ? Math.min(checkAt, raiseAt) : checkAt;
}

export function mtuStep(search: MtuSearch, event: MtuEvent, now: number): MtuStep {
  if (event.kind === 'roundTrip') {
    // Twice the round trip, for the queue that a large packet makes.
    return still({ ...search, answerMs: Math.min(Math.max(250, Math.round(2 * event.ms) + 50), 2000) });
  }
  if (event.kind === 'answered') return answered(search, event.size, now);
  if (now < mtuDeadline(search)) return still(search);
  return search.probe === undefined ? begin(search, now) : unanswered(search, search.probe, now);
}

function still(search: MtuSearch): MtuStep {
  return { search, send: [], found: undefined, narrow: false };
}

function begin(search: MtuSearch, now: number): MtuStep {
  if (search.mode !== 'hold') return next(search, now);
  if (now >= search.raiseAt && search.held < search.ceiling) {
    return probe({ ...search, mode: 'raise', low: search.held, high: search.ceiling + 1 }, search.held + step, now);
  }
  const raiseAt = now >= search.raiseAt ? now + raiseEveryMs : search.raiseAt;
  return probe({ ...search, raiseAt, mode: 'check' }, search.held, now);
}

/** The next size, or the end. The ceiling comes first: on most paths it passes. */
function next(search: MtuSearch, now: number): MtuStep {
  const { low, high, floor, ceiling } = search;
  if (high > ceiling && low < ceiling) return probe(search, ceiling, now);
  if (!search.floorPasses) return probe(search, floor, now);
  if (high - low <= step) return finish(search, now);
  return probe(search, low + Math.max(step, Math.floor((high - low) / 2 / step) * step), now);
}

function finish(search: MtuSearch, now: number): MtuStep {
  const found = search.low === search.held ? undefined : search.low;
  const held: MtuSearch = { ...search, held: search.low, mode: 'hold', probe: undefined, checkAt: now + checkEveryMs, raiseAt: now + raiseEveryMs }; // prettier-ignore
  return { search: held, send: [], found, narrow: false };
}

function probe(search: MtuSearch, wanted: number, now: number, lost = 0, silent = 0): MtuStep {
  const size = Math.min(wanted, search.ceiling);
  const begun = { size, deadline: now + search.answerMs, smallAnswered: false, lost, silent };
  return { search: { ...search, probe: begun }, send: [size, SMALL_PING], found: undefined, narrow: false };
}

function answered(search: MtuSearch, size: number, now: number): MtuStep {
  const { probe: current, mode } = search;
  if (current === undefined) return still(search);
  if (size < current.size) {
    return still(size === SMALL_PING ? { ...search, probe: { ...current, smallAnswered: true } } : search);
  }
  // Who answers a size that was not asked for is not believed.
  if (size > current.size) return still(search);
  const known = { ...search, floorPasses: true, probe: undefined };
  if (mode === 'check') return still({ ...known, mode: 'hold', checkAt: now + checkEveryMs });
  const higher: MtuSearch = { ...known, mode: 'search', low: size };
  // All that is left is more than the ceiling.
  return size >= search.ceiling ? finish(higher, now) : next(higher, now);
}

function unanswered(search: MtuSearch, current: Probe, now: number): MtuStep {
  const lost = current.lost + (current.smallAnswered ? 1 : 0);
  const silent = current.silent + (current.smallAnswered ? 0 : 1);
  const tries = search.mode === 'search' && current.size === search.floor ? triesToGiveUp : triesToLose;
  if (lost >= tries) return tooLarge({ ...search, probe: undefined }, current.size, now);
  if (silent < triesToDoubt) return probe(search, current.size, now, lost, silent);
  // Nothing passes at all: whoever watches the tunnel sees to that. Later again.
  const paused = { ...search, probe: undefined, checkAt: now + checkEveryMs };
  return still(search.mode === 'check' ? { ...paused, mode: 'hold' } : paused);
}

function tooLarge(search: MtuSearch, size: number, now: number): MtuStep {
  if (search.mode === 'raise') return finish(search, now);
  // What was held does not pass any more: below it, whatever passed once.
  if (search.mode === 'check') return next({ ...search, floorPasses: false, mode: 'search', low: search.floor, high: size }, now); // prettier-ignore
  if (size <= search.floor) return { ...finish({ ...search, low: search.floor }, now), narrow: true };
  return next({ ...search, high: size }, now);
}
