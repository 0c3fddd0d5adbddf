/** Looking for a way: which ones, in which order, and one attempt after the other. */
import { ranked } from '../choice/gateways.ts';
import { ATTEMPT_MS, pathsBy, remember, samePath, transportsFor } from '../choice/paths.ts';
import type { ServiceGateway } from '../configuration.ts';
import { fetchNow, FRESH_MS } from './control.ts';
import { block } from './block.ts';
import { isCurrent, isOnline, newHop } from './hop.ts';
import { returnAfter } from './return.ts';
import type { Transport } from '../settings.ts';
import { APPLY_MS } from './timing.ts';
import type { Draft, Hop, Moment, Search, SearchReason, Session, Way } from './state.ts';
import type { NetworkFacts, Path } from './types.ts';

const maxWays = 24;
const maxGateways = 3;
/** Inside the entry's tunnel both families are there. */
const tunnelNetwork: NetworkFacts = { id: '', ipv4: true, ipv6: true, onLink: [], devices: [], mtu: 1500 };

/** From nothing: asks the control plane if it has to, and begins with the first way. */
export function begin(draft: Draft, moment: Moment): void {
  draft.block = undefined;
  draft.search = undefined;
  draft.session = undefined;
  if (draft.intent === undefined || draft.account === undefined) return;
  if (!isOnline(draft.network)) {
    block(draft, moment, 'offline', 'There is no network: no default route');
    return;
  }
  if (draft.configuration === undefined || moment.now - draft.configurationAt > FRESH_MS) fetchNow(draft, moment);
  if (draft.configuration !== undefined) look(draft, moment, 'connect');
}

/** Looks for a way, and keeps the session meanwhile. */
export function look(draft: Draft, moment: Moment, reason: SearchReason): void {
  const { configuration } = draft;
  if (configuration === undefined) return;
  if (configuration.device.standing !== 'active') {
    block(draft, moment, 'refused', configuration.device.message);
    return;
  }
  const ways = waysFor(draft, reason);
  if (ways.length > 0) {
    tryWay(draft, moment, { reason, ways, index: 0 });
  } else if (reason === 'leave') {
    draft.search = undefined;
    putOffLeaving(draft, moment);
  } else {
    const target = draft.intent?.target ?? 'fastest';
    block(draft, moment, 'noGateway', target === 'fastest' ? 'No gateway may be used' : `No gateway may be used that "${target}" means, with the addresses that this network has`); // prettier-ignore
  }
}

/** The attempt has failed: the next way, or none is left. */
export function nextWay(draft: Draft, moment: Moment): void {
  const { search } = draft;
  if (search === undefined) return;
  let index = search.index + 1;
  if (!search.entryDone && search.entry !== undefined) {
    // Behind an entry that does not answer no exit will.
    const failed = search.entry.path;
    while (search.ways[index]?.entry !== undefined && samePath(search.ways[index]?.entry ?? failed, failed)) index++;
  }
  if (index < search.ways.length) {
    tryWay(draft, moment, { ...search, index });
  } else if (search.reason === 'leave') {
    draft.search = undefined;
    putOffLeaving(draft, moment);
  } else {
    block(draft, moment, 'noAnswer', 'No gateway answers, by any transport');
  }
}

function putOffLeaving(draft: Draft, moment: Moment): void {
  if (draft.session !== undefined) draft.session = { ...draft.session, leaveAt: moment.now + 60_000 };
}

type Attempt = Pick<Search, 'reason' | 'ways' | 'index'> & Partial<Pick<Search, 'entry' | 'entryDone'>>;

function tryWay(draft: Draft, moment: Moment, { reason, ways, index, entry, entryDone }: Attempt): void {
  const way = ways[index];
  if (way === undefined) return;
  const exit = newHop(draft, way.exit);
  const kept = keptEntry(draft, way, entryDone === true ? entry : undefined);
  const before = kept ?? (way.entry === undefined ? undefined : newHop(draft, way.entry));
  if (exit === undefined || (way.entry !== undefined && before === undefined)) {
    // The gateway was taken out of the configuration meanwhile.
    draft.search = undefined;
    look(draft, moment, reason);
    return;
  }
  draft.search = {
    reason,
    ways,
    index,
    entry: before,
    exit,
    stage: 'apply',
    entryDone: way.entry === undefined || kept !== undefined,
    revision: undefined,
    deadline: moment.now + APPLY_MS,
  };
}

/** The entry that is there and answers, where the way begins with it. */
function keptEntry(draft: Draft, way: Way, tried: Hop | undefined): Hop | undefined {
  const { session } = draft;
  const used = session?.suspectAt === undefined || session.entryAnswered ? session?.entry : undefined;
  return [tried, used].find((hop) => hop !== undefined && way.entry !== undefined && samePath(hop.path, way.entry));
}

/** The attempt is in force: its time runs from now on. */
export function attemptApplied(draft: Draft, moment: Moment): void {
  const { search } = draft;
  if (search?.stage !== 'apply' || search.revision === undefined || draft.appliedRevision < search.revision) return;
  draft.search = handshakeStage(search, moment);
}

function handshakeStage(search: Search, { now }: Moment): Search {
  const stage = search.entryDone ? 'exit' : 'entry';
  const first = search.entry?.path.transport ?? search.exit.path.transport;
  // The inner handshake needs the round trip to the entry too.
  return { ...search, stage, deadline: now + ATTEMPT_MS[first] + (search.entry !== undefined && stage === 'exit' ? 500 : 0) }; // prettier-ignore
}

