import type { Gateway } from '@sallyport/api';
import type { JSX } from 'preact';
import { lazy } from 'preact-iso';
import { latestSample } from '../../api/events.ts';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import '../../styles/network.css';
import { Button } from '../../ui/button.tsx';
import { formatBytes, formatNumber, formatPercent, formatRate } from '../../ui/format.ts';
import { Empty, Loaded, Page } from '../../ui/page.tsx';
import { Ago, FilterSelect, SearchField } from '../../ui/parts.tsx';
import { placeOf } from '../../ui/place.ts';
import { useSearchState } from '../../ui/search-state.ts';
import { Pager, Table, type Column } from '../../ui/table.tsx';
import { Tabs } from '../../ui/tabs.tsx';
import { AddGateway } from './add-gateway.tsx';
import { HealthBadge, healths } from './health.tsx';
import { JoinTokens } from './join-tokens.tsx';
import { Regions } from './regions.tsx';

const GatewayMap = lazy(() => import('./gateway-map.tsx'));

const views = ['table', 'map', 'regions', 'tokens'] as const;
const viewNames = {
  table: t.network.table,
  map: t.network.map,
  regions: t.network.regions,
  tokens: t.network.joinTokens,
} as const;

export default function GatewaysPage(): JSX.Element {
  const [{ view: wanted = '', add = '' }, set] = useSearchState();
  const view = views.find((one) => one === wanted) ?? 'table';
  return (
    <Page
      title={t.network.gateways}
      intro={t.network.gatewaysIntro}
      actions={
        may('gateways:write') && (
          <Button kind="primary" onClick={() => set({ add: 'gateway' })}>
            {t.network.add}
          </Button>
        )
      }
    >
      <Tabs
        label={t.network.views}
        tabs={views.map((one) => ({
          href: one === 'table' ? '/gateways' : `/gateways?view=${one}`,
          label: viewNames[one],
          current: one === view,
        }))}
      />
      {view === 'regions' ? <Regions /> : view === 'tokens' ? <JoinTokens /> : <Gateways asMap={view === 'map'} />}
      {add === 'gateway' && may('gateways:write') && <AddGateway onClose={() => set({ add: '' })} />}
    </Page>
  );
}

/** Load and latency change without an event. */
const refetchEveryMs = 15_000;

function Gateways({ asMap }: { readonly asMap: boolean }): JSX.Element {
  const [{ search = '', region = '', health = '', after = '' }, set] = useSearchState();
  const regions = useQuery('listRegions', { query: { limit: 1000 } });
  const gateways = useQuery(
    'listGateways',
    {
      query: {
        limit: asMap ? 1000 : 100,
        ...(search === '' ? {} : { search }),
        ...(region === '' ? {} : { regionId: region }),
        ...(after === '' || asMap ? {} : { after }),
      },
    },
    { keepPrevious: true, refetchEvery: refetchEveryMs },
  );
  const names = new Map(regions.data?.items.map(({ id, name }) => [id, name]));
  const filtered = search !== '' || region !== '' || health !== '';
  const fits = (gateway: Gateway): boolean =>
    health === '' || gateway.health === health || (health === 'unwell' && gateway.health !== 'healthy');
  const filter = (name: string) => (value: string) => set({ [name]: value, after: '', before: '' });
  return (
    <>
      <div class="tools">
        <SearchField value={search} onChange={filter('search')} />
        <FilterSelect
          label={t.network.region}
          value={region}
          onChange={filter('region')}
          options={[['', t.common.all], ...[...names].map(([id, name]) => [id, name] as const)]}
        />
        <FilterSelect
          label={t.network.state}
          value={health}
          onChange={filter('health')}
          options={[
            ['', t.common.all],
            ['unwell', t.network.unwell],
            ...healths.map((one) => [one, t.network.health[one]] as const),
          ]}
        />
      </div>
      <Loaded query={gateways}>
        {({ items, next }) => {
          const rows = items.filter(fits);
          if (rows.length === 0 && filtered) {
            return (
              <Empty
                title={t.network.noneFound}
                action={
                  <Button onClick={() => set({ search: '', region: '', health: '', after: '', before: '' })}>
                    {t.network.clear}
                  </Button>
                }
              >
                {t.network.noneFoundText}
              </Empty>
            );
          }
          if (rows.length === 0 && after === '') {
            return (
              <Empty
                title={t.network.noGateways}
                action={
                  may('gateways:write') && (
                    <Button kind="primary" onClick={() => set({ add: 'gateway' })}>
                      {t.network.add}
                    </Button>
                  )
                }
              >
                {t.network.noGatewaysText}
              </Empty>
            );
          }
          if (asMap) return <GatewayMap gateways={rows} />;
          return (
            <>
              <Table
                caption={t.network.gateways}
                columns={columns(names)}
                rows={rows}
                rowKey={({ id }) => id}
                stale={gateways.isPlaceholderData}
              />
              <Pager next={next} />
            </>
          );
        }}
      </Loaded>
    </>
  );
}

