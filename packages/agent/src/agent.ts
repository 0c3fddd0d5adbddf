import { randomInt, type KeyObject } from 'node:crypto';
import type { Socket, SocketOptions } from 'node:dgram';
import { rm } from 'node:fs/promises';
import {
  decodeStateKey,
  LINK_PROTOCOL_VERSION,
  openLink,
  parseJoinToken,
  verifyState,
  type FromControl,
  type GatewayLink,
  type Hello,
  type LinkIdentity,
  type StateMessage,
} from '@sallyport/link';
import { applyChange, type DesiredState, type GatewayPlan, type NamesPlan } from '@sallyport/policy';
import type { Privileged } from '@sallyport/privileged';
import type { Logger } from 'pino';
import { Applier } from './applier.ts';
import type { Clock } from './clock.ts';
import { LinkLogins } from './logins.ts';
import type { GatewayFiles, Membership } from './membership.ts';
import { GatewayMetrics } from './metrics.ts';
import { Names, type Resolve } from './names.ts';
import { few } from './packet-filter.ts';
import { Reporter, type Condition } from './reporter.ts';
import { StateFile, type VersionedState } from './state-file.ts';
import type { Tunnel } from './tunnel.ts';
import { TunnelService } from './tunnel-service/tunnel-service.ts';
import { leaveReports, takeReports } from './unstored-file.ts';

const FIRST_PAUSE_MS = 200;
const LAST_PAUSE_MS = 30_000;
const REPORT_MS = 5000;
/** How often it is looked for devices that have just connected. */
const LOOK_MS = 1000;
/** Between two demands for a snapshot. */
const RESYNC_MS = 10_000;
const MAX_PROBLEM_LENGTH = 300;
const MAX_PROBLEMS = 20;
const MAX_ADDRESSES = 256;

export interface AgentOptions {
  readonly url: string;
  readonly joinToken?: string | undefined;
  readonly files: GatewayFiles;
  /** What the gateway says of itself. */
  readonly self: Pick<Hello, 'software' | 'name' | 'tunnel' | 'region' | 'country' | 'city'>;
  readonly tunnels: readonly Tunnel[];
  readonly privileged: Privileged;
  readonly interfaceName: string;
  readonly mtu: number;
  readonly localTcpPorts: readonly number[];
  /** This machine's addresses now, without the tunnel's own and the loopback's. */
  readonly ownAddresses: () => readonly string[];
  readonly resolve: Resolve;
  readonly clock: Clock;
  /** Opens the tunnel service's sockets, by default those of the system. */
  readonly openSocket?: ((options: SocketOptions) => Socket) | undefined;
  readonly log: Logger;
  /** The control plane was found, or lost. */
  readonly onLink?: ((up: boolean) => void) | undefined;
  /** How names are to be answered, once the addresses for it are there, and whenever that changes. */
  readonly onNames?: ((names: NamesService) => void) | undefined;
}

/** What the gateway's name server needs to know. */
export interface NamesService {
  /** The gateway's own tunnel addresses, where it answers. */
  readonly addresses: readonly string[];
  /** Prefixes of those whom it answers. */
  readonly clients: readonly string[];
  /** Absent: nobody is answered. */
  readonly plan?: NamesPlan | undefined;
}

/** Why an agent ends by itself. */
export class AgentError extends Error {
  readonly code: 'refused' | 'helperGone' | 'configuration';

  constructor(code: AgentError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'AgentError';
    this.code = code;
  }
}

type Goodbye = Extract<FromControl, { kind: 'goodbye' }>;

/**
 * The gateway's logic: keeps a link to the control plane, brings what it wants into force, tells it what is seen, and goes
 * on by itself while there is none.
 */
export class GatewayAgent {
  readonly metrics: GatewayMetrics;
  readonly #options: AgentOptions;
  readonly #names: Names;
  readonly #applier: Applier;
  readonly #reporter: Reporter;
  readonly #service: TunnelService;
  readonly #logins: LinkLogins;
  /** What the name server was told last. */
  #namesTold = '';
  readonly #stateFile: StateFile;
  readonly #stop = new AbortController();
  readonly #problems = new Map<string, string>();
  #identity: LinkIdentity | undefined;
  #membership: Membership | undefined;
  #stateKey: string | undefined;
  /** The newest state that is known. */
  #newest: VersionedState | undefined;
  /** The version that is in force. */
  #inForce = 0;
  #link: GatewayLink | undefined;
  #welcomed = false;
  #pauseMs = FIRST_PAUSE_MS;
  #resyncAt = -Infinity;
  /** Why a snapshot is still to be asked for. */
  #resyncWanted: string | undefined;
  #ended: AgentError | undefined;

