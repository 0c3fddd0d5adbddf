/** The state machine against a plain model of it, and against what it must never do, over all states that can be reached. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { killSwitchOf, nextDeadline, step, type ClientState, type State } from '@sallyport/client';
import type { SeededRandom } from '@sallyport/testkit';
import { withSeed } from '@sallyport/testkit';
import { eventsIn, explore, trailOf, type Edge, type Node } from './exploration.ts';
import { account, configuration, homeNetwork, settings, World } from './fixtures.ts';

/** What may follow on what, by the event: the whole of what people can see the machine do. */
const follows: Readonly<Record<ClientState, readonly [RegExp, readonly ClientState[]][]>> = {
  disconnected: [
    [/^connect$/, ['disconnected', 'connecting', 'blocked']],
    [/./, ['disconnected']],
  ],
  connecting: [
    [/^(disconnect|log out)$/, ['disconnecting', 'disconnected']],
    [/^(applied|handshake \d)$/, ['connecting', 'connected']],
    [/./, ['connecting', 'blocked']],
  ],
  connected: [
    [/^(disconnect|log out)$/, ['disconnecting', 'disconnected']],
    [/^connect$/, ['connected', 'connecting', 'blocked']],
    [/^(heard|drains|mtu|probe .*|handshake .*|applied.*|portal)$/, ['connected']],
    [/./, ['connected', 'reconnecting', 'blocked']],
  ],
  reconnecting: [
    [/^(disconnect|log out)$/, ['disconnecting', 'disconnected']],
    [/^connect$/, ['connecting', 'reconnecting', 'blocked']],
    [/./, ['reconnecting', 'connected', 'blocked']],
  ],
  blocked: [
    [/^(disconnect|log out)$/, ['disconnecting', 'disconnected']],
    [
      /^(connect|time|later|network .*|resumed|settings .*|configuration .*)$/,
      ['blocked', 'connecting', 'reconnecting'],
    ],
    [/./, ['blocked']],
  ],
  disconnecting: [
    [/^connect$/, ['connecting', 'blocked', 'disconnecting']],
    [/^(applied|disconnect|log out)/, ['disconnecting', 'disconnected']],
    [/./, ['disconnecting', 'disconnected']],
  ],
};

/** The little that decides what may leave the machine, kept by events alone. */
interface Plain {
  readonly loggedIn: boolean;
  readonly wanted: boolean;
  readonly killSwitch: boolean;
  readonly lockdown: boolean;
  readonly required: boolean;
}

function plainAfter(before: Plain, { name, event }: Pick<Edge, 'name' | 'event'>): Plain {
  switch (event.kind) {
    case 'account':
      if (event.account === undefined) return { ...before, loggedIn: false, wanted: false, required: false };
      return { ...before, loggedIn: true, required: before.loggedIn && before.required };
    case 'connect':
      return { ...before, wanted: before.loggedIn };
    case 'disconnect':
      return { ...before, wanted: false };
    case 'settings':
      return { ...before, killSwitch: event.settings.killSwitch, lockdown: event.settings.lockdown };
    case 'configuration':
      return before.loggedIn ? { ...before, required: name === 'configuration required' } : before;
    default:
      return before;
  }
}

function plainOf(state: State): Plain {
  return {
    loggedIn: state.account !== undefined,
    wanted: state.intent !== undefined,
    killSwitch: state.settings.killSwitch,
    lockdown: state.settings.lockdown,
    required: state.configuration?.requirements.killSwitch === true,
  };
}

type Ensure = (condition: boolean, what: string) => void;

