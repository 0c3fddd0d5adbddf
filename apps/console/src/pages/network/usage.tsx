import type { Group, UsageDay, User } from '@sallyport/api';
import type { JSX } from 'preact';
import { useMemo } from 'preact/hooks';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import '../../styles/network.css';
import { Bars } from '../../ui/bars.tsx';
import { Button } from '../../ui/button.tsx';
import { downloadText } from '../../ui/download.ts';
import { formatBytes, formatDay, formatNumber, formatPercent } from '../../ui/format.ts';
import { Loaded, Page, Panel } from '../../ui/page.tsx';
import { Badge, FilterSelect } from '../../ui/parts.tsx';
import { useSearchState } from '../../ui/search-state.ts';
import { Table } from '../../ui/table.tsx';
import { useAllUsers } from './all-users.ts';
import { daysOf, eachDay } from './days.ts';

const ranges = ['7', '30', '90', '365'] as const;
const rangeNames = { 7: t.network.days7, 30: t.network.days30, 90: t.network.days90, 365: t.network.days365 } as const;

export default function UsagePage(): JSX.Element {
  return (
    <Page title={t.network.usage} intro={t.network.usageIntro}>
      <Days />
      {may('users:read') && may('groups:read') && <Users />}
    </Page>
  );
}

function Days(): JSX.Element {
  const [{ days: wanted = '' }, set] = useSearchState();
  const range = ranges.find((one) => one === wanted) ?? '30';
  const days = daysOf(Number(range));
  const usage = useQuery('getUsage', { query: { from: days[0], to: days.at(-1) } }, { keepPrevious: true });
  return (
    <Loaded query={usage}>
      {({ items }) => (
        <>
          <Panel
            title={t.network.usageByDay}
            actions={
              <div class="tools">
                <FilterSelect
                  label={t.network.range}
                  value={range}
                  onChange={(value) => set({ days: value === '30' ? '' : value })}
                  options={ranges.map((one) => [one, rangeNames[one]])}
                />
                <Button
                  disabled={items.length === 0}
                  onClick={() => downloadText(`usage-${days[0]}-${days.at(-1)}.csv`, 'text/csv', csvOf(items))}
                >
                  {t.network.downloadCsv}
                </Button>
              </div>
            }
          >
            {items.length === 0 ? (
              <p class="hint">{t.network.noTraffic}</p>
            ) : (
              <Bars
                label={t.network.usageByDay}
                names={[t.network.toDevices, t.network.fromDevices]}
                total={t.network.rangeTogether}
                unit={formatBytes}
                bars={eachDay(days, items).map(({ day, sentBytes, receivedBytes }) => ({
                  label: formatDay(day),
                  values: [receivedBytes, sentBytes],
                }))}
              />
            )}
          </Panel>
          {items.length > 0 && (
            <details class="panel">
              <summary>{t.network.asTable}</summary>
              <Table
                caption={t.network.usageByDay}
                rows={items.toReversed()}
                rowKey={({ day }) => day}
                stale={usage.isPlaceholderData}
                columns={[
                  { header: t.network.day, cell: ({ day }) => formatDay(day) },
                  { header: t.network.toDevices, align: 'end', cell: (day) => formatBytes(day.receivedBytes) },
                  { header: t.network.fromDevices, align: 'end', cell: (day) => formatBytes(day.sentBytes) },
                  {
                    header: t.network.total,
                    align: 'end',
                    cell: (day) => formatBytes(day.sentBytes + day.receivedBytes),
                  },
                ]}
              />
            </details>
          )}
        </>
      )}
    </Loaded>
  );
}

function csvOf(days: readonly UsageDay[]): string {
  const lines = days.map(({ day, sentBytes, receivedBytes }) => `${day},${sentBytes},${receivedBytes}`);
  return ['day,sentBytes,receivedBytes', ...lines, ''].join('\r\n');
}

interface Limited {
  readonly user: User;
  readonly limit: number;
  /** The name of the group that gives it; null: the user's own. */
  readonly group: string | null;
}

const TOP = 20;
/** The share of a limit from which it is worth a word. */
const NEAR = 0.8;

