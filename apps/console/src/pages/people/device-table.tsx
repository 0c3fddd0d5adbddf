import type { Device } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { formatBytes } from '../../ui/format.ts';
import { Ago, Badge } from '../../ui/parts.tsx';
import { Table, type Column } from '../../ui/table.tsx';
import { isConnected } from '../account/standing.tsx';
import { approve, deny, removeWithUndo } from './device-actions.ts';
import { DeviceNetworks } from './device-networks.tsx';
import { EditDevice } from './edit-device.tsx';
import { useGateways } from './lookups.ts';

const text = t.people.devices;

function StandingBadge({ device }: { readonly device: Device }): JSX.Element {
  const { standing } = device;
  if (isConnected(device)) return <Badge tone="good">{text.connected}</Badge>;
  const tone =
    standing === 'active'
      ? 'neutral'
      : standing === 'awaitingApproval' || standing === 'loginRequired'
        ? 'warn'
        : 'bad';
  return <Badge tone={tone}>{text.standings[standing]}</Badge>;
}

/** Devices of one user or of all, with what can be done about them. */
export function DeviceTable({
  caption,
  devices,
  withUser,
  stale,
  refetch,
}: {
  readonly caption: string;
  readonly devices: readonly Device[];
  readonly withUser: boolean;
  readonly stale: boolean;
  readonly refetch: () => Promise<unknown>;
}): JSX.Element {
  const gateways = useGateways();
  const [editing, setEditing] = useState<Device | undefined>(undefined);
  const [opened, setOpened] = useState<Device | undefined>(undefined);
  const columns: Column<Device>[] = [
    {
      header: text.name,
      cell: (device) => (
        <div class="device-cell">
          {device.name}
          {device.protocol === 'openvpn' && <span class="cell-more">{text.openvpn}</span>}
          <NetworksOf device={device} onOpen={() => setOpened(device)} />
        </div>
      ),
    },
    {
      header: text.user,
      cell: ({ userId, userName }) => (
        <div class="user-cell">
          <a href={`/users/${userId}`}>{userName}</a>
        </div>
      ),
    },
    { header: text.state, cell: (device) => <StandingBadge device={device} /> },
    {
      header: text.lastHandshake,
      cell: ({ lastHandshakeAt, gatewayId }) => {
        const gateway = gatewayId === null ? undefined : gateways.get(gatewayId)?.name;
        return (
          <div class="ago-cell">
            <Ago time={lastHandshakeAt} none={text.none} />
            {gateway !== undefined && <span class="cell-more">{gateway}</span>}
          </div>
        );
      },
    },
    {
      header: text.traffic,
      align: 'end',
      cell: ({ trafficBytesThisMonth }) => <span class="nowrap">{formatBytes(trafficBytesThisMonth)}</span>,
    },
    {
      header: text.addresses,
      cell: ({ ipv4, ipv6 }) => (
        <div class="mono address-cell">
          <div class="nowrap">{ipv4}</div>
          <div>{ipv6}</div>
        </div>
      ),
    },
  ];
  if (may('devices:write')) {
    columns.push({
      header: t.people.actions,
      actions: true,
      cell: (device) => <Actions device={device} refetch={refetch} onEdit={() => setEditing(device)} />,
    });
  }
  return (
    <>
      <Table
        caption={caption}
        columns={columns.filter(({ header }) => withUser || header !== text.user)}
        rows={devices}
        rowKey={({ id }) => id}
        stale={stale}
      />
      {editing !== undefined && <EditDevice device={editing} refetch={refetch} onClose={() => setEditing(undefined)} />}
      {opened !== undefined && (
        <DeviceNetworks device={opened} refetch={refetch} onClose={() => setOpened(undefined)} />
      )}
    </>
  );
}

/** Says that there are networks behind a device, and leads to them. */
function NetworksOf({
  device: { name, userName, networks },
  onOpen,
}: {
  readonly device: Device;
  readonly onOpen: () => void;
}): JSX.Element | null {
  if (networks.length === 0) return null;
  const waiting = networks.filter(({ approved }) => !approved).length;
  const shown = waiting > 0 ? text.networks.waits(waiting) : text.networks.behind(networks.length);
  return (
    <span class="cell-more">
      <Button small label={text.networks.open(shown, name, userName)} onClick={onOpen}>
        {shown}
      </Button>
    </span>
  );
}

function Actions({
  device,
  refetch,
  onEdit,
}: {
  readonly device: Device;
  readonly refetch: () => Promise<unknown>;
  readonly onEdit: () => void;
}): JSX.Element {
  const { busy, run } = useAction();
  const { name, userName, approved } = device;
  if (!approved) {
    return (
      <>
        <Button
          small
          kind="primary"
          busy={busy}
          label={text.approveLabel(name, userName)}
          onClick={() => run(() => approve(device, refetch))}
        >
          {text.approve}
        </Button>
        <Button
          small
          busy={busy}
          label={text.denyLabel(name, userName)}
          onClick={() => run(() => deny(device, refetch))}
        >
          {text.deny}
        </Button>
      </>
    );
  }
  return (
    <>
      <Button small label={text.editLabel(name, userName)} onClick={onEdit}>
        {t.common.edit}
      </Button>
      <Button
        small
        busy={busy}
        label={text.removeLabel(name, userName)}
        onClick={() => run(() => removeWithUndo(device, refetch))}
      >
        {t.common.remove}
      </Button>
    </>
  );
}
