import type { ComponentChildren, JSX } from 'preact';
import { t } from '../strings/index.ts';
import { Button } from './button.tsx';
import { classes } from './classes.ts';
import { useSearchState } from './search-state.ts';

export interface Column<Row> {
  readonly header: string;
  readonly cell: (row: Row) => ComponentChildren;
  readonly align?: 'end';
  /** Holds the row's actions: its header is for screen readers only. */
  readonly actions?: boolean;
}

interface TableProps<Row> {
  /** What the table is, for screen readers. */
  readonly caption: string;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly rowKey: (row: Row) => string | number;
  /** What it shows is about to be replaced. */
  readonly stale?: boolean;
}

/** A table that becomes a list of cards where the window is narrow. The first column names the row. */
export function Table<Row>({ caption, columns, rows, rowKey, stale = false }: TableProps<Row>): JSX.Element {
  return (
    <div class={classes('table', stale && 'stale')} aria-busy={stale}>
      <table>
        <caption class="unseen">{caption}</caption>
        <thead>
          <tr>
            {columns.map(({ header, align, actions }) => (
              <th key={header} scope="col" class={align}>
                {actions === true ? <span class="unseen">{header}</span> : header}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={rowKey(row)}>
              {columns.map(({ header, cell, align, actions }, index) =>
                index === 0 ? (
                  <th key={header} scope="row">
                    {cell(row)}
                  </th>
                ) : (
                  <td
                    key={header}
                    class={classes(align, actions === true && 'row-actions')}
                    data-label={actions === true ? undefined : header}
                  >
                    {cell(row)}
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** Turns the pages of a list by the cursor in the address (`after`); `before` holds the cursors of the pages before. */
export function Pager({ next }: { readonly next: string | null | undefined }): JSX.Element | null {
  const [{ after = '', before = '' }, set] = useSearchState();
  if (after === '' && (next ?? null) === null) return null;
  const visited = before === '' ? [] : before.split(' ');
  return (
    <nav class="pager" aria-label={t.common.page(visited.length + 1)}>
      <Button
        disabled={after === ''}
        onClick={() => {
          const previous = visited.at(-1) ?? '';
          set({ after: previous === '-' ? '' : previous, before: visited.slice(0, -1).join(' ') });
        }}
      >
        {t.common.previous}
      </Button>
      <span>{t.common.page(visited.length + 1)}</span>
      <Button
        disabled={(next ?? null) === null}
        onClick={() => set({ after: next ?? '', before: [...visited, after === '' ? '-' : after].join(' ') })}
      >
        {t.common.next}
      </Button>
    </nav>
  );
}
