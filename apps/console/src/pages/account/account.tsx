import type { JSX } from 'preact';
import { useQuery } from '../../api/query.ts';
import { session } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { Loaded, Page } from '../../ui/page.tsx';
import { PasskeysPanel } from './passkeys-panel.tsx';
import { PasswordPanel } from './password-panel.tsx';
import { ProfilePanel } from './profile-panel.tsx';
import { SecondFactorPanel } from './second-factor-panel.tsx';
import { SessionsPanel } from './sessions-panel.tsx';
import '../../styles/account.css';

/** Who the user is, how they log in, and where they are logged in. */
export default function Account(): JSX.Element {
  const factors = useQuery('getMySecondFactors');
  const user = session.value?.user;
  return (
    <Page title={t.account.account.title}>
      <div class="account-panels">
        {user !== undefined && <ProfilePanel key={user.version} user={user} />}
        <Loaded query={factors}>
          {(data) => (
            <>
              <PasswordPanel hasPassword={data.hasPassword} userName={user?.name ?? ''} />
              <SecondFactorPanel factors={data} />
              <PasskeysPanel passkeys={data.passkeys} />
            </>
          )}
        </Loaded>
        <SessionsPanel />
      </div>
    </Page>
  );
}
