import type { Gateway } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useLocation, useRoute } from 'preact-iso';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import '../../styles/network.css';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { ask } from '../../ui/dialog.tsx';
import { formatBytes, formatNumber, formatPercent } from '../../ui/format.ts';
import { Loaded, Page, Panel } from '../../ui/page.tsx';
import { Ago, CopyButton, Facts } from '../../ui/parts.tsx';
import { placeOf } from '../../ui/place.ts';
import { useSearchState } from '../../ui/search-state.ts';
import { Pager, Table } from '../../ui/table.tsx';
import { done } from '../../ui/toast.tsx';
import { EditGateway } from './edit-gateway.tsx';
import { Egress } from './egress.tsx';
import { HealthBadge } from './health.tsx';
import { LivePlots } from './live-plots.tsx';
import { useSamples } from './samples.ts';

/** Load and latency change without an event. */
const refetchEveryMs = 10_000;

export default function GatewayPage(): JSX.Element {
  const { params } = useRoute();
  const gateway = useQuery(
    'getGateway',
    { params: { gatewayId: params['id'] ?? '' } },
    { refetchEvery: refetchEveryMs },
  );
  return (
    <Page
      title={gateway.data?.name ?? t.network.unknownGateway}
      intro={gateway.data && <HealthBadge health={gateway.data.health} draining={gateway.data.draining} />}
      actions={gateway.data && may('gateways:write') && <Actions gateway={gateway.data} refetch={gateway.refetch} />}
    >
      <Loaded query={gateway}>
        {(data) => (
          <>
            <Problems gateway={data} />
            <Plots id={data.id} />
            <FactsOf gateway={data} />
            <Panel title={t.network.egress}>
              <Egress gateway={data} refetch={gateway.refetch} />
            </Panel>
            {may('devices:read') && <Devices id={data.id} />}
          </>
        )}
      </Loaded>
    </Page>
  );
}

function Actions({
  gateway,
  refetch,
}: {
  readonly gateway: Gateway;
  readonly refetch: () => Promise<unknown>;
}): JSX.Element {
  const { route } = useLocation();
  const { busy, run } = useAction();
  const [editing, setEditing] = useState(false);
  const { id, name, draining, version } = gateway;
  const setDraining = async (value: boolean, ifMatch: number): Promise<number> => {
    const answer = await call('updateGateway', { params: { gatewayId: id }, body: { draining: value }, ifMatch });
    changed('gateway');
    return answer.version;
  };
  const drain = async (): Promise<void> => {
    const { drainTitle, drainText: text, drain: action, undrained, drained } = t.network;
    if (!draining && !(await ask({ title: drainTitle(name), text, action, danger: false }))) return;
    const after = await setDraining(!draining, version);
    done(draining ? undrained(name) : drained(name), () => setDraining(draining, after));
  };
  const remove = async (): Promise<void> => {
    const { removeTitle, removeText: text, removeAction: action } = t.network;
    if (!(await ask({ title: removeTitle(name), text, action }))) return;
    await call('deleteGateway', { params: { gatewayId: id }, ifMatch: version });
    route('/gateways', true);
    changed('gateway');
    done(t.network.removed(name));
  };
  return (
    <>
      <Button onClick={() => setEditing(true)}>{t.network.edit}</Button>
      <Button busy={busy} onClick={() => run(drain)}>
        {draining ? t.network.undrain : t.network.drain}
      </Button>
      <Button kind="danger" busy={busy} onClick={() => run(remove)}>
        {t.network.removeGateway}
      </Button>
      {editing && <EditGateway gateway={gateway} refetch={refetch} onClose={() => setEditing(false)} />}
    </>
  );
}

function Problems({ gateway: { health, problems, draining } }: { readonly gateway: Gateway }): JSX.Element | null {
  const advice = t.network.problemAdvice[health];
  return (
    <>
      {draining && <p class="notice">{t.network.drainingNotice}</p>}
      {health !== 'healthy' && (
        <section class={health === 'unreachable' ? 'fault' : 'notice'}>
          <h2>{t.network.problemTitle}</h2>
          <p>{advice}</p>
          {problems.length > 0 && (
            <ul class="problems">
              {problems.map((problem) => (
                <li key={problem}>{problem}</li>
              ))}
            </ul>
          )}
        </section>
      )}
    </>
  );
}

