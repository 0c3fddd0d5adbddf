import type { NewJoinToken } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { t } from '../../strings/index.ts';
import { Button, LinkButton } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { Form, SelectField } from '../../ui/form.tsx';
import { formatTimeOfDay } from '../../ui/format.ts';
import { Secret } from '../../ui/parts.tsx';
import { slugOf } from '../../ui/slug.ts';
import { RegionFields } from './region-fields.tsx';

interface Made {
  readonly token: NewJoinToken;
  /** The gateways that there were before. */
  readonly before: ReadonlySet<string>;
}

/** Makes the command by which a machine becomes a gateway, and waits until it has. */
export function AddGateway({ onClose }: { readonly onClose: () => void }): JSX.Element {
  const [made, setMade] = useState<Made | undefined>(undefined);
  return (
    <Dialog title={t.network.add} onClose={onClose} wide={made !== undefined}>
      {made === undefined ? (
        <Ask onMade={setMade} onClose={onClose} />
      ) : (
        <Wait {...made} onAgain={() => setMade(undefined)} onClose={onClose} />
      )}
    </Dialog>
  );
}

const NEW = '+';

function Ask({
  onMade,
  onClose,
}: {
  readonly onMade: (made: Made) => void;
  readonly onClose: () => void;
}): JSX.Element {
  const regions = useQuery('listRegions', { query: { limit: 1000 } });
  const [region, setRegion] = useState('');
  const [name, setName] = useState('');
  const [id, setId] = useState<string | undefined>(undefined);
  const shortName = id ?? slugOf(name);
  const submit = async (): Promise<void> => {
    if (region === NEW) {
      await call('createRegion', { body: { id: shortName, name } });
      changed('region');
    }
    // Should the token fail, the region is there and is not made again.
    const regionId = region === NEW ? shortName : region;
    setRegion(regionId);
    const { items } = await call('listGateways', { query: { limit: 1000 } });
    const token = await call('createJoinToken', { body: { ...(regionId === '' ? {} : { regionId }) } });
    changed('gateway');
    onMade({ token, before: new Set(items.map((gateway) => gateway.id)) });
  };
  return (
    <Form submit={t.network.makeCommand} onCancel={onClose} onSubmit={submit}>
      <p>{t.network.addIntro}</p>
      <SelectField
        name="regionId"
        label={t.network.regionChoice}
        hint={t.network.regionChoiceHint}
        value={region}
        onChange={setRegion}
        options={[
          { value: '', label: t.network.regionLater },
          ...(regions.data?.items.map((one) => ({ value: one.id, label: one.name })) ?? []),
          { value: NEW, label: t.network.regionNew },
        ]}
      />
      {region === NEW && <RegionFields name={name} onName={setName} id={shortName} onId={setId} />}
    </Form>
  );
}

const lookEveryMs = 2000;

function Wait({
  token,
  before,
  onAgain,
  onClose,
}: Made & { readonly onAgain: () => void; readonly onClose: () => void }): JSX.Element {
  const tokens = useQuery('listJoinTokens', { query: { limit: 1000 } }, { refetchEvery: lookEveryMs });
  const gateways = useQuery('listGateways', { query: { limit: 1000 } }, { refetchEvery: lookEveryMs });
  const mine = tokens.data?.items.find(({ id }) => id === token.id);
  const isUsed = mine?.usedAt != null;
  const isGone =
    !isUsed && (Date.parse(token.expiresAt) < Date.now() || (tokens.isFetchedAfterMount && mine === undefined));
  // Two that join at once, from the same region: which is which isn't known, so neither is named.
  const candidates = gateways.data?.items.filter(
    ({ id, regionId }) => !before.has(id) && (token.regionId === null || token.regionId === regionId),
  );
  const joined = isUsed && candidates?.length === 1 ? candidates[0] : undefined;
  return (
    <>
      <p>{t.network.runThis}</p>
      <Secret text={token.command} label={t.network.command} />
      <p class="hint under">{t.network.shownOnce}</p>
      <div role="status">
        {isUsed ? (
          <p class="joined">{joined === undefined ? t.network.joined : t.network.joinedIt(joined.name)}</p>
        ) : isGone ? (
          <p>{t.network.tokenGone}</p>
        ) : (
          <p class="waiting">{t.network.waitingForIt(formatTimeOfDay(Date.parse(token.expiresAt)))}</p>
        )}
      </div>
      <div class="actions">
        {isGone && <Button onClick={onAgain}>{t.network.makeCommand}</Button>}
        {joined !== undefined && <LinkButton href={`/gateways/${joined.id}`}>{t.network.openIt}</LinkButton>}
        <Button kind={isUsed ? 'primary' : 'plain'} onClick={onClose}>
          {isUsed ? t.network.finished : t.common.close}
        </Button>
      </div>
    </>
  );
}
