import type { Rule } from '@sallyport/api';
import type { JSX } from 'preact';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button, LinkButton } from '../../ui/button.tsx';
import { Empty } from '../../ui/page.tsx';
import { Badge } from '../../ui/parts.tsx';
import { useSearchState } from '../../ui/search-state.ts';
import { Table } from '../../ui/table.tsx';
import { done } from '../../ui/toast.tsx';
import { Listing } from './listing.tsx';
import { useNames } from './names.ts';

/** What a row names before the rest is counted. */
const MAX_NAMED = 4;

function listed(ids: readonly string[], names: ReadonlyMap<string, string>): string {
  const more = ids.length - MAX_NAMED;
  const named = ids.slice(0, MAX_NAMED).map((id) => names.get(id) ?? id);
  return named.join(', ') + (more > 0 ? ` ${t.access.andMore(more)}` : '');
}

export function Rules(): JSX.Element {
  const [{ search = '', after = '' }] = useSearchState();
  const rules = useQuery(
    'listRules',
    { query: { ...(search === '' ? {} : { search }), ...(after === '' ? {} : { after }) } },
    { keepPrevious: true },
  );
  const names = useNames();
  const { busy, run } = useAction();
  const toggle = async ({ id, name, enabled, version }: Rule): Promise<void> => {
    const set = async (value: boolean, ifMatch: number): Promise<number> => {
      const rule = await call('updateRule', { params: { ruleId: id }, body: { enabled: value }, ifMatch });
      changed('rule');
      return rule.version;
    };
    const after = await set(!enabled, version);
    done(enabled ? t.access.ruleDisabled(name) : t.access.ruleEnabled(name), () => set(enabled, after));
  };
  return (
    <Listing
      query={rules}
      first={
        <Empty
          title={t.access.noRules}
          action={may('policy:write') && <LinkButton href="/policy/rules/new">{t.access.addRule}</LinkButton>}
        >
          {t.access.noRulesText}
        </Empty>
      }
    >
      {(items) => (
        <>
          <Table
            caption={t.access.rules}
            rows={items}
            rowKey={({ id }) => id}
            stale={rules.isPlaceholderData}
            columns={[
              { header: t.access.rule, cell: ({ id, name }) => <a href={`/policy/rules/${id}`}>{name}</a> },
              {
                header: t.access.state,
                cell: ({ enabled }) => (
                  <Badge tone={enabled ? 'good' : 'neutral'}>{enabled ? t.access.enabled : t.access.disabled}</Badge>
                ),
              },
              { header: t.access.groups, cell: ({ groups }) => listed(groups, names.groups) },
              {
                header: t.access.resources,
                cell: ({ resources }) => (
                  <span>
                    <span class="arrow" aria-hidden="true">
                      {'→ '}
                    </span>
                    {listed(resources, names.resources)}
                  </span>
                ),
              },
              {
                header: t.access.gateways,
                cell: ({ gateways }) =>
                  gateways.length === 0 ? (
                    <span class="faint">{t.access.allGateways}</span>
                  ) : (
                    listed(gateways, names.gateways)
                  ),
              },
              {
                header: t.access.actions,
                actions: true,
                cell: (rule) =>
                  may('policy:write') && (
                    <Button
                      small
                      busy={busy}
                      label={rule.enabled ? t.access.disableRule(rule.name) : t.access.enableRule(rule.name)}
                      onClick={() => run(() => toggle(rule))}
                    >
                      {rule.enabled ? t.access.disable : t.access.enable}
                    </Button>
                  ),
              },
            ]}
          />
          <First names={names.resources} />
        </>
      )}
    </Listing>
  );
}

/** What to do where nothing but the internet, which a new service has, is to be reached. */
export function First({ names }: { readonly names: ReadonlyMap<string, string> }): JSX.Element | null {
  if (names.size !== 1 || ![...names.values()].includes('internet') || !may('policy:write')) return null;
  return (
    <div class="first">
      <Empty
        title={t.access.firstTitle}
        action={
          <LinkButton kind="primary" href="/policy/resources/new">
            {t.access.addResource}
          </LinkButton>
        }
      >
        {t.access.firstText}
      </Empty>
    </div>
  );
}
