import type { Group } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { save } from '../../api/save.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { Dialog } from '../../ui/dialog.tsx';
import { CheckField, Form, SelectField, TextField } from '../../ui/form.tsx';
import { done } from '../../ui/toast.tsx';
import { durationParts, durationUnits, parseDuration, type DurationUnit } from './amounts.ts';
import { useGateways } from './lookups.ts';
import { LimitFields, limitTexts, noLimits, parseLimits } from './limits.tsx';

const text = t.people.group;

/** Adds a group, or changes the one that is given. */
export function GroupForm({
  group: given,
  refetch,
  onClose,
}: {
  readonly group?: Group;
  readonly refetch: () => Promise<unknown>;
  readonly onClose: (created?: Group) => void;
}): JSX.Element {
  // As it was when the form began: a change by somebody else is found out when it is saved.
  const [group] = useState(given);
  const duration = durationParts(group?.sessionLifetimeSeconds ?? null);
  const [name, setName] = useState(group?.name ?? '');
  const [description, setDescription] = useState(group?.description ?? '');
  const [requireDeviceApproval, setApproval] = useState(group?.requireDeviceApproval ?? false);
  const [requireSecondFactor, setSecondFactor] = useState(group?.requireSecondFactor ?? false);
  const [requireKillSwitch, setKillSwitch] = useState(group?.requireKillSwitch ?? false);
  const [regionId, setRegionId] = useState(group?.requireRegionId ?? '');
  const [gatewayId, setGatewayId] = useState(group?.requireGatewayId ?? '');
  const [lifetime, setLifetime] = useState(duration.number);
  const [unit, setUnit] = useState<DurationUnit>(duration.unit);
  const [limits, setLimits] = useState(group === undefined ? noLimits : limitTexts(group));
  const keepsName = group?.id === 'everyone' || (group?.managedBy ?? null) !== null;
  const submit = async (): Promise<void> => {
    const body = {
      name: name.trim(),
      description,
      requireDeviceApproval,
      requireSecondFactor,
      requireKillSwitch,
      requireRegionId: regionId === '' ? null : regionId,
      requireGatewayId: gatewayId === '' ? null : gatewayId,
      sessionLifetimeSeconds: parseDuration(text.lifetime, lifetime, unit),
      ...parseLimits(limits),
    };
    if (group === undefined) {
      const created = await call('createGroup', { body });
      changed('group');
      done(text.added(created.name));
      onClose(created);
      return;
    }
    const result = await save(
      () => call('updateGroup', { params: { groupId: group.id }, body, ifMatch: group.version }),
      refetch,
    );
    onClose();
    if (result === undefined) return;
    changed('group');
    done(text.saved(result.saved.name));
  };
  return (
    <Dialog title={group === undefined ? text.addTitle : text.editTitle(group.name)} onClose={() => onClose()}>
      <Form submit={group === undefined ? text.submitAdd : t.common.save} onCancel={() => onClose()} onSubmit={submit}>
        {keepsName ? (
          <p class="hint under">{group?.managedBy == null ? text.everyoneText : text.keptText(group.managedBy)}</p>
        ) : (
          <TextField
            name="name"
            label={text.name}
            hint={text.nameHint}
            value={name}
            onChange={setName}
            required
            autofocus
          />
        )}
        <TextField name="description" label={text.description} value={description} onChange={setDescription} />
        <CheckField
          name="requireDeviceApproval"
          label={text.approval}
          hint={text.approvalHint}
          value={requireDeviceApproval}
          onChange={setApproval}
        />
        <CheckField
          name="requireSecondFactor"
          label={text.secondFactor}
          hint={text.secondFactorHint}
          value={requireSecondFactor}
          onChange={setSecondFactor}
        />
        <CheckField
          name="requireKillSwitch"
          label={text.killSwitch}
          hint={text.killSwitchHint}
          value={requireKillSwitch}
          onChange={setKillSwitch}
        />
        <PlaceFields regionId={regionId} onRegion={setRegionId} gatewayId={gatewayId} onGateway={setGatewayId} />
        <div class="halves">
          <TextField
            name="sessionLifetimeSeconds"
            label={text.lifetime}
            placeholder={text.never}
            value={lifetime}
            onChange={setLifetime}
          />
          <SelectField
            name="unit"
            label={text.unit}
            value={unit}
            onChange={(value) => setUnit(value as DurationUnit)}
            options={durationUnits.map((value) => ({ value, label: text.units[value] }))}
          />
        </div>
        <p class="hint under">{text.lifetimeHint}</p>
        <LimitFields value={limits} onChange={setLimits} hint={t.people.limits.groupHint} />
      </Form>
    </Dialog>
  );
}

/** Where members' devices may connect. */
function PlaceFields({
  regionId,
  onRegion,
  gatewayId,
  onGateway,
}: {
  readonly regionId: string;
  readonly onRegion: (id: string) => void;
  readonly gatewayId: string;
  readonly onGateway: (id: string) => void;
}): JSX.Element | null {
  const mayRead = may('gateways:read');
  const regions = useQuery('listRegions', { query: { limit: 1000 } }, { enabled: mayRead }).data?.items ?? [];
  const gateways = [...useGateways().values()];
  if (!mayRead) return null;
  const options = (items: readonly { readonly id: string; readonly name: string }[], value: string, any: string) => [
    { value: '', label: any },
    // While the list is not there yet, nothing else than what is set may be saved.
    ...(value === '' || items.some(({ id }) => id === value) ? items : [...items, { id: value, name: value }]).map(
      ({ id, name }) => ({ value: id, label: name }),
    ),
  ];
  return (
    <>
      <div class="halves">
        <SelectField
          name="requireRegionId"
          label={text.region}
          value={regionId}
          onChange={onRegion}
          options={options(regions, regionId, text.anyRegion)}
        />
        <SelectField
          name="requireGatewayId"
          label={text.gateway}
          value={gatewayId}
          onChange={onGateway}
          options={options(gateways, gatewayId, text.anyGateway)}
        />
      </div>
      <p class="hint under">{text.placeHint}</p>
    </>
  );
}
