import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import '../styles/plot.css';

export interface Bar {
  readonly label: string;
  /** Stacked, the first at the bottom; as many as there are names. */
  readonly values: readonly number[];
}

/** Bars of the same width, one for each day say, and below them what the one under the pointer or all together stand for. */
export function Bars({
  label,
  names,
  bars,
  unit,
  total,
}: {
  /** What it shows, for screen readers: the bars themselves are for eyes only. */
  readonly label: string;
  readonly names: readonly string[];
  readonly bars: readonly Bar[];
  readonly unit: (value: number) => string;
  /** What all bars together are called. */
  readonly total: string;
}): JSX.Element {
  const [at, setAt] = useState<number | undefined>(undefined);
  const sum = (values: readonly number[]): number => values.reduce((some, value) => some + value, 0);
  const highest = Math.max(1, ...bars.map(({ values }) => sum(values)));
  const shown = at === undefined ? undefined : bars[at];
  return (
    <figure class="plot" aria-label={label}>
      <div class="bars-axis">
        <span>{unit(highest)}</span>
      </div>
      <div class="bars" aria-hidden="true" onPointerLeave={() => setAt(undefined)}>
        {bars.map((bar, index) => (
          <div key={bar.label} onPointerEnter={() => setAt(index)}>
            {bar.values
              .map((value, part) => (
                <i key={part} class={`n${part + 1}`} style={{ height: `${(value / highest) * 100}%` }} />
              ))
              .reverse()}
          </div>
        ))}
      </div>
      <div class="bars-axis" aria-hidden="true">
        <span>{bars[0]?.label}</span>
        <span>{bars.length > 1 ? bars.at(-1)?.label : ''}</span>
      </div>
      <ul class="legend">
        {names.map((name, part) => (
          <li key={name}>
            <span class={`swatch n${part + 1}`} aria-hidden="true" />
            <span>{name}</span>
            <span class="value">{unit(shown?.values[part] ?? sum(bars.map(({ values }) => values[part] ?? 0)))}</span>
          </li>
        ))}
        <li class="value">{shown?.label ?? total}</li>
      </ul>
    </figure>
  );
}
