/** What the gateways did in the last hour, and what they do now. */
import type { Overview, Sample } from '@sallyport/api';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { latestSample } from '../../api/events.ts';
import type { PlotSeries } from '../../ui/plot.tsx';
import { t } from '../../strings/index.ts';

export const HOUR_MS = 3_600_000;
/** How many lines a plot has beside that of all others: more can't be told apart. */
const MAX_LINES = 8;

export type Grouping = 'all' | 'gateway' | 'region';

type GatewaySample = Sample['gateways'][number];

/** The samples of the overview, and those that came since. */
export function useSamples(overview: Overview | undefined): readonly Sample[] {
  const [later, setLater] = useState<readonly Sample[]>([]);
  const newest = latestSample.value;
  useEffect(() => {
    if (newest === undefined) return;
    const since = Date.parse(newest.at) - HOUR_MS;
    setLater((samples) => [...samples.filter(({ at }) => at !== newest.at && Date.parse(at) > since), newest]);
  }, [newest]);
  return useMemo(() => {
    const before = overview?.samples ?? [];
    const last = Date.parse(before.at(-1)?.at ?? '1970-01-01T00:00:00Z');
    const all = [...before, ...later.filter(({ at }) => Date.parse(at) > last)];
    const since = Date.parse(all.at(-1)?.at ?? '1970-01-01T00:00:00Z') - HOUR_MS;
    return all.filter(({ at }) => Date.parse(at) > since);
  }, [overview?.samples, later]);
}

export interface Plots {
  readonly times: readonly number[];
  readonly throughput: readonly PlotSeries[];
  readonly devices: readonly PlotSeries[];
  readonly handshakes: readonly PlotSeries[];
}

interface Line {
  readonly label: string;
  readonly throughput: number[];
  readonly devices: number[];
  readonly handshakes: number[];
}

/**
 * What to plot: one line for all, or one for each gateway or region, of which those with the most traffic have their own.
 * `only` is the one gateway to look at.
 */
export function plotsOf(
  samples: readonly Sample[],
  { gatewayNames, sampleSeconds }: Pick<Overview, 'gatewayNames' | 'sampleSeconds'>,
  grouping: Grouping,
  only?: string,
): Plots {
  const times = samples.map(({ at }) => Date.parse(at));
  const aMinute = 60 / sampleSeconds;
  if (grouping === 'all') {
    const sums = samples.map(({ gateways }) => {
      const sum = { received: 0, sent: 0, devices: 0, handshakes: 0 };
      for (const gateway of gateways) {
        if (only !== undefined && gateway.gatewayId !== only) continue;
        sum.received += gateway.receivedBitsPerSecond;
        sum.sent += gateway.sentBitsPerSecond;
        sum.devices += gateway.activeDevices;
        sum.handshakes += gateway.handshakes * aMinute;
      }
      return sum;
    });
    return {
      times,
      throughput: [
        { label: t.network.toDevices, values: sums.map(({ sent }) => sent) },
        { label: t.network.fromDevices, values: sums.map(({ received }) => received) },
      ],
      devices: [{ label: t.network.activeDevices, values: sums.map(({ devices }) => devices) }],
      handshakes: [{ label: t.network.handshakes, values: sums.map(({ handshakes }) => handshakes) }],
    };
  }
  const labels = new Map(
    gatewayNames.map(({ id, name, regionName }) => [id, grouping === 'region' ? regionName : name]),
  );
  const lines = new Map<string, Line>();
  samples.forEach(({ gateways }, index) => {
    for (const sample of gateways) {
      // One that has been removed since.
      const label = labels.get(sample.gatewayId);
      if (label !== undefined) add(lineOf(lines, label, samples.length), sample, index, aMinute);
    }
  });
  const sum = ({ throughput }: Line): number => throughput.reduce((total, value) => total + value, 0);
  const byTraffic = [...lines.values()].sort((a, b) => sum(b) - sum(a));
  const own = byTraffic.slice(0, MAX_LINES).sort((a, b) => a.label.localeCompare(b.label));
  const others = byTraffic.slice(MAX_LINES);
  const series = (values: (line: Line) => number[]): PlotSeries[] => [
    ...own.map((line) => ({ label: line.label, values: values(line) })),
    ...(others.length === 0
      ? []
      : [
          {
            label: t.network.others(others.length),
            values: times.map((_, index) => others.reduce((total, line) => total + values(line)[index], 0)),
          },
        ]),
  ];
  return {
    times,
    throughput: series((line) => line.throughput),
    devices: series((line) => line.devices),
    handshakes: series((line) => line.handshakes),
  };
}

function lineOf(lines: Map<string, Line>, label: string, length: number): Line {
  let line = lines.get(label);
  if (line === undefined) {
    const zeros = (): number[] => new Array<number>(length).fill(0);
    line = { label, throughput: zeros(), devices: zeros(), handshakes: zeros() };
    lines.set(label, line);
  }
  return line;
}

function add({ throughput, devices, handshakes }: Line, sample: GatewaySample, index: number, aMinute: number): void {
  throughput[index] += sample.receivedBitsPerSecond + sample.sentBitsPerSecond;
  devices[index] += sample.activeDevices;
  handshakes[index] += sample.handshakes * aMinute;
}
