// A gateway's agent with its real files and its real link to a control plane in this process; kernel and tunnel take notes.
import { generateKeyPairSync, randomBytes, type KeyObject } from 'node:crypto';
import { createSocket, type Socket as DatagramSocket } from 'node:dgram';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  GatewayAgent,
  GatewayFiles,
  type Clock,
  type NamesService,
  type ObservedDevice,
  type Resolve,
  type Tunnel,
} from '@sallyport/agent';
import {
  acceptLink,
  createJoinToken,
  createLinkIdentity,
  encodeStateKey,
  signState,
  type ControlLink,
  type FromControl,
  type FromGateway,
  type SignedState,
} from '@sallyport/link';
import { changePlan, prefixesOverlap } from '@sallyport/policy';
import type { DevicePlan, FirewallPlan, StateChange } from '@sallyport/policy';
import { OTHER_REVISION } from '@sallyport/privileged';
import type { Privileged, PrivilegedAnswer, PrivilegedRequest } from '@sallyport/privileged';
import { pino } from 'pino';

export const GATEWAY = {
  id: 'gw',
  name: 'gw',
  pool4: '100.64.0.0/10',
  pool6: 'fd00::/64',
  address4: '100.64.0.1',
  address6: 'fd00::1',
  egress: {},
  draining: false,
};

export function device(number: number, more: Partial<DevicePlan> = {}): DevicePlan {
  const key = Buffer.alloc(32, number).toString('base64');
  return { id: `d${number}`, publicKey: key, ipv4: `100.64.0.${number + 1}`, ipv6: `fd00::${(number + 1).toString(16)}`, groups: [], ...more }; // prettier-ignore
}

/** The control plane's side: one gateway, whose every message is kept. */
export class VirtualControl {
  readonly identity = createLinkIdentity('control');
  readonly token = createJoinToken(randomBytes(24), this.identity.keyHash);
  readonly keys = generateKeyPairSync('ed25519');
  readonly heard: FromGateway[] = [];
  readonly links: ControlLink[] = [];
  gatewayId = 'gw';
  /** Of the link, as `welcome` says. */
  protocolVersion = 1;
  /** What answers `hello`; by default a welcome. */
  answer: (link: ControlLink) => void = (link) => {
    link.send(this.welcome());
  };
  /** Whether it says of each report that it has it. */
  stores = true;
  #server: Server | undefined;
  readonly #sockets = new Set<Socket>();
  port = 0;
  /** Connections that have come. */
  connections = 0;

