/** What has come due, and when something will. */
import { fetchNow } from './control.ts';
import { overdue } from './faults.ts';
import { isOnline } from './hop.ts';
import { begin, nextWay } from './search.ts';
import { serveSession } from './session.ts';
import type { Draft, Moment, State } from './state.ts';
import { SILENCE_MS } from './timing.ts';

/** One event makes few things due; more than these come with the next `time`. */
const maxRounds = 8;

export function serve(draft: Draft, moment: Moment): void {
  for (let round = 0; round < maxRounds && (nextDeadline(draft) ?? Infinity) <= moment.now; round++) {
    serveOnce(draft, moment);
  }
}

function serveOnce(draft: Draft, moment: Moment): void {
  const { now } = moment;
  overdue(draft, moment);
  if (draft.fetchAt !== undefined && now >= draft.fetchAt) {
    if (isOnline(draft.network)) fetchNow(draft, moment);
    // A network is told of; then it is asked at once.
    else draft.fetchAt = undefined;
  }
  if (draft.portalDeadline !== undefined && now >= draft.portalDeadline) draft.portalDeadline = undefined;
  if (draft.measure !== undefined && now >= draft.measure.deadline) draft.measure = undefined;
  if (draft.reapplyAt !== undefined && now >= draft.reapplyAt) {
    draft.reapplyAt = undefined;
    draft.again = true;
  }
  if (draft.block?.retryAt !== undefined && now >= draft.block.retryAt) begin(draft, moment);
  if (draft.search !== undefined && draft.search.stage !== 'apply' && now >= draft.search.deadline)
    nextWay(draft, moment);
  serveSession(draft, moment);
}

/** When `time` is to be taken in next, by the clock of `now`; undefined: only another event leads on. */
export function nextDeadline(state: State): number | undefined {
  const { session, search } = state;
  const all = [
    state.fetchAt,
    state.fetchDeadline,
    state.portalDeadline,
    state.measure?.deadline,
    state.applyDeadline,
    state.reapplyAt,
    state.block?.retryAt,
    // While it is being applied, the daemon's own deadline counts.
    search?.stage === 'apply' ? undefined : search?.deadline,
  ];
  if (session?.return?.kind === 'moving') {
    all.push(session.return.deadline);
  } else if (session !== undefined) {
    if (session.suspectAt !== undefined) {
      all.push(session.searchAt);
    } else {
      all.push(session.heardAt + SILENCE_MS, session.leaveAt);
      all.push(session.return?.kind === 'waiting' ? session.return.at : session.return?.deadline);
    }
  }
  const due = all.filter((at) => at !== undefined);
  return due.length === 0 ? undefined : Math.min(...due);
}
