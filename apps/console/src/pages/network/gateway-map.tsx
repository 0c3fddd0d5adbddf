/** Where the gateways are. What it says is in the table as text. */
import type { Gateway } from '@sallyport/api';
import type { JSX } from 'preact';
import { world } from 'virtual:world';
import { t } from '../../strings/index.ts';
import { Panel } from '../../ui/page.tsx';
import { placeOf } from '../../ui/place.ts';
import { useSearchState } from '../../ui/search-state.ts';
import { HealthBadge, HealthMark, healths } from './health.tsx';

interface Cluster {
  readonly x: number;
  readonly y: number;
  readonly gateways: readonly [Gateway, ...Gateway[]];
}

/** Marks that are nearer to each other than this, in the units of the map, become one. */
const NEAR = 28;
/** More names than these would cover each other. */
const MAX_NAMES = 30;
const MARK = 13;

export default function GatewayMap({ gateways }: { readonly gateways: readonly Gateway[] }): JSX.Element {
  const [{ here = '' }] = useSearchState();
  const clusters = clustersOf(gateways);
  const elsewhere = gateways.filter(({ latitude }) => latitude === null);
  const open = clusters.find((cluster) => cluster.gateways.some(({ id }) => id === here));
  return (
    <>
      <figure class="map">
        <svg viewBox={`0 0 ${world.width} ${world.height}`} role="group" aria-label={t.network.mapLabel}>
          <path class="land" d={world.path} />
          {clusters.map((cluster) => (
            <Mark key={cluster.gateways[0].id} cluster={cluster} named={clusters.length <= MAX_NAMES} />
          ))}
        </svg>
        <ul class="map-legend" aria-label={t.network.mapLegend}>
          {healths.map((health) => (
            <li key={health}>
              <svg viewBox="-20 -20 40 40" aria-hidden="true">
                <HealthMark health={health} size={MARK} />
              </svg>
              {t.network.health[health]}
            </li>
          ))}
        </ul>
      </figure>
      {open !== undefined && open.gateways.length > 1 && (
        <Panel title={t.network.hereAre(open.gateways.length)}>
          <List gateways={open.gateways} />
        </Panel>
      )}
      {elsewhere.length > 0 && (
        <Panel title={t.network.notOnMap}>
          <List gateways={elsewhere} />
          <p class="hint">{t.network.notOnMapHint}</p>
        </Panel>
      )}
    </>
  );
}

function Mark({
  cluster: { x, y, gateways },
  named,
}: {
  readonly cluster: Cluster;
  readonly named: boolean;
}): JSX.Element {
  const [first] = gateways;
  const count = gateways.length;
  const health = healths.find((one) => gateways.some((gateway) => gateway.health === one)) ?? 'healthy';
  const name = count === 1 ? first.name : placeOf(first) || t.network.gatewaysHere(count);
  const members = gateways.map((one) => `${one.name}: ${t.network.health[one.health]}`).join(', ');
  // What is written beside the mark comes first, for who says it to a screen reader.
  const label = count === 1 ? members : `${count} ${name}: ${members}`;
  return (
    <g class="mark" transform={`translate(${x} ${y})`}>
      <a href={count === 1 ? `/gateways/${first.id}` : `/gateways?view=map&here=${first.id}`} aria-label={label}>
        <title>{label}</title>
        {/* Fingers need more than the mark. */}
        <circle r={30} fill="transparent" />
        <HealthMark health={health} size={count === 1 ? MARK : MARK * 1.5} />
        {count > 1 && (
          <text class="count" text-anchor="middle" dy="0.36em">
            {/* The space keeps it apart from the name for who reads both as one text. */}
            {`${count} `}
          </text>
        )}
        {named && (
          <text x={count === 1 ? 22 : 30} dy="0.35em">
            {name}
          </text>
        )}
      </a>
    </g>
  );
}

function List({ gateways }: { readonly gateways: readonly Gateway[] }): JSX.Element {
  return (
    <ul class="plain-list">
      {gateways.map(({ id, name, health, draining }) => (
        <li key={id}>
          <a href={`/gateways/${id}`}>{name}</a>
          <span>
            <HealthBadge health={health} draining={draining} />
          </span>
        </li>
      ))}
    </ul>
  );
}

function clustersOf(gateways: readonly Gateway[]): Cluster[] {
  const clusters: { x: number; y: number; gateways: [Gateway, ...Gateway[]] }[] = [];
  for (const gateway of gateways) {
    const { latitude, longitude } = gateway;
    if (latitude === null || longitude === null) continue;
    const [x, y] = project(latitude, longitude);
    const near = clusters.find((cluster) => Math.hypot(cluster.x - x, cluster.y - y) < NEAR);
    if (near === undefined) clusters.push({ x, y, gateways: [gateway] });
    else near.gateways.push(gateway);
  }
  return clusters;
}

/**
 * The Natural Earth projection, as the polynomial of Šavrič and others (2011, "A polynomial equation for the Natural Earth
 * projection"), in the units of the map.
 */
function project(latitude: number, longitude: number): [x: number, y: number] {
  const phi = (latitude * Math.PI) / 180;
  const lambda = (longitude * Math.PI) / 180;
  const phi2 = phi ** 2;
  const phi4 = phi ** 4;
  const x = lambda * (0.8707 - 0.131979 * phi2 + phi4 * (-0.013791 + phi4 * (0.003971 * phi2 - 0.001529 * phi4)));
  const y = phi * (1.007226 + phi2 * (0.015085 + phi4 * (-0.044475 + 0.028874 * phi2 - 0.005916 * phi4)));
  return [world.x + world.scale * x, world.y - world.scale * y];
}
