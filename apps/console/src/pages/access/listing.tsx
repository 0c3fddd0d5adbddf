import type { ComponentChildren, JSX } from 'preact';
import { t } from '../../strings/index.ts';
import { Empty, Loaded, type Loadable } from '../../ui/page.tsx';
import { useSearchState } from '../../ui/search-state.ts';
import { Pager } from '../../ui/table.tsx';

interface ListingProps<Row> {
  readonly query: Loadable<{ readonly items: readonly Row[]; readonly next: string | null }>;
  /** What stands here while there is nothing at all. */
  readonly first: ComponentChildren;
  readonly children: (items: readonly Row[]) => ComponentChildren;
}

/** A page of a list that can be searched: its rows, that nothing fits, or what to do first. */
export function Listing<Row>({ query, first, children }: ListingProps<Row>): JSX.Element {
  const [{ search = '', after = '' }] = useSearchState();
  return (
    <Loaded query={query}>
      {({ items, next }) => {
        if (items.length === 0 && search !== '')
          return <Empty title={t.access.noneFound}>{t.access.noneFoundText}</Empty>;
        if (items.length === 0 && after === '') return first;
        return (
          <>
            {children(items)}
            <Pager next={next} />
          </>
        );
      }}
    </Loaded>
  );
}
