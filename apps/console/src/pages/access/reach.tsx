import type { AccessExplanation } from '@sallyport/api';
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { useQuery } from '../../api/query.ts';
import { t } from '../../strings/index.ts';
import '../../styles/access.css';
import { LinkButton } from '../../ui/button.tsx';
import { Form } from '../../ui/form.tsx';
import { Empty, Loaded, Page, Panel } from '../../ui/page.tsx';
import { Badge, Facts } from '../../ui/parts.tsx';
import { useSearchState } from '../../ui/search-state.ts';
import { Pager, Table } from '../../ui/table.tsx';
import { Tabs } from '../../ui/tabs.tsx';
import { useNames } from './names.ts';
import { textOfTarget } from './parts.tsx';
import { TargetFields, UserField } from './test-dialog.tsx';

type Protocol = 'tcp' | 'udp' | 'icmp';

interface Question {
  readonly user: string;
  readonly destination: string;
  readonly protocol: Protocol;
  readonly port: string;
  readonly gateway: string;
}

/** What is asked is in the address, so that an answer can be sent to somebody as a link. */
function questionOf(address: Readonly<Record<string, string>>): Question {
  const { user = '', destination = '', protocol = '', port = '', gateway = '' } = address;
  return { user, destination, protocol: protocol === 'udp' || protocol === 'icmp' ? protocol : 'tcp', port, gateway };
}

export default function ReachPage(): JSX.Element {
  const [address, set] = useSearchState();
  const asked = questionOf(address);
  const who = address['question'] === 'who';
  const [question, setQuestion] = useState(asked);
  const { gateways } = useNames();
  useEffect(() => setQuestion(asked), [JSON.stringify(asked)]);
  const change = (changes: Partial<Question>): void => setQuestion({ ...question, ...changes });
  const { user, destination, protocol, gateway } = asked;
  const port = protocol === 'icmp' ? '' : asked.port;
  const target = {
    destination,
    protocol,
    ...(port === '' ? {} : { port: Number(port) }),
    ...(gateway === '' ? {} : { gateway }),
  };
  const isAsked = destination !== '' && (protocol === 'icmp' || port !== '') && (who || user !== '');
  // The other question is asked of the same destination.
  const kept = new URLSearchParams(
    Object.entries(asked).filter(([name, value]) => value !== '' && !(name === 'protocol' && value === 'tcp')),
  );
  const href = (name: string): string => {
    const search = new URLSearchParams(kept);
    if (name !== 'user') search.set('question', name);
    return search.size === 0 ? '/reach' : `/reach?${search}`;
  };
  return (
    <Page title={t.access.reachTitle} intro={t.access.reachIntro}>
      <Tabs
        label={t.access.questions}
        tabs={[
          { href: href('user'), label: t.access.questionUser, current: !who },
          { href: href('who'), label: t.access.questionWho, current: who },
        ]}
      />
      <Panel>
        <Form
          submit={t.access.ask}
          onSubmit={() => {
            const { protocol: wanted, ...texts } = question;
            const trimmed = Object.entries(texts).map(([name, value]) => [name, value.trim()]);
            set({
              ...(Object.fromEntries(trimmed) as Record<string, string>),
              protocol: wanted === 'tcp' ? '' : wanted,
              after: '',
              before: '',
            });
            return Promise.resolve();
          }}
        >
          {!who && (
            <div class="ask">
              <UserField value={question.user} onChange={(value) => change({ user: value })} />
            </div>
          )}
          <TargetFields values={question} onChange={change} gateways={gateways} />
        </Form>
      </Panel>
      {isAsked && who && <Who target={target} gateways={gateways} />}
      {isAsked && !who && <Answer query={{ user, ...target }} gateways={gateways} />}
    </Page>
  );
}

interface Target {
  readonly destination: string;
  readonly protocol: Protocol;
  readonly port?: number;
  readonly gateway?: string;
}

const textOf = ({ port, ...target }: Target): string => textOfTarget({ ...target, port: port ?? null });