function columns(regionNames: ReadonlyMap<string, string>): readonly Column<Gateway>[] {
  // What the newest sample says is younger than the list.
  const now = new Map(latestSample.value?.gateways.map((sample) => [sample.gatewayId, sample]));
  const loadOf = (gateway: Gateway) =>
    gateway.health === 'unreachable' ? null : (now.get(gateway.id) ?? gateway.load);
  return [
    {
      header: t.network.name,
      cell: (gateway) => (
        <div>
          <a href={`/gateways/${gateway.id}`}>{gateway.name}</a>
          <span class="cell-more">{whereabouts(regionNames.get(gateway.regionId) ?? gateway.regionId, gateway)}</span>
        </div>
      ),
    },
    {
      header: t.network.state,
      cell: ({ health, draining, problems }) => (
        <div>
          <HealthBadge health={health} draining={draining} />
          {problems[0] !== undefined && <span class="cell-more">{problems[0]}</span>}
        </div>
      ),
    },
    {
      header: t.network.throughput,
      align: 'end',
      cell: (gateway) => {
        const load = loadOf(gateway);
        if (load === null) return '–';
        const up = formatRate(load.receivedBitsPerSecond);
        const down = formatRate(load.sentBitsPerSecond);
        return (
          <div class="nowrap" title={t.network.upDownLabel(up, down)}>
            <div>↓ {down}</div>
            <div>↑ {up}</div>
          </div>
        );
      },
    },
    {
      header: t.network.sessions,
      align: 'end',
      cell: (gateway) => {
        const load = loadOf(gateway);
        return load === null ? '–' : formatNumber(load.activeDevices);
      },
    },
    {
      header: t.network.load,
      align: 'end',
      cell: ({ load, health }) =>
        load === null || health === 'unreachable' ? (
          '–'
        ) : (
          <div class="nowrap">
            <div>{formatPercent(load.cpu)}</div>
            <span class="cell-more">{formatBytes(load.memoryBytes)}</span>
          </div>
        ),
    },
    {
      header: t.network.latency,
      align: 'end',
      cell: ({ latencyMs }) => (
        <span class="nowrap">{latencyMs === null ? '–' : t.network.milliseconds(latencyMs)}</span>
      ),
    },
    {
      header: t.network.lastSeen,
      cell: ({ lastSeenAt, software }) => (
        <div>
          <Ago time={lastSeenAt} />
          {software !== '' && <span class="cell-more">{t.network.version(software)}</span>}
        </div>
      ),
    },
  ];
}

/** A region that is called as the city is not said twice. */
function whereabouts(region: string, gateway: Gateway): string {
  const place = placeOf(gateway);
  if (place === '') return region;
  return region === gateway.city ? place : `${region} · ${place}`;
}
