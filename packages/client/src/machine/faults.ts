/** What went wrong, or was not answered in time. */
import { backOffMs } from './back-off.ts';
import { block } from './block.ts';
import { fetchFailed } from './control.ts';
import { frontOf } from './hop.ts';
import { moveBack } from './return.ts';
import { nextWay } from './search.ts';
import { suspect } from './session.ts';
import type { Draft, Moment } from './state.ts';
import type { Part } from './types.ts';

export const portalMessage =
  'This network wants a login on a page of its own first: disconnect, log in there with a browser, and connect again';

export function unconfigured(
  draft: Draft,
  moment: Moment,
  reason: 'unreachable' | 'refused' | 'loginEnded' | 'portal',
  message: string,
): void {
  if (draft.fetchDeadline === undefined) return;
  fetchFailed(draft, moment);
  if (reason === 'refused' || reason === 'loginEnded') draft.refusal = message;
  if (draft.intent === undefined || draft.session !== undefined) return;
  if (reason === 'refused' || (reason === 'loginEnded' && draft.configuration === undefined)) {
    block(draft, moment, 'refused', message);
  } else if (draft.search === undefined && (draft.block === undefined || draft.block.reason === 'noAnswer')) {
    if (reason === 'portal') block(draft, moment, 'portal', portalMessage);
    else if (draft.block === undefined) block(draft, moment, 'control', message);
  }
}

/** The daemon did not answer in time: as if it had said so. */
export function overdue(draft: Draft, moment: Moment): void {
  if (draft.fetchDeadline !== undefined && moment.now >= draft.fetchDeadline) {
    unconfigured(draft, moment, 'unreachable', 'The control plane does not answer');
  }
  if (draft.applyDeadline !== undefined && moment.now >= draft.applyDeadline) {
    failed(draft, moment, 'daemon', undefined, 'The machine was not set up in time');
  }
}

export function failed(
  draft: Draft,
  moment: Moment,
  part: Part | 'daemon',
  attempt: number | undefined,
  message: string,
): void {
  if (part === 'carrier') {
    carrierFailed(draft, moment, attempt);
    return;
  }
  draft.applyDeadline = undefined;
  if (draft.intent !== undefined) {
    const open = part === 'firewall' ? 'Everything may pass: the packet filter could not be changed. ' : '';
    block(draft, moment, part, `${open}${message}`);
  } else {
    draft.reapplyAt = moment.now + backOffMs(draft.failures, moment.random());
    draft.failures++;
  }
}

function carrierFailed(draft: Draft, moment: Moment, attempt: number | undefined): void {
  const { search, session } = draft;
  if (attempt === undefined) return;
  if (search !== undefined && attempt === (search.entry ?? search.exit).attempt) {
    // An entry that was taken over from the session is gone with it.
    draft.search = { ...search, entryDone: search.entry === undefined };
    nextWay(draft, moment);
  } else if (session !== undefined && attempt === frontOf(session).attempt) {
    if (session.return?.kind === 'moving') moveBack(draft, moment, session, session.return.old);
    else if (session.suspectAt === undefined) suspect(draft, moment, false, moment.now);
  }
}
