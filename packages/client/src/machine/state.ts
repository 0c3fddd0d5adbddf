/** All that the state machine knows. Plain data, never changed in place. */
import type { ServiceConfiguration, ServiceGateway } from '../configuration.ts';
import type { GoodPath } from '../choice/paths.ts';
import { CONNECT_STEPS, type ClientState } from '../daemon-protocol.ts';
import { clientSettings, type ClientSettings } from '../settings.ts';
import type { Account, Action, Desired, Intent, NetworkFacts, Path, SplitGroup } from './types.ts';

/** A way that is tried or used, under the number of its attempt. */
export interface Hop {
  readonly attempt: number;
  readonly path: Path;
  /** As it was when the attempt began: keys and parameters. */
  readonly gateway: ServiceGateway;
}

/** One way to the outside: by one gateway, or with an entry by two. */
export interface Way {
  readonly entry: Path | undefined;
  readonly exit: Path;
}

/**
 * How a session on a dearer transport gets back to a cheaper one. `probing`: the daemon finds out whether it works.
 * `moving`: the tunnel was moved, and has to be heard by the new way before `deadline`.
 */
export type Return =
  | { readonly kind: 'waiting'; readonly at: number }
  | { readonly kind: 'probing'; readonly attempt: number; readonly path: Path; readonly deadline: number }
  | { readonly kind: 'moving'; readonly old: Path; readonly deadline: number };

export interface Session {
  readonly entry: Hop | undefined;
  readonly exit: Hop;
  readonly heardAt: number;
  /** Since when nothing is heard, or the network is another one; a handshake is wanted. */
  readonly suspectAt: number | undefined;
  /** When other ways are looked for, if nothing is heard until then. */
  readonly searchAt: number | undefined;
  /** The network is another one: the same gateway is tried before others. */
  readonly roamed: boolean;
  /** With two hops: the entry has answered since `suspectAt`. */
  readonly entryAnswered: boolean;
  /** How often in a row a handshake was answered, and then nothing else. */
  readonly handshakesAlone: number;
  readonly draining: boolean;
  /** When to look for another gateway, of one that drains. */
  readonly leaveAt: number | undefined;
  readonly roundTripMs: number | undefined;
  readonly mtu: number | undefined;
  readonly return: Return | undefined;
  /** The way that worked before the session was moved to a cheaper one, and until when it is fallen back to. */
  readonly before: { readonly path: Path; readonly until: number } | undefined;
}

/** `lost`: the session's way is gone. `leave`: it is there yet, and another one is wanted. */
export type SearchReason = 'connect' | 'lost' | 'leave';

export interface Search {
  readonly reason: SearchReason;
  readonly ways: readonly Way[];
  readonly index: number;
  readonly entry: Hop | undefined;
  readonly exit: Hop;
  /** `apply`: until the daemon has brought it into force. Then the entry's handshake, and the exit's. */
  readonly stage: 'apply' | 'entry' | 'exit';
  /** The entry has answered, or there is none. */
  readonly entryDone: boolean;
  /** The revision from which on the attempt is in force. */
  readonly revision: number | undefined;
  readonly deadline: number;
}

export type BlockReason =
  | 'offline'
  | 'portal'
  | 'control'
  | 'refused'
  | 'noGateway'
  | 'noAnswer'
  | 'firewall'
  | 'routes'
  | 'tunnel'
  | 'names'
  | 'carrier'
  | 'daemon';

export interface Block {
  readonly reason: BlockReason;
  readonly message: string;
  /** Undefined: only an event helps (another network, configuration or setting). */
  readonly retryAt: number | undefined;
}

export interface StepTimes {
  readonly startedAt: number | undefined;
  readonly doneAt: number | undefined;
}

export interface State {
  readonly settings: ClientSettings;
  readonly account: Account | undefined;
  readonly configuration: ServiceConfiguration | undefined;
  readonly configurationAt: number;
  readonly network: NetworkFacts;
  readonly splitGroup: SplitGroup | undefined;
  readonly latencies: Readonly<Record<string, number>>;
  readonly good: readonly GoodPath[];
  /** Datagrams of the size that a tunnel needs don't pass in this network: by TLS they can be any size. */
  readonly narrow: boolean;

