import type { JSX } from 'preact';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { LinkButton } from '../../ui/button.tsx';
import { Empty } from '../../ui/page.tsx';
import { useSearchState } from '../../ui/search-state.ts';
import { Table } from '../../ui/table.tsx';
import { Listing } from './listing.tsx';
import { useNames } from './names.ts';
import { textOfResource, textOfServices } from './parts.tsx';
import { First } from './rules.tsx';

export function Resources(): JSX.Element {
  const [{ search = '', after = '' }] = useSearchState();
  const resources = useQuery(
    'listResources',
    { query: { ...(search === '' ? {} : { search }), ...(after === '' ? {} : { after }) } },
    { keepPrevious: true },
  );
  const names = useNames();
  return (
    <Listing
      query={resources}
      first={
        <Empty
          title={t.access.firstTitle}
          action={
            may('policy:write') && (
              <LinkButton kind="primary" href="/policy/resources/new">
                {t.access.addResource}
              </LinkButton>
            )
          }
        >
          {t.access.firstText}
        </Empty>
      }
    >
      {(items) => (
        <>
          <Table
            caption={t.access.resources}
            rows={items}
            rowKey={({ id }) => id}
            stale={resources.isPlaceholderData}
            columns={[
              {
                header: t.access.resource,
                cell: ({ id, name, description }) => (
                  <div>
                    <a href={`/policy/resources/${id}`}>{name}</a>
                    {description !== '' && <span class="cell-more">{description}</span>}
                  </div>
                ),
              },
              { header: t.access.kind, cell: ({ kind }) => t.access.kinds[kind] },
              {
                header: t.access.what,
                cell: (resource) => (
                  <span class={resource.kind === 'internet' ? undefined : 'mono'}>{textOfResource(resource)}</span>
                ),
              },
              { header: t.access.services, cell: ({ services }) => textOfServices(services) },
            ]}
          />
          <First names={names.resources} />
        </>
      )}
    </Listing>
  );
}
