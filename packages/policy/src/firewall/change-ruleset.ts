/** The commands that lead the kernel from one ruleset to another. */
import {
  GENERATION_RULES,
  generationSets,
  LAST_GENERATION,
  TABLE,
  type Chain,
  type ElementSet,
  type Meter,
  type Rule,
  type Ruleset,
} from './ruleset.ts';

/** One command of libnftables' JSON (libnftables-json(5)). */
export type NftCommand = Readonly<Record<string, unknown>>;

export interface RulesetChange {
  /**
   * What to give to `nft -j -f -` as `{"nftables": COMMANDS}`, each list in a transaction of its own, in this order;
   * none where nothing changes. The kernel shows a transaction's rules before it shows all of its set elements. So
   * the elements come first, while flows are known by the old generation, and the new generation second: no flow is
   * ever decided by the elements of before and marked as known by the rules of after. Packets that are being decided
   * when the first transaction is done must have been dealt with before the second.
   */
  readonly transactions: readonly (readonly NftCommand[])[];
  /** The change may take something away: the generation has grown, and every flow is decided anew. */
  readonly restrictive: boolean;
  /** The generation of the rules once the transactions are done. */
  readonly generation: number;
  /**
   * Addresses that lost their device, got another one, or leave by another address than before: their connection
   * tracking entries are to be removed, or the next device would get the answers to what the last one asked.
   */
  readonly cut: readonly string[];
}

/** The kernel takes a time for each removal that grows with the set: above this many, the set is made anew. */
const MAX_REMOVALS = 250;

const WHERE = { family: 'inet', table: TABLE };

/**
 * Leads from `from`, the ruleset that is in place with `generation` (from 1 to {@link LAST_GENERATION}), to `to`. From undefined, the
 * table is made anew with `generation`; that must then be a number that no flow is marked with from earlier: a random one.
 */
export function changeRuleset(from: Ruleset | undefined, to: Ruleset, generation: number): RulesetChange {
  if (from === undefined) return { transactions: [create(to, generation)], restrictive: true, generation, cut: [] };
  const { commands, restrictive } = difference(from, to);
  const cut = addressesToCut(from, to);
  const moved = [...from.ownAddresses].some((address) => !to.ownAddresses.has(address));
  if (!restrictive && !moved && cut.length === 0) {
    return { transactions: commands.length === 0 ? [] : [commands], restrictive: false, generation, cut };
  }
  const next = (generation % LAST_GENERATION) + 1;
  const sets = generationSets(generation);
  const second = [...generationSets(next)].flatMap(([name, set]) => [
    ...elements('delete', name, set, [...(sets.get(name)?.elements ?? [])]),
    ...elements('add', name, set, [...set.elements]),
  ]);
  const transactions = commands.length === 0 ? [second] : [commands, second];
  return { transactions, restrictive: true, generation: next, cut };
}

function create(to: Ruleset, generation: number): NftCommand[] {
  const table = { table: { family: 'inet', name: TABLE } };
  const generational: Readonly<Record<string, readonly Rule[]>> = GENERATION_RULES;
  const sets = [...to.sets, ...generationSets(generation)];
  return [
    { add: table }, // so that there is one to delete
    { delete: table },
    { add: table },
    ...[...to.meters].map(addMeter),
    ...sets.map(addSet),
    ...[...to.chains].map(addChain),
    ...sets.flatMap(([name, set]) => elements('add', name, set, [...set.elements])),
    ...[...to.chains].flatMap(([name, { rules }]) => addRules(name, generational[name] ?? rules)),
  ];
}

/** New things come before what uses them, and old ones go after what used them. */
function difference(from: Ruleset, to: Ruleset): { commands: NftCommand[]; restrictive: boolean } {
  // A meter's name says what it is, and so does a set's; only elements differ.
  const meters = compare(from.meters, to.meters, () => true);
  const sets = compare(from.sets, to.sets, () => true);

  const removed: NftCommand[] = [];
  const added: NftCommand[] = [];
  const rebuilt = new Map<string, ElementSet>();
  for (const [name, set] of to.sets) {
    const before = from.sets.get(name);
    if (before === undefined) {
      added.push(...elements('add', name, set, [...set.elements]));
    } else if (before.elements !== set.elements) {
      const change = compare(before.elements, set.elements, (a, b) => a === b);
      if (set.key.length > 1 && change.removed.length > MAX_REMOVALS) {
        rebuilt.set(name, set);
        added.push(...elements('add', name, set, [...set.elements]));
        continue;
      }
      removed.push(...elements('delete', name, before, [...change.removed, ...change.changedFrom]));
      added.push(...elements('add', name, set, [...change.added, ...change.changedTo]));
    }
  }
  const chains = compare(from.chains, to.chains, (a, b) => equal(a.rules, b.rules) && !uses(b, rebuilt));
  const commands = [
    ...meters.added.map(addMeter),
    ...sets.added.map(addSet),
    ...chains.added.map(addChain),
    ...chains.changedFrom.map(([name]) => flushChain(name)),
    ...[...rebuilt].flatMap((entry) => [removeSet(entry), addSet(entry)]),
    ...removed,
    ...added,
    ...[...chains.added, ...chains.changedTo].flatMap(([name, { rules }]) => addRules(name, rules)),
    ...chains.removed.map(([name]) => flushChain(name)),
    ...chains.removed.map(([name]) => ({ delete: { chain: { ...WHERE, name } } })),
    ...sets.removed.map(removeSet),
    ...meters.removed.map(([name]) => ({ delete: { set: { ...WHERE, name } } })),
  ];
  const restrictive =
    removed.length > 0 || chains.changedFrom.length > 0 || chains.removed.length > 0 || sets.removed.length > 0;
  return { commands, restrictive };
}

