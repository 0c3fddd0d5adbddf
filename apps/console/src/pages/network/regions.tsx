import type { Region } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { save } from '../../api/save.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { ask, Dialog } from '../../ui/dialog.tsx';
import { Form, TextField } from '../../ui/form.tsx';
import { Empty, Loaded } from '../../ui/page.tsx';
import { slugOf } from '../../ui/slug.ts';
import { useSearchState } from '../../ui/search-state.ts';
import { Pager, Table } from '../../ui/table.tsx';
import { done } from '../../ui/toast.tsx';
import { RegionFields } from './region-fields.tsx';

/** The regions, and how many gateways are in each. */
export function Regions(): JSX.Element {
  const [{ after = '' }] = useSearchState();
  const regions = useQuery('listRegions', { query: { ...(after === '' ? {} : { after }) } }, { keepPrevious: true });
  const gateways = useQuery('listGateways', { query: { limit: 1000 } });
  const [edited, setEdited] = useState<Region | 'new' | undefined>(undefined);
  const { busy, run } = useAction();
  const count = (region: Region): number =>
    gateways.data?.items.filter(({ regionId }) => regionId === region.id).length ?? 0;
  const remove = async ({ id, name, version }: Region): Promise<void> => {
    const { removeRegion: title, removeRegionText: text } = t.network;
    if (!(await ask({ title: title(name), text, action: t.common.remove }))) return;
    await call('deleteRegion', { params: { regionId: id }, ifMatch: version });
    changed('region');
    done(t.network.regionRemoved(name), async () => {
      await call('createRegion', { body: { id, name } });
      changed('region');
    });
  };
  const add = may('gateways:write') && <Button onClick={() => setEdited('new')}>{t.network.addRegion}</Button>;
  return (
    <>
      <div class="page-header">
        <p class="intro">{t.network.regionsIntro}</p>
        {add}
      </div>
      <Loaded query={regions}>
        {({ items, next }) =>
          items.length === 0 && after === '' ? (
            <Empty title={t.network.noRegions} action={add}>
              {t.network.noRegionsText}
            </Empty>
          ) : (
            <>
              <Table
                caption={t.network.regions}
                rows={items}
                rowKey={({ id }) => id}
                stale={regions.isPlaceholderData}
                columns={[
                  { header: t.network.region, cell: ({ name }) => name },
                  { header: t.network.regionShort, cell: ({ id }) => <code>{id}</code> },
                  {
                    header: t.network.regionGateways,
                    align: 'end',
                    cell: (region) => <a href={`/gateways?region=${region.id}`}>{count(region)}</a>,
                  },
                  {
                    header: t.network.actions,
                    actions: true,
                    cell: (region) =>
                      may('gateways:write') && (
                        <>
                          <Button small label={t.network.renameRegion(region.name)} onClick={() => setEdited(region)}>
                            {t.network.rename}
                          </Button>
                          {gateways.data !== undefined && count(region) === 0 && (
                            <Button small busy={busy} onClick={() => run(() => remove(region))}>
                              {t.common.remove}
                            </Button>
                          )}
                        </>
                      ),
                  },
                ]}
              />
              <Pager next={next} />
              <p class="hint">{t.network.regionInUse}</p>
            </>
          )
        }
      </Loaded>
      {edited === 'new' && <AddRegion onClose={() => setEdited(undefined)} />}
      {edited !== undefined && edited !== 'new' && (
        <RenameRegion region={edited} refetch={regions.refetch} onClose={() => setEdited(undefined)} />
      )}
    </>
  );
}

function AddRegion({ onClose }: { readonly onClose: () => void }): JSX.Element {
  const [name, setName] = useState('');
  const [id, setId] = useState<string | undefined>(undefined);
  const shortName = id ?? slugOf(name);
  return (
    <Dialog title={t.network.addRegion} onClose={onClose}>
      <Form
        submit={t.network.addRegion}
        onCancel={onClose}
        onSubmit={async () => {
          await call('createRegion', { body: { id: shortName, name } });
          changed('region');
          done(t.network.regionAdded(name));
          onClose();
        }}
      >
        <RegionFields name={name} onName={setName} id={shortName} onId={setId} autofocus />
      </Form>
    </Dialog>
  );
}

function RenameRegion({
  region,
  refetch,
  onClose,
}: {
  readonly region: Region;
  readonly refetch: () => Promise<unknown>;
  readonly onClose: () => void;
}): JSX.Element {
  const [name, setName] = useState(region.name);
  const submit = async (): Promise<void> => {
    const result = await save(
      () => call('updateRegion', { params: { regionId: region.id }, body: { name }, ifMatch: region.version }),
      refetch,
    );
    onClose();
    if (result === undefined) return;
    changed('region');
    done(t.network.regionRenamed(name), async () => {
      const { version } = result.saved;
      await call('updateRegion', { params: { regionId: region.id }, body: { name: region.name }, ifMatch: version });
      changed('region');
    });
  };
  return (
    <Dialog title={t.network.renameRegion(region.name)} onClose={onClose}>
      <Form submit={t.network.rename} onCancel={onClose} onSubmit={submit}>
        <TextField name="name" label={t.network.regionName} value={name} onChange={setName} required autofocus />
      </Form>
    </Dialog>
  );
}
