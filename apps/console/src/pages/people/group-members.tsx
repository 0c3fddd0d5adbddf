import type { Group } from '@sallyport/api';
import type { JSX } from 'preact';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { formatNumber } from '../../ui/format.ts';
import { Loaded, Panel } from '../../ui/page.tsx';
import { SearchField } from '../../ui/parts.tsx';
import { useSearchState } from '../../ui/search-state.ts';
import { Pager, Table, type Column } from '../../ui/table.tsx';
import { done } from '../../ui/toast.tsx';
import { callName, UserLink } from './user-parts.tsx';
import { UserPicker, type Person } from './user-picker.tsx';

const text = t.people.group;

/** From so many on, a search is of use. */
const MANY = 20;

export function GroupMembers({ group }: { readonly group: Group }): JSX.Element {
  const { id, name, memberCount, managedBy } = group;
  const [{ search = '', after = '' }, set] = useSearchState();
  const { busy, run } = useAction();
  const members = useQuery(
    'listGroupMembers',
    { params: { groupId: id }, query: { search, after } },
    { keepPrevious: true },
  );
  const mayChange = may('groups:write') && id !== 'everyone' && managedBy === null;
  const put = async (person: Person): Promise<void> => {
    await call('addGroupMember', { params: { groupId: id, userId: person.id } });
    changed('group', 'user');
  };
  const take = async (person: Person): Promise<void> => {
    await call('removeGroupMember', { params: { groupId: id, userId: person.id } });
    changed('group', 'user');
  };
  const add = (person: Person): Promise<void> =>
    run(async () => {
      await put(person);
      done(text.memberAdded(callName(person), name), () => take(person));
    });
  const remove = (person: Person): Promise<void> =>
    run(async () => {
      await take(person);
      done(text.memberRemoved(callName(person), name), () => put(person));
    });
  const columns: Column<Person>[] = [{ header: text.user, cell: (person) => <UserLink user={person} /> }];
  if (mayChange) {
    columns.push({
      header: t.people.actions,
      actions: true,
      cell: (person) => (
        <Button small busy={busy} label={text.removeMember(callName(person))} onClick={() => remove(person)}>
          {t.common.remove}
        </Button>
      ),
    });
  }
  const canSearch = memberCount > MANY || search !== '';
  return (
    <Panel title={`${text.members} (${formatNumber(memberCount)})`}>
      {managedBy !== null && <p class="hint under">{text.keptText(managedBy)}</p>}
      {(mayChange || canSearch) && (
        <div class="tools">
          {mayChange && (
            <UserPicker
              label={text.addMember}
              exclude={({ groups }) => groups.includes(id)}
              onPick={(person) => person !== undefined && add(person)}
            />
          )}
          {canSearch && (
            <SearchField value={search} onChange={(value) => set({ search: value, after: '', before: '' })} />
          )}
        </div>
      )}
      <Loaded query={members}>
        {({ items, next }) =>
          items.length === 0 && after === '' ? (
            <p class="hint">{search === '' ? text.noMembers : text.noMembersFound}</p>
          ) : (
            <>
              <Table
                caption={text.membersCaption}
                columns={columns}
                rows={items}
                rowKey={(person) => person.id}
                stale={members.isPlaceholderData}
              />
              <Pager next={next} />
            </>
          )
        }
      </Loaded>
    </Panel>
  );
}
