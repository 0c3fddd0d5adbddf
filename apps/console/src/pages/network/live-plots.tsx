import type { Overview, Sample } from '@sallyport/api';
import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { t } from '../../strings/index.ts';
import { formatNumber, formatRate } from '../../ui/format.ts';
import { LinePlot } from '../../ui/plot.tsx';
import { plotsOf, type Grouping } from './samples.ts';

/** Throughput, devices and handshakes of the last hour. */
export function LivePlots({
  overview,
  samples,
  grouping,
  only,
}: {
  readonly overview: Overview;
  readonly samples: readonly Sample[];
  readonly grouping: Grouping;
  /** The id of the one gateway that it is about. */
  readonly only?: string;
}): JSX.Element {
  const plots = useMemo(
    () => plotsOf(samples, overview, grouping, only),
    [samples, overview.gatewayNames, overview.sampleSeconds, grouping, only],
  );
  if (samples.length === 0) return <p class="hint">{t.network.noSamples}</p>;
  const round = (value: number): string => formatNumber(Math.round(value));
  return (
    <div class="plots">
      <section>
        <h3>{t.network.throughput}</h3>
        <LinePlot label={t.network.throughput} times={plots.times} series={plots.throughput} unit={formatRate} />
      </section>
      <section>
        <h3>{t.network.activeDevices}</h3>
        <LinePlot label={t.network.activeDevices} times={plots.times} series={plots.devices} unit={round} whole />
      </section>
      <section>
        <h3>{t.network.handshakes}</h3>
        <LinePlot label={t.network.handshakes} times={plots.times} series={plots.handshakes} unit={round} whole />
      </section>
    </div>
  );
}