function Plots({ id }: { readonly id: string }): JSX.Element {
  const overview = useQuery('getOverview');
  const samples = useSamples(overview.data);
  return (
    <Panel title={t.network.lastHour}>
      <Loaded query={overview}>
        {(data) => <LivePlots overview={data} samples={samples} grouping="all" only={id} />}
      </Loaded>
    </Panel>
  );
}

function FactsOf({ gateway }: { readonly gateway: Gateway }): JSX.Element {
  const { load, latencyMs, latitude, longitude, addresses, wireguardPublicKey, software } = gateway;
  const regions = useQuery('listRegions', { query: { limit: 1000 } });
  const behind = gateway.stateVersion - gateway.appliedVersion;
  const endpoint = gateway.endpointHost.includes(':') ? `[${gateway.endpointHost}]` : gateway.endpointHost;
  return (
    <Panel title={t.network.facts}>
      <Facts
        facts={[
          [t.network.region, regions.data?.items.find(({ id }) => id === gateway.regionId)?.name ?? gateway.regionId],
          [t.network.place, placeOf(gateway) || t.network.unknown],
          [t.network.coordinates, latitude === null ? t.network.unknown : `${latitude}, ${longitude}`],
          [t.network.endpoint, `${endpoint}:${gateway.endpointPort}`],
          [t.network.transports, waysTo(gateway)],
          [t.network.lastSeen, <Ago time={gateway.lastSeenAt} />],
          [t.network.latency, latencyMs === null ? t.network.unknown : t.network.milliseconds(latencyMs)],
          [t.network.sessions, load === null ? t.network.unknown : formatNumber(load.activeDevices)],
          [t.network.cpu, load === null ? t.network.unknown : formatPercent(load.cpu)],
          [t.network.memory, load === null ? t.network.unknown : formatBytes(load.memoryBytes)],
          [t.network.software, software === '' ? t.network.unknown : software],
          [t.network.applied, behind <= 0 ? t.network.appliedNow : t.network.appliedLater(behind)],
          [
            t.network.ownAddresses,
            addresses.length === 0 ? t.network.unknown : <span class="mono">{addresses.join(', ')}</span>,
          ],
          [
            t.network.publicKey,
            <span class="key">
              <code>{wireguardPublicKey}</code> <CopyButton text={wireguardPublicKey} />
            </span>,
          ],
        ]}
      />
    </Panel>
  );
}

function waysTo({ transports: { amneziawg, tls, openvpn } }: Gateway): string {
  const ways = [
    ...(amneziawg === null ? [] : [t.network.amneziawg(amneziawg.port)]),
    ...(tls === null ? [] : [t.network.tls(tls.host.includes(':') ? `[${tls.host}]` : tls.host, tls.port)]),
    ...(openvpn === null ? [] : [t.network.openvpn(openvpn.port, openvpn.tcpPort)]),
  ];
  return ways.length === 0 ? t.network.transportsNone : ways.join('; ');
}

function Devices({ id }: { readonly id: string }): JSX.Element {
  const [{ after = '' }] = useSearchState();
  const devices = useQuery(
    'listDevices',
    { query: { gateway: id, limit: 50, ...(after === '' ? {} : { after }) } },
    { keepPrevious: true },
  );
  return (
    <section>
      <h2 class="section-title">{t.network.devicesOnIt}</h2>
      <Loaded query={devices}>
        {({ items, next }) =>
          items.length === 0 && after === '' ? (
            <p class="hint">{t.network.noDevicesOnIt}</p>
          ) : (
            <>
              <Table
                caption={t.network.devicesOnIt}
                rows={items}
                rowKey={(device) => device.id}
                stale={devices.isPlaceholderData}
                columns={[
                  { header: t.network.device, cell: ({ name }) => name },
                  {
                    header: t.network.user,
                    cell: ({ userId, userName }) => <a href={`/users/${userId}`}>{userName}</a>,
                  },
                  { header: t.network.lastHandshake, cell: ({ lastHandshakeAt }) => <Ago time={lastHandshakeAt} /> },
                  {
                    header: t.network.trafficMonth,
                    align: 'end',
                    cell: ({ trafficBytesThisMonth }) => formatBytes(trafficBytesThisMonth),
                  },
                ]}
              />
              <Pager next={next} />
            </>
          )
        }
      </Loaded>
    </section>
  );
}
