import { backOffMs } from './back-off.ts';
import type { BlockReason, Draft, Moment } from './state.ts';
import { PORTAL_MS } from './timing.ts';

/** Of these the cause is gone with an event alone. */
const waitsForEvent: readonly BlockReason[] = ['offline', 'noGateway'];

/** There is no tunnel, and why. Traffic stays blocked (with the kill switch); tried again after a pause that grows. */
export function block(draft: Draft, { now, random }: Moment, reason: BlockReason, message: string): void {
  draft.session = undefined;
  draft.search = undefined;
  const waits = waitsForEvent.includes(reason);
  draft.block = { reason, message, retryAt: waits ? undefined : now + backOffMs(draft.failures, random()) };
  if (!waits) draft.failures++;
  if ((reason === 'noAnswer' || reason === 'control') && draft.portalDeadline === undefined) {
    draft.portalDeadline = now + PORTAL_MS;
    draft.actions.push({ kind: 'checkPortal' });
  }
}
