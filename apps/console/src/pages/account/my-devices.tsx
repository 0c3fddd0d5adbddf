import type { Device, Me, OfferedGateway } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { save } from '../../api/save.ts';
import { session } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { ask, Dialog } from '../../ui/dialog.tsx';
import { Form, TextField } from '../../ui/form.tsx';
import { formatBytes, formatDate, formatDateTime, formatRate } from '../../ui/format.ts';
import { Empty, Loaded, Page, Panel } from '../../ui/page.tsx';
import { Ago, Facts } from '../../ui/parts.tsx';
import { useSearchState } from '../../ui/search-state.ts';
import { Pager, Table } from '../../ui/table.tsx';
import { done } from '../../ui/toast.tsx';
import { AddDevice } from './add-device.tsx';
import { ConfigurationDialog } from './configuration-dialog.tsx';
import { ProfileDialog } from './profile-dialog.tsx';
import { Standing } from './standing.tsx';
import '../../styles/account.css';

const text = t.account.devices;

/** Last handshakes are told by no event. */
const refreshMs = 30_000;

export default function MyDevices(): JSX.Element {
  const [{ add = '', after = '' }, set] = useSearchState();
  const [renaming, setRenaming] = useState<Device | undefined>(undefined);
  const [configuring, setConfiguring] = useState<Device | undefined>(undefined);
  const { busy, run } = useAction();
  const devices = useQuery(
    'listMyDevices',
    { query: after === '' ? {} : { after } },
    { keepPrevious: true, refetchEvery: refreshMs },
  );
  const gateways = useQuery('listMyGateways').data?.items ?? [];
  const remove = (device: Device): Promise<void> =>
    run(async () => {
      const { id, name, publicKey, version } = device;
      const removeText = publicKey === null ? text.removeProfileText : text.removeText;
      if (!(await ask({ title: text.removeTitle(name), text: removeText, action: t.common.remove }))) return;
      const result = await save(
        () => call('removeMyDevice', { params: { deviceId: id }, ifMatch: version }),
        devices.refetch,
      );
      if (result === undefined) return;
      changed('device');
      // A certificate can't be given back: the device needs a new profile.
      if (publicKey === null) {
        done(text.removed(name));
        return;
      }
      done(text.removed(name), async () => {
        await call('addMyDevice', { body: { name, publicKey } });
        changed('device');
        done(text.back(name));
      });
    });
  const addButton = (
    <Button kind="primary" onClick={() => set({ add: '1' })}>
      {text.add}
    </Button>
  );
  const isEmpty = devices.data?.items.length === 0 && after === '';
  const me = session.value;
  return (
    <Page title={text.title} intro={text.intro} actions={!isEmpty && addButton}>
      {me != null && !isEmpty && <MyStanding me={me} />}
      <Loaded query={devices}>
        {({ items, next }) =>
          isEmpty ? (
            <Empty
              title={text.empty}
              action={
                <Button kind="primary" onClick={() => set({ add: '1' })}>
                  {text.add}
                </Button>
              }
            >
              {text.emptyText}
            </Empty>
          ) : (
            <>
              <Table
                caption={text.caption}
                rows={items}
                rowKey={({ id }) => id}
                stale={devices.isPlaceholderData}
                columns={[
                  {
                    header: text.name,
                    cell: ({ name, ipv4, ipv6, protocol }) => (
                      <>
                        {name}
                        <span class="second-line mono">
                          {ipv4}, {ipv6}
                        </span>
                        {protocol === 'openvpn' && <span class="second-line">{text.openvpn}</span>}
                      </>
                    ),
                  },
                  { header: text.state, cell: (device) => <Standing device={device} /> },
                  {
                    header: text.lastHandshake,
                    cell: (device) => <LastConnection device={device} gateways={gateways} />,
                  },
                  {
                    header: text.traffic,
                    align: 'end',
                    cell: ({ trafficBytesThisMonth }) => formatBytes(trafficBytesThisMonth),
                  },
                  {
                    header: text.actions,
                    actions: true,
                    cell: (device) => (
                      <>
                        <Button small label={setUpLabel(device)} onClick={() => setConfiguring(device)}>
                          {device.protocol === 'openvpn' ? text.profile : text.configuration}
                        </Button>
                        <Button small label={text.renameTitle(device.name)} onClick={() => setRenaming(device)}>
                          {text.rename}
                        </Button>
                        <Button small busy={busy} label={text.removeTitle(device.name)} onClick={() => remove(device)}>
                          {t.common.remove}
                        </Button>
                      </>
                    ),
                  },
                ]}
              />
              <Pager next={next} />
            </>
          )
        }
      </Loaded>
      {renaming !== undefined && (
        <Rename device={renaming} refetch={devices.refetch} onClose={() => setRenaming(undefined)} />
      )}
      {configuring?.protocol === 'openvpn' && (
        <ProfileDialog
          device={configuring}
          gateways={gateways}
          refetch={devices.refetch}
          onClose={() => setConfiguring(undefined)}
        />
      )}
      {configuring?.protocol === 'wireguard' && (
        <ConfigurationDialog
          title={text.configurationOf(configuring.name)}
          devices={[configuring]}
          gateways={gateways}
          onClose={() => setConfiguring(undefined)}
        />
      )}
      {add === '1' && devices.data !== undefined && (
        <AddDevice names={devices.data.items.map(({ name }) => name)} onClose={() => set({ add: '' })} />
      )}
    </Page>
  );
}

