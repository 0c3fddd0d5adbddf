import type { OfferedGateway } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { Button, LinkButton } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { Empty, Loaded, Page, Panel } from '../../ui/page.tsx';
import { Badge } from '../../ui/parts.tsx';
import { placeOf } from '../../ui/place.ts';
import { ConfigurationDialog } from './configuration-dialog.tsx';
import '../../styles/account.css';

const text = t.account.regions;

/** Load and health are told by no event. */
const refreshMs = 15_000;

export default function Regions(): JSX.Element {
  const gateways = useQuery('listMyGateways', {}, { refetchEvery: refreshMs });
  const [using, setUsing] = useState<OfferedGateway | undefined>(undefined);
  return (
    <Page title={text.title} intro={text.intro}>
      <Loaded query={gateways}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title={text.empty}>
              {may('policy:write') ? t.account.add.noGatewayAdministrator : t.account.add.noGatewayText}
            </Empty>
          ) : (
            <div class="panels regions">
              {[...Map.groupBy(items, ({ regionId }) => regionId)].map(([regionId, ofRegion]) => (
                <Panel key={regionId} title={ofRegion[0]?.regionName ?? regionId}>
                  <ul class="gateway-list">
                    {ofRegion.map((gateway) => (
                      <GatewayItem key={gateway.id} gateway={gateway} onUse={() => setUsing(gateway)} />
                    ))}
                  </ul>
                </Panel>
              ))}
            </div>
          )
        }
      </Loaded>
      {using !== undefined && (
        <UseGateway gateway={using} gateways={gateways.data?.items ?? []} onClose={() => setUsing(undefined)} />
      )}
    </Page>
  );
}

const tones = { low: 'good', medium: 'warn', high: 'bad' } as const;

function GatewayItem({
  gateway,
  onUse,
}: {
  readonly gateway: OfferedGateway;
  readonly onUse: () => void;
}): JSX.Element {
  const { name, load, health, draining, recommended } = gateway;
  return (
    <li>
      <div>
        <p>
          <strong>{name}</strong>
        </p>
        <p class="faint">{placeOf(gateway)}</p>
        <div class="badges">
          {recommended && <Badge tone="good">{text.recommended}</Badge>}
          {load !== 'unknown' && <Badge tone={tones[load]}>{text.load[load]}</Badge>}
          {health !== 'healthy' && <Badge tone={health === 'degraded' ? 'warn' : 'bad'}>{text.health[health]}</Badge>}
          {draining && <Badge tone="warn">{text.draining}</Badge>}
        </div>
      </div>
      <Button small label={text.useLabel(name)} onClick={onUse}>
        {text.use}
      </Button>
    </li>
  );
}

function UseGateway({
  gateway,
  gateways,
  onClose,
}: {
  readonly gateway: OfferedGateway;
  readonly gateways: readonly OfferedGateway[];
  readonly onClose: () => void;
}): JSX.Element {
  const devices = useQuery('listMyDevices');
  const title = text.useTitle(gateway.name);
  const hasDevices = devices.data !== undefined && devices.data.items.length > 0;
  const items = devices.data?.items.filter(({ protocol }) => protocol === 'wireguard') ?? [];
  if (items.length > 0) {
    return (
      <ConfigurationDialog title={title} devices={items} gateways={gateways} gateway={gateway.name} onClose={onClose} />
    );
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <Loaded query={devices}>
        {() => (
          <>
            <p>{hasDevices ? text.allOpenVpn : text.noDevice}</p>
            <div class="actions">
              <LinkButton href={hasDevices ? '/devices' : '/devices?add=1'} kind="primary">
                {hasDevices ? t.account.devices.title : t.account.devices.add}
              </LinkButton>
            </div>
          </>
        )}
      </Loaded>
    </Dialog>
  );
}
