import { authFailed, halt, restart, type AuthFailure } from '../wire/control-message.ts';
import type { Verdict } from './authentication.ts';
import type { AdvancesBy } from './negotiation.ts';
import type { Ending } from './server-events.ts';

/** What a client is told that is not let in. `userName` is whose challenge it is. */
export function failureOf(verdict: Extract<Verdict, { kind: 'refuse' }>, userName: string): AuthFailure {
  const { reason: text, challenge, retryAfterSeconds: backoffSeconds, elsewhere } = verdict;
  if (challenge !== undefined) {
    const { state, text: question, echo } = challenge;
    return { kind: 'challenge', challenge: { state, userName, text: question, echo, responseRequired: true } };
  }
  if (backoffSeconds !== undefined)
    return { kind: 'temporary', backoffSeconds, advance: elsewhere === true ? 'remote' : 'no', text };
  return verdict.sessionEnded === true ? { kind: 'sessionEnded', text } : { kind: 'plain', text };
}

/** What a client is told whose session is ended. */
export function textOf(ending: Ending, by: AdvancesBy): string {
  switch (ending.kind) {
    case 'authFailed':
      return authFailed({ kind: 'plain', text: ending.reason });
    case 'sessionEnded':
      return authFailed({ kind: 'sessionEnded', text: ending.reason });
    case 'restart':
      return restart({ advance: ending.advance && by === 'restart', text: ending.reason });
    case 'halt':
      return halt(ending.reason);
  }
}