  constructor(options: AgentOptions) {
    this.#options = options;
    const { clock, tunnels } = options;
    this.#names = new Names(options.resolve, clock, () => void this.#applier.refresh());
    this.#reporter = new Reporter(tunnels, clock.now());
    this.#logins = new LinkLogins(clock);
    for (const tunnel of tunnels) tunnel.setLogins?.(this.#logins);
    this.#stateFile = new StateFile(options.files.statePath);
    this.#applier = new Applier({
      ...options,
      names: this.#names,
      leaving: () => {
        this.#report();
      },
      onProblem: (problem) => {
        this.#problem('kernel', problem);
      },
      onNetworks: (problem) => {
        this.#problem('networks', problem);
      },
      onConfigured: (gateway) => {
        this.#service.listen([gateway.address4, gateway.address6]);
        this.#tellNames(gateway);
      },
      onApplied: (seconds) => {
        this.metrics.applied(seconds);
      },
    });
    this.#service = new TunnelService({
      ...options,
      gatewayKey: options.self.tunnel.wireguardPublicKey,
      devices: () => this.#applier.devices,
      draining: () => this.#applier.state?.gateway.draining ?? false,
      onProblem: (problem) => {
        this.#problem('tunnelService', problem);
      },
    });
    this.metrics = new GatewayMetrics({
      tunnels,
      stateVersion: () => this.#inForce,
      linkUp: () => this.#welcomed,
      admittedDevices: () => this.#applier.state?.devices.size ?? 0,
      problems: () => this.#problems.size,
      now: () => clock.now(),
    });
  }

  /** The version of the state that is in force; 0 for none. */
  get stateVersion(): number {
    return this.#inForce;
  }

  /** What is wrong, in words for an operator. */
  get problems(): readonly string[] {
    return [...this.#problems.values()];
  }

  /**
   * Reads the gateway's files and brings the last state into force, where there is one. Throws where a file can't be used,
   * and an {@link AgentError} where there is neither a membership nor a token.
   */
  async start(): Promise<void> {
    const { files, joinToken, log } = this.#options;
    this.#identity = await files.identity();
    let membership = await files.membership();
    const token = joinToken === undefined ? undefined : parseJoinToken(joinToken);
    if (joinToken !== undefined && token === undefined)
      throw new AgentError('configuration', 'the join token is not one: copy it whole, it begins with "spj_"');
    if (membership !== undefined && token !== undefined && !membership.controlKeyHash.startsWith(token.keyHashPrefix)) {
      log.warn('the join token is of another control plane: what the gateway had of the one before is put aside');
      await this.#setAside();
      membership = undefined;
    }
    if (membership === undefined && token === undefined)
      throw new AgentError('configuration', 'this gateway belongs to no control plane: run "sallyport gateway join URL TOKEN"'); // prettier-ignore
    this.#membership = membership;
    if (membership === undefined) return;
    await this.#takeReports(membership.gatewayId);
    try {
      const loaded = await this.#stateFile.load(membership.gatewayId);
      if (loaded === undefined) return;
      if (loaded.damage !== undefined) log.warn({ damage: loaded.damage }, 'the end of the state file was cut off');
      this.#stateKey = loaded.stateKey;
      this.#newest = loaded;
    } catch (error) {
      this.#diskFailed(error);
      return;
    }
    const { version, state } = this.#newest;
    const applied = this.#bringIntoForce({ version, state });
    // A filter that can't be set is tried again; the link need not wait for it.
    await Promise.race([applied, this.#sleep(LOOK_MS)]);
    log.info({ version }, 'serving the state of the last run');
  }

  /** Works until it is stopped. Rejects with an {@link AgentError} where it can't go on. */
  async run(): Promise<void> {
    const { privileged, log } = this.#options;
    const helperGone = privileged.gone.then(() => {
      this.#end(new AgentError('helperGone', 'the process that sets addresses and packet filter has ended'));
    });
    const looking = this.#look();
    while (!this.#stop.signal.aborted) {
      let reason = 'it was closed';
      try {
        const link = await this.#open();
        reason = (await this.#serve(link)) ?? reason;
      } catch (error) {
        reason = (error as Error).message;
      }
      if (this.#stop.signal.aborted) break;
      // Half of it by chance, so that a thousand gateways don't come back at once.
      const pause = this.#pauseMs / 2 + randomInt(Math.ceil(this.#pauseMs / 2) + 1);
      log.warn({ reason, pauseMs: Math.round(pause) }, 'no link to the control plane; trying again');
      this.#pauseMs = Math.min(this.#pauseMs * 2, LAST_PAUSE_MS);
      await this.#sleep(pause);
    }
    await looking;
    this.#link?.close();
    this.#names.stop();
    this.#applier.stop();
    this.#service.stop();
    await this.#stateFile.close();
    await this.#leaveReports();
    void helperGone;
    if (this.#ended !== undefined) throw this.#ended;
  }

  stop(): void {
    this.#report();
    this.#stop.abort();
    this.#link?.close();
  }

  #open(): Promise<GatewayLink> {
    const { url, joinToken } = this.#options;
    const prefix = joinToken === undefined ? undefined : parseJoinToken(joinToken)?.keyHashPrefix;
    const known = this.#membership?.controlKeyHash;
    return openLink({
      url,
      identity: this.#identity as LinkIdentity,
      expectKey: (hash) => (known === undefined ? prefix !== undefined && hash.startsWith(prefix) : hash === known),
      signal: this.#stop.signal,
    });
  }

  /** One link, from its first message to its end: why it ended. */
  async #serve(link: GatewayLink): Promise<string | undefined> {
    const { self, joinToken, log, onLink } = this.#options;
    this.#link = link;
    let goodbye: Goodbye | undefined;
    const closed = new Promise<string | undefined>((resolve) => {
      link.onClose((error) => {
        resolve(error?.message);
      });
    });
    const token = joinToken === undefined ? undefined : parseJoinToken(joinToken)?.secret;
    link.send({
      kind: 'hello',
      protocolVersion: LINK_PROTOCOL_VERSION,
      ...self,
      ...(token !== undefined && { token }),
      stateVersion: this.#newest?.version ?? 0,
      addresses: this.#options.ownAddresses().slice(0, MAX_ADDRESSES),
    });
    link.onMessage(async (message) => {
      if (message.kind === 'welcome') {
        await this.#welcome(link, message);
        log.info({ gatewayId: message.gatewayId }, 'linked to the control plane');
        onLink?.(true);
      } else if (message.kind === 'state') this.#take(link, message);
      else if (message.kind === 'stored') {
        if (this.#reporter.stored(message.number)) this.#resend();
      } else if (message.kind === 'authenticated') this.#logins.take(message);
      else if (message.kind === 'goodbye') {
        goodbye = message;
        link.close();
      }
    });
    const reason = await closed;
    const wasUp = this.#welcomed;
    this.#welcomed = false;
    this.#link = undefined;
    this.#logins.close();
    if (wasUp) onLink?.(false);
    if (goodbye === undefined) return reason;
    await this.#part(goodbye);
    return goodbye.message === '' ? goodbye.reason : goodbye.message;
  }

  async #welcome(link: GatewayLink, message: Extract<FromControl, { kind: 'welcome' }>): Promise<void> {
    if (decodeStateKey(message.stateKey) === undefined) throw new Error("the control plane's state key is none");
    const membership = { controlKeyHash: link.peerKeyHash, gatewayId: message.gatewayId };
    const known = this.#membership;
    if (known?.gatewayId !== membership.gatewayId || known.controlKeyHash !== membership.controlKeyHash)
      try {
        await this.#options.files.saveMembership(membership);
      } catch (error) {
        this.#diskFailed(error);
      }
    // Another key or another name: what is stored can't go on with what comes now.
    const renewed =
      (this.#stateKey !== undefined && this.#stateKey !== message.stateKey) ||
      (known !== undefined && known.gatewayId !== membership.gatewayId);
    this.#membership = membership;
    this.#stateKey = message.stateKey;
    this.#welcomed = true;
    this.#logins.open(message.protocolVersion, (said) => link.send(said));
    this.#pauseMs = FIRST_PAUSE_MS;
    if (renewed) this.#resync('the control plane has a new key or name for this gateway');
    this.#resend();
    this.#report();
  }

  #take(link: GatewayLink, message: StateMessage): void {
    if (!this.#welcomed || this.#stateKey === undefined || this.#membership === undefined)
      throw new Error('the control plane sent a state before its welcome');
    const verified = verifyState(message, decodeStateKey(this.#stateKey) as KeyObject, this.#membership.gatewayId);
    if (!verified.ok) {
      this.#resync(verified.fault);
      return;
    }
    const { version, base, change } = verified.state;
    const before = this.#newest?.version ?? 0;
    if (version <= before) {
      this.#resync(`version ${version} was there already`);
      return;
    }
    if (base !== 0 && base !== before) {
      this.#resync(`version ${version} starts at ${base}, and ${before} is there`);
      return;
    }
    const newest = { version, state: applyChange(base === 0 ? undefined : this.#newest?.state, change) };
    this.#newest = newest;
    if (base === 0) this.#resyncWanted = undefined;
    const stored = this.#store(message, base === 0).catch((error: unknown) => {
      this.#diskFailed(error);
    });
    const applied = this.#bringIntoForce(newest);
    void Promise.all([stored, applied]).then(() => {
      if (this.#link === link) link.send({ kind: 'acknowledge', version });
    });
  }

  async #bringIntoForce({ version, state }: VersionedState): Promise<void> {
    this.#checkEgress(state);
    await this.#applier.apply(state);
    this.#inForce = version;
  }

  async #store(message: StateMessage, snapshot: boolean): Promise<void> {
    const { gatewayId } = this.#membership as Membership;
    if (snapshot) {
      await this.#stateFile.replace(gatewayId, this.#stateKey as string, message);
      this.#problem('disk', undefined);
    } else await this.#stateFile.append(message);
    if (this.#stateFile.large) this.#resync('the state file has grown large');
  }

  /** Asks for a snapshot, though not again and again. */
  #resync(reason: string): void {
    const now = this.#options.clock.now();
    if (now < this.#resyncAt + RESYNC_MS) {
      this.#resyncWanted = reason;
      return;
    }
    this.#resyncAt = now;
    this.#resyncWanted = undefined;
    this.#options.log.info({ reason }, 'asking for a snapshot');
    this.#link?.send({ kind: 'resync', reason: reason.slice(0, 200) });
  }

  async #part({ reason, message }: Goodbye): Promise<void> {
    const { log } = this.#options;
    if (reason === 'replaced' || reason === 'versionRefused') this.#pauseMs = LAST_PAUSE_MS;
    if (reason === 'tokenRefused' && this.#membership === undefined)
      this.#end(new AgentError('refused', `the control plane refused the join token: ${message}`));
    if (reason !== 'removed' && reason !== 'unknownGateway' && !(reason === 'tokenRefused' && this.#membership)) return;
    log.error({ reason }, 'the control plane does not know this gateway any more: nobody is served');
    this.#inForce = 0;
    this.#newest = undefined;
    await Promise.race([this.#applier.refuseAll(), this.#sleep(REPORT_MS)]);
    await this.#setAside().catch((error: unknown) => {
      this.#diskFailed(error);
    });
    this.#end(new AgentError('refused', `this gateway was removed from its control plane. ${message}`.trim()));
  }

  async #setAside(): Promise<void> {
    await rm(this.#options.files.reportsPath, { force: true });
    await this.#stateFile.setAside('removed');
    await this.#options.files.setMembershipAside('removed');
  }

  #end(error: AgentError): void {
    if (this.#stop.signal.aborted) return;
    this.#ended = error;
    this.#stop.abort();
    this.#link?.close();
  }

  /** Sees to what changes by itself, until it is stopped. */
  async #look(): Promise<void> {
    let reportAt = this.#options.clock.now() + REPORT_MS;
    const ownNow = (): string => [...this.#options.ownAddresses()].sort().join();
    let addresses = ownNow();
    while (!this.#stop.signal.aborted) {
      await this.#sleep(LOOK_MS);
      if (this.#stop.signal.aborted) return;
      const now = this.#options.clock.now();
      if (now >= reportAt || this.#reporter.hasNews) {
        this.#report();
        if (now >= reportAt) reportAt = now + REPORT_MS;
      }
      const own = ownNow();
      if (own !== addresses) {
        void this.#applier.refresh();
        addresses = own;
        const { state } = this.#applier;
        if (state !== undefined) this.#checkEgress(state);
      }
      void this.#service.look();
      const { ignored } = this.#names;
      this.#problem('names', ignored === 0 ? undefined : `${ignored} names of destinations are too many and resolve to nothing`); // prettier-ignore
      // A file that could not be written needs a snapshot to be of use again.
      if (this.#welcomed && this.#newest !== undefined && !this.#stateFile.usable && this.#problems.has('disk'))
        this.#resync('the state file could not be written');
      else if (this.#welcomed && this.#resyncWanted !== undefined) this.#resync(this.#resyncWanted);
    }
  }

  #tellNames({ address4, address6, pool4, pool6, names }: GatewayPlan): void {
    const service: NamesService = {
      addresses: [address4, address6],
      clients: [pool4, pool6],
      ...(names !== undefined && { plan: names }),
    };
    const text = JSON.stringify(service);
    if (text === this.#namesTold) return;
    this.#namesTold = text;
    this.#options.onNames?.(service);
  }

  #report(): void {
    const link = this.#link;
    if (link === undefined || !this.#welcomed) return;
    const handshakes = this.#reporter.report(this.#options.clock.now(), this.#condition, (report) => link.send(report));
    this.metrics.handshakes(handshakes);
  }

  /** Sends once more what the control plane has not stored. */
  #resend(): void {
    const link = this.#link;
    if (link !== undefined) this.#reporter.resend(this.#condition, (report) => link.send(report));
  }

  get #condition(): Condition {
    const problems = this.problems.slice(0, MAX_PROBLEMS).map((problem) => problem.slice(0, MAX_PROBLEM_LENGTH));
    return { health: problems.length === 0 ? 'healthy' : 'degraded', problems };
  }

  async #takeReports(gatewayId: string): Promise<void> {
    const { files, log } = this.#options;
    try {
      const left = await takeReports(files.reportsPath, gatewayId);
      if (left !== undefined) this.#reporter.restore(left.reports, left.number);
    } catch (error) {
      log.warn({ reason: (error as Error).message }, 'what the last run counted and could not report is lost');
    }
  }

  /** For the next run, where the control plane is away or has not answered. */
  async #leaveReports(): Promise<void> {
    const { files, clock, log } = this.#options;
    if (this.#membership === undefined || this.#ended?.code === 'refused') return;
    this.#reporter.report(clock.now(), this.#condition, () => false);
    const { gatewayId } = this.#membership;
    const { number, unstored: reports } = this.#reporter;
    try {
      await leaveReports(files.reportsPath, { gatewayId, number, reports });
    } catch (error) {
      log.error({ reason: (error as Error).message }, 'what was counted and not reported yet is lost');
    }
  }

  #checkEgress({ gateway, devices }: DesiredState): void {
    const own = new Set(this.#options.ownAddresses());
    const { egress } = few(devices);
    const wanted = [gateway.egress.ipv4, gateway.egress.ipv6, ...egress.ipv4, ...egress.ipv6];
    const missing = new Set(wanted.filter((address) => address !== undefined && !own.has(address)));
    const list = [...missing].slice(0, 5).join(', ');
    this.#problem(
      'egress',
      missing.size === 0 ? undefined : `egress addresses that this machine does not have: ${list}`,
    );
    // Without a default of their own others would leave by whatever address the kernel picks, the reserved one included;
    // the packet filter drops those packets.
    const reserved = (['ipv4', 'ipv6'] as const).filter(
      (family) => gateway.egress[family] === undefined && egress[family].size > 0,
    );
    this.#problem(
      'defaultEgress',
      reserved.length === 0
        ? undefined
        : `set a default egress address for ${reserved.map((family) => (family === 'ipv4' ? 'IPv4' : 'IPv6')).join(' and ')}: ` +
            'groups have addresses of their own, and nothing says which the others leave with',
    );
  }

  #diskFailed(error: unknown): void {
    this.#problem('disk', `the state can't be stored: ${(error as Error).message}; a restart would serve an older one`);
  }

  #problem(place: string, problem: string | undefined): void {
    if (this.#problems.get(place) === problem) return;
    if (problem === undefined) this.#problems.delete(place);
    else {
      this.#problems.set(place, problem);
      this.#options.log.error({ place }, problem);
    }
    if (this.#inForce > 0) this.#report();
  }

  /** Ends early when the agent is stopped. */
  #sleep(milliseconds: number): Promise<void> {
    const { signal } = this.#stop;
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        cancel();
        signal.removeEventListener('abort', done);
        resolve();
      };
      const cancel = this.#options.clock.after(milliseconds, done);
      signal.addEventListener('abort', done);
    });
  }
}