function setUpLabel({ protocol, name }: Device): string {
  return protocol === 'openvpn' ? text.profileOf(name) : text.configurationOf(name);
}

function LastConnection({
  device: { lastHandshakeAt, gatewayId },
  gateways,
}: {
  readonly device: Device;
  readonly gateways: readonly OfferedGateway[];
}): JSX.Element {
  const gateway = gateways.find(({ id }) => id === gatewayId);
  return (
    <div>
      <Ago time={lastHandshakeAt} none={text.none} />
      {gateway !== undefined && <span class="second-line">{text.through(gateway.name)}</span>}
    </div>
  );
}

/** Limits, as far as there are any, and what is used up of them. */
function MyStanding({ me }: { readonly me: Me }): JSX.Element | null {
  const { devices, trafficBytesThisMonth: traffic, bitsPerSecond, loginAgainBefore, messages } = me.standing;
  const facts: [string, JSX.Element | string][] = [];
  if (devices.allowed !== null) {
    facts.push([text.usedDevices, <Used used={devices.used} allowed={devices.allowed} format={String} />]);
  }
  if (traffic.allowed !== null) {
    facts.push([
      text.usedTraffic,
      <Used
        used={traffic.used}
        allowed={traffic.allowed}
        format={formatBytes}
        note={text.resets(formatDate(traffic.resetsAt))}
      />,
    ]);
  }
  if (bitsPerSecond !== null) facts.push([text.speed, formatRate(bitsPerSecond)]);
  if (loginAgainBefore !== null) facts.push([text.loginBefore, formatDateTime(loginAgainBefore)]);
  return (
    <>
      {messages.map((message) => (
        <p key={message} class="notice">
          {message}
        </p>
      ))}
      {facts.length > 0 && (
        <Panel>
          <Facts facts={facts} />
        </Panel>
      )}
    </>
  );
}

function Used({
  used,
  allowed,
  format,
  note,
}: {
  readonly used: number;
  readonly allowed: number;
  readonly format: (value: number) => string;
  readonly note?: string;
}): JSX.Element {
  const amount = text.of(format(used), format(allowed));
  return (
    <div class="usage">
      <span>{amount}</span>
      <meter min={0} max={Math.max(allowed, 1)} high={allowed * 0.9} value={used} aria-label={amount} />
      {note !== undefined && <span class="hint">{note}</span>}
    </div>
  );
}

function Rename({
  device: { id, name: before, version },
  refetch,
  onClose,
}: {
  readonly device: Device;
  readonly refetch: () => Promise<unknown>;
  readonly onClose: () => void;
}): JSX.Element {
  const [name, setName] = useState(before);
  const rename = async (): Promise<void> => {
    const result = await save(
      () => call('updateMyDevice', { params: { deviceId: id }, body: { name }, ifMatch: version }),
      refetch,
    );
    onClose();
    if (result === undefined) return;
    changed('device');
    done(text.renamed(result.saved.name));
  };
  return (
    <Dialog title={text.renameTitle(before)} onClose={onClose}>
      <Form submit={text.rename} onCancel={onClose} onSubmit={rename}>
        <TextField name="name" label={text.name} value={name} onChange={setName} required autofocus />
      </Form>
    </Dialog>
  );
}
