import { randomInt } from 'node:crypto';
import { applyNftJson, CommandError, gracePeriod, listNftChains, Nft, NftElements, SystemCallError, watchNftRules } from '@sallyport/io'; // prettier-ignore
import type { CommandRunner, Monitor } from '@sallyport/io';
import { changePlan, changeRuleset, FirewallCompiler, generationSets, LAST_GENERATION } from '@sallyport/policy';
import type { FirewallPlan, FirewallPlanChange, NftCommand, Ruleset, RulesetChange } from '@sallyport/policy';
import type { Flows } from './flows.ts';
import { OwnChanges } from './own-changes.ts';
import { SEEN_MARK } from './tunnel-interface.ts';

const FAMILY = 'inet';
export const TABLE = 'sallyport';
const WHERE = { family: FAMILY, table: TABLE };
/** After the addresses were translated (dstnat is -100), before the packet is routed. */
const SEEN_PRIORITY = -50;
/** Whether the table is there is asked even when nobody told of a change. */
const CHECK_INTERVAL_MS = 10_000;
/** Somebody who keeps on removing the table doesn't keep this process busy. */
const RESTORE_INTERVAL_MS = 250;
const MONITOR_RESTART_MS = 1000;

const GENERATION_SETS = generationSets(1);

/** Without one of these the table doesn't do its work. */
const BASE_CHAINS = ['prerouting', 'seen', 'forward', 'input', 'postrouting', 'leaving'];

/** Something that the operator should know. */
export interface Notice {
  readonly code: 'FIREWALL_RESTORED' | 'FIREWALL_LOST' | 'FIREWALL_REBUILT' | 'FLOWS_NOT_CUT';
  readonly message: string;
}

/** A change starts from a plan that is not the one in force. */
export class OtherRevision extends Error {}

export interface FirewallResult {
  readonly milliseconds: number;
  readonly commands: number;
  /** Of the plan that is in force now. */
  readonly revision: number;
}

/** The table `inet sallyport`: changed in one transaction, and put back when others take it away. */
export class Firewall {
  readonly #runner: CommandRunner;
  readonly #flows: Flows;
  readonly #notify: (notice: Notice) => void;
  /** Runs one task at a time: those of the requests and the checks here. */
  readonly #serially: <T>(task: () => Promise<T>) => Promise<T>;
  readonly #compiler = new FirewallCompiler();
  readonly #elements = new NftElements(TABLE);
  #applied: Applied | undefined;
  #revision = 0;
  /** Whether the kernel may have something else than what was applied last. */
  #suspect = false;
  readonly #own = new OwnChanges();
  #monitor: Monitor | undefined;
  #timer: NodeJS.Timeout | undefined;
  #checkQueued = false;

  constructor(
    runner: CommandRunner,
    flows: Flows,
    serially: <T>(task: () => Promise<T>) => Promise<T>,
    notify: (notice: Notice) => void,
  ) {
    this.#runner = runner;
    this.#flows = flows;
    this.#serially = serially;
    this.#notify = notify;
  }

