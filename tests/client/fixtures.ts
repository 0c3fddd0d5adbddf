/** A service of three gateways in two regions, and a daemon that does at once what the state machine wants. */
import type { ClientConfiguration, ClientGateway } from '@sallyport/api';
import {
  clientSettings,
  initialState,
  nextDeadline,
  step,
  type Action,
  type ClientSettings,
  type Event,
  type NetworkFacts,
  type PeerPlan,
  type Remembered,
  type State,
} from '@sallyport/client';

export const account = { controlAddresses: ['192.0.2.80', '2001:db8::80'], controlPort: 443 };
export const homeNetwork: NetworkFacts = {
  id: 'home',
  ipv4: true,
  ipv6: false,
  onLink: ['192.168.1.0/24'],
  devices: ['outer'],
  mtu: 1500,
};
export const cafe: NetworkFacts = {
  id: 'cafe',
  ipv4: true,
  ipv6: true,
  onLink: ['10.0.0.0/24'],
  devices: ['wlan0'],
  mtu: 1500,
};
export const nowhere: NetworkFacts = { id: '', ipv4: false, ipv6: false, onLink: [], devices: [], mtu: 1500 };

export function gateway(number: number, regionId: string, more: Partial<ClientGateway> = {}): ClientGateway {
  const h = number * 1000;
  return {
    id: `gw_${String(number)}`,
    name: `gateway-${String(number)}`,
    regionId,
    regionName: `Region ${regionId}`,
    country: 'DE',
    city: null,
    wireguardPublicKey: `${'A'.repeat(41)}${String(number)}A=`,
    endpointHost: `g${String(number)}.example.org`,
    endpointPort: 51_820,
    endpointAddresses: [`198.51.100.${String(number)}`, `2001:db8:100::${String(number)}`],
    amneziawg: { port: 51_821, jc: 4, jmin: 40, jmax: 70, s1: 15, s2: 20, h1: h + 1, h2: h + 2, h3: h + 3, h4: h + 4 },
    tls: { host: `g${String(number)}.example.org`, port: 8444, path: '/tunnel', certificateSha256: null },
    health: 'healthy',
    load: 'low',
    draining: false,
    recommended: number === 1,
    ...more,
  };
}

export function configuration(more: Partial<ClientConfiguration> = {}): ClientConfiguration {
  return {
    device: { id: 'dev_1', name: 'laptop', userName: 'ann', ipv4: '10.200.0.7', ipv6: 'fd00:200::7', standing: 'active', message: '' }, // prettier-ignore
    gateways: [gateway(1, 'north'), gateway(2, 'north'), gateway(3, 'south')],
    tunnel: {
      pool4: '10.200.0.0/16',
      pool6: 'fd00:200::/64',
      gateway4: '10.200.0.1',
      gateway6: 'fd00:200::1',
      allowedIps: ['0.0.0.0/0', '::/0'],
      dnsServers: [],
      searchDomains: ['corp.example'],
    },
    requirements: { killSwitch: false, regionIds: [], gatewayIds: [] },
    advertised: [],
    controlAddresses: ['192.0.2.81'],
    refreshSeconds: 300,
    ...more,
  };
}

export function settings(more: Parameters<typeof clientSettings.parse>[0] = {}): ClientSettings {
  return clientSettings.parse(more);
}

/** Which paths answer, by the text of {@link pathText}. */
export type Answers = (path: string) => boolean;

export function pathText({ path }: Pick<PeerPlan, 'path'>): string {
  return `${path.gatewayId} ${path.transport} ${path.address.includes(':') ? '6' : '4'}`;
}

/** The state machine with a daemon around it, in virtual time; handshakes and pings take `roundTripMs`. */
export class World {
  now = 1_000_000;
  state: State;
  answers: Answers = () => true;
  roundTripMs = 50;
  /** What the control plane answers. */
  control: Event = { kind: 'configuration', configuration: configuration() };
  probeWorks: (path: string) => boolean = () => false;
  draining = new Set<string>();
  readonly actions: Action[] = [];
  readonly phases: string[] = [];
  /** Is told of every state. */
  check: (state: State) => void = () => undefined;
  random: () => number = () => 0.5;
  readonly #later: { readonly at: number; readonly run: () => void }[] = [];
  #asked = new Set<number>();
  #pingAt = Infinity;

  constructor(remembered: Remembered = { account }) {
    this.state = initialState(this.now, remembered);
    this.phases.push(this.state.phase);
  }

