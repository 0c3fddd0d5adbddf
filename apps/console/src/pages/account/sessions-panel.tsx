import type { Session } from '@sallyport/api';
import type { JSX } from 'preact';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { ask } from '../../ui/dialog.tsx';
import { formatDate } from '../../ui/format.ts';
import { Loaded, Panel } from '../../ui/page.tsx';
import { Ago, Badge } from '../../ui/parts.tsx';
import { Table } from '../../ui/table.tsx';
import { done } from '../../ui/toast.tsx';

const text = t.account.account;

const nameOf = ({ client }: Session): string => (client === '' ? text.unknownClient : client);

export function SessionsPanel(): JSX.Element {
  const sessions = useQuery('listMySessions');
  const { busy, run } = useAction();
  const end = (one: Session): Promise<void> =>
    run(async () => {
      if (!(await ask({ title: text.endTitle(nameOf(one)), text: text.endText, action: text.end }))) return;
      await call('endMySession', { params: { sessionId: one.id } });
      changed('session');
      done(text.ended);
    });
  const endOthers = (): Promise<void> =>
    run(async () => {
      if (!(await ask({ title: text.endOthersTitle, text: text.endOthersText, action: text.endOthers }))) return;
      await call('endMyOtherSessions');
      changed('session');
      done(text.othersEnded);
    });
  const endAll = (sessions.data?.items.length ?? 0) > 1 && (
    <Button small busy={busy} onClick={endOthers}>
      {text.endOthers}
    </Button>
  );
  return (
    <Panel title={text.sessions} actions={endAll}>
      <p class="faint">{text.sessionsText}</p>
      <Loaded query={sessions}>
        {({ items }) => (
          <Table
            caption={text.sessionsCaption}
            rows={items}
            rowKey={({ id }) => id}
            columns={[
              {
                header: text.client,
                cell: (one) => (
                  <>
                    {nameOf(one)} {one.current && <Badge tone="good">{text.thisOne}</Badge>}
                    {one.kind === 'client' && <Badge tone="neutral">{text.isClient}</Badge>}
                  </>
                ),
              },
              {
                header: text.how,
                cell: ({ methods }) => methods.map((method) => text.methods[method] ?? method).join(', '),
              },
              { header: text.since, cell: ({ createdAt }) => formatDate(createdAt) },
              { header: text.lastUsed, cell: ({ lastUsedAt }) => <Ago time={lastUsedAt} /> },
              { header: text.ends, cell: ({ expiresAt }) => <Ago time={expiresAt} /> },
              {
                header: text.actions,
                actions: true,
                cell: (one) =>
                  !one.current && (
                    <Button small busy={busy} label={text.endTitle(nameOf(one))} onClick={() => end(one)}>
                      {text.end}
                    </Button>
                  ),
              },
            ]}
          />
        )}
      </Loaded>
    </Panel>
  );
}
