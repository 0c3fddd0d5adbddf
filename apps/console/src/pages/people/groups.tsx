import type { Group } from '@sallyport/api';
import type { JSX } from 'preact';
import { useLocation } from 'preact-iso';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import '../../styles/people.css';
import { Button } from '../../ui/button.tsx';
import { formatBytes, formatNumber, formatRate } from '../../ui/format.ts';
import { Empty, Loaded, Page } from '../../ui/page.tsx';
import { SearchField } from '../../ui/parts.tsx';
import { useSearchState } from '../../ui/search-state.ts';
import { Pager, Table, type Column } from '../../ui/table.tsx';
import { formatDuration } from './amounts.ts';
import { GroupForm } from './group-form.tsx';

const text = t.people.groups;

export default function GroupsPage(): JSX.Element {
  const [{ search = '', after = '', add = '' }, set] = useSearchState();
  const { route } = useLocation();
  const groups = useQuery('listGroups', { query: { search, after } }, { keepPrevious: true });
  const addButton = may('groups:write') && (
    <Button kind="primary" onClick={() => set({ add: '1' })}>
      {text.add}
    </Button>
  );
  return (
    <Page title={text.title} intro={text.intro} actions={addButton}>
      <div class="tools">
        <SearchField
          value={search}
          onChange={(value) => set({ search: value, after: '', before: '' })}
          label={text.search}
        />
      </div>
      <Loaded query={groups}>
        {({ items, next }) => {
          if (items.length === 0) {
            return (
              <Empty
                title={text.noneFound}
                action={
                  <Button onClick={() => set({ search: '', after: '', before: '' })}>{t.people.clearFilters}</Button>
                }
              >
                {t.people.noneFoundText}
              </Empty>
            );
          }
          const isFirst = search === '' && after === '' && items.length === 1;
          return (
            <>
              <Table
                caption={text.caption}
                columns={columns}
                rows={items}
                rowKey={({ id }) => id}
                stale={groups.isPlaceholderData}
              />
              <Pager next={next} />
              {isFirst && (
                <div class="below">
                  <Empty title={text.onlyEveryone} action={addButton}>
                    {text.onlyEveryoneText}
                  </Empty>
                </div>
              )}
            </>
          );
        }}
      </Loaded>
      {add === '1' && may('groups:write') && (
        <GroupForm
          refetch={groups.refetch}
          onClose={(created) => (created === undefined ? set({ add: '' }) : route(`/groups/${created.id}`))}
        />
      )}
    </Page>
  );
}

const nothing = <span class="faint">–</span>;

const columns: readonly Column<Group>[] = [
  {
    header: text.name,
    cell: ({ id, name, description, managedBy }) => (
      <div>
        <a href={`/groups/${id}`}>{name}</a>
        {description !== '' && <span class="cell-more">{description}</span>}
        {managedBy !== null && <span class="cell-more">{t.people.keptBy(managedBy)}</span>}
      </div>
    ),
  },
  { header: text.members, align: 'end', cell: ({ memberCount }) => formatNumber(memberCount) },
  {
    header: text.requires,
    cell: ({ requireDeviceApproval, requireSecondFactor, requireKillSwitch, requireRegionId, requireGatewayId }) =>
      lines([
        requireDeviceApproval && text.approval,
        requireSecondFactor && text.secondFactor,
        requireKillSwitch && text.killSwitch,
        (requireRegionId !== null || requireGatewayId !== null) && text.place,
      ]),
  },
  {
    header: text.sessionLifetime,
    cell: ({ sessionLifetimeSeconds }) =>
      sessionLifetimeSeconds === null ? nothing : formatDuration(sessionLifetimeSeconds),
  },
  {
    header: text.limits,
    cell: ({ devicesPerUser, bitsPerSecond, trafficBytesPerMonth }) => {
      const { devices, perMonth } = t.people.limits.summary;
      return lines([
        devicesPerUser !== null && devices(devicesPerUser),
        bitsPerSecond !== null && formatRate(bitsPerSecond),
        trafficBytesPerMonth !== null && perMonth(formatBytes(trafficBytesPerMonth)),
      ]);
    },
  },
];

function lines(texts: readonly (string | false)[]): JSX.Element {
  const said = texts.filter((one) => one !== false);
  if (said.length === 0) return nothing;
  return (
    <div>
      {said.map((one) => (
        <div key={one}>{one}</div>
      ))}
    </div>
  );
}
