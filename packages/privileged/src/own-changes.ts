import type { NftRuleChange } from '@sallyport/io';

/** How long after a change of our own its messages may come. */
const MESSAGES_MS = 2000;

/** Tells messages of our own changes to the packet filter from those of other programs' changes. */
export class OwnChanges {
  /** The chains whose rules we changed, and until when messages may tell of it. */
  readonly #chains = new Map<string, number>();
  #wholeUntil = 0;
  #newRulesCame = false;

  /** Makes a change of the rules in these chains, or of the whole table. */
  async during(chains: ReadonlySet<string> | 'all', change: () => Promise<void>): Promise<void> {
    for (const [chain, until] of this.#chains) if (until < Date.now()) this.#chains.delete(chain);
    if (chains === 'all') this.#newRulesCame = false;
    this.#expect(chains, Infinity);
    try {
      await change();
    } finally {
      this.#expect(chains, Date.now() + MESSAGES_MS);
    }
  }

  has({ chain, removed }: NftRuleChange): boolean {
    const now = Date.now();
    if (now < (this.#chains.get(chain) ?? 0)) return true;
    if (now > this.#wholeUntil) return false;
    // The old table's rules go before the new ones come. What goes afterwards is somebody else's deed.
    if (!removed) this.#newRulesCame = true;
    return !removed || !this.#newRulesCame;
  }

  #expect(chains: ReadonlySet<string> | 'all', until: number): void {
    if (chains === 'all') this.#wholeUntil = until;
    else for (const chain of chains) this.#chains.set(chain, until);
  }
}
