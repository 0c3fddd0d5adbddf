/** The way back from TLS and AmneziaWG to a cheaper transport: probed, moved to, and left again if it does not hold. */
import { pathsBy, remember } from '../choice/paths.ts';
import { TRANSPORTS } from '../settings.ts';
import { backOffMs } from './back-off.ts';
import { frontOf, newHop } from './hop.ts';
import type { Draft, Hop, Moment, Return, Session } from './state.ts';
import { FIRST_RETURN_MS, LAST_CHANCE_MS, LONGEST_RETURN_MS, MOVE_MS, PROBE_MS, TRIAL_MS } from './timing.ts';
import type { Path } from './types.ts';

function withFront(session: Session, hop: Hop): Session {
  return session.entry === undefined ? { ...session, exit: hop } : { ...session, entry: hop };
}

/** When to look for the way back next; undefined where there is none to look for. */
export function returnAfter(draft: Draft, session: Session, { now, random }: Moment): Return | undefined {
  if (cheaper(draft, session).length === 0) return undefined;
  return { kind: 'waiting', at: now + backOffMs(draft.returnFailures, random(), FIRST_RETURN_MS, LONGEST_RETURN_MS) };
}

function cheaper(draft: Draft, session: Session): Path[] {
  if (draft.settings.transport !== 'auto' || draft.narrow) return [];
  const { path, gateway } = frontOf(session);
  const below = TRANSPORTS.slice(0, TRANSPORTS.indexOf(path.transport));
  return below.flatMap((transport) => pathsBy(transport, gateway, draft.network).slice(0, 1));
}

/** The pause is over. */
export function startProbe(draft: Draft, moment: Moment, session: Session): void {
  const paths = cheaper(draft, session);
  const path = paths[draft.returnFailures % Math.max(paths.length, 1)];
  if (path === undefined) {
    draft.session = { ...session, return: undefined };
    return;
  }
  const attempt = draft.nextAttempt++;
  draft.session = { ...session, return: { kind: 'probing', attempt, path, deadline: moment.now + PROBE_MS } };
  draft.actions.push({ kind: 'probe', attempt, path, publicKey: frontOf(session).gateway.wireguardPublicKey });
}

export function probed(draft: Draft, moment: Moment, attempt: number | undefined, works: boolean): void {
  const { session } = draft;
  if (session?.return?.kind !== 'probing') return;
  if (attempt !== undefined && attempt !== session.return.attempt) return;
  const hop = works && draft.search === undefined ? newHop(draft, session.return.path) : undefined;
  if (hop === undefined) {
    if (!works) draft.returnFailures++;
    draft.session = { ...session, return: returnAfter(draft, session, moment) };
    return;
  }
  const old = frontOf(session).path;
  // What passes by the other way is another matter: the MTU is searched anew.
  const moved = { ...withFront(session, hop), mtu: undefined, suspectAt: undefined, searchAt: undefined };
  draft.session = { ...moved, return: { kind: 'moving', old, deadline: moment.now + MOVE_MS } };
}

/** A handshake was answered by the new way. */
export function moveDone(draft: Draft, moment: Moment, session: Session, old: Path): void {
  const moved: Session = {
    ...session,
    heardAt: moment.now,
    before: { path: old, until: moment.now + TRIAL_MS },
    return: undefined,
  };
  draft.session = { ...moved, return: returnAfter(draft, moved, moment) };
  const { path, gateway } = frontOf(session);
  draft.good = remember(draft.good, { networkId: draft.network.id, gatewayId: gateway.id, transport: path.transport, mtu: undefined }); // prettier-ignore
}

/** The new way does not hold: to where the tunnel was before. */
export function moveBack(draft: Draft, moment: Moment, session: Session, old: Path): void {
  draft.returnFailures++;
  const hop = newHop(draft, old);
  if (hop === undefined) {
    draft.session = { ...session, return: undefined, before: undefined, searchAt: moment.now, suspectAt: moment.now };
    return;
  }
  const back: Session = {
    ...withFront(session, hop),
    mtu: undefined,
    before: undefined,
    suspectAt: moment.now,
    searchAt: moment.now + 3 * LAST_CHANCE_MS,
    entryAnswered: false,
  };
  draft.session = { ...back, return: returnAfter(draft, back, moment) };
  draft.good = remember(draft.good, { networkId: draft.network.id, gatewayId: hop.gateway.id, transport: old.transport, mtu: undefined }); // prettier-ignore
}