  send(event: Event): void {
    const { state, actions } = step(this.state, event, this.now, this.random);
    this.state = state;
    this.check(state);
    if (this.phases.at(-1) !== state.phase) this.phases.push(state.phase);
    for (const action of actions) this.#act(action);
    if (state.appliedRevision < state.desired.revision) {
      const { revision } = state.desired;
      this.#in(1, () => {
        if (this.state.desired.revision === revision) this.send({ kind: 'applied', revision });
      });
    }
    this.#handshakes();
    this.#pings();
  }

  /** Lets time go by; returns how much went by until `until` held, or all. */
  run(ms: number, until: () => boolean = () => false): number {
    const start = this.now;
    while (!until()) {
      const due = Math.min(nextDeadline(this.state) ?? Infinity, this.#pingAt, ...this.#later.map(({ at }) => at));
      if (due > start + ms) {
        this.now = start + ms;
        break;
      }
      this.now = Math.max(this.now, due);
      const ready = this.#later.filter(({ at }) => at <= this.now);
      this.#later.splice(0, Infinity, ...this.#later.filter(({ at }) => at > this.now));
      for (const { run } of ready) run();
      if (this.now >= this.#pingAt) this.#ping();
      if ((nextDeadline(this.state) ?? Infinity) <= this.now) this.send({ kind: 'time' });
    }
    return this.now - start;
  }

  connected(): boolean {
    return this.state.phase === 'connected' && this.state.appliedRevision === this.state.desired.revision;
  }

  /** The paths in the plan, and a star for who carries traffic. */
  peers(): string[] {
    return this.state.desired.tunnels.flatMap(({ peers }) =>
      peers.map((peer) => `${pathText(peer)}${peer.allowedIps.length > 0 ? ' *' : ''}`),
    );
  }

  #in(ms: number, run: () => void): void {
    this.#later.push({ at: this.now + ms, run });
  }

  #act(action: Action): void {
    this.actions.push(action);
    if (action.kind === 'fetchConfiguration') this.#in(this.roundTripMs, () => { this.send(this.control); }); // prettier-ignore
    if (action.kind === 'checkPortal') this.#in(this.roundTripMs, () => { this.send({ kind: 'portalChecked', portal: false }); }); // prettier-ignore
    if (action.kind === 'probe') {
      const { attempt, path } = action;
      this.#in(this.roundTripMs, () => { this.send({ kind: 'probed', attempt, works: this.probeWorks(pathText({ path })) }); }); // prettier-ignore
    }
  }

  #peer(attempt: number): PeerPlan | undefined {
    return this.state.desired.tunnels.flatMap(({ peers }) => peers).find((peer) => peer.attempt === attempt);
  }

  #handshakes(): void {
    const wanted = this.state.desired.tunnels.flatMap(({ peers }) => peers).filter(({ establish }) => establish);
    this.#asked = new Set([...this.#asked].filter((attempt) => wanted.some((peer) => peer.attempt === attempt)));
    for (const { attempt } of wanted) {
      if (this.#asked.has(attempt)) continue;
      this.#asked.add(attempt);
      this.#handshake(attempt, 500);
    }
  }

  #handshake(attempt: number, again: number): void {
    const peer = this.#peer(attempt);
    if (peer?.establish !== true) return;
    if (this.answers(pathText(peer))) {
      this.#in(this.roundTripMs + 2, () => {
        if (this.#peer(attempt) !== undefined) this.send({ kind: 'handshake', attempt });
      });
    }
    this.#in(again, () => { this.#handshake(attempt, 1000); }); // prettier-ignore
  }

  #pings(): void {
    const every = this.state.desired.pingEveryMs;
    this.#pingAt = every === undefined ? Infinity : Math.min(this.#pingAt, this.now + every);
  }

  #ping(): void {
    this.#pingAt = Infinity;
    this.#pings();
    const { current, currentEntry } = this.state.desired;
    if (current === undefined) return;
    const hops = [current, ...(currentEntry === undefined ? [] : [currentEntry])];
    const peers = hops.map((attempt) => this.#peer(attempt));
    if (!peers.every((peer) => peer !== undefined && this.answers(pathText(peer)))) return;
    this.#in(this.roundTripMs, () => {
      const gatewayId = this.#peer(current)?.path.gatewayId;
      if (gatewayId === undefined) return;
      this.send({
        kind: 'heard',
        attempt: current,
        roundTripMs: this.roundTripMs,
        draining: this.draining.has(gatewayId),
      });
    });
  }
}
