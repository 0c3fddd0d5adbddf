/** Plots of values over time, by uPlot. Imported by the pages that plot and no others. */
import type { JSX } from 'preact';
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import '../styles/plot.css';
import { t } from '../strings/index.ts';
import { formatTimeOfDay } from './format.ts';
import { isDark } from './theme.ts';

export interface PlotSeries {
  readonly label: string;
  /** One for each time; null where nothing is known. */
  readonly values: readonly (number | null)[];
}

interface LinePlotProps {
  /** What it shows, for screen readers. */
  readonly label: string;
  /** Milliseconds since 1970, growing. */
  readonly times: readonly number[];
  /** At most {@link MAX_SERIES}, as many as there are colours. */
  readonly series: readonly PlotSeries[];
  /** A value with its unit. */
  readonly unit: (value: number) => string;
  /** The values are numbers of things: no steps below one. */
  readonly whole?: boolean;
}

export const MAX_SERIES = 9;
const height = 200;
const minSpanMs = 600_000;
/** Milliseconds: whole minutes. */
const timeSteps = [1, 2, 5, 10, 15, 30, 60].map((minutes) => minutes * 60_000);
/** Steps of an axis that counts things. */
const wholeSteps = Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat();

export function LinePlot({ label, times, series, unit, whole = false }: LinePlotProps): JSX.Element {
  const area = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  /** The time that the pointer is at; undefined: none. */
  const [at, setAt] = useState<number | undefined>(undefined);
  const dark = isDark();
  const data = useMemo(() => [times, ...series.map(({ values }) => values)] as uPlot.AlignedData, [times, series]);

  useLayoutEffect(() => {
    const element = area.current!;
    const faint = colour(element, '--faint');
    const line = colour(element, '--line');
    const axis: uPlot.Axis = {
      stroke: faint,
      font: '12px system-ui',
      grid: { stroke: line, width: 1 },
      ticks: { show: false },
    };
    const made = new uPlot(
      {
        width: Math.max(element.clientWidth, 1),
        height,
        ms: 1,
        legend: { show: false },
        cursor: { y: false, drag: { x: false, y: false } },
        scales: {
          // What has only begun is not stretched over the whole width.
          x: { range: (_plot, min, max) => [Math.min(min ?? 0, (max ?? 0) - minSpanMs), max ?? 0] },
          y: { range: (_plot, _min, max) => [0, (max ?? 0) > 0 ? max * 1.1 : 1] },
        },
        axes: [
          {
            ...axis,
            grid: { show: false },
            size: 30,
            incrs: timeSteps,
            values: (_plot, splits) => splits.map((time) => formatTimeOfDay(time)),
          },
          {
            ...axis,
            size: whole ? 46 : 82,
            values: (_plot, splits) => splits.map((value) => unit(value)),
            ...(whole ? { incrs: wholeSteps } : {}),
          },
        ],
        series: [
          {},
          ...series.map((one, index) => ({
            label: one.label,
            stroke: colour(element, `--plot-${index + 1}`),
            width: 2,
            // A line needs two points.
            points: { show: (plot: uPlot) => plot.data[0].length < 2 },
            spanGaps: false,
          })),
        ],
        hooks: { setCursor: [({ cursor }) => setAt(cursor.idx ?? undefined)] },
      },
      data,
      element,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: Math.max(element.clientWidth, 1), height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, [dark, whole, series.map((one) => one.label).join('\n')]);
  useEffect(() => plot.current?.setData(data), [data]);

  const index = at !== undefined && at < times.length ? at : times.length - 1;
  const time = times[index];
  return (
    <figure class="plot" aria-label={label}>
      <div class="plot-area" ref={area} aria-hidden="true" />
      <ul class="legend">
        {series.map((one, number) => {
          const value = one.values[index] ?? null;
          const known = one.values.filter((some) => some !== null);
          return (
            <li key={one.label}>
              <span class={`swatch n${number + 1}`} aria-hidden="true" />
              <span>{one.label}</span>
              <span class="value">{value === null ? '–' : unit(value)}</span>
              {known.length > 0 && (
                <span class="unseen">{t.network.plotSpan(unit(Math.min(...known)), unit(Math.max(...known)))}</span>
              )}
            </li>
          );
        })}
        {time !== undefined && <li class="value">{at === undefined ? t.network.plotNow : formatTimeOfDay(time)}</li>}
      </ul>
    </figure>
  );
}

/** What a variable of the style sheets is now, in words that a canvas understands. */
function colour(element: HTMLElement, variable: string): string {
  element.style.color = `var(${variable})`;
  const { color } = getComputedStyle(element);
  element.style.color = '';
  return color;
}