/** A handshake of the search's was completed. */
export function attemptAnswered(draft: Draft, moment: Moment, attempt: number): void {
  const { search } = draft;
  if (search === undefined) return;
  if (attempt === search.entry?.attempt && !search.entryDone) {
    const done = { ...search, entryDone: true };
    draft.search = search.stage === 'apply' ? done : handshakeStage(done, moment);
  } else if (attempt === search.exit.attempt && search.entryDone) {
    establish(draft, moment, search);
  }
}

function establish(draft: Draft, moment: Moment, { entry, exit }: Search): void {
  const front = entry ?? exit;
  const known = draft.good.find(
    (item) =>
      item.networkId === draft.network.id && item.gatewayId === front.gateway.id && item.transport === front.path.transport, // prettier-ignore
  );
  const session: Session = {
    entry,
    exit,
    heardAt: moment.now,
    suspectAt: undefined,
    searchAt: undefined,
    roamed: false,
    entryAnswered: false,
    handshakesAlone: 0,
    draining: exit.gateway.draining,
    leaveAt: exit.gateway.draining ? moment.now + 60_000 : undefined,
    roundTripMs: undefined,
    mtu: entry === undefined ? known?.mtu : undefined,
    return: undefined,
    before: undefined,
  };
  draft.session = { ...session, return: returnAfter(draft, session, moment) };
  draft.search = undefined;
  draft.failures = 0;
  draft.good = remember(draft.good, {
    networkId: draft.network.id,
    gatewayId: front.gateway.id,
    transport: front.path.transport,
    mtu: known?.mtu,
  });
}

function waysFor(draft: Draft, reason: SearchReason): Way[] {
  const { configuration, intent, session } = draft;
  if (configuration === undefined || intent === undefined) return [];
  const old = session?.exit.gateway.id;
  const all = ranked(configuration, intent.target, draft.latencies);
  // Whoever is left is no place to go to, unless it has changed.
  const stays = reason === 'leave' && session !== undefined && isCurrent(draft, session.exit, intent.target);
  const exits = stays ? all.filter(({ id, draining }) => id !== old && !draining) : all;
  const ways = intent.via === null ? single(draft, reason, exits) : double(draft, reason, exits, intent.via);
  return ways.slice(0, maxWays);
}

function single(draft: Draft, reason: SearchReason, exits: readonly ServiceGateway[]): Way[] {
  const { session } = draft;
  const current = reason === 'lost' && session?.entry === undefined ? session : undefined;
  const own = exits.filter(({ id }) => id === current?.exit.gateway.id);
  const others = exits.filter(({ id }) => id !== current?.exit.gateway.id);
  const paths: Path[] = [];
  if (current !== undefined && !current.roamed) {
    // What has just worked at the lost gateway, at the next ones: they can be tried beside it.
    const { transport } = current.exit.path;
    paths.push(...others.slice(0, 2).flatMap((gateway) => byTransport(draft, transport, gateway).slice(0, 1)));
  }
  paths.push(...ladder(draft, [...own, ...others].slice(0, maxGateways)));
  return distinct(paths).map((exit) => ({ entry: undefined, exit }));
}

/** The ladder of each gateway, by the first family; then the same by the other one. */
function ladder(draft: Draft, gateways: readonly ServiceGateway[]): Path[] {
  const rungs = gateways.flatMap((gateway) =>
    transportsOf(draft, gateway).map((transport) => byTransport(draft, transport, gateway)),
  );
  return [0, 1].flatMap((turn) => rungs.flatMap((paths) => paths.slice(turn, turn + 1)));
}

function transportsOf({ settings, good, network, narrow }: Draft, gateway: ServiceGateway): readonly Transport[] {
  const likeliest = transportsFor(settings.transport, good, network.id, gateway.id);
  if (!narrow || settings.transport !== 'auto') return likeliest;
  return ['tls', ...likeliest.filter((transport) => transport !== 'tls')];
}

function byTransport(draft: Draft, transport: Path['transport'], gateway: ServiceGateway): Path[] {
  return pathsBy(transport, gateway, draft.network, draft.failures);
}

function double(draft: Draft, reason: SearchReason, exits: readonly ServiceGateway[], via: string): Way[] {
  const { configuration, session } = draft;
  if (configuration === undefined) return [];
  const entries = ranked(configuration, via, draft.latencies).slice(0, maxGateways);
  const paths = ladder(draft, entries);
  const used = session?.entry;
  if (used !== undefined && reason !== 'connect' && (session?.entryAnswered === true || reason === 'leave')) {
    paths.unshift(used.path);
  }
  const lost = reason === 'lost' && session?.roamed !== true ? session?.exit.gateway.id : undefined;
  const ordered = [...exits.filter(({ id }) => id !== lost), ...exits.filter(({ id }) => id === lost)];
  return distinct(paths).flatMap((entry) =>
    ordered
      .filter(({ id }) => id !== entry.gatewayId)
      .slice(0, maxGateways)
      .flatMap((gateway) => pathsBy('wireguard', gateway, tunnelNetwork, draft.failures).slice(0, 1))
      .map((exit) => ({ entry, exit })),
  );
}

function distinct(paths: readonly Path[]): Path[] {
  return paths.filter((path, index) => paths.findIndex((other) => samePath(other, path)) === index);
}
