import type { Rule } from '@sallyport/api';
import type { JSX } from 'preact';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { LinkButton } from '../../ui/button.tsx';
import { Loaded, Panel } from '../../ui/page.tsx';
import { Badge } from '../../ui/parts.tsx';
import { Table } from '../../ui/table.tsx';

const text = t.people.group;
const all = { query: { limit: 1000 } };

/** The rules that name a group. */
export function useRulesOf(groupId: string) {
  const rules = useQuery('listRules', all, { enabled: may('policy:read') });
  return { ...rules, data: rules.data?.items.filter(({ groups }) => groups.includes(groupId)) };
}

export function RuleList({ rules }: { readonly rules: readonly Rule[] }): JSX.Element {
  return (
    <ul>
      {rules.map(({ id, name }) => (
        <li key={id}>
          <a href={`/policy/rules/${id}`}>{name}</a>
        </li>
      ))}
    </ul>
  );
}

/** What the members of a group reach by it. */
export function GroupRules({ groupId }: { readonly groupId: string }): JSX.Element {
  const rules = useRulesOf(groupId);
  const resources = useQuery('listResources', all);
  const names = new Map(resources.data?.items.map(({ id, name }) => [id, name]));
  return (
    <Panel title={text.rules} actions={<LinkButton href="/policy">{text.toPolicy}</LinkButton>}>
      <Loaded query={rules}>
        {(items) =>
          items.length === 0 ? (
            <p class="hint">{text.noRules}</p>
          ) : (
            <Table
              caption={text.rulesCaption}
              rows={items}
              rowKey={({ id }) => id}
              columns={[
                { header: text.rule, cell: ({ id, name }) => <a href={`/policy/rules/${id}`}>{name}</a> },
                {
                  header: text.ruleState,
                  cell: ({ enabled }) => (
                    <Badge tone={enabled ? 'good' : 'neutral'}>{enabled ? text.ruleOn : text.ruleOff}</Badge>
                  ),
                },
                {
                  header: text.resources,
                  cell: (rule) => rule.resources.flatMap((id) => names.get(id) ?? []).join(', '),
                },
              ]}
            />
          )
        }
      </Loaded>
    </Panel>
  );
}
