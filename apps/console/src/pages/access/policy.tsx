import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import '../../styles/access.css';
import { Button, LinkButton } from '../../ui/button.tsx';
import { downloadText } from '../../ui/download.ts';
import { Page } from '../../ui/page.tsx';
import { SearchField } from '../../ui/parts.tsx';
import { useSearchState } from '../../ui/search-state.ts';
import { Tabs } from '../../ui/tabs.tsx';
import { ImportPolicy } from './import-policy.tsx';
import { Resources } from './resources.tsx';
import { Rules } from './rules.tsx';
import { Tests } from './tests.tsx';

const tabs = ['rules', 'resources', 'tests'] as const;

export default function PolicyPage(): JSX.Element {
  const [{ tab: wanted = '', search = '' }, set] = useSearchState();
  const tab = tabs.find((one) => one === wanted) ?? 'rules';
  const policy = useQuery('getPolicy');
  const [importing, setImporting] = useState(false);
  const mayWrite = may('policy:write');
  const addTest = (): void => set({ add: 'test' });
  return (
    <Page
      title={t.access.policy}
      intro={t.access.policyIntro}
      actions={
        <>
          <Button
            disabled={policy.data === undefined}
            onClick={() => downloadText('policy.json', 'application/json', `${JSON.stringify(policy.data, null, 2)}\n`)}
          >
            {t.access.exportPolicy}
          </Button>
          {mayWrite && (
            <Button disabled={policy.data === undefined} onClick={() => setImporting(true)}>
              {t.access.importPolicy}
            </Button>
          )}
          {mayWrite && tab === 'rules' && (
            <LinkButton kind="primary" href="/policy/rules/new">
              {t.access.addRule}
            </LinkButton>
          )}
          {mayWrite && tab === 'resources' && (
            <LinkButton kind="primary" href="/policy/resources/new">
              {t.access.addResource}
            </LinkButton>
          )}
          {mayWrite && tab === 'tests' && (
            <Button kind="primary" onClick={addTest}>
              {t.access.addTest}
            </Button>
          )}
        </>
      }
    >
      <Tabs
        label={t.access.parts}
        tabs={tabs.map((one) => ({
          href: one === 'rules' ? '/policy' : `/policy?tab=${one}`,
          label: t.access[one],
          current: one === tab,
        }))}
      />
      <div class="tools">
        <SearchField value={search} onChange={(value) => set({ search: value, after: '', before: '' })} />
      </div>
      {tab === 'rules' ? <Rules /> : tab === 'resources' ? <Resources /> : <Tests />}
      {importing && policy.data !== undefined && (
        <ImportPolicy policy={policy.data} refetch={policy.refetch} onClose={() => setImporting(false)} />
      )}
    </Page>
  );
}