  /** Applies a plan. Throws where it can't be compiled or the kernel refuses it: the one before stays in force. */
  async set(plan: FirewallPlan): Promise<FirewallResult> {
    const ruleset = this.#compiler.compile(plan);
    this.#watch();
    const start = performance.now();
    const before = this.#applied;
    const change = await this.#change(plan, ruleset);
    const milliseconds = performance.now() - start;
    this.#applied = { plan, ruleset, generation: change.generation };
    this.#revision++;
    if (change.restrictive) this.#flows.sweep();
    this.#flows.cutInBackground(before === undefined ? [] : [...change.cut, ...otherEgress(before, this.#applied)]);
    return { milliseconds, commands: change.transactions.flat().length, revision: this.#revision };
  }

  /** Like {@link set}, by what differs from the plan of that revision. Throws {@link OtherRevision} where another is in force. */
  async change(revision: number, change: FirewallPlanChange): Promise<FirewallResult> {
    if (this.#applied === undefined || revision !== this.#revision)
      throw new OtherRevision(`revision ${String(revision)} of the firewall's plan is not in force`);
    return this.set(changePlan(this.#applied.plan, change));
  }

  /** Stops to watch; the table stays. */
  stop(): void {
    this.#monitor?.stop();
    this.#monitor = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#elements.close();
  }

  async tearDown(): Promise<void> {
    this.stop();
    this.#applied = undefined;
    await new Nft(this.#runner).deleteTables(TABLE);
  }

  async #change(plan: FirewallPlan, ruleset: Ruleset): Promise<RulesetChange> {
    const before = this.#applied;
    const samePools =
      before?.plan.gateway.pool4 === plan.gateway.pool4 && before.plan.gateway.pool6 === plan.gateway.pool6;
    if (before === undefined || this.#suspect || !samePools) return this.#build(plan, ruleset);
    const change = changeRuleset(before.ruleset, ruleset, before.generation);
    try {
      for (const [i, commands] of change.transactions.entries()) {
        // Or a packet that was decided by what is taken away could be marked with what comes now.
        if (i > 0) await gracePeriod();
        await this.#own.during(chainsOf(commands), () => this.#apply(commands, ruleset));
      }
      return change;
    } catch (error) {
      if (!(error instanceof CommandError && error.code === 'failed')) throw error;
      const message = `nft refused a change, so the table is made anew: ${error.stderr.trim()}`;
      this.#notify({ code: 'FIREWALL_REBUILT', message });
      return { ...(await this.#build(plan, ruleset)), cut: change.cut };
    }
  }

  /** Makes the whole table anew, in one transaction, with a generation that no flow is marked with. */
  async #build(plan: FirewallPlan, ruleset: Ruleset): Promise<RulesetChange> {
    const generation = randomInt(1, LAST_GENERATION + 1);
    const commands = wholeTable(plan, ruleset, generation);
    this.#suspect = false;
    await this.#own.during('all', () => this.#apply(commands));
    return { transactions: [commands], restrictive: true, generation, cut: [] };
  }

  /** One transaction. What changes only elements of the ruleset's sets goes to the kernel without nft. */
  async #apply(commands: readonly NftCommand[], ruleset?: Ruleset): Promise<void> {
    try {
      if (ruleset !== undefined && this.#changeElements(commands, ruleset)) return;
      await applyNftJson(this.#runner, commands);
    } catch (error) {
      this.#suspect = true;
      throw error;
    }
  }

  #changeElements(commands: readonly NftCommand[], { sets }: Ruleset): boolean {
    try {
      const done = this.#elements.apply(commands, (name) => sets.get(name) ?? GENERATION_SETS.get(name));
      if (done) this.#runner.tell('nft -j -f - (elements alone, without the program)');
      return done;
    } catch (error) {
      // nft finds out what it is, and says so.
      if (error instanceof SystemCallError) return false;
      throw error;
    }
  }

  #watch(): void {
    if (this.#monitor !== undefined) return;
    this.#monitor = watchNftRules(FAMILY, TABLE, (change, watching) => {
      if (change !== undefined && !this.#own.has(change)) this.#suspect = true;
      if (!watching) {
        this.#monitor = undefined;
        setTimeout(() => {
          if (this.#applied !== undefined) this.#watch();
        }, MONITOR_RESTART_MS).unref();
      }
      this.#queueCheck();
    });
    this.#timer ??= setInterval(() => this.#queueCheck(), CHECK_INTERVAL_MS).unref();
  }

  #queueCheck(): void {
    if (this.#checkQueued) return;
    this.#checkQueued = true;
    void this.#serially(async () => {
      this.#checkQueued = false;
      await this.#check();
    });
  }

  async #isThere(): Promise<boolean> {
    try {
      const chains = (await listNftChains(this.#runner)).filter(
        ({ family, table }) => family === FAMILY && table === TABLE,
      );
      return BASE_CHAINS.every((wanted) => chains.some(({ name }) => name === wanted));
    } catch {
      return false;
    }
  }

  /** Puts the table back where it isn't what it was after the last change. Never throws. */
  async #check(): Promise<void> {
    const applied = this.#applied;
    if (applied === undefined || (!this.#suspect && (await this.#isThere()))) return;
    try {
      const { generation } = await this.#build(applied.plan, applied.ruleset);
      this.#applied = { ...applied, generation };
      this.#flows.sweep();
      this.#notify({
        code: 'FIREWALL_RESTORED',
        message:
          `another program changed or removed the table "${FAMILY} ${TABLE}"; it is back. ` +
          'If this happens again, look for "nft flush ruleset", in /etc/nftables.conf for instance.',
      });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const message = `the table "${FAMILY} ${TABLE}" is not what it should be and can't be put back: ${why}`;
      this.#notify({ code: 'FIREWALL_LOST', message });
    }
    // What happened meanwhile is looked at after a pause.
    this.#checkQueued = true;
    setTimeout(() => {
      this.#checkQueued = false;
      this.#queueCheck();
    }, RESTORE_INTERVAL_MS).unref();
  }
}

/** The chains whose rules the commands change. */
function chainsOf(commands: readonly NftCommand[]): Set<string> {
  const names = commands.flatMap((command) =>
    Object.values(command).map((what) => {
      const { rule, chain } = what as { rule?: { chain: string }; chain?: { name: string } };
      return rule?.chain ?? chain?.name ?? '';
    }),
  );
  return new Set(names);
}

interface Applied {
  readonly plan: FirewallPlan;
  readonly ruleset: Ruleset;
  readonly generation: number;
}

/**
 * The commands that make the table anew, in one transaction. Its first chain is the one that marks packets as seen: where
 * somebody removes the table, the kernel takes the chains out of its hooks one after the other in this order, which may
 * take it milliseconds, and no packet may get the mark once the chain is gone that would refuse it.
 */
export function wholeTable(plan: FirewallPlan, ruleset: Ruleset, generation: number): NftCommand[] {
  const commands = changeRuleset(undefined, ruleset, generation).transactions.flat();
  const firstChain = commands.findIndex(({ add }) => add !== undefined && 'chain' in (add as object));
  return commands.toSpliced(firstChain, 0, ...seenCommands(plan));
}

/** The rules that mark the tunnel's packets as seen: see {@link TunnelInterface}. */
function seenCommands({ interfaceName, gateway }: FirewallPlan): NftCommand[] {
  const chain = 'seen';
  const mark = { meta: { key: 'mark' } };
  const see = { mangle: { key: mark, value: { '|': [mark, SEEN_MARK] } } };
  const within = (protocol: string, prefix: string): object => {
    const [addr, length] = prefix.split('/');
    const left = { payload: { protocol, field: 'daddr' } };
    return { match: { op: '==', left, right: { prefix: { addr, len: Number(length) } } } };
  };
  const ofTunnel = [
    { match: { op: '==', left: { meta: { key: 'iifname' } }, right: interfaceName } },
    within('ip', gateway.pool4),
    within('ip6', gateway.pool6),
  ];
  const base = { type: 'filter', hook: 'prerouting', prio: SEEN_PRIORITY, policy: 'accept' };
  return [
    { add: { chain: { ...WHERE, name: chain, ...base } } },
    ...ofTunnel.map((match) => ({ add: { rule: { ...WHERE, chain, expr: [match, see] } } })),
  ];
}

/** The addresses that leave by the gateway's own address, where that is another one now. */
function otherEgress(before: Applied, after: Applied): string[] {
  const [from, to] = [before.plan.gateway.egress, after.plan.gateway.egress];
  if (from.ipv4 === to.ipv4 && from.ipv6 === to.ipv6) return [];
  return [...after.ruleset.owners.keys()].filter((address) => {
    const changed = address.includes(':') ? from.ipv6 !== to.ipv6 : from.ipv4 !== to.ipv4;
    return changed && !after.ruleset.egress.has(address);
  });
}
