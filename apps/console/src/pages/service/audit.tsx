import type { AuditEntry } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { addressOf, call } from '../../api/call.ts';
import { useQuery } from '../../api/query.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button, LinkButton } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { formatDateTime } from '../../ui/format.ts';
import { Empty, Loaded, Page } from '../../ui/page.tsx';
import { Ago, Facts, FilterSelect, SearchField } from '../../ui/parts.tsx';
import { useSearchState } from '../../ui/search-state.ts';
import { Pager, Table } from '../../ui/table.tsx';
import { done, fault } from '../../ui/toast.tsx';

const text = t.service.audit;

export default function Audit(): JSX.Element {
  const [{ search = '', action = '', actor = '', from = '', until = '', after = '' }, set] = useSearchState();
  const [shown, setShown] = useState<AuditEntry | undefined>(undefined);
  const { busy, run } = useAction();
  const filter = (changes: Record<string, string>): void => set({ ...changes, after: '', before: '' });
  const times = {
    ...(from === '' ? {} : { from: `${from}T00:00:00Z` }),
    ...(until === '' ? {} : { until: `${until}T23:59:59Z` }),
  };
  const entries = useQuery(
    'listAudit',
    {
      query: {
        ...times,
        ...(search === '' ? {} : { search }),
        ...(action === '' ? {} : { action }),
        ...(actor === '' ? {} : { actor }),
        ...(after === '' ? {} : { after }),
      },
    },
    { keepPrevious: true },
  );
  const verify = (): Promise<void> =>
    run(async () => {
      const { valid, entries: count, firstFault } = await call('verifyAudit');
      if (valid) done(text.valid(count));
      else fault(new Error(text.invalid(firstFault?.number ?? 0, firstFault?.reason ?? '')));
    });
  return (
    <Page
      title={text.title}
      intro={text.intro}
      actions={
        <>
          <Button busy={busy} onClick={verify}>
            {text.verify}
          </Button>
          <LinkButton href={addressOf('exportAudit', { query: times })} download="audit.jsonl">
            {text.export}
          </LinkButton>
        </>
      }
    >
      <div class="tools">
        <SearchField value={search} label={text.search} onChange={(value) => filter({ search: value })} />
        <FilterSelect
          label={text.kind}
          value={action}
          options={text.kinds}
          onChange={(value) => filter({ action: value })}
        />
        <DateFilter label={text.from} value={from} onChange={(value) => filter({ from: value })} />
        <DateFilter label={text.until} value={until} onChange={(value) => filter({ until: value })} />
      </div>
      <Loaded query={entries}>
        {({ items, next }) =>
          items.length === 0 ? (
            <Empty title={text.empty}>{text.emptyText}</Empty>
          ) : (
            <>
              <Table
                caption={text.caption}
                rows={items}
                rowKey={({ number }) => number}
                stale={entries.isPlaceholderData}
                columns={[
                  { header: text.when, cell: ({ at }) => <Ago time={at} /> },
                  {
                    header: text.who,
                    cell: (entry) => (
                      <button
                        type="button"
                        class="link"
                        onClick={() => filter({ actor: entry.actor.id ?? entry.actor.name })}
                      >
                        {entry.actor.name}
                      </button>
                    ),
                  },
                  { header: text.what, cell: (entry) => <span class="mono">{entry.action}</span> },
                  { header: text.target, cell: ({ target }) => target.name },
                  { header: text.via, cell: ({ origin }) => origin.via },
                  {
                    header: text.details,
                    actions: true,
                    cell: (entry) => (
                      <Button small label={text.showDetails(entry.number)} onClick={() => setShown(entry)}>
                        {text.details}
                      </Button>
                    ),
                  },
                ]}
              />
              <Pager next={next} />
            </>
          )
        }
      </Loaded>
      {shown !== undefined && (
        <Dialog wide title={text.entry(shown.number)} onClose={() => setShown(undefined)}>
          <Facts
            facts={[
              [text.when, formatDateTime(shown.at)],
              [text.who, `${shown.actor.name} (${text.actors[shown.actor.kind]})`],
              [text.what, shown.action],
              [text.target, `${shown.target.kind} ${shown.target.name}`],
              [
                text.via,
                shown.origin.address === null ? shown.origin.via : `${shown.origin.via}, ${shown.origin.address}`,
              ],
            ]}
          />
          <Content title={text.before} value={shown.before} />
          <Content title={text.after} value={shown.after} />
        </Dialog>
      )}
    </Page>
  );
}

function Content({ title, value }: { readonly title: string; readonly value: unknown }): JSX.Element {
  return (
    <>
      <h3>{title}</h3>
      {value == null ? <p class="faint">{text.nothing}</p> : <pre tabIndex={0}>{JSON.stringify(value, null, 2)}</pre>}
    </>
  );
}

function DateFilter({
  label,
  value,
  onChange,
}: {
  readonly label: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
}): JSX.Element {
  return (
    <label class="filter">
      <span>{label}</span>
      <input type="date" value={value} onChange={({ currentTarget }) => onChange(currentTarget.value)} />
    </label>
  );
}
