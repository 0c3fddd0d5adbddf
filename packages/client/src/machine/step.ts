/**
 * The client's state machine. Whatever comes, in whatever order: a new state, with the whole of what the machine has to
 * be like (`state.desired`) and what is to be done once. Whatever fails ends in `blocked`, and never in the open.
 */
import { permitted } from '../choice/gateways.ts';
import { pathsBy } from '../choice/paths.ts';
import { NO_ENTRY, type ClientSettings } from '../settings.ts';
import { block } from './block.ts';
import { fetched, fetchNow } from './control.ts';
import { failed, portalMessage, unconfigured } from './faults.ts';
import { frontOf, isOnline } from './hop.ts';
import { moveBack, probed } from './return.ts';
import { attemptAnswered, attemptApplied, begin, look } from './search.ts';
import { serve } from './serve.ts';
import { heard, mtuFound, narrow, review, sessionAnswered, suspect } from './session.ts';
import { settle } from './settle.ts';
import { noSteps, type Draft, type Moment, type State } from './state.ts';
import { APPLY_MS, FIRST_RETURN_MS, MEASURE_MS } from './timing.ts';
import type { Action, Event, Intent, NetworkFacts } from './types.ts';

export interface Step {
  readonly state: State;
  readonly actions: readonly Action[];
}

/** `now`: milliseconds of a clock that never goes back and counts sleep; `random`: in [0, 1). */
export function step(state: State, event: Event, now: number, random: () => number): Step {
  const draft: Draft = { ...state, actions: [], again: false };
  const moment = { now, random };
  take(draft, event, moment);
  serve(draft, moment);
  settle(draft, moment, state);
  const { actions, again: _, ...next } = draft;
  return { state: next, actions };
}

function take(draft: Draft, event: Event, moment: Moment): void {
  switch (event.kind) {
    case 'connect':
      connect(draft, moment, event.target, event.via);
      break;
    case 'disconnect':
      disconnect(draft);
      break;
    case 'settings':
      setSettings(draft, moment, event.settings);
      break;
    case 'account':
      setAccount(draft, moment, event.account);
      break;
    case 'configuration':
      configured(draft, moment, event.configuration);
      break;
    case 'configurationFailed':
      unconfigured(draft, moment, event.reason, event.message);
      break;
    case 'portalChecked':
      draft.portalDeadline = undefined;
      if (event.portal && (draft.block?.reason === 'noAnswer' || draft.block?.reason === 'control')) {
        draft.block = { ...draft.block, reason: 'portal', message: portalMessage };
      }
      break;
    case 'measure':
      measure(draft, moment);
      break;
    case 'measured':
      draft.measure = undefined;
      draft.latencies = { ...draft.latencies, ...event.latencies };
      break;
    case 'applied':
      if (event.revision <= draft.desired.revision) draft.appliedRevision = Math.max(draft.appliedRevision, event.revision); // prettier-ignore
      if (draft.appliedRevision === draft.desired.revision) {
        draft.applyDeadline = undefined;
        draft.reapplyAt = undefined;
        if (draft.intent === undefined) draft.failures = 0;
      } else if (draft.applyDeadline !== undefined) {
        draft.applyDeadline = moment.now + APPLY_MS;
      }
      attemptApplied(draft, moment);
      break;
    case 'failed':
      failed(draft, moment, event.part, event.attempt, event.message);
      break;
    case 'handshake':
      attemptAnswered(draft, moment, event.attempt);
      sessionAnswered(draft, moment, event.attempt);
      break;
    case 'heard':
      heard(draft, moment, event);
      break;
    case 'probed':
      probed(draft, moment, event.attempt, event.works);
      break;
    case 'mtu':
      mtuFound(draft, event.attempt, event.mtu);
      break;
    case 'narrow':
      narrow(draft, moment, event.attempt);
      break;
    case 'network':
      setNetwork(draft, moment, event.network);
      break;
    case 'resumed':
      lookAgain(draft, moment);
      if (draft.account !== undefined && draft.fetchDeadline === undefined) draft.fetchAt = moment.now + 1000;
      break;
    case 'splitGroup':
      draft.splitGroup = event.group;
      break;
    case 'time':
      break;
  }
}

/** What `connect` asks for, with the settings for what it leaves open. */
export function intentOf(settings: ClientSettings, target: string | null, via: string | null): Intent {
  return { target: target ?? settings.target, via: via === NO_ENTRY ? null : (via ?? settings.via) };
}

function connect(draft: Draft, moment: Moment, target: string | null, via: string | null): void {
  if (draft.account === undefined) return;
  const intent = intentOf(draft.settings, target, via);
  const same = draft.intent?.target === intent.target && draft.intent.via === intent.via;
  if (same && draft.session !== undefined && draft.search?.reason !== 'lost') return;
  if (!same) draft.wasConnected = false;
  draft.intent = intent;
  draft.failures = 0;
  draft.steps = noSteps;
  begin(draft, moment);
}

