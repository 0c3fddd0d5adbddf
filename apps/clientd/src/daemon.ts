/** The client's daemon: the state machine, and what carries out its wishes on this machine. */
import { initialState, type ClientStatus, type Event, type State } from '@sallyport/client';
import { Secret } from '@sallyport/core';
import { CommandRunner, Ip, Nft, Sysctl } from '@sallyport/io';
import { AccountKeeper } from './account/account-keeper.ts';
import { Actions } from './actions.ts';
import { bootClock } from './boot-clock.ts';
import { DaemonFailure, messageOf } from './failure.ts';
import { Machine } from './machine.ts';
import { NameServers } from './names/name-servers.ts';
import { networkFacts, watchNetworkFacts, type NetworkWatch } from './network/network-facts.ts';
import { Protection } from './network/protection.ts';
import { Routing } from './network/routing.ts';
import { SavedSysctls } from './network/saved-sysctls.ts';
import { keepOutsideGroup, openOutsideGroup, outsideGroupIsUsed, type OutsideGroup } from './network/split-group.ts';
import { Reconciler } from './reconciler.ts';
import { readRemembered } from './remembered.ts';
import { SleepWatch } from './sleep-watch.ts';
import { openStateFolder, type StateFolder } from './state-folder.ts';
import { statusOf } from './status.ts';
import { HandshakeProber } from './tunnel/handshake-prober.ts';
import { AgreedKeyStore } from './tunnel/key-agreement.ts';
import { TunnelCare } from './tunnel/tunnel-care.ts';
import { Tunnels } from './tunnel/tunnels.ts';

export type Log = (level: 'debug' | 'info' | 'warn' | 'error', message: string) => void;

export interface DaemonOptions {
  readonly stateFolder: string;
  readonly runFolder: string;
  readonly version: string;
  readonly log: Log;
}

const IN_FORCE_TIMEOUT_MS = 1500;
/** Longer than the state machine gives it before it takes it for failed. */
const SETTLED_TIMEOUT_MS = 16_000;
const TAKEN_SETTLE_MS = 300;
const STOP_TIMEOUT_MS = 10_000;

export class Daemon {
  readonly folder: StateFolder;
  readonly keeper: AccountKeeper;
  readonly machine: Machine;
  readonly tunnels: Tunnels;
  readonly runner: CommandRunner;
  /** What the last measurement found, milliseconds by gateway. */
  measured: Readonly<Record<string, number>> = {};
  readonly #options: DaemonOptions;
  readonly #now: () => number;
  readonly #nft: Nft;
  readonly #names: NameServers;
  readonly #protection: Protection;
  readonly #reconciler: Reconciler;
  readonly #routing: Routing;
  readonly #store: AgreedKeyStore;
  readonly #care: TunnelCare;
  readonly #sleep: SleepWatch;
  #notedIntent: string | undefined;
  #prober: { readonly key: string; readonly prober: HandshakeProber } | undefined;
  #outside: OutsideGroup | undefined;
  #network: NetworkWatch | undefined;
  #takenTimer: NodeJS.Timeout | undefined;

