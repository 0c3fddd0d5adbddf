/** Every event in every state that can be reached, states taken as the same where they differ in numbers alone. */
import {
  initialState,
  nextDeadline,
  step,
  type ClientSettings,
  type Event,
  type ServiceConfiguration,
  type State,
} from '@sallyport/client';
import { account, cafe, configuration, gateway, homeNetwork, nowhere, settings } from './fixtures.ts';

export interface Node {
  readonly state: State;
  readonly now: number;
  /** How it was reached, for people. */
  readonly trail: Trail | undefined;
}

export interface Trail {
  readonly event: string;
  readonly before: Trail | undefined;
}

export interface Edge {
  readonly before: Node;
  readonly name: string;
  readonly event: Event;
  readonly after: Node;
}

const required = { killSwitch: true, regionIds: [], gatewayIds: ['gw_2', 'gw_3'] };

/** A service of two gateways keeps the number of states small; `via` has two hops explored. */
function someConfigurations(via: boolean): [string, Event][] {
  // Each has a ladder of two rungs.
  const gateways = [gateway(1, 'north', { amneziawg: null }), gateway(2, via ? 'south' : 'north', { tls: null })];
  const plain = configuration({ gateways });
  const device = { ...plain.device, standing: 'userDisabled', message: 'disabled' } as const;
  const drained = gateways.map((item, index) => (index === 0 ? { ...item, draining: true } : item));
  const all: Record<string, ServiceConfiguration> = {
    plain,
    required: { ...plain, requirements: required },
    disabled: { ...plain, device },
    draining: { ...plain, gateways: drained },
    empty: { ...plain, gateways: [] },
  };
  return Object.entries(all).map(([name, value]) => [
    `configuration ${name}`,
    { kind: 'configuration', configuration: value },
  ]);
}

export const someSettings: Readonly<Record<string, ClientSettings>> = {
  'settings default': settings(),
  'settings kill switch off': settings({ killSwitch: false }),
  'settings lockdown': settings({ lockdown: true, killSwitch: false }),
  'settings tls': settings({ transport: 'tls' }),
};

export function eventsIn({ state }: Node, via: boolean): [string, Event][] {
  const { desired, session, search } = state;
  const attempts = desired.tunnels.flatMap(({ peers }) => peers.map(({ attempt }) => attempt));
  const front = [session?.entry ?? session?.exit, search?.entry ?? search?.exit].filter((hop) => hop !== undefined);
  const events: [string, Event][] = [
    ['time', { kind: 'time' }],
    ['later', { kind: 'time' }],
    ['connect', { kind: 'connect', target: via ? 'south' : null, via: via ? 'north' : null }],
    ['disconnect', { kind: 'disconnect' }],
    ['log in', { kind: 'account', account }],
    ['log out', { kind: 'account', account: undefined }],
    ...Object.entries(someSettings).map(([name, value]): [string, Event] => [
      name,
      { kind: 'settings', settings: value },
    ]),
    ...someConfigurations(via),
    ...(['unreachable', 'refused', 'loginEnded', 'portal'] as const).map((reason): [string, Event] => [
      `configuration ${reason}`,
      { kind: 'configurationFailed', reason, message: reason },
    ]),
    ['portal', { kind: 'portalChecked', portal: true }],
    ['applied', { kind: 'applied', revision: desired.revision }],
    ['applied late', { kind: 'applied', revision: desired.revision - 1 }],
    ...attempts.map((attempt, index): [string, Event] => [
      `handshake ${String(index)}`,
      { kind: 'handshake', attempt },
    ]),
    ['handshake of before', { kind: 'handshake', attempt: 0 }],
    ['heard', { kind: 'heard', attempt: desired.current ?? 0 }],
    ['drains', { kind: 'heard', attempt: desired.current ?? 0, draining: true }],
    ...(['firewall', 'tunnel', 'routes', 'names'] as const).map((part): [string, Event] => [
      `${part} fails`,
      { kind: 'failed', part, attempt: undefined, message: part },
    ]),
    ...front.map(({ attempt }, index): [string, Event] => [
      `carrier ${String(index)} fails`,
      { kind: 'failed', part: 'carrier', attempt, message: 'carrier' },
    ]),
    ['network home', { kind: 'network', network: homeNetwork }],
    ['network cafe', { kind: 'network', network: cafe }],
    ['network gone', { kind: 'network', network: nowhere }],
    ['resumed', { kind: 'resumed' }],
    ['mtu', { kind: 'mtu', attempt: desired.current ?? 0, mtu: 1400 }],
    ['narrow', { kind: 'narrow', attempt: desired.current ?? 0 }],
  ];
  if (session?.return?.kind === 'probing') {
    const { attempt } = session.return;
    events.push(['probe works', { kind: 'probed', attempt, works: true }]);
    events.push(['probe fails', { kind: 'probed', attempt, works: false }]);
  }
  return events;
}