function disconnect(draft: Draft): void {
  draft.intent = undefined;
  draft.session = undefined;
  draft.search = undefined;
  draft.block = undefined;
  draft.wasConnected = false;
  draft.failures = 0;
  draft.steps = noSteps;
}

function setSettings(draft: Draft, moment: Moment, settings: ClientSettings): void {
  const before = draft.settings;
  draft.settings = settings;
  if (draft.intent === undefined) return;
  const { session } = draft;
  const others = before.transport !== settings.transport;
  if (draft.block !== undefined || draft.search !== undefined) {
    draft.failures = 0;
    lookAgain(draft, moment);
  } else if (session !== undefined && others) {
    if (settings.transport !== 'auto' && frontOf(session).path.transport !== settings.transport) begin(draft, moment);
    else draft.session = { ...session, return: settings.transport === 'auto' ? { kind: 'waiting', at: moment.now + 1000 } : undefined }; // prettier-ignore
  }
}

function setAccount(draft: Draft, moment: Moment, account: State['account']): void {
  const fresh = draft.account === undefined;
  draft.account = account;
  if (fresh || account === undefined) draft.refusal = undefined;
  if (account === undefined) {
    disconnect(draft);
    draft.configuration = undefined;
    draft.fetchAt = undefined;
    draft.fetchDeadline = undefined;
    draft.portalDeadline = undefined;
    return;
  }
  if (fresh) {
    draft.configuration = undefined;
    fetchNow(draft, moment);
  }
}

function configured(draft: Draft, moment: Moment, configuration: NonNullable<State['configuration']>): void {
  if (draft.account === undefined) return;
  fetched(draft, moment, configuration.refreshSeconds);
  draft.configuration = configuration;
  draft.configurationAt = moment.now;
  if (draft.intent === undefined) return;
  const { standing, message } = configuration.device;
  if (standing !== 'active') {
    block(draft, moment, 'refused', message);
  } else if (draft.block !== undefined) {
    if (['control', 'refused', 'noGateway', 'portal'].includes(draft.block.reason)) begin(draft, moment);
  } else if (draft.session === undefined && draft.search === undefined) {
    begin(draft, moment);
  } else if (draft.search !== undefined) {
    const listed = new Set(permitted(configuration).map(({ id }) => id));
    const gone = draft.search.ways.some(({ entry, exit }) => !listed.has(exit.gatewayId) || (entry !== undefined && !listed.has(entry.gatewayId))); // prettier-ignore
    if (gone) look(draft, moment, draft.search.reason);
  }
  review(draft, moment);
}

function setNetwork(draft: Draft, moment: Moment, network: NetworkFacts): void {
  const before = draft.network;
  if (JSON.stringify(before) === JSON.stringify(network)) return;
  draft.network = network;
  if (before.id !== network.id) {
    draft.latencies = {};
    draft.returnFailures = 0;
    // What was not looked for here may be had there.
    if (draft.narrow && draft.session !== undefined) draft.session = { ...draft.session, return: { kind: 'waiting', at: moment.now + FIRST_RETURN_MS } }; // prettier-ignore
    draft.narrow = false;
  }
  lookAgain(draft, moment);
  if (draft.account !== undefined && isOnline(network) && !isOnline(before)) draft.fetchAt ??= moment.now;
}

/** The network is another one, or time has gone by unseen: what was tried may work now, what worked may not. */
function lookAgain(draft: Draft, moment: Moment): void {
  if (draft.intent === undefined) return;
  draft.failures = 0;
  const { session, search } = draft;
  if (session === undefined || !isOnline(draft.network)) {
    begin(draft, moment);
    return;
  }
  const family = frontOf(session).path.address.includes(':') ? draft.network.ipv6 : draft.network.ipv4;
  const back = session.return?.kind === 'moving' ? session.return.old : undefined;
  if (back !== undefined) moveBack(draft, moment, session, back);
  draft.search = undefined;
  suspect(draft, moment, true, family ? undefined : moment.now);
  const kept = draft.session;
  // A new network may have a narrower path.
  if (kept !== undefined) draft.session = { ...kept, mtu: undefined, before: undefined };
  if (search?.reason === 'leave' && draft.session !== undefined) draft.session = { ...draft.session, leaveAt: moment.now + 5000 }; // prettier-ignore
}

function measure(draft: Draft, { now }: Moment): void {
  if (draft.configuration === undefined || draft.measure !== undefined || !isOnline(draft.network)) return;
  const paths = draft.configuration.gateways
    .slice(0, 64)
    .flatMap((gateway) => pathsBy('wireguard', gateway, draft.network).slice(0, 1));
  draft.measure = { paths, deadline: now + MEASURE_MS };
  draft.actions.push({ kind: 'measure', paths });
}
