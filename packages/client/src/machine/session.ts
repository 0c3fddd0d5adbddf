/** What is heard of the gateway in use, and what follows when nothing is. */
import { permitted } from '../choice/gateways.ts';
import { pathsBy, remember } from '../choice/paths.ts';
import { frontOf, isCurrent } from './hop.ts';
import { moveBack, moveDone, probed, startProbe } from './return.ts';
import { begin, look } from './search.ts';
import type { Draft, Moment, Session } from './state.ts';
import { LAST_CHANCE_MS, SILENCE_MS } from './timing.ts';
import type { Event } from './types.ts';

/** A gateway that answers handshakes and nothing else this often is as good as gone. */
const maxHandshakesAlone = 3;

type Heard = Extract<Event, { kind: 'heard' }>;

export function heard(draft: Draft, { now }: Moment, { attempt, roundTripMs, draining }: Heard): void {
  const { session } = draft;
  if (session === undefined || session.exit.attempt !== attempt) return;
  const leaves = draining === true && !session.draining;
  draft.session = {
    ...trusted(session, now),
    handshakesAlone: 0,
    roundTripMs: roundTripMs ?? session.roundTripMs,
    draining: draining ?? session.draining,
    leaveAt: leaves ? now : draining === false ? undefined : session.leaveAt,
  };
  if (draft.search?.reason === 'lost') draft.search = undefined;
}

function trusted(session: Session, now: number): Session {
  // What is heard while the tunnel moves may have come by the old way.
  if (session.return?.kind === 'moving') return { ...session, heardAt: now };
  return { ...session, heardAt: now, suspectAt: undefined, searchAt: undefined, roamed: false, entryAnswered: false };
}

/** A handshake with a gateway in use was completed. */
export function sessionAnswered(draft: Draft, moment: Moment, attempt: number): void {
  const { session } = draft;
  if (session === undefined) return;
  if (session.return?.kind === 'moving' && attempt === frontOf(session).attempt) {
    moveDone(draft, moment, session, session.return.old);
  } else if (attempt === session.entry?.attempt) {
    draft.session = { ...session, entryAnswered: session.suspectAt !== undefined };
  } else if (attempt === session.exit.attempt && session.suspectAt !== undefined) {
    if (session.handshakesAlone >= maxHandshakesAlone) return;
    draft.session = { ...trusted(session, moment.now), handshakesAlone: session.handshakesAlone + 1 };
    if (draft.search?.reason === 'lost') draft.search = undefined;
  }
}

/** The way to the gateway may be gone: asks it at once, and others soon. */
export function suspect(draft: Draft, { now }: Moment, roamed: boolean, searchAt = now + LAST_CHANCE_MS): void {
  const { session } = draft;
  if (session === undefined) return;
  draft.session = {
    ...session,
    suspectAt: now,
    searchAt,
    roamed: roamed || session.roamed,
    entryAnswered: false,
    // The next silence counts from here.
    handshakesAlone: roamed ? 0 : session.handshakesAlone,
  };
}

/** The path's MTU, as it was found. */
export function mtuFound(draft: Draft, attempt: number, mtu: number): void {
  const { session } = draft;
  if (session?.exit.attempt !== attempt) return;
  draft.session = { ...session, mtu };
  if (session.entry !== undefined) return;
  const { path, gateway } = session.exit;
  draft.good = remember(draft.good, { networkId: draft.network.id, gatewayId: gateway.id, transport: path.transport, mtu }); // prettier-ignore
}

/** The network lets no datagram through that is large enough: over TLS, once, where a gateway offers that. */
export function narrow(draft: Draft, moment: Moment, attempt: number): void {
  const { session, configuration, network, settings } = draft;
  if (session?.exit.attempt !== attempt || configuration === undefined || draft.narrow) return;
  if (settings.transport !== 'auto' || frontOf(session).path.transport === 'tls') return;
  if (!permitted(configuration).some((gateway) => pathsBy('tls', gateway, network).length > 0)) return;
  draft.narrow = true;
  begin(draft, moment);
}

/** The configuration is another one: is the session still one that may be? */
export function review(draft: Draft, moment: Moment): void {
  const { session, intent, configuration } = draft;
  if (session === undefined || intent === undefined || configuration === undefined) return;
  const allowed = permitted(configuration);
  const now = allowed.find(({ id }) => id === session.exit.gateway.id);
  const entryGone = session.entry !== undefined && !allowed.some(({ id }) => id === session.entry?.gateway.id);
  if (now === undefined || entryGone) {
    // Not to be used any more: not even until another one is found.
    begin(draft, moment);
    return;
  }
  const stays = isCurrent(draft, session.exit, intent.target) && (session.entry === undefined || isCurrent(draft, session.entry, intent.via ?? '')); // prettier-ignore
  if (!stays || (now.draining && !session.draining)) {
    draft.session = { ...session, draining: now.draining, leaveAt: moment.now };
  }
}

/** What has come due. */
export function serveSession(draft: Draft, moment: Moment): void {
  const { session } = draft;
  if (session === undefined) return;
  const { now } = moment;
  if (session.return?.kind === 'moving') {
    if (now >= session.return.deadline) moveBack(draft, moment, session, session.return.old);
    return;
  }
  if (session.suspectAt === undefined) {
    if (now >= session.heardAt + SILENCE_MS) {
      const { before } = session;
      if (before !== undefined && now < before.until) moveBack(draft, moment, session, before.path);
      else suspect(draft, moment, false);
    } else if (session.return?.kind === 'waiting' && now >= session.return.at) {
      if (draft.search === undefined) startProbe(draft, moment, session);
      else draft.session = { ...session, return: { kind: 'waiting', at: now + 30_000 } };
    } else if (session.return?.kind === 'probing' && now >= session.return.deadline) {
      probed(draft, moment, undefined, false);
    } else if (session.leaveAt !== undefined && now >= session.leaveAt) {
      draft.session = { ...session, leaveAt: undefined };
      if (draft.search === undefined) look(draft, moment, 'leave');
    }
  } else if (session.searchAt !== undefined && now >= session.searchAt) {
    const later = session.return === undefined ? undefined : ({ kind: 'waiting', at: now + 60_000 } as const);
    draft.session = { ...session, searchAt: undefined, return: later };
    look(draft, moment, 'lost');
  }
}
