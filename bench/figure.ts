import type { Laboratory, Program } from '@sallyport/netlab';

/** What a figure gets to measure with. */
export interface BenchContext {
  readonly laboratory: Laboratory;
  /** The device of this checkout. */
  readonly ours: Program;
  /** wireguard-go. */
  readonly peer: Program;
  /** How often ours and the reference are measured, in turn. */
  readonly pairs: number;
  /** How long one throughput measurement takes. */
  readonly seconds: number;
  /** Says what is being measured, for people. */
  progress(text: string): void;
}

/** Where a comparison should end up: the median of the pairs' ratios, or of our own values. */
export interface Goal {
  readonly of: 'ratio' | 'ours';
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** Values that were taken in turn: `ours[i]` and `reference[i]` are a pair. */
export interface Comparison {
  readonly figure: string;
  readonly name: string;
  readonly unit: string;
  readonly reference: string;
  readonly ours: readonly number[];
  /** Empty where there is nothing to compare with. */
  readonly theirs: readonly number[];
  readonly goal: Goal;
}

/** A measurement that yields one comparison or several. */
export interface Figure {
  /** The names by which it is asked for; each comparison carries one of them. */
  readonly names: readonly string[];
  readonly about: string;
  /** After this time the figure is given up. */
  timeoutMs(context: Pick<BenchContext, 'pairs' | 'seconds'>): number;
  run(context: BenchContext): Promise<readonly Comparison[]>;
}

/** Collects the values of several comparisons while the pairs are taken. */
export class Pairs<Case extends string> {
  readonly ours = new Map<Case, number[]>();
  readonly theirs = new Map<Case, number[]>();

  add(side: 'ours' | 'theirs', name: Case, value: number): void {
    const values = this[side].get(name) ?? [];
    values.push(value);
    this[side].set(name, values);
  }

  comparisons(common: Omit<Comparison, 'name' | 'ours' | 'theirs'>): Comparison[] {
    return [...this.ours].map(([name, ours]) => ({ ...common, name, ours, theirs: this.theirs.get(name) ?? [] }));
  }
}
