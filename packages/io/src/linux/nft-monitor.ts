import { watchLines, type Monitor } from './line-monitor.ts';

export interface NftRuleChange {
  readonly chain: string;
  readonly removed: boolean;
}

/**
 * Watches the rules of one table. `onChange` gets each rule that was added or removed, one's own changes included, in
 * the order of the kernel's transactions; and undefined where that isn't known: when messages were lost, and once the
 * program behind this has ended without {@link Monitor.stop} (`watching` is false then, and nothing more comes).
 */
export function watchNftRules(
  family: string,
  table: string,
  onChange: (change: NftRuleChange | undefined, watching: boolean) => void,
): Monitor {
  const rule = new RegExp(`^(add|insert|replace|delete|destroy) rule ${family} ${table} (\\S+)`);
  return watchLines(
    ['nft', 'monitor', 'rules'],
    (line) => {
      const [, verb = '', chain] = rule.exec(line) ?? [];
      // "ERROR: We lost some netlink events!" may stand for anything.
      if (chain === undefined && !line.includes('ERROR')) return;
      onChange(chain === undefined ? undefined : { chain, removed: verb.startsWith('de') }, true);
    },
    () => {
      onChange(undefined, false);
    },
  );
}

/**
 * Watches one table with its chains and rules, their policies and flags. `onChange` hears of each change, one's own
 * included, and where messages were lost. `watching` is false once the program behind this has ended without
 * {@link Monitor.stop}, and nothing more comes.
 */
export function watchNftTable(family: string, table: string, onChange: (watching: boolean) => void): Monitor {
  const change = new RegExp(`^[a-z]+ (table|chain|rule) ${family} ${table}( |$)`);
  return watchLines(
    ['nft', 'monitor'],
    (line) => {
      if (change.test(line) || line.includes('ERROR')) onChange(true);
    },
    () => {
      onChange(false);
    },
  );
}