function holds(edge: Edge): void {
  const { before, after, name, event } = edge;
  const { state } = after;
  const ensure: Ensure = (condition, what) => {
    if (!condition) assert.fail(`${what}: ${trailOf(after)}`);
  };

  // With any event something may have come due too.
  const due = (nextDeadline(before.state) ?? Infinity) <= after.now;
  const allowed = [name, ...(due ? ['time'] : [])].flatMap(
    (one) => follows[before.state.phase].find(([pattern]) => pattern.test(one))?.[1] ?? [],
  );
  ensure(allowed.includes(state.phase), `${before.state.phase} became ${state.phase}`);

  const plain = plainAfter(plainOf(before.state), edge);
  ensure(JSON.stringify(plainOf(state)) === JSON.stringify(plain), 'the model differs');
  const protects = plain.wanted ? plain.killSwitch || plain.lockdown || plain.required : plain.lockdown;
  const { firewall } = state.desired;
  if (protects) ensure(firewall !== 'open' && firewall.blocking && firewall.only === undefined, 'open');
  else if (!plain.wanted) ensure(firewall === 'open', 'not open');
  else if (firewall !== 'open') ensure(!firewall.blocking && state.session !== undefined, 'blocks unasked');

  endpoints(state, ensure);
  waits(after, ensure);
  // No handshake, no session; and only that of an attempt in the plan.
  if (state.session !== undefined && before.state.session === undefined) ensure(event.kind === 'handshake', 'a session from nothing'); // prettier-ignore
  if (state.phase === 'connected') ensure(state.session !== undefined && state.block === undefined, 'no session');
  if (state.block !== undefined) ensure(state.session === undefined && state.search === undefined, 'half blocked');
  // A gateway that requirements exclude is neither used nor tried.
  const ids = state.configuration?.requirements.gatewayIds ?? [];
  const used = state.desired.tunnels.flatMap(({ peers }) => peers.map(({ path }) => path.gatewayId));
  if (ids.length > 0) ensure(used.every((id) => ids.includes(id)), `goes to ${used.join()}`); // prettier-ignore
  tunnels(state, ensure);
}

/** Outside are the attempts of this moment and the control plane, no more. */
function endpoints(state: State, ensure: Ensure): void {
  const { firewall, tunnels: planned } = state.desired;
  if (firewall === 'open') return;
  const now = [state.session?.entry ?? state.session?.exit, state.search?.entry ?? state.search?.exit].map((hop) => hop?.path.address); // prettier-ignore
  if (state.session?.return?.kind === 'probing') now.push(state.session.return.path.address);
  const control = ['192.0.2.80', '2001:db8::80', '192.0.2.81'];
  for (const { address, mark, interface: by, port } of firewall.endpoints) {
    if (mark === 0x5a12) {
      ensure(by === 'sallyport-entry', 'inner datagrams outside');
      ensure(planned.some(({ role }) => role === 'entry'), 'no entry'); // prettier-ignore
    } else if (control.includes(address)) {
      ensure(port === 443 || (port === 80 && state.portalDeadline !== undefined), 'another port');
    } else {
      ensure(now.includes(address), `${address} is let through`);
    }
  }
  if (state.phase === 'blocked' || state.phase === 'disconnected') {
    ensure(firewall.endpoints.every(({ address }) => control.includes(address)), 'a gateway while blocked'); // prettier-ignore
  }
}

/** Something will come: a deadline, within bounds, or an event that people know of. */
function waits({ state, now }: Node, ensure: Ensure): void {
  const due = nextDeadline(state);
  const idle = state.intent === undefined || state.phase === 'connected';
  const told = state.block !== undefined && ['offline', 'noGateway'].includes(state.block.reason);
  if (due === undefined) ensure((idle && state.session === undefined) || told, 'waits for nothing');
  else ensure(due > now - 1 && due - now <= 24 * 3_600_000, `due in ${String(due - now)} ms`);
  if (state.desired.revision > state.appliedRevision) {
    ensure(state.applyDeadline !== undefined || state.reapplyAt !== undefined || state.block !== undefined, 'nobody waits for it'); // prettier-ignore
  }
  if (state.session?.suspectAt !== undefined) ensure(state.session.searchAt !== undefined || state.search?.reason === 'lost', 'suspects for ever'); // prettier-ignore
  if (state.block?.retryAt !== undefined) ensure(state.block.retryAt - now <= 60_000, 'too long a pause');
}

