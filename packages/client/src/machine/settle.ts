/** After every event: what the machine has to be like now, what state that is, and which steps are done. */
import type { ClientState } from '../daemon-protocol.ts';
import { desiredOf } from './desired.ts';
import type { Draft, Moment, State } from './state.ts';
import { APPLY_MS } from './timing.ts';
import type { Desired } from './types.ts';

export function settle(draft: Draft, { now }: Moment, before: State): void {
  const desired = desiredOf(draft);
  const { revision } = draft.desired;
  // What failed to come into force is tried again as soon as nothing else is waited for.
  const pending = draft.applyDeadline ?? draft.reapplyAt ?? draft.block?.retryAt;
  const left = draft.appliedRevision < revision && pending === undefined;
  if (draft.again || left || revision === 0 || JSON.stringify(desired) !== textOf(draft.desired)) {
    draft.desired = { revision: revision + 1, ...desired };
    draft.applyDeadline ??= now + APPLY_MS;
  }
  if (draft.search !== undefined && draft.search.revision === undefined) {
    draft.search = { ...draft.search, revision: draft.desired.revision };
  }
  const inForce = draft.appliedRevision >= draft.desired.revision;
  if (draft.session !== undefined && draft.search?.reason !== 'lost' && inForce) draft.wasConnected = true;
  draft.phase = phaseOf(draft, inForce);
  if (draft.phase !== before.phase) draft.since = now;
  noteSteps(draft, now);
}

/** Of what is kept from event to event, and so compared with again and again. */
const texts = new WeakMap<Desired, string>();

function textOf(desired: Desired): string {
  const known = texts.get(desired);
  if (known !== undefined) return known;
  const { revision: _, ...rest } = desired;
  const text = JSON.stringify(rest);
  texts.set(desired, text);
  return text;
}

function phaseOf(draft: Draft, inForce: boolean): ClientState {
  const { intent, block, session, search, wasConnected, phase } = draft;
  if (intent === undefined) return inForce || phase === 'disconnected' ? 'disconnected' : 'disconnecting';
  if (block !== undefined) return 'blocked';
  if (session !== undefined && wasConnected && search?.reason !== 'lost') return 'connected';
  return wasConnected ? 'reconnecting' : 'connecting';
}

function noteSteps(draft: Draft, now: number): void {
  const { intent, session, search, configuration, wasConnected } = draft;
  if (intent === undefined) return;
  const tried = search !== undefined || session !== undefined;
  const done = {
    configuration: configuration !== undefined,
    gateway: tried,
    protection: session !== undefined || (search !== undefined && search.stage !== 'apply'),
    tunnel: session !== undefined,
    names: session !== undefined && wasConnected,
    ready: session !== undefined && wasConnected,
  };
  const steps = { ...draft.steps };
  let open = true;
  for (const name of ['configuration', 'gateway', 'protection', 'tunnel', 'names', 'ready'] as const) {
    const step = steps[name];
    steps[name] = {
      startedAt: step.startedAt ?? (open ? now : undefined),
      doneAt: step.doneAt ?? (open && done[name] ? now : undefined),
    };
    open = open && steps[name].doneAt !== undefined;
  }
  draft.steps = steps;
}
