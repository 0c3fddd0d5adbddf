import type { User } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { Button } from '../../ui/button.tsx';
import { Loaded, Panel } from '../../ui/page.tsx';
import { AddUserDevice } from './add-user-device.tsx';
import { DeviceTable } from './device-table.tsx';

const text = t.people.user;

/** Last handshakes are told by no event. */
const refreshMs = 30_000;

export function UserDevices({ user: { id, name } }: { readonly user: User }): JSX.Element {
  const [adding, setAdding] = useState(false);
  const devices = useQuery('listDevices', { query: { user: id } }, { refetchEvery: refreshMs });
  return (
    <Panel
      title={text.devices}
      actions={may('devices:write') && <Button onClick={() => setAdding(true)}>{t.people.devices.add}</Button>}
    >
      <Loaded query={devices}>
        {({ items, next }) =>
          items.length === 0 ? (
            <p class="hint">{text.noDevices}</p>
          ) : (
            <>
              <DeviceTable
                caption={text.devices}
                devices={items}
                withUser={false}
                stale={false}
                refetch={devices.refetch}
              />
              {next !== null && (
                <p class="below">
                  <a href={`/all-devices?user=${encodeURIComponent(name)}`}>{text.allDevices}</a>
                </p>
              )}
            </>
          )
        }
      </Loaded>
      {adding && <AddUserDevice userName={name} onClose={() => setAdding(false)} />}
    </Panel>
  );
}
