/** The packet filter: replaced whole in one transaction, and put back where somebody else takes it away. */
import { FIREWALL_TABLE, rulesetOf, type FirewallPolicy } from '@sallyport/client';
import { watchNftRules, type CommandRunner, type Monitor, type Nft } from '@sallyport/io';
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
    this.#monitor = watchNftRules('inet', FIREWALL_TABLE, (change, watching) => {
      if (!watching) this.#monitor = undefined;
      if (change === undefined || change.removed) this.#lookSoon(watching ? SETTLE_MS : RESTART_MS);
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
      const table = await this.#runner.query('nft', ['list', 'chains', 'inet']).catch(() => '');
      const own = table.split(`table inet ${FIREWALL_TABLE} {`)[1]?.split('\n}')[0] ?? '';
      // Each of our rulesets has these; one that was emptied is found by its rules.
      const rules = own.includes('hook output') ? await this.#runner.query('nft', ['list', 'chain', 'inet', FIREWALL_TABLE, 'output']) : ''; // prettier-ignore
      if (rules.includes('oifname "lo" accept')) return;
      await this.#nft.apply(rulesetOf(policy));
      this.#onFault('something else took the packet filter away; it was put back');
    } catch (error) {
      this.#onFault(`the packet filter was taken away and can't be put back: ${messageOf(error)}`);
    }
  }
}