function Users(): JSX.Element {
  const { users, state, error } = useAllUsers();
  const groups = useQuery('listGroups', { query: { limit: 1000 } });
  const top = useMemo(
    () =>
      users
        .filter((user) => user.trafficBytesThisMonth > 0)
        .sort((a, b) => b.trafficBytesThisMonth - a.trafficBytesThisMonth)
        .slice(0, TOP),
    [users],
  );
  const limited = useMemo(() => limitsOf(users, groups.data?.items ?? []), [users, groups.data]);
  const near = limited
    .filter(({ user, limit }) => user.trafficBytesThisMonth >= NEAR * limit)
    .sort((a, b) => shareOf(b) - shareOf(a));
  if (state === 'failed') {
    return (
      <div class="fault" role="alert">
        {error}
      </div>
    );
  }
  const note = (
    <p class="hint" role="status">
      {state === 'counting' && t.network.counting(formatNumber(users.length))}
      {state === 'more' && t.network.topOf(formatNumber(users.length))}
    </p>
  );
  return (
    <>
      <section>
        <h2 class="section-title">{t.network.limits}</h2>
        {near.length === 0 ? (
          state !== 'counting' && <p class="hint">{limited.length === 0 ? t.network.noLimits : t.network.limitsNone}</p>
        ) : (
          <Table
            caption={t.network.limits}
            rows={near}
            rowKey={({ user }) => user.id}
            columns={[
              { header: t.network.user, cell: ({ user }) => <UserLink user={user} /> },
              {
                header: t.network.usedOf,
                cell: (one) =>
                  shareOf(one) >= 1 ? (
                    <Badge tone="bad">{t.network.limitReached}</Badge>
                  ) : (
                    <Badge tone="warn">{formatPercent(shareOf(one))}</Badge>
                  ),
              },
              {
                header: t.network.trafficMonth,
                align: 'end',
                cell: ({ user }) => formatBytes(user.trafficBytesThisMonth),
              },
              { header: t.network.limit, align: 'end', cell: ({ limit }) => formatBytes(limit) },
              {
                header: t.network.limitFrom,
                cell: ({ group }) => (group === null ? t.network.limitOwn : t.network.limitGroup(group)),
              },
            ]}
          />
        )}
      </section>
      <section>
        <h2 class="section-title">{t.network.topUsers}</h2>
        {note}
        {top.length === 0 ? (
          state !== 'counting' && <p class="hint">{t.network.noUsers}</p>
        ) : (
          <Table
            caption={t.network.topUsers}
            rows={top}
            rowKey={({ id }) => id}
            columns={[
              { header: t.network.user, cell: (user) => <UserLink user={user} /> },
              {
                header: t.network.trafficMonth,
                align: 'end',
                cell: ({ trafficBytesThisMonth }) => formatBytes(trafficBytesThisMonth),
              },
            ]}
          />
        )}
      </section>
    </>
  );
}

function UserLink({ user: { id, name, displayName } }: { readonly user: User }): JSX.Element {
  return (
    <div>
      <a href={`/users/${id}`}>{displayName === '' ? name : displayName}</a>
      {displayName !== '' && <span class="cell-more">{name}</span>}
    </div>
  );
}

const shareOf = ({ user, limit }: Limited): number => (limit === 0 ? 1 : user.trafficBytesThisMonth / limit);

/** Who has a limit of traffic: a user's own counts before those of groups, of which the largest does. */
function limitsOf(users: readonly User[], groups: readonly Group[]): Limited[] {
  const byId = new Map(groups.map((group) => [group.id, group]));
  return users.flatMap((user) => {
    if (user.trafficBytesPerMonth !== null) return [{ user, limit: user.trafficBytesPerMonth, group: null }];
    let best: Limited | undefined;
    for (const id of [...user.groups, 'everyone']) {
      const group = byId.get(id);
      const limit = group?.trafficBytesPerMonth ?? null;
      if (group === undefined || limit === null || (best !== undefined && limit <= best.limit)) continue;
      best = { user, limit, group: group.name };
    }
    return best === undefined ? [] : [best];
  });
}
