import type { WaitingClient } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { call } from '../../api/call.ts';
import { useQuery } from '../../api/query.ts';
import { session } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button, LinkButton } from '../../ui/button.tsx';
import { Form, TextField } from '../../ui/form.tsx';
import { formatAgo } from '../../ui/format.ts';
import { Empty, Loaded, Page, Panel } from '../../ui/page.tsx';
import { Facts } from '../../ui/parts.tsx';
import '../../styles/sign-in.css';

const text = t.signIn.client;

/** Lets in a client that shows a code (RFC 8628): the link that it gave leads here, or somebody types the code. */
export default function Client(): JSX.Element {
  const { query } = useLocation();
  const code = query['code'];
  return (
    <Page title={text.title} intro={text.intro}>
      {code === undefined || code === '' ? <TypeCode /> : <Waiting key={code} userCode={code} />}
    </Page>
  );
}

function TypeCode(): JSX.Element {
  const { route } = useLocation();
  const [code, setCode] = useState('');
  return (
    <Panel>
      <Form
        submit={text.find}
        onSubmit={() => {
          route(`/client?code=${encodeURIComponent(code.trim())}`);
          return Promise.resolve();
        }}
      >
        <TextField
          name="code"
          label={text.code}
          hint={text.codeHint}
          value={code}
          onChange={(value) => setCode(value.toUpperCase())}
          required
          autofocus
        />
      </Form>
    </Panel>
  );
}

type Decision = 'approve' | 'deny';

function Waiting({ userCode }: { readonly userCode: string }): JSX.Element {
  const [decided, setDecided] = useState<readonly [Decision, string] | undefined>(undefined);
  const params = { userCode };
  // Once it is decided, no client waits with the code any more.
  const waiting = useQuery('getDeviceAuthorization', { params }, { enabled: decided === undefined });
  if (decided !== undefined) {
    const [decision, client] = decided;
    return decision === 'approve' ? (
      <Empty title={text.approved(client)} action={<LinkButton href="/account">{text.toAccount}</LinkButton>}>
        {text.approvedText}
      </Empty>
    ) : (
      <Empty title={text.denied(client)}>{text.deniedText}</Empty>
    );
  }
  return (
    <>
      <Loaded query={waiting}>
        {(client) => <Choice client={client} onDecide={(decision) => setDecided([decision, client.client])} />}
      </Loaded>
      {waiting.error != null && <LinkButton href="/client">{text.other}</LinkButton>}
    </>
  );
}

function Choice({
  client: { userCode, client, address, createdAt },
  onDecide,
}: {
  readonly client: WaitingClient;
  readonly onDecide: (decision: Decision) => void;
}): JSX.Element {
  const { busy, run } = useAction();
  const decide = (decision: Decision): Promise<void> =>
    run(async () => {
      await call('decideDeviceAuthorization', { params: { userCode }, body: { decision } });
      onDecide(decision);
    });
  return (
    <Panel title={text.compare}>
      <p class="user-code">
        <output>{userCode}</output>
      </p>
      <Facts
        facts={[
          [text.client, client],
          [text.address, address],
          [text.since, formatAgo(createdAt)],
          [text.as, session.value?.user.name],
        ]}
      />
      <p>{text.warning}</p>
      <div class="actions">
        <Button busy={busy} onClick={() => decide('deny')}>
          {text.deny}
        </Button>
        <Button kind="primary" busy={busy} onClick={() => decide('approve')}>
          {text.approve}
        </Button>
      </div>
    </Panel>
  );
}