function addressesToCut(from: Ruleset, to: Ruleset): string[] {
  const cut: string[] = [];
  if (from.owners === to.owners && from.egress === to.egress) return cut;
  for (const [address, device] of from.owners) {
    if (to.owners.get(address) !== device || to.egress.get(address) !== from.egress.get(address)) cut.push(address);
  }
  return cut;
}

interface Comparison<T> {
  readonly added: readonly (readonly [string, T])[];
  readonly removed: readonly (readonly [string, T])[];
  readonly changedFrom: readonly (readonly [string, T])[];
  readonly changedTo: readonly (readonly [string, T])[];
}

function compare<T>(
  from: ReadonlyMap<string, T>,
  to: ReadonlyMap<string, T>,
  same: (a: T, b: T) => boolean,
): Comparison<T> {
  const [added, removed, changedFrom, changedTo] = [[], [], [], []] as [string, T][][];
  for (const [name, value] of to) {
    const before = from.get(name);
    if (before === undefined) added.push([name, value]);
    else if (!same(before, value)) {
      changedFrom.push([name, before]);
      changedTo.push([name, value]);
    }
  }
  for (const entry of from) if (!to.has(entry[0])) removed.push(entry);
  return { added, removed, changedFrom, changedTo };
}

/** Whether a rule looks up one of the sets by itself, as those of groups are. */
function uses({ rules }: Chain, sets: ReadonlyMap<string, ElementSet>): boolean {
  if (sets.size === 0) return false;
  return rules.some((rule) =>
    rule.some(({ match }) => {
      const right = (match as { right?: unknown } | undefined)?.right;
      return typeof right === 'string' && right.startsWith('@') && sets.has(right.slice(1));
    }),
  );
}

/** Whether plain data is the same. */
function equal(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  const [keysOfA, keysOfB] = [Object.keys(a), Object.keys(b)];
  return (
    keysOfA.length === keysOfB.length &&
    keysOfA.every((key) => equal((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]))
  );
}

function addMeter([name, { key, size, timeoutSeconds }]: readonly [string, Meter]): NftCommand {
  // That packets may write into it (`dynamic`) nft sees from the rules; in JSON its version 1.0.6 doesn't know the flag.
  return { add: { set: { ...WHERE, name, type: key, size, timeout: timeoutSeconds, flags: ['timeout'] } } };
}

function addSet([name, set]: readonly [string, ElementSet]): NftCommand {
  const type = set.key.length === 1 ? set.key[0] : set.key;
  const value = set.value === undefined ? {} : { map: isVerdict(set) ? 'verdict' : set.value };
  const flags = set.key.length === 1 && set.interval !== true ? {} : { flags: ['interval'] };
  const size = set.size === undefined ? {} : { size: set.size };
  return { add: { [kindOf(set)]: { ...WHERE, name, type, ...value, ...size, ...flags } } };
}

function removeSet([name, set]: readonly [string, ElementSet]): NftCommand {
  return { delete: { [kindOf(set)]: { ...WHERE, name } } };
}

function isVerdict({ value }: ElementSet): boolean {
  return value === 'goto' || value === 'jump';
}

function kindOf(set: ElementSet): 'set' | 'map' {
  return set.value === undefined ? 'set' : 'map';
}

function addChain([name, { base }]: readonly [string, Chain]): NftCommand {
  return { add: { chain: { ...WHERE, name, ...base } } };
}

function flushChain(name: string): NftCommand {
  return { flush: { chain: { ...WHERE, name } } };
}

function addRules(chain: string, rules: readonly Rule[]): NftCommand[] {
  return rules.map((expr) => ({ add: { rule: { ...WHERE, chain, expr } } }));
}

function elements(
  verb: 'add' | 'delete',
  name: string,
  set: ElementSet,
  entries: readonly (readonly [string, string])[],
): NftCommand[] {
  if (entries.length === 0) return [];
  return [{ [verb]: { element: { ...WHERE, name, elem: entries.map((entry) => element(set, entry)) } } }];
}

function element(set: ElementSet, [key, value]: readonly [string, string]): unknown {
  const parts = key.split('|').map((part) => {
    const dash = part.indexOf('-');
    return dash < 0 ? part : { range: [part.slice(0, dash), part.slice(dash + 1)] };
  });
  const keyExpression = parts.length === 1 ? parts[0] : { concat: parts };
  if (set.value === undefined) return keyExpression;
  return [keyExpression, isVerdict(set) ? { [set.value]: { target: value } } : value];
}
