/** The packet filter: replaced whole in one transaction, and put back where somebody else takes it away. */
import { FIREWALL_TABLE, rulesetOf, type FirewallPolicy } from '@sallyport/client';
import { watchNftTable, type CommandRunner, type Monitor, type Nft } from '@sallyport/io';
import { messageOf } from '../failure.ts';

const SETTLE_MS = 50;
const RESTART_MS = 1000;

export class Protection {
  readonly #runner: CommandRunner;
  readonly #nft: Nft;
  readonly #onFault: (message: string) => void;
  #policy: FirewallPolicy | 'open' | undefined;
  #monitor: Monitor | undefined;
  #timer: NodeJS.Timeout | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #stopped = false;

  /** `onFault` hears of what was taken away and could not be put back. */
  constructor(runner: CommandRunner, nft: Nft, onFault: (message: string) => void) {
    this.#runner = runner;
    this.#nft = nft;
    this.#onFault = onFault;
  }

  /** Throws where the kernel doesn't take it: then what was before is in force. */
  apply(policy: FirewallPolicy | 'open'): Promise<void> {
    return this.#inTurn(async () => {
      await this.#nft.apply(rulesetOf(policy));
      this.#policy = policy;
      if (policy === 'open') this.#unwatch();
      else this.#watch();
    });
  }

  /** The table stays as it is. */
  stop(): void {
    this.#stopped = true;
    this.#unwatch();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  /** "nft flush ruleset", a firewall manager that starts anew: they know nothing of a table that has to stay. */
  #watch(): void {
    if (this.#monitor !== undefined || this.#stopped) return;
    this.#monitor = watchNftTable('inet', FIREWALL_TABLE, (watching) => {
      if (!watching) this.#monitor = undefined;
      this.#lookSoon(watching ? SETTLE_MS : RESTART_MS);
    });
  }

  #unwatch(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#monitor?.stop();
    this.#monitor = undefined;
  }

  #lookSoon(delayMs: number): void {
    if (this.#timer !== undefined || this.#stopped) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.#inTurn(() => this.#lookAgain());
    }, delayMs);
  }

  async #lookAgain(): Promise<void> {
    const policy = this.#policy;
    if (policy === undefined || policy === 'open' || this.#stopped) return;
    this.#watch();
    try {
      const ruleset = rulesetOf(policy);
      const there = await this.#runner.query('nft', ['list', 'table', 'inet', FIREWALL_TABLE]).catch(() => '');
      if (isInForce(there, ruleset)) return;
      await this.#nft.apply(ruleset);
      this.#onFault('something else took the packet filter away; it was put back');
    } catch (error) {
      this.#onFault(`the packet filter was taken away and can't be put back: ${messageOf(error)}`);
    }
  }
}

/** Whether a listed table does what ours does: its hooks with their policies, none of them put to sleep, and rules in them. */
function isInForce(listed: string, ruleset: string): boolean {
  if (/^\s*flags .*dormant/m.test(listed)) return false;
  const hooks = (text: string): string[] =>
    [...text.matchAll(/type filter hook (output|input|forward) [^;]*; policy [a-z]+;/g)].map(([line]) => line.replace(/ priority [^;]*/, '')); // prettier-ignore
  const there = hooks(listed);
  return hooks(ruleset).every((hook) => there.includes(hook)) && listed.includes('oifname "lo" accept');
}
