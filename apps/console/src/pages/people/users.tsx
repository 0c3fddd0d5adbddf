import type { Group, User } from '@sallyport/api';
import type { JSX } from 'preact';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import '../../styles/people.css';
import { Button } from '../../ui/button.tsx';
import { formatBytes } from '../../ui/format.ts';
import { Empty, Loaded, Page } from '../../ui/page.tsx';
import { Ago, Badge, FilterSelect, SearchField } from '../../ui/parts.tsx';
import { useSearchState } from '../../ui/search-state.ts';
import { Pager, Table, type Column } from '../../ui/table.tsx';
import { AddUser } from './add-user.tsx';
import { effectiveLimit } from './limits.tsx';
import { oneOf, useGroups } from './lookups.ts';
import { Role, roles, StateBadge, UserLink } from './user-parts.tsx';

const text = t.people.users;

/** What a row names before the rest is counted. */
const MAX_NAMED = 3;

export default function UsersPage(): JSX.Element {
  const [{ search = '', role = '', disabled = '', group = '', after = '', add = '' }, set] = useSearchState();
  const groups = useGroups();
  const users = useQuery(
    'listUsers',
    {
      query: {
        search,
        after,
        role: oneOf(roles, role),
        disabled: oneOf(['true', 'false'] as const, disabled),
        groupId: group === '' ? undefined : group,
      },
    },
    { keepPrevious: true },
  );
  const filter = (name: string) => (value: string) => set({ [name]: value, after: '', before: '' });
  const filtered = search !== '' || role !== '' || disabled !== '' || group !== '';
  const addButton = may('users:write') && (
    <Button kind="primary" onClick={() => set({ add: '1' })}>
      {text.add}
    </Button>
  );
  return (
    <Page title={text.title} intro={text.intro} actions={addButton}>
      <div class="tools">
        <SearchField value={search} onChange={filter('search')} label={text.search} />
        <FilterSelect
          label={text.role}
          value={role}
          onChange={filter('role')}
          options={[['', t.common.all], ...roles.map((one) => [one, t.people.roles[one]] as const)]}
        />
        <FilterSelect
          label={text.state}
          value={disabled}
          onChange={filter('disabled')}
          options={[
            ['', t.common.all],
            ['false', text.enabled],
            ['true', t.people.states.disabled],
          ]}
        />
        {groups.size > 1 && (
          <FilterSelect
            label={text.group}
            value={group}
            onChange={filter('group')}
            options={[
              ['', t.common.all],
              ...[...groups.values()].filter(({ id }) => id !== 'everyone').map(({ id, name }) => [id, name] as const),
            ]}
          />
        )}
      </div>
      <Loaded query={users}>
        {({ items, next }) =>
          items.length > 0 ? (
            <>
              <Table
                caption={text.caption}
                columns={columns(groups)}
                rows={items}
                rowKey={({ id }) => id}
                stale={users.isPlaceholderData}
              />
              <Pager next={next} />
            </>
          ) : filtered ? (
            <Empty
              title={text.noneFound}
              action={
                <Button onClick={() => set({ search: '', role: '', disabled: '', group: '', after: '', before: '' })}>
                  {t.people.clearFilters}
                </Button>
              }
            >
              {t.people.noneFoundText}
            </Empty>
          ) : (
            <Empty title={text.empty} action={addButton}>
              {text.emptyText}
            </Empty>
          )
        }
      </Loaded>
      {add === '1' && may('users:write') && <AddUser groups={groups} onClose={() => set({ add: '' })} />}
    </Page>
  );
}

function columns(groups: ReadonlyMap<string, Group>): readonly Column<User>[] {
  return [
    { header: text.name, cell: (user) => <UserLink user={user} /> },
    { header: text.role, cell: ({ role }) => <Role role={role} /> },
    {
      header: text.state,
      cell: (user) => (
        <div>
          <StateBadge user={user} />
          {user.managedBy !== null && <span class="cell-more">{t.people.keptBy(user.managedBy)}</span>}
        </div>
      ),
    },
    { header: text.groups, cell: (user) => <GroupNames user={user} groups={groups} /> },
    {
      header: text.secondFactor,
      cell: ({ hasSecondFactor }) =>
        hasSecondFactor ? <Badge tone="good">{t.common.yes}</Badge> : <span class="faint">{t.common.no}</span>,
    },
    { header: text.lastLogin, cell: ({ lastLoginAt }) => <Ago time={lastLoginAt} /> },
    { header: text.traffic, align: 'end', cell: (user) => <Traffic user={user} groups={groups} /> },
  ];
}

interface InGroups {
  readonly user: User;
  readonly groups: ReadonlyMap<string, Group>;
}

function GroupNames({ user, groups }: InGroups): JSX.Element {
  const names = user.groups.flatMap((id) => groups.get(id)?.name ?? []).sort();
  if (names.length === 0) return <span class="faint">–</span>;
  const rest = names.length - MAX_NAMED;
  return (
    <div class="groups-cell" title={names.join(', ')}>
      {names.slice(0, MAX_NAMED).join(', ')}
      {rest > 0 && <span class="faint"> {t.people.more(rest)}</span>}
    </div>
  );
}

function Traffic({ user, groups }: InGroups): JSX.Element {
  const limit = effectiveLimit(user, groups, 'trafficBytesPerMonth')?.value;
  const used = user.trafficBytesThisMonth;
  return (
    <div>
      <span class="nowrap">{formatBytes(used)}</span>
      {limit !== undefined &&
        (used >= limit ? (
          <div>
            <Badge tone="bad">{t.people.user.usedUp}</Badge>
          </div>
        ) : (
          <span class="cell-more nowrap">{t.people.ofLimit(formatBytes(limit))}</span>
        ))}
    </div>
  );
}
