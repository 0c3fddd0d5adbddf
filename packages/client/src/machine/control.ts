/** Asking the control plane. */
import { backOffMs } from './back-off.ts';
import type { Draft, Moment } from './state.ts';
import { FETCH_MS } from './timing.ts';

/** A configuration that is younger is not asked for again before a connection. */
export const FRESH_MS = 10_000;
/** The control plane says how often it wants to be asked, within these. */
const SHORTEST_REFRESH_MS = 30_000;
const LONGEST_REFRESH_MS = 24 * 3_600_000;

export function fetchNow(draft: Draft, { now }: Moment): void {
  draft.fetchAt = undefined;
  if (draft.account === undefined || draft.fetchDeadline !== undefined) return;
  draft.fetchDeadline = now + FETCH_MS;
  draft.actions.push({ kind: 'fetchConfiguration' });
}

export function fetched(draft: Draft, { now }: Moment, refreshSeconds: number): void {
  draft.fetchDeadline = undefined;
  draft.fetchFailures = 0;
  draft.refusal = undefined;
  draft.fetchAt = now + Math.min(Math.max(refreshSeconds * 1000, SHORTEST_REFRESH_MS), LONGEST_REFRESH_MS);
}

export function fetchFailed(draft: Draft, { now, random }: Moment): void {
  draft.fetchDeadline = undefined;
  draft.fetchAt = now + backOffMs(draft.fetchFailures, random(), 5_000, 300_000);
  draft.fetchFailures++;
}
