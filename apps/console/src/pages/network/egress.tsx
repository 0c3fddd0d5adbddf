import type { Gateway } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { save } from '../../api/save.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { Button } from '../../ui/button.tsx';
import { Form, SelectField } from '../../ui/form.tsx';
import { Table } from '../../ui/table.tsx';
import { done } from '../../ui/toast.tsx';

type Entry = Gateway['egress'][number];

/** Which addresses the traffic of whom leaves a gateway with. */
export function Egress({
  gateway,
  refetch,
}: {
  readonly gateway: Gateway;
  readonly refetch: () => Promise<unknown>;
}): JSX.Element {
  const groups = useQuery('listGroups', { query: { limit: 1000 } }, { enabled: may('groups:read') });
  const [edited, setEdited] = useState<{ readonly version: number; readonly entries: readonly Entry[] } | undefined>(
    undefined,
  );
  const nameOf = (id: string | null): string =>
    id === null ? t.network.egressEveryone : (groups.data?.items.find((group) => group.id === id)?.name ?? id);
  const params = { gatewayId: gateway.id };
  if (edited === undefined) {
    return (
      <>
        <p class="hint">{t.network.egressIntro}</p>
        {gateway.egress.length === 0 ? (
          <p>{t.network.egressNone}</p>
        ) : (
          <Table
            caption={t.network.egress}
            rows={gateway.egress}
            rowKey={({ groupId }) => groupId ?? ''}
            columns={[
              { header: t.network.egressGroup, cell: ({ groupId }) => nameOf(groupId) },
              { header: t.network.ipv4, cell: ({ ipv4 }) => ipv4 ?? t.network.egressAutomatic },
              { header: t.network.ipv6, cell: ({ ipv6 }) => ipv6 ?? t.network.egressAutomatic },
            ]}
          />
        )}
        {may('gateways:write') &&
          (gateway.addresses.length === 0 ? (
            <p class="hint">{t.network.egressNoAddresses}</p>
          ) : (
            <div class="actions">
              <Button onClick={() => setEdited({ version: gateway.version, entries: gateway.egress })}>
                {t.common.edit}
              </Button>
            </div>
          ))}
      </>
    );
  }
  const { entries } = edited;
  const set = (next: readonly Entry[]): void => setEdited({ ...edited, entries: next });
  const change = (index: number, changes: Partial<Entry>): void =>
    set(entries.map((entry, other) => (other === index ? { ...entry, ...changes } : entry)));
  const submit = async (): Promise<void> => {
    const before = gateway.egress;
    const result = await save(
      () => call('updateGateway', { params, body: { egress: [...entries] }, ifMatch: edited.version }),
      refetch,
    );
    setEdited(undefined);
    if (result === undefined) return;
    changed('gateway');
    done(t.network.egressSaved, async () => {
      await call('updateGateway', { params, body: { egress: before }, ifMatch: result.saved.version });
      changed('gateway');
    });
  };
  const used = new Set(entries.map(({ groupId }) => groupId));
  const free = [...(groups.data?.items ?? []).map(({ id }) => id), null].find((id) => !used.has(id));
  return (
    <Form submit={t.common.save} onCancel={() => setEdited(undefined)} onSubmit={submit}>
      <p class="hint">{t.network.egressIntro}</p>
      {entries.map((entry, index) => (
        <fieldset key={entry.groupId ?? ''} class="egress-entry">
          <legend class="unseen">{t.network.egressEntry(index + 1)}</legend>
          <SelectField
            name={`egress/${index}/groupId`}
            label={t.network.egressGroup}
            value={entry.groupId ?? ''}
            onChange={(id) => change(index, { groupId: id === '' ? null : id })}
            options={[...(groups.data?.items ?? []).map(({ id }) => id), null]
              .filter((id) => id === entry.groupId || !used.has(id))
              .map((id) => ({ value: id ?? '', label: nameOf(id) }))}
          />
          <AddressField entry={entry} family="ipv4" index={index} gateway={gateway} change={change} />
          <AddressField entry={entry} family="ipv6" index={index} gateway={gateway} change={change} />
          <div class="actions">
            {index > 0 && (
              <Button
                small
                label={t.network.earlierEntry(index + 1)}
                onClick={() => {
                  const next = [...entries];
                  next.splice(index - 1, 2, entry, entries[index - 1]);
                  set(next);
                }}
              >
                {t.network.earlier}
              </Button>
            )}
            <Button
              small
              label={t.network.removeEntry(index + 1)}
              onClick={() => set(entries.filter((_, other) => other !== index))}
            >
              {t.common.remove}
            </Button>
          </div>
        </fieldset>
      ))}
      {free !== undefined && (
        <Button onClick={() => set([...entries, { groupId: free, ipv4: null, ipv6: null }])}>
          {t.network.addEntry}
        </Button>
      )}
    </Form>
  );
}

function AddressField({
  entry,
  family,
  index,
  gateway,
  change,
}: {
  readonly entry: Entry;
  readonly family: 'ipv4' | 'ipv6';
  readonly index: number;
  readonly gateway: Gateway;
  readonly change: (index: number, changes: Partial<Entry>) => void;
}): JSX.Element {
  // One that it no longer has stays visible until another is chosen.
  const own = gateway.addresses.filter((address) => address.includes(':') === (family === 'ipv6'));
  const current = entry[family];
  const addresses = current === null || own.includes(current) ? own : [...own, current];
  return (
    <SelectField
      name={`egress/${index}/${family}`}
      label={t.network[family]}
      value={current ?? ''}
      onChange={(address) => change(index, { [family]: address === '' ? null : address })}
      options={[
        { value: '', label: t.network.egressAutomatic },
        ...addresses.map((address) => ({ value: address, label: address })),
      ]}
    />
  );
}