  private constructor(
    options: DaemonOptions,
    folder: StateFolder,
    keeper: AccountKeeper,
    initial: (now: number) => State,
    store: AgreedKeyStore,
  ) {
    const { runFolder, log } = options;
    this.#options = options;
    this.folder = folder;
    this.keeper = keeper;
    this.#now = bootClock();
    this.#store = store;
    const runner = new CommandRunner((line) => {
      log('debug', line);
    });
    this.runner = runner;
    this.#nft = new Nft(runner);
    const onFault = (message: string): void => {
      log('warn', message);
    };
    this.#names = new NameServers({ runner, stateFolder: folder.path, onFault });
    this.#protection = new Protection(runner, this.#nft, onFault);
    const ip = new Ip(runner);
    this.#routing = new Routing(runner, ip, new SavedSysctls(new Sysctl(runner), `${runFolder}/sysctls.json`));
    const report = (event: Event): void => {
      this.machine.take(event);
    };
    this.tunnels = new Tunnels({
      ip,
      report,
      privateKey: () => new Uint8Array(Buffer.from(this.#record().privateKey, 'base64')),
      gateway: () => this.machine.state.configuration?.tunnel.gateway4 ?? '0.0.0.0',
      agreedKeys: (gateway) => store.keysOf(gateway),
      onLost: (name) => {
        this.#routing.forgetRoutes();
        this.#reconciler.forgetTunnel(name);
      },
    });
    this.#care = new TunnelCare({
      tunnelOf: (attempt) => this.tunnels.of(attempt),
      store,
      deviceKey: () => this.#record().publicKey,
      report,
      onAgreed: (gateway, key) => {
        this.tunnels.useAgreedKey(gateway, key);
      },
      onFault,
    });
    this.#sleep = new SleepWatch({
      now: this.#now,
      onResumed: () => {
        log('info', 'the machine slept');
        report({ kind: 'resumed' });
      },
    });
    this.#reconciler = new Reconciler(
      {
        protect: (policy) => {
          if (policy !== 'open' && policy.splitGroup !== undefined) keepOutsideGroup();
          return this.#protection.apply(policy);
        },
        route: (plan) => this.#routing.apply(plan),
        unroute: () => this.#routing.clear(),
        openTunnel: (plan) => this.tunnels.open(plan),
        setPeers: (plan) => {
          this.tunnels.setPeers(plan);
          return Promise.resolve();
        },
        closeTunnels: async (kept) => {
          if (await this.tunnels.closeOthers(kept)) this.#routing.forgetRoutes();
        },
        setNames: (plan) => this.#names.set(plan),
        restoreNames: () => this.#names.restore(),
      },
      (event) => {
        if (event.kind === 'failed') log('error', `${event.part}: ${event.message}`);
        report(event);
      },
    );
    const actions = new Actions(this, (message) => {
      log('error', message);
    });
    this.machine = new Machine({
      initial: initial(this.#now()),
      now: this.#now,
      onState: (state, before) => {
        this.#onState(state, before);
      },
      want: (desired) => {
        this.#care.follow(desired);
        this.#reconciler.want(desired);
      },
      act: (action) => {
        actions.begin(action);
      },
    });
  }

  /** Begins where the last daemon ended: what it wanted is wanted, and nothing is opened before that is in force. */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const folder = openStateFolder(options.stateFolder);
    const started: { daemon?: Daemon } = {};
    const mayAskNames = (): boolean => started.daemon?.isBlocking !== true;
    const { log } = options;
    const keeper = new AccountKeeper(folder, mayAskNames, `sallyport-client/${options.version}`, (message) => {
      log('error', message);
    });
    await keeper.load();
    const remembered = await readRemembered(folder, (message) => {
      log('error', message);
    });
    const store = new AgreedKeyStore(`${options.runFolder}/agreed-keys.json`);
    await store.load().catch((error: unknown) => {
      log('error', messageOf(error));
    });
    const { account } = keeper;
    const initial = (now: number): State => initialState(now, { ...remembered, account });
    const daemon = new Daemon(options, folder, keeper, initial, store);
    started.daemon = daemon;
    await daemon.#begin();
    return daemon;
  }

  get state(): State {
    return this.machine.state;
  }

  /** Everything outside the tunnel is blocked. */
  get isBlocking(): boolean {
    const { firewall } = this.state.desired;
    return firewall !== 'open' && firewall.blocking && firewall.only === undefined;
  }

  get names(): NameServers['state'] {
    return this.#names.state;
  }

  status(): ClientStatus {
    return statusOf({
      state: this.state,
      now: this.#now(),
      record: this.keeper.record,
      tunnels: this.tunnels,
      care: this.#care,
      names: this.#names.state,
      version: this.#options.version,
    });
  }

  /** Handshakes beside the tunnel, with this device's key. Throws where nobody is logged in. */
  prober(): HandshakeProber {
    const { privateKey } = this.#record();
    if (this.#prober?.key !== privateKey) {
      this.#prober?.prober.dispose();
      const bytes = new Uint8Array(Buffer.from(privateKey, 'base64'));
      this.#prober = { key: privateKey, prober: new HandshakeProber(new Secret(bytes)) };
      bytes.fill(0);
    }
    const { prober } = this.#prober;
    for (const { wireguardPublicKey: gateway } of this.state.configuration?.gateways ?? [])
      for (const key of this.#store.keysOf(gateway)) prober.setAgreedKey(gateway, key);
    return prober;
  }

  /** The group of programs beside the tunnel, in force. Throws where this system has none. */
  async outside(): Promise<OutsideGroup> {
    if (this.#outside === undefined) {
      this.#outside = await openOutsideGroup(this.runner, this.#nft, `${this.#options.runFolder}/cgroup`);
      this.machine.take({ kind: 'splitGroup', group: this.#outside.group });
    }
    await this.settled();
    return this.#outside;
  }

  /** Waits until what is wanted now is in force, but not for long. */
  async inForce(): Promise<void> {
    const { revision } = this.state.desired;
    await this.machine.until(({ appliedRevision }) => appliedRevision >= revision, IN_FORCE_TIMEOUT_MS);
  }

  /** Waits until what is wanted now is in force or has failed: what somebody asked for who goes by it next. */
  async settled(): Promise<void> {
    const { revision } = this.state.desired;
    await this.machine.until(
      ({ appliedRevision, applyDeadline }) => appliedRevision >= revision || applyDeadline === undefined,
      SETTLED_TIMEOUT_MS,
    );
  }

  /**
   * On the disk before the machine is changed: a daemon that is killed after that goes on with it. Throws where the disk
   * takes no more.
   */
  noteIntent(intent: State['intent']): void {
    const text = JSON.stringify(intent ?? null);
    if (text === this.#notedIntent) return;
    this.#notedIntent = undefined;
    this.folder.intent.writeNow(intent ?? null);
    this.#notedIntent = text;
  }

  /** Forgets keys that were agreed for a device that is no more. */
  async forgetKeys(): Promise<void> {
    await this.#store.clear();
    this.#prober?.prober.dispose();
    this.#prober = undefined;
  }

  /**
   * Ends without opening anything: where a tunnel is wanted everything stays blocked until the next daemon, or until
   * somebody disconnects. Without a kill switch all is as it was before.
   */
  async stop(): Promise<void> {
    this.#network?.stop();
    this.#sleep.follow(false);
    clearTimeout(this.#takenTimer);
    this.#care.stop();
    const { desired } = this.state;
    this.machine.stop();
    const blocks = desired.firewall !== 'open' && desired.firewall.blocking;
    const nothing = { tunnels: [], dns: undefined, pingEveryMs: undefined, current: undefined, currentEntry: undefined, mtuSearch: undefined }; // prettier-ignore
    this.#reconciler.want(
      blocks
        ? { ...desired, ...nothing }
        : { ...nothing, revision: desired.revision, firewall: 'open', routes: undefined },
    );
    await Promise.race([
      this.#reconciler.idle(),
      new Promise((resolve) => setTimeout(resolve, STOP_TIMEOUT_MS).unref()),
    ]);
    this.#protection.stop();
  }

  async #begin(): Promise<void> {
    const { log } = this.#options;
    if (outsideGroupIsUsed()) {
      try {
        this.#outside = await openOutsideGroup(this.runner, this.#nft, `${this.#options.runFolder}/cgroup`);
        this.machine.take({ kind: 'splitGroup', group: this.#outside.group });
      } catch (error) {
        log('warn', messageOf(error));
      }
    }
    this.machine.take({ kind: 'network', network: await networkFacts(this.runner) });
    this.machine.begin();
    this.#network = watchNetworkFacts(
      this.runner,
      (network) => {
        this.tunnels.forgetPaths(network.id !== this.state.network.id && network.id !== '');
        this.machine.take({ kind: 'network', network });
      },
      () => {
        this.#lookAtRoutes();
      },
    );
    // What happened until the watch began.
    await this.#network.look();
  }

  #record(): NonNullable<AccountKeeper['record']> {
    const { record } = this.keeper;
    if (record === undefined) throw new DaemonFailure('notLoggedIn', 'nobody is logged in: sallyport login URL');
    return record;
  }

  /** Something took rules or routes away, perhaps ours: what is missing is put back. */
  #lookAtRoutes(): void {
    if (this.#takenTimer !== undefined || this.state.desired.routes === undefined) return;
    this.#takenTimer = setTimeout(() => {
      this.#takenTimer = undefined;
      this.#routing.putBack().then(
        (done) => {
          if (done) this.#options.log('warn', 'something else took routes or rules away; they were put back');
        },
        (error: unknown) => {
          this.#reconciler.forget('routes');
          this.machine.take({ kind: 'failed', part: 'routes', attempt: undefined, message: messageOf(error) });
        },
      );
    }, TAKEN_SETTLE_MS);
  }

  #onState(state: State, before: State): void {
    const { log } = this.#options;
    this.#sleep.follow(state.intent !== undefined);
    if (JSON.stringify(state.intent) !== JSON.stringify(before.intent)) {
      try {
        this.noteIntent(state.intent);
      } catch (error) {
        // The next daemon goes on with the wish of before then.
        log('error', `what is wanted can't be kept: ${messageOf(error)}`);
      }
    }
    if (state.good !== before.good) {
      this.folder.good
        .write(state.good.map(({ mtu, ...path }) => ({ ...path, ...(mtu === undefined ? {} : { mtu }) })))
        .catch((error: unknown) => {
          log('warn', messageOf(error));
        });
    }
    if (state.phase !== before.phase) {
      const why = state.block === undefined ? '' : `: ${state.block.message}`;
      const by = state.session === undefined ? '' : ` to ${state.session.exit.gateway.name} by ${(state.session.entry ?? state.session.exit).path.transport}`; // prettier-ignore
      log(state.phase === 'blocked' ? 'warn' : 'info', `${state.phase}${state.phase === 'connected' ? by : why}`);
    }
  }
}
