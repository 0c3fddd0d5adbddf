import type { Group } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useLocation, useRoute } from 'preact-iso';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { save } from '../../api/save.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import '../../styles/people.css';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { ask, Dialog } from '../../ui/dialog.tsx';
import { formatBytes, formatRate } from '../../ui/format.ts';
import { Loaded, Page, Panel } from '../../ui/page.tsx';
import { Facts } from '../../ui/parts.tsx';
import { done } from '../../ui/toast.tsx';
import { formatDuration } from './amounts.ts';
import { useGateways } from './lookups.ts';
import { GroupForm } from './group-form.tsx';
import { GroupMembers } from './group-members.tsx';
import { GroupRules, RuleList, useRulesOf } from './group-rules.tsx';

const text = t.people.group;

export default function GroupPage(): JSX.Element {
  const { params } = useRoute();
  const group = useQuery('getGroup', { params: { groupId: params['id'] ?? '' } });
  return (
    <Page
      title={group.data?.name ?? text.unknown}
      intro={group.data?.description || undefined}
      actions={group.data && may('groups:write') && <Actions group={group.data} refetch={group.refetch} />}
    >
      <Loaded query={group}>
        {(data) => (
          <>
            <FactsOf group={data} />
            <GroupMembers group={data} />
            {may('policy:read') && <GroupRules groupId={data.id} />}
          </>
        )}
      </Loaded>
    </Page>
  );
}

function FactsOf({ group }: { readonly group: Group }): JSX.Element {
  const { devicesPerUser, bitsPerSecond, trafficBytesPerMonth, sessionLifetimeSeconds, managedBy } = group;
  const required = (is: boolean): JSX.Element | string =>
    is ? text.required : <span class="faint">{text.notRequired}</span>;
  const none = <span class="faint">{t.common.unlimited}</span>;
  const { requireRegionId: regionId, requireGatewayId: gatewayId } = group;
  const regions = useQuery('listRegions', { query: { limit: 1000 } }, { enabled: may('gateways:read') });
  const gateways = useGateways();
  const places = [
    ...(regionId === null ? [] : [regions.data?.items.find(({ id }) => id === regionId)?.name ?? regionId]),
    ...(gatewayId === null ? [] : [gateways.get(gatewayId)?.name ?? gatewayId]),
  ];
  return (
    <Panel title={text.facts}>
      {group.id === 'everyone' && <p class="faint">{text.everyoneText}</p>}
      <Facts
        facts={[
          [t.people.groups.approval, required(group.requireDeviceApproval)],
          [t.people.groups.secondFactor, required(group.requireSecondFactor)],
          [t.people.groups.killSwitch, required(group.requireKillSwitch)],
          [text.places, places.length === 0 ? <span class="faint">{text.anywhere}</span> : places.join(text.or)],
          [
            text.lifetime,
            sessionLifetimeSeconds === null ? (
              <span class="faint">{text.never}</span>
            ) : (
              formatDuration(sessionLifetimeSeconds)
            ),
          ],
          [t.people.user.limitDevices, devicesPerUser ?? none],
          [t.people.user.limitBandwidth, bitsPerSecond === null ? none : formatRate(bitsPerSecond)],
          [t.people.limits.trafficMonth, trafficBytesPerMonth === null ? none : formatBytes(trafficBytesPerMonth)],
          ...(managedBy === null ? [] : [[text.keeper, managedBy] as const]),
        ]}
      />
    </Panel>
  );
}

function Actions({ group, refetch }: { readonly group: Group; readonly refetch: () => Promise<unknown> }): JSX.Element {
  const { id, name, memberCount, version } = group;
  const { route } = useLocation();
  const { busy, run } = useAction();
  const rules = useRulesOf(id).data ?? [];
  const [dialog, setDialog] = useState<'edit' | 'used' | undefined>(undefined);
  const remove = async (): Promise<void> => {
    if (rules.length > 0) {
      setDialog('used');
      return;
    }
    const title = text.removeTitle(name);
    if (!(await ask({ title, text: text.removeText(memberCount), action: text.removeAction }))) return;
    const result = await save(() => call('deleteGroup', { params: { groupId: id }, ifMatch: version }), refetch);
    if (result === undefined) return;
    route('/groups', true);
    changed('group', 'user');
    done(text.removed(name));
  };
  const close = (): void => setDialog(undefined);
  return (
    <>
      <Button onClick={() => setDialog('edit')}>{text.edit}</Button>
      {id !== 'everyone' && (
        <Button kind="danger" busy={busy} onClick={() => run(remove)}>
          {text.remove}
        </Button>
      )}
      {dialog === 'edit' && <GroupForm group={group} refetch={refetch} onClose={close} />}
      {dialog === 'used' && (
        <Dialog title={text.usedTitle(name)} onClose={close}>
          <p>{text.usedText}</p>
          <RuleList rules={rules} />
          <div class="actions">
            <Button onClick={close}>{t.common.close}</Button>
          </div>
        </Dialog>
      )}
    </>
  );
}
