import type { Device } from '@sallyport/api';
import type { JSX } from 'preact';
import { ApiProblem, messageOf } from '../../api/call.ts';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import '../../styles/people.css';
import { Button } from '../../ui/button.tsx';
import { Empty, Loaded, Page } from '../../ui/page.tsx';
import { FilterSelect, SearchField } from '../../ui/parts.tsx';
import { useSearchState } from '../../ui/search-state.ts';
import { Pager } from '../../ui/table.tsx';
import { AddUserDevice } from './add-user-device.tsx';
import { DeviceTable } from './device-table.tsx';
import { oneOf, useGateways } from './lookups.ts';
import { UserPicker } from './user-picker.tsx';
import { WaitingDevices } from './waiting-devices.tsx';
import { WaitingNetworks } from './waiting-networks.tsx';

const text = t.people.devices;

const standings = Object.keys(text.standings) as Device['standing'][];

/** Last handshakes are told by no event. */
const refreshMs = 30_000;

export default function DevicesPage(): JSX.Element {
  const [{ search = '', standing = '', networks = '', gateway = '', user = '', after = '', add = '' }, set] =
    useSearchState();
  const gateways = useGateways();
  const devices = useQuery(
    'listDevices',
    {
      query: {
        search,
        after,
        standing: oneOf(standings, standing),
        // Said as well so that the database can leave out the others.
        approved: standing === 'awaitingApproval' ? 'false' : undefined,
        networks: oneOf(['waiting', 'any'] as const, networks),
        gateway: gateway === '' ? undefined : gateway,
        user: user === '' ? undefined : user,
      },
    },
    { keepPrevious: true, refetchEvery: refreshMs },
  );
  const filter = (name: string) => (value: string) => set({ [name]: value, after: '', before: '' });
  const clear = (
    <Button
      onClick={() => set({ search: '', standing: '', networks: '', gateway: '', user: '', after: '', before: '' })}
    >
      {t.people.clearFilters}
    </Button>
  );
  // An old link may name a user or a gateway that is gone.
  const nameless = devices.error instanceof ApiProblem && devices.error.problem.code === 'notFound';
  const filtered = search !== '' || standing !== '' || networks !== '' || gateway !== '' || user !== '';
  return (
    <Page
      title={text.title}
      intro={text.intro}
      actions={
        may('devices:write') && (
          <Button kind="primary" onClick={() => set({ add: '1' })}>
            {text.add}
          </Button>
        )
      }
    >
      <WaitingDevices shown={devices.isPlaceholderData ? [] : (devices.data?.items ?? [])} />
      <WaitingNetworks />
      <div class="tools">
        <SearchField value={search} onChange={filter('search')} label={text.search} />
        <FilterSelect
          label={text.state}
          value={standing}
          onChange={filter('standing')}
          options={[['', t.common.all], ...standings.map((one) => [one, text.standings[one]] as const)]}
        />
        {gateways.size > 0 && (
          <FilterSelect
            label={text.gateway}
            value={gateway}
            onChange={filter('gateway')}
            options={[['', t.common.all], ...[...gateways.values()].map(({ id, name }) => [id, name] as const)]}
          />
        )}
        {may('users:read') && (
          <UserPicker
            label={text.user}
            picked={user === '' ? undefined : user}
            onPick={(person) => filter('user')(person?.name ?? '')}
          />
        )}
      </div>
      {nameless ? (
        <Empty title={text.noneFound} action={clear}>
          {messageOf(devices.error)}
        </Empty>
      ) : (
        <Loaded query={devices}>
          {({ items, next }) =>
            items.length > 0 ? (
              <>
                <DeviceTable
                  caption={text.caption}
                  devices={items}
                  withUser
                  stale={devices.isPlaceholderData}
                  refetch={devices.refetch}
                />
                <Pager next={next} />
              </>
            ) : filtered ? (
              <Empty title={text.noneFound} action={clear}>
                {t.people.noneFoundText}
              </Empty>
            ) : (
              <Empty title={text.empty}>{text.emptyText}</Empty>
            )
          }
        </Loaded>
      )}
      {add === '1' && may('devices:write') && <AddUserDevice onClose={() => set({ add: '' })} />}
    </Page>
  );
}