function Answer({
  query,
  gateways,
}: {
  readonly query: Target & { readonly user: string };
  readonly gateways: ReadonlyMap<string, string>;
}): JSX.Element {
  const answer = useQuery('explainAccess', { query });
  return (
    <div aria-live="polite">
      <Loaded query={answer}>
        {(data) => {
          const allowed = data.verdict === 'allow';
          const target = textOf(query);
          return (
            <Panel>
              <p class="verdict">
                <Badge tone={allowed ? 'good' : 'bad'}>{allowed ? t.common.yes : t.common.no}</Badge>
                {allowed ? t.access.reachesIt(data.userName, target) : t.access.reachesNot(data.userName, target)}
              </p>
              <p>{data.text}</p>
              <Facts facts={factsOf(data, gateways)} />
            </Panel>
          );
        }}
      </Loaded>
    </div>
  );
}

function factsOf(
  answer: AccessExplanation,
  gateways: ReadonlyMap<string, string>,
): (readonly [string, ComponentChildren])[] {
  const { ruleId, resourceId, groupId } = answer;
  const facts: (readonly [string, ComponentChildren])[] = [
    [t.access.user, <a href={`/users/${answer.userId}`}>{answer.userName}</a>],
  ];
  if (ruleId !== null) facts.push([t.access.decidedBy, <a href={`/policy/rules/${ruleId}`}>{answer.ruleName}</a>]);
  if (resourceId !== null)
    facts.push([t.access.byResource, <a href={`/policy/resources/${resourceId}`}>{answer.resourceName}</a>]);
  if (groupId !== null) facts.push([t.access.byGroup, <a href={`/groups/${groupId}`}>{answer.groupName}</a>]);
  if (answer.gateways.length > 0)
    facts.push([t.access.byGateways, <GatewayLinks ids={answer.gateways} names={gateways} />]);
  return facts;
}

function GatewayLinks({
  ids,
  names,
}: {
  readonly ids: readonly string[];
  readonly names: ReadonlyMap<string, string>;
}): JSX.Element {
  return (
    <span>
      {ids.map((id, index) => (
        <span key={id}>
          {index > 0 && ', '}
          <a href={`/gateways/${id}`}>{names.get(id) ?? id}</a>
        </span>
      ))}
    </span>
  );
}

function Who({
  target,
  gateways,
}: {
  readonly target: Target;
  readonly gateways: ReadonlyMap<string, string>;
}): JSX.Element {
  const [{ after = '' }] = useSearchState();
  const reachers = useQuery(
    'whoCanReach',
    { query: { ...target, ...(after === '' ? {} : { after }) } },
    { keepPrevious: true },
  );
  return (
    <Loaded query={reachers}>
      {({ items, next }) =>
        items.length === 0 && after === '' ? (
          <Empty title={t.access.nobody} action={<LinkButton href="/policy">{t.access.nobodyAction}</LinkButton>}>
            {t.access.nobodyText}
          </Empty>
        ) : (
          <>
            <Table
              caption={t.access.reachers(textOf(target))}
              rows={items}
              rowKey={({ userId }) => userId}
              stale={reachers.isPlaceholderData}
              columns={[
                { header: t.access.user, cell: ({ userId, userName }) => <a href={`/users/${userId}`}>{userName}</a> },
                {
                  header: t.access.mayConnect,
                  cell: ({ verdict, standing }) =>
                    verdict === 'allow' ? (
                      <Badge tone="good">{t.common.yes}</Badge>
                    ) : (
                      <Badge tone="warn">{standing === null ? t.common.no : t.access.mayNot[standing]}</Badge>
                    ),
                },
                {
                  header: t.access.decidedBy,
                  cell: ({ ruleId, ruleName }) => ruleId !== null && <a href={`/policy/rules/${ruleId}`}>{ruleName}</a>,
                },
                {
                  header: t.access.byResource,
                  cell: ({ resourceId, resourceName }) =>
                    resourceId !== null && <a href={`/policy/resources/${resourceId}`}>{resourceName}</a>,
                },
                {
                  header: t.access.byGroup,
                  cell: ({ groupId, groupName }) => groupId !== null && <a href={`/groups/${groupId}`}>{groupName}</a>,
                },
                {
                  header: t.access.byGateways,
                  cell: ({ gateways: ids }) => <GatewayLinks ids={ids} names={gateways} />,
                },
              ]}
            />
            <Pager next={next} />
          </>
        )
      }
    </Loaded>
  );
}
