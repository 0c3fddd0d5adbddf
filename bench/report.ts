import type { Comparison, Goal } from './figure.ts';
import { median } from './statistics.ts';

/** A comparison with what follows from its values. */
export interface Verdict extends Comparison {
  readonly oursMedian: number;
  readonly theirsMedian: number | null;
  readonly ratios: readonly number[];
  readonly ratioMedian: number | null;
  readonly ratioMin: number | null;
  readonly ratioMax: number | null;
  readonly met: boolean;
}

export function judge(comparison: Comparison): Verdict {
  const { ours, theirs, goal } = comparison;
  const ratios = ours.slice(0, theirs.length).map((value, pair) => value / (theirs[pair] ?? NaN));
  const ratioMedian = ratios.length === 0 ? null : median(ratios);
  const value = goal.of === 'ours' ? median(ours) : (ratioMedian ?? NaN);
  return {
    ...comparison,
    oursMedian: median(ours),
    theirsMedian: theirs.length === 0 ? null : median(theirs),
    ratios,
    ratioMedian,
    ratioMin: ratios.length === 0 ? null : Math.min(...ratios),
    ratioMax: ratios.length === 0 ? null : Math.max(...ratios),
    met: value >= (goal.atLeast ?? -Infinity) && value <= (goal.atMost ?? Infinity),
  };
}

/** The verdicts as a table of text. */
export function formatTable(verdicts: readonly Verdict[]): string {
  const head = ['figure', '', 'unit', 'ours', 'against', '', 'ratio', 'min', 'max', 'reach', ''];
  const rows = verdicts.map((verdict) => [
    verdict.figure,
    verdict.name,
    verdict.unit,
    format(verdict.oursMedian),
    format(verdict.theirsMedian),
    verdict.reference,
    format(verdict.ratioMedian),
    format(verdict.ratioMin),
    format(verdict.ratioMax),
    formatGoal(verdict.goal, verdict.unit),
    verdict.met ? 'met' : 'missed',
  ]);
  const widths = head.map((_, column) => Math.max(...[head, ...rows].map((row) => row[column]?.length ?? 0)));
  const numeric = new Set([3, 4, 6, 7, 8]);
  const pad = (text: string, column: number) =>
    numeric.has(column) ? text.padStart(widths[column] ?? 0) : text.padEnd(widths[column] ?? 0);
  return [head, widths.map((width) => '-'.repeat(width)), ...rows]
    .map((row) => row.map(pad).join('  ').trimEnd())
    .join('\n');
}

function format(value: number | null): string {
  if (value === null || Number.isNaN(value)) return '-';
  return value >= 1000 ? value.toFixed(0) : value.toPrecision(3);
}

function formatGoal(goal: Goal, unit: string): string {
  if (goal.atLeast === undefined && goal.atMost === undefined) return 'stated';
  const bound = goal.atLeast === undefined ? `<= ${String(goal.atMost)}` : `>= ${String(goal.atLeast)}`;
  return goal.of === 'ratio' ? bound : `${bound} ${unit}`;
}