  async listen(): Promise<void> {
    const server = createServer();
    server.on('connection', (socket: Socket) => {
      this.connections++;
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    server.on('upgrade', (request, socket, head) => {
      acceptLink(request, socket, head, this.identity).then(
        (link) => {
          this.links.push(link);
          link.onMessage((message) => {
            this.heard.push(message);
            if (message.kind === 'hello') this.answer(link);
            if (message.kind === 'report' && message.number !== undefined && this.stores)
              link.send({ kind: 'stored', number: message.number });
          });
        },
        () => undefined,
      );
    });
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  async close(): Promise<void> {
    const server = this.#server;
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => server?.close(resolve));
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get link(): ControlLink {
    const link = this.links.at(-1);
    if (link === undefined) throw new Error('no gateway has come');
    return link;
  }

  welcome(): Extract<FromControl, { kind: 'welcome' }> {
    return { kind: 'welcome', protocolVersion: this.protocolVersion, gatewayId: this.gatewayId, stateKey: encodeStateKey(this.keys.publicKey) }; // prettier-ignore
  }

  sign(version: number, base: number, change: Partial<StateChange>, key: KeyObject = this.keys.privateKey) {
    const state: SignedState = {
      gatewayId: this.gatewayId,
      version,
      base,
      change: { putGroups: [], removeGroups: [], putDevices: [], removeDevices: [], ...change },
    };
    return signState(state, key);
  }

  snapshot(version: number, change: Partial<StateChange> = {}): void {
    this.link.send(this.sign(version, 0, { gateway: GATEWAY, ...change }));
  }

  delta(version: number, base: number, change: Partial<StateChange>): void {
    this.link.send(this.sign(version, base, change));
  }

  of<K extends FromGateway['kind']>(kind: K): Extract<FromGateway, { kind: K }>[] {
    return this.heard.filter((message): message is Extract<FromGateway, { kind: K }> => message.kind === kind);
  }

  acknowledged(version: number): boolean {
    return this.of('acknowledge').some((message) => message.version === version);
  }
}

/** Everything that tunnel and kernel were asked for, in order. */
export class Notes {
  readonly lines: string[] = [];
}

export class NotingTunnel implements Tunnel {
  readonly protocol = 'wireguard';
  readonly admitted = new Set<string>();
  readonly networks = new Map<string, readonly string[]>();
  readonly observed = new Map<string, ObservedDevice>();
  readonly drops = { noRoute: 3 };
  readonly #notes: Notes;

  constructor(notes: Notes) {
    this.#notes = notes;
  }

  apply({ put, remove }: { readonly put: readonly DevicePlan[]; readonly remove: readonly DevicePlan[] }): void {
    for (const { id } of remove) {
      this.admitted.delete(id);
      this.#notes.lines.push(`refuse ${id}`);
    }
    for (const { id, networks = [] } of put) {
      this.admitted.add(id);
      this.networks.set(id, networks);
      this.#notes.lines.push(`admit ${id}`);
    }
  }

  observe(): Iterable<ObservedDevice> {
    return this.observed.values();
  }
}

export class NotingKernel implements Privileged {
  readonly gone: Promise<void>;
  readonly plans: FirewallPlan[] = [];
  readonly requests: PrivilegedRequest[] = [];
  /** Of the last of the plans. */
  revision = 0;
  /** Where set, requests wait for it. */
  hold: Promise<void> | undefined;
  fault: string | undefined;
  /** A route of the machine's own. */
  taken: string | undefined;
  /** Why no network can be routed. */
  routeFault: string | undefined;
  goAway!: () => void;
  underWay = 0;
  readonly #notes: Notes;

  constructor(notes: Notes) {
    this.#notes = notes;
    this.gone = new Promise((resolve) => {
      this.goAway = resolve;
    });
  }

  async request(request: PrivilegedRequest): Promise<PrivilegedAnswer> {
    this.requests.push(request);
    if (request.kind === 'setNetworks') {
      const { taken, routeFault } = this;
      if (routeFault !== undefined) return { id: 1, error: { code: 'FAILED', message: routeFault } };
      if (request.unreachable.length > 0) this.#notes.lines.push(`cut off ${request.unreachable.join(' ')}`);
      const refused = request.networks.filter((network) => taken !== undefined && prefixesOverlap(network, taken));
      const routed = request.networks.filter((network) => !refused.includes(network));
      if (routed.length > 0) this.#notes.lines.push(`route ${routed.join(' ')}`);
      return { id: 1, refused: refused.map((network) => ({ network, meets: taken ?? '' })) };
    }
    if (request.kind !== 'setFirewall' && request.kind !== 'changeFirewall') return { id: 1 };
    this.underWay++;
    await (this.hold ?? new Promise((resolve) => setImmediate(resolve)));
    this.underWay--;
    if (this.fault !== undefined) return { id: 1, error: { code: 'FAILED', message: this.fault } };
    const last = this.plans.at(-1);
    if (request.kind === 'changeFirewall' && (last === undefined || request.revision !== this.revision))
      return { id: 1, error: { code: OTHER_REVISION, message: 'another plan is in force' } };
    const plan = request.kind === 'setFirewall' ? request.plan : changePlan(last!, request.change);
    this.plans.push(plan);
    this.#notes.lines.push(`filter ${plan.devices.map(({ id }) => id).join(' ')}`.trim());
    return { id: 1, firewall: { milliseconds: 0, commands: 0, revision: ++this.revision } };
  }
}

/** Time that passes when it is told to. Real timers of the link go their own way. */
export class TestClock implements Clock {
  #now = 1_700_000_000_000;
  readonly #timers = new Map<symbol, { readonly at: number; readonly task: () => void }>();

  now(): number {
    return this.#now;
  }

  after(milliseconds: number, task: () => void): () => void {
    const key = Symbol();
    this.#timers.set(key, { at: this.#now + milliseconds, task });
    return () => {
      this.#timers.delete(key);
    };
  }

  /** Lets time pass, in the order of what is due, with room for what follows from each. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      const [next] = [...this.#timers].sort(([, a], [, b]) => a.at - b.at);
      if (next === undefined || next[1].at > end) break;
      this.#now = Math.max(this.#now, next[1].at);
      this.#timers.delete(next[0]);
      next[1].task();
      await settled();
    }
    this.#now = end;
    await settled();
  }
}

async function settled(): Promise<void> {
  for (let i = 0; i < 4; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** The tunnel addresses aren't this machine's: a socket that is bound to one is bound to the loopback. */
export class TunnelSockets {
  /** By the address that was asked for. */
  readonly bound = new Map<string, DatagramSocket>();
  /** Where set, no address can be had. */
  fault: string | undefined;

  open(): DatagramSocket {
    const socket = createSocket('udp4');
    const bind = socket.bind.bind(socket) as (options: object) => DatagramSocket;
    return Object.assign(socket, {
      bind: ({ address }: { address: string }) => {
        const { fault } = this;
        if (fault !== undefined) setImmediate(() => socket.emit('error', new Error(fault)));
        else {
          this.bound.set(address, socket);
          socket.once('close', () => this.bound.delete(address));
          bind({ address: '127.0.0.1', port: 0 });
        }
        return socket;
      },
    });
  }
}

export interface RunningGateway {
  readonly sockets: TunnelSockets;
  readonly names: NamesService[];
  readonly agent: GatewayAgent;
  readonly tunnel: NotingTunnel;
  readonly kernel: NotingKernel;
  readonly notes: Notes;
  readonly clock: TestClock;
  readonly links: boolean[];
  /** How it ended: undefined where it was stopped. */
  readonly ended: Promise<Error | undefined>;
  stop(): Promise<Error | undefined>;
}

export function temporaryDirectory(): { path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'sallyport-agent-'));
  return {
    path,
    remove() {
      rmSync(path, { recursive: true, force: true });
    },
  };
}

export async function startGateway(
  control: Pick<VirtualControl, 'url' | 'token'>,
  directory: string,
  options: {
    token?: string | undefined;
    resolve?: Resolve;
    ownAddresses?: () => string[];
    clock?: TestClock;
    fault?: string;
    /** Beside WireGuard's. */
    tunnels?: readonly Tunnel[];
  } = {},
): Promise<RunningGateway> {
  const notes = new Notes();
  const tunnel = new NotingTunnel(notes);
  const kernel = new NotingKernel(notes);
  kernel.fault = options.fault;
  const clock = options.clock ?? new TestClock();
  const links: boolean[] = [];
  const sockets = new TunnelSockets();
  const names: NamesService[] = [];
  const agent = new GatewayAgent({
    url: control.url,
    joinToken: 'token' in options ? options.token : control.token,
    files: new GatewayFiles(directory),
    self: {
      software: 'test',
      tunnel: { wireguardPublicKey: 'A'.repeat(43) + '=', endpointHost: '', endpointPort: 51820 },
    },
    tunnels: [tunnel, ...(options.tunnels ?? [])],
    privileged: kernel,
    interfaceName: 'sp0',
    mtu: 1420,
    localTcpPorts: [],
    ownAddresses: options.ownAddresses ?? (() => ['192.0.2.1']),
    resolve: options.resolve ?? (() => Promise.reject(new Error('no name server'))),
    clock,
    log: pino({ level: 'silent' }),
    openSocket: () => sockets.open(),
    onLink: (up) => links.push(up),
    onNames: (service) => names.push(service),
  });
  await agent.start();
  const ended = agent.run().then(
    () => undefined,
    (error: unknown) => error as Error,
  );
  return {
    agent,
    sockets,
    names,
    tunnel,
    kernel,
    notes,
    clock,
    links,
    ended,
    stop() {
      agent.stop();
      return ended;
    },
  };
}

export async function until(what: string, condition: () => boolean, clock?: TestClock): Promise<void> {
  for (let waited = 0; !condition(); waited += 5) {
    if (waited > 60_000) throw new Error(`it did not come to this within a minute: ${what}`);
    if (clock !== undefined) await clock.pass(100);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
