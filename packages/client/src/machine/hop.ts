/** The gateway behind an attempt, then and now. */
import { means, permitted } from '../choice/gateways.ts';
import type { Draft, Hop, Session } from './state.ts';
import type { NetworkFacts, Path } from './types.ts';

export function newHop(draft: Draft, path: Path): Hop | undefined {
  const gateway = draft.configuration?.gateways.find(({ id }) => id === path.gatewayId);
  return gateway === undefined ? undefined : { attempt: draft.nextAttempt++, path, gateway };
}

export function isOnline(network: NetworkFacts): boolean {
  return network.ipv4 || network.ipv6;
}

/** Whether the gateway is still what the session was made with, and one that may be used. */
export function isCurrent(draft: Draft, hop: Hop, target: string): boolean {
  if (draft.configuration === undefined) return true;
  const now = permitted(draft.configuration).find(({ id }) => id === hop.gateway.id);
  if (now === undefined || !means(target, now)) return false;
  return now.wireguardPublicKey === hop.gateway.wireguardPublicKey;
}

/** The hop whose datagrams the outside sees. */
export function frontOf(session: Pick<Session, 'entry' | 'exit'>): Hop {
  return session.entry ?? session.exit;
}