  readonly phase: ClientState;
  readonly since: number;
  readonly intent: Intent | undefined;
  /** Since the intent there was a session. */
  readonly wasConnected: boolean;
  readonly session: Session | undefined;
  readonly search: Search | undefined;
  readonly block: Block | undefined;
  /** In a row, of searches and of parts. */
  readonly failures: number;
  /** How often the way back to UDP failed in a row; survives the session. */
  readonly returnFailures: number;
  readonly steps: Readonly<Record<(typeof CONNECT_STEPS)[number], StepTimes>>;

  /** When the control plane is asked next, and until when an answer is waited for. */
  readonly fetchAt: number | undefined;
  readonly fetchDeadline: number | undefined;
  readonly fetchFailures: number;
  /** What the control plane said when it gave the last time no configuration, for people. */
  readonly refusal: string | undefined;
  readonly portalDeadline: number | undefined;
  readonly measure: { readonly paths: readonly Path[]; readonly deadline: number } | undefined;

  readonly nextAttempt: number;
  readonly desired: Desired;
  readonly appliedRevision: number;
  /** Until when the desired has to be in force; undefined: it is, or it is tried again at `reapplyAt`. */
  readonly applyDeadline: number | undefined;
  readonly reapplyAt: number | undefined;
}

/** The state while an event is taken in, with what is asked of the daemon. */
export type Draft = { -readonly [Key in keyof State]: State[Key] } & {
  actions: Action[];
  /** The desired gets another revision although it is the same: it has to be brought into force again. */
  again: boolean;
};

/** When an event is taken in. */
export interface Moment {
  readonly now: number;
  readonly random: () => number;
}

export const noNetwork: NetworkFacts = { id: '', ipv4: false, ipv6: false, onLink: [], devices: [], mtu: 1500 };

export const noSteps = Object.fromEntries(
  CONNECT_STEPS.map((name) => [name, { startedAt: undefined, doneAt: undefined }]),
) as State['steps'];

/** What the daemon has kept from its last run. */
export interface Remembered {
  readonly settings?: ClientSettings | undefined;
  readonly account?: Account | undefined;
  readonly configuration?: ServiceConfiguration | undefined;
  readonly good?: readonly GoodPath[] | undefined;
  /** The daemon ended while this was wanted, and goes on with it. */
  readonly intent?: Intent | undefined;
}

/** Before the first event. Its desired is not to be carried out: take in an event to begin, best the network. */
export function initialState(now: number, { settings, account, configuration, good, intent }: Remembered = {}): State {
  return {
    settings: settings ?? clientSettings.parse({}),
    account,
    configuration: account === undefined ? undefined : configuration,
    configurationAt: now - 24 * 3_600_000,
    network: noNetwork,
    splitGroup: undefined,
    latencies: {},
    good: good ?? [],
    narrow: false,
    phase: intent === undefined || account === undefined ? 'disconnected' : 'connecting',
    since: now,
    intent: account === undefined ? undefined : intent,
    wasConnected: false,
    session: undefined,
    search: undefined,
    // The first that the daemon tells is the network.
    block:
      intent === undefined || account === undefined
        ? undefined
        : { reason: 'offline', message: '', retryAt: undefined },
    failures: 0,
    returnFailures: 0,
    steps: noSteps,
    fetchAt: account === undefined ? undefined : now,
    fetchDeadline: undefined,
    fetchFailures: 0,
    refusal: undefined,
    portalDeadline: undefined,
    measure: undefined,
    nextAttempt: 1,
    desired: {
      revision: 0,
      firewall: 'open',
      routes: undefined,
      tunnels: [],
      dns: undefined,
      pingEveryMs: undefined,
      current: undefined,
      currentEntry: undefined,
      mtuSearch: undefined,
    },
    appliedRevision: -1,
    applyDeadline: undefined,
    reapplyAt: undefined,
  };
}
