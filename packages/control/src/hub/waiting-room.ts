/** Connections that haven't said who they are: few, and when there are too many, the one that has waited longest goes. */
export class WaitingRoom {
  readonly #limit: number;
  readonly #waiting = new Set<() => void>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** @param turnAway ends the connection. @returns to be called when it is known, or gone. */
  enter(turnAway: () => void): () => void {
    this.#waiting.add(turnAway);
    if (this.#waiting.size > this.#limit) {
      const longest = this.#waiting.values().next().value!;
      this.#waiting.delete(longest);
      longest();
    }
    return () => this.#waiting.delete(turnAway);
  }

  clear(): void {
    for (const turnAway of this.#waiting) turnAway();
    this.#waiting.clear();
  }
}