function tunnels(state: State, ensure: Ensure): void {
  for (const tunnel of state.desired.tunnels) {
    ensure(tunnel.peers.length <= 2, 'many peers');
    ensure(tunnel.peers.filter(({ allowedIps }) => allowedIps.length > 0).length <= 1, 'two carry');
    ensure(new Set(tunnel.peers.map(({ publicKey }) => publicKey)).size === tunnel.peers.length, 'one key twice');
    if (tunnel.amneziawg !== undefined) ensure(tunnel.peers.length === 1, 'two variants');
  }
  if (state.intent === undefined) ensure(state.desired.tunnels.length === 0, 'a tunnel unasked');
  if (
    killSwitchOf(state) &&
    state.intent !== undefined &&
    state.configuration !== undefined &&
    state.block?.reason !== 'routes'
  ) {
    ensure(state.desired.routes?.routes.some(({ interface: by }) => by === undefined) === true, 'no unreachable');
  }
}

/** A willing world: it is connected within three minutes, and after `disconnect` the machine is as it was. */
function getsThere({ state, now }: Node, via: boolean, say: string): void {
  const world = new World();
  world.now = now;
  world.state = { ...state, settings: settings() };
  world.control = { kind: 'configuration', configuration: configuration() };
  world.send({ kind: 'network', network: homeNetwork });
  world.send({ kind: 'account', account });
  world.send(world.control);
  world.send({ kind: 'connect', target: via ? 'south' : null, via: via ? 'gateway-1' : null });
  world.run(180_000, () => world.connected());
  assert.equal(world.state.phase, 'connected', `not connected: ${say}`);
  world.send({ kind: 'disconnect' });
  world.run(60_000, () => world.state.phase === 'disconnected');
  assert.deepEqual([world.state.phase, world.state.desired.firewall], ['disconnected', 'open'], say);
}

const only = (more: string): RegExp =>
  new RegExp(`^(?!(time|later|connect|disconnect|applied|log in|configuration plain|network home|${more})$)`);

const alphabets = {
  ways: only('handshake .|network gone|network cafe'),
  faults: only('handshake .|carrier . fails|firewall fails|tunnel fails|applied late'),
  control: only('configuration .*|portal|applied late'),
  demands: only('settings kill switch off|settings lockdown|configuration required|log out|handshake .'),
  moves: only('handshake .|heard|drains|resumed|mtu'),
  returns: only('handshake .|heard|probe works|probe fails|settings tls|narrow'),
} as const;

describe('every event in every state', () => {
  for (const via of [false, true]) {
    for (const [name, leftOut] of Object.entries(alphabets)) {
      it(`${via ? 'two hops' : 'one hop'}: ${name}`, () => {
        const { states, complete } = explore(via, leftOut, 10_000, holds);
        assert.ok(complete, 'not all were opened');
        const every = Math.ceil(states.length / 100);
        for (const node of states.filter((_, index) => index % every === 0)) getsThere(node, via, trailOf(node));
      });
    }
  }
});

it('holds over long random walks with all events', () => {
  withSeed((random) => {
    for (let walk = 0; walk < 40; walk++) {
      walkAtRandom(random, walk % 4 === 0, 400);
    }
  });
});

function walkAtRandom(random: SeededRandom, via: boolean, length: number): void {
  const world = new World();
  let node: Node = { state: world.state, now: world.now, trail: undefined };
  const likely = /^(time|applied|handshake|heard|connect|configuration plain|network home)/;
  for (let index = 0; index < length; index++) {
    const events = eventsIn(node, via);
    const some = random.chance(0.6) ? events.filter(([name]) => likely.test(name)) : events;
    const [name, event] = random.pick(some);
    const due = nextDeadline(node.state) ?? node.now;
    const now = name === 'later' ? node.now + random.below(120_000) : name === 'time' ? Math.max(node.now, due) : node.now + random.below(300); // prettier-ignore
    const { state } = step(node.state, event, now, () => random.fraction());
    const after: Node = { state, now, trail: { event: name, before: node.trail } };
    holds({ before: node, name, event, after });
    node = after;
  }
  getsThere(node, via, trailOf(node));
}
