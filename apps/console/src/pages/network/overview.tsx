import type { Overview } from '@sallyport/api';
import type { JSX } from 'preact';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import '../../styles/network.css';
import { Bars } from '../../ui/bars.tsx';
import { LinkButton } from '../../ui/button.tsx';
import { classes } from '../../ui/classes.ts';
import { formatBytes, formatDay, formatNumber } from '../../ui/format.ts';
import { Loaded, Page, Panel } from '../../ui/page.tsx';
import { FilterSelect } from '../../ui/parts.tsx';
import { useSearchState } from '../../ui/search-state.ts';
import { daysOf, eachDay } from './days.ts';
import { LivePlots } from './live-plots.tsx';
import { useSamples, type Grouping } from './samples.ts';

export default function OverviewPage(): JSX.Element {
  const overview = useQuery('getOverview');
  const samples = useSamples(overview.data);
  const [{ by = '' }, set] = useSearchState();
  const grouping: Grouping = by === 'gateway' || by === 'region' ? by : 'all';
  return (
    <Page title={t.network.overview}>
      <Loaded query={overview}>
        {(data) => (
          <>
            <Notices notices={data.notices} />
            <Tiles overview={data} />
            <Panel
              title={t.network.lastHour}
              actions={
                <FilterSelect
                  label={t.network.show}
                  value={grouping === 'all' ? '' : grouping}
                  onChange={(value) => set({ by: value })}
                  options={[
                    ['', t.network.together],
                    ['gateway', t.network.byGateway],
                    ['region', t.network.byRegion],
                  ]}
                />
              }
            >
              <LivePlots overview={data} samples={samples} grouping={grouping} />
            </Panel>
          </>
        )}
      </Loaded>
      {may('devices:read') && <Traffic />}
    </Page>
  );
}

type Notice = Overview['notices'][number];

/** Where to do something about it. */
const actions: Readonly<Record<Notice['kind'], string>> = {
  noGateway: '/gateways?add=gateway',
  gatewayUnhealthy: '/gateways?health=unwell',
  devicesAwaitApproval: '/all-devices?standing=awaitingApproval',
  networksAwaitApproval: '/all-devices?networks=waiting',
  noSecondFactor: '/users?role=administrator',
  noPolicy: '/policy',
};

function Notices({ notices }: { readonly notices: readonly Notice[] }): JSX.Element | null {
  if (notices.length === 0) return null;
  return (
    <section aria-label={t.network.toLookAt}>
      <ul class="to-look-at">
        {notices.map(({ kind, text }) => (
          <li key={kind}>
            <span>{text}</span>
            <a href={actions[kind]}>{t.network.noticeActions[kind]}</a>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Tiles({ overview: { users, devices, gateways } }: { readonly overview: Overview }): JSX.Element {
  const draining = gateways.draining === 0 ? '' : t.network.gatewaysDraining(gateways.draining);
  return (
    <div class="tiles">
      <Tile
        href="/users"
        name={t.network.users}
        value={users.total}
        more={t.network.usersDisabled(formatNumber(users.disabled))}
      />
      <Tile
        href="/all-devices"
        name={t.network.devices}
        value={devices.total}
        more={t.network.devicesActive(formatNumber(devices.active))}
      />
      <Tile
        href="/all-devices?standing=awaitingApproval"
        name={t.network.awaiting}
        value={devices.awaitingApproval}
        more={devices.awaitingApproval === 0 ? t.network.awaitingNone : t.network.awaitingSome}
        wanted={devices.awaitingApproval > 0}
      />
      <Tile
        href="/gateways"
        name={t.network.gateways}
        value={gateways.total}
        more={t.network.gatewaysHealthy(formatNumber(gateways.healthy)) + draining}
        wanted={gateways.healthy < gateways.total}
      />
    </div>
  );
}

function Tile({
  href,
  name,
  value,
  more,
  wanted = false,
}: {
  readonly href: string;
  readonly name: string;
  readonly value: number;
  readonly more: string;
  /** It needs somebody. */
  readonly wanted?: boolean;
}): JSX.Element {
  return (
    <a class={classes('tile', wanted && 'wanted')} href={href}>
      <span class="name">{name}</span>
      <span class="number">{formatNumber(value)}</span>
      <span class="more">{more}</span>
    </a>
  );
}

function Traffic(): JSX.Element {
  const days = daysOf(30);
  const usage = useQuery('getUsage', { query: { from: days[0], to: days.at(-1) } }, { refetchEvery: 60_000 });
  return (
    <Panel title={t.network.trafficDays} actions={<LinkButton href="/usage">{t.network.moreUsage}</LinkButton>}>
      <Loaded query={usage}>
        {({ items }) =>
          items.length === 0 ? (
            <p class="hint">{t.network.noTraffic}</p>
          ) : (
            <Bars
              label={t.network.trafficDays}
              names={[t.network.toDevices, t.network.fromDevices]}
              total={t.network.allDays}
              unit={formatBytes}
              bars={eachDay(days, items).map(({ day, sentBytes, receivedBytes }) => ({
                label: formatDay(day),
                values: [receivedBytes, sentBytes],
              }))}
            />
          )
        }
      </Loaded>
    </Panel>
  );
}
