import type { TunnelLogin as WaitingLogin } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { call } from '../../api/call.ts';
import { useQuery } from '../../api/query.ts';
import { session } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { formatAgo } from '../../ui/format.ts';
import { Empty, Loaded, Page, Panel } from '../../ui/page.tsx';
import { Facts } from '../../ui/parts.tsx';
import '../../styles/sign-in.css';

const text = t.signIn.tunnelLogin;

/** Lets an OpenVPN device connect that asks for a login in the browser: its app opens this page. */
export default function TunnelLogin(): JSX.Element {
  const { query } = useLocation();
  const code = query['code'] ?? '';
  return (
    <Page title={text.title} intro={text.intro}>
      {code === '' ? <Empty title={text.incomplete}>{text.incompleteText}</Empty> : <Waiting key={code} code={code} />}
    </Page>
  );
}

type Decision = 'approve' | 'deny';

function Waiting({ code }: { readonly code: string }): JSX.Element {
  const [decided, setDecided] = useState<readonly [Decision, string] | undefined>(undefined);
  // Once it is decided, nothing waits with the code any more.
  const waiting = useQuery('getTunnelLogin', { params: { code } }, { enabled: decided === undefined });
  if (decided !== undefined) {
    const [decision, device] = decided;
    return decision === 'approve' ? (
      <Empty title={text.approved(device)}>{text.approvedText}</Empty>
    ) : (
      <Empty title={text.denied(device)}>{text.deniedText}</Empty>
    );
  }
  return (
    <Loaded query={waiting}>
      {(login) => <Choice login={login} onDecide={(decision) => setDecided([decision, login.deviceName])} />}
    </Loaded>
  );
}

function Choice({
  login: { code, deviceName, gatewayName, client, address, createdAt },
  onDecide,
}: {
  readonly login: WaitingLogin;
  readonly onDecide: (decision: Decision) => void;
}): JSX.Element {
  const { busy, run } = useAction();
  const decide = (decision: Decision): Promise<void> =>
    run(async () => {
      await call('decideTunnelLogin', { params: { code }, body: { decision } });
      onDecide(decision);
    });
  return (
    <Panel title={text.compare}>
      <Facts
        facts={[
          [text.device, deviceName],
          [text.gateway, gatewayName],
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
