import type { PolicyTest } from '@sallyport/api';
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
import { ask } from '../../ui/dialog.tsx';
import { Empty } from '../../ui/page.tsx';
import { Badge } from '../../ui/parts.tsx';
import { useSearchState } from '../../ui/search-state.ts';
import { Table } from '../../ui/table.tsx';
import { done } from '../../ui/toast.tsx';
import { Listing } from './listing.tsx';
import { useNames } from './names.ts';
import { textOfTarget } from './parts.tsx';
import { usePreview } from './preview.tsx';
import { TestDialog } from './test-dialog.tsx';

export function Tests(): JSX.Element {
  const [{ search = '', after = '', add = '' }, set] = useSearchState();
  const tests = useQuery(
    'listPolicyTests',
    { query: { ...(search === '' ? {} : { search }), ...(after === '' ? {} : { after }) } },
    { keepPrevious: true },
  );
  // Names of users, and the results, come from the policy as a whole, in which everything goes by name.
  const policy = useQuery('getPolicy');
  const userNames = new Map(policy.data?.tests.map(({ name, user }) => [name, user]));
  const preview = usePreview(policy.data && { tests: policy.data.tests });
  const failing = new Map(preview.check?.failingTests.map(({ name, explanation }) => [name, explanation]));
  const { gateways } = useNames();
  const { busy, run } = useAction();
  const [edited, setEdited] = useState<PolicyTest | undefined>(undefined);
  const remove = async (test: PolicyTest): Promise<void> => {
    const { id, name, userId: user, destination, protocol, port, gatewayId: gateway, expect, version } = test;
    const question = {
      title: t.access.removeTestTitle(name),
      text: t.access.removeTestText,
      action: t.common.remove,
    };
    if (!(await ask(question))) return;
    const result = await save(
      () => call('deletePolicyTest', { params: { policyTestId: id }, ifMatch: version }),
      tests.refetch,
    );
    if (result === undefined) return;
    changed('policyTest');
    done(t.access.testRemoved(name), async () => {
      const body = { name, user, destination, protocol, gateway, expect, ...(port === null ? {} : { port }) };
      await call('createPolicyTest', { body });
      changed('policyTest');
    });
  };
  return (
    <>
      <Listing
        query={tests}
        first={
          <Empty
            title={t.access.noTests}
            action={
              may('policy:write') && (
                <Button kind="primary" onClick={() => set({ add: 'test' })}>
                  {t.access.addTest}
                </Button>
              )
            }
          >
            {t.access.noTestsText}
          </Empty>
        }
      >
        {(items) => (
          <Table
            caption={t.access.tests}
            rows={items}
            rowKey={({ id }) => id}
            stale={tests.isPlaceholderData}
            columns={[
              { header: t.access.test, cell: ({ name }) => name },
              {
                header: t.access.user,
                cell: ({ userId, name }) => <a href={`/users/${userId}`}>{userNames.get(name) ?? t.access.user}</a>,
              },
              { header: t.access.expectation, cell: ({ expect }) => t.access.expect[expect] },
              {
                header: t.access.destination,
                cell: (test) => (
                  <div>
                    <span class="mono">{textOfTarget(test)}</span>
                    {test.gatewayId !== null && (
                      <span class="cell-more">{t.access.through(gateways.get(test.gatewayId) ?? test.gatewayId)}</span>
                    )}
                  </div>
                ),
              },
              {
                header: t.access.result,
                cell: ({ name }) => {
                  if (preview.check === undefined) return '…';
                  const explanation = failing.get(name);
                  if (explanation === undefined) return <Badge tone="good">{t.access.passes}</Badge>;
                  return (
                    <div>
                      <Badge tone="bad">{t.access.fails}</Badge>
                      <span class="cell-more">{explanation}</span>
                    </div>
                  );
                },
              },
              {
                header: t.access.actions,
                actions: true,
                cell: (test) =>
                  may('policy:write') && (
                    <>
                      <Button small label={t.access.editTest(test.name)} onClick={() => setEdited(test)}>
                        {t.common.edit}
                      </Button>
                      <Button
                        small
                        busy={busy}
                        label={t.access.removeTest(test.name)}
                        onClick={() => run(() => remove(test))}
                      >
                        {t.common.remove}
                      </Button>
                    </>
                  ),
              },
            ]}
          />
        )}
      </Listing>
      {add === 'test' && may('policy:write') && (
        <TestDialog test={undefined} userName="" refetch={tests.refetch} onClose={() => set({ add: '' })} />
      )}
      {edited !== undefined && (
        <TestDialog
          test={edited}
          userName={userNames.get(edited.name) ?? edited.userId}
          refetch={tests.refetch}
          onClose={() => setEdited(undefined)}
        />
      )}
    </>
  );
}