/** Breadth first, until `limit` states were opened; returns how many there were and whether that is all. */
export function explore(
  via: boolean,
  leftOutEvents: RegExp,
  limit: number,
  visit: (edge: Edge) => void,
): { readonly states: readonly Node[]; readonly edges: number; readonly complete: boolean } {
  const first: Node = { state: initialState(1_000_000), now: 1_000_000, trail: undefined };
  const seen = new Set([shapeOf(first)]);
  const nodes = [first];
  let edges = 0;
  for (let index = 0; index < nodes.length && index < limit; index++) {
    const node = nodes[index];
    if (node === undefined) break;
    for (const [name, event] of eventsIn(node, via)) {
      if (leftOutEvents.test(name)) continue;
      const now = name === 'later' ? node.now + 60_000 : name === 'time' ? Math.max(node.now, nextDeadline(node.state) ?? 0) : node.now + 1; // prettier-ignore
      const { state } = step(node.state, event, now, () => 0.5);
      const after: Node = { state, now, trail: { event: name, before: node.trail } };
      edges++;
      visit({ before: node, name, event, after });
      const shape = shapeOf(after);
      if (seen.has(shape)) continue;
      seen.add(shape);
      nodes.push(after);
    }
  }
  return { states: nodes, edges, complete: nodes.length <= limit };
}

export function trailOf({ trail }: Node): string {
  const events: string[] = [];
  for (let at = trail; at !== undefined; at = at.before) events.unshift(at.event);
  return events.join(', ');
}

/** Of a deadline only matters that there is one; `time` goes to the next one, `later` past them all. */
const times = new Set(['at', 'deadline', 'heardAt', 'searchAt', 'leaveAt', 'until', 'fetchAt', 'retryAt', 'suspectAt']);
const moreTimes = new Set(['fetchDeadline', 'applyDeadline', 'reapplyAt']);
/** Grow without end, or say nothing about what comes next. */
const leftOut = new Set([
  'good',
  'failures',
  'fetchFailures',
  'returnFailures',
  'portalDeadline',
  'latencies',
  'network',
  'configuration',
  'since',
  'steps',
  'desired',
  'appliedRevision',
  'revision',
  'nextAttempt',
  'configurationAt',
  'gateway',
  'settings',
]);
const counters = new Set(['handshakesAlone']);

/** The state with its deadlines as set or not, attempts by their first appearance, and without what only makes pauses longer. */
function shapeOf({ state }: Node): string {
  const attempts: number[] = [];
  const shapeOfNumber = (key: string, value: number): string => {
    if (times.has(key) || moreTimes.has(key)) return 'set';
    if (key === 'attempt') {
      if (!attempts.includes(value)) attempts.push(value);
      return String(attempts.indexOf(value));
    }
    return String(counters.has(key) ? Math.min(value, 2) : value);
  };
  const walk = (key: string, value: unknown): string => {
    if (typeof value === 'number') return shapeOfNumber(key, value);
    if (typeof value !== 'object' || value === null) return typeof value === 'string' ? `"${value}"` : String(value);
    if (Array.isArray(value)) return `[${value.map((item) => walk(key, item)).join()}]`;
    let text = '{';
    for (const [name, inner] of Object.entries(value))
      if (!leftOut.has(name) && inner !== undefined) text += `${name}:${walk(name, inner)},`;
    return `${text}}`;
  };
  const shape = walk('', state);
  const inForce = state.appliedRevision >= state.desired.revision;
  const { killSwitch, lockdown, transport } = state.settings;
  const { configuration: plan, network, good } = state;
  const gateways = plan?.gateways.map(({ id, draining }) => `${id} ${String(draining)}`);
  const rest = [plan?.device.standing, plan?.requirements.killSwitch, gateways, network.id, good[0]?.transport];
  return JSON.stringify([shape, inForce, killSwitch, lockdown, transport, ...rest]);
}
