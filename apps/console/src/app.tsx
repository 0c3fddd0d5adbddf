/** Which page is at which address. */
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { ErrorBoundary, lazy, LocationProvider, Route, Router, useLocation } from 'preact-iso';
import { messageOf } from './api/call.ts';
import { listen } from './api/events.ts';
import { queries } from './api/query.ts';
import { may, session } from './api/session.ts';
import { refreshSession } from './api/sign-in.ts';
import { Layout } from './shell/layout.tsx';
import { StepUpDialog } from './shell/step-up-dialog.tsx';
import { t } from './strings/index.ts';
import { Button, LinkButton } from './ui/button.tsx';
import { Questions } from './ui/dialog.tsx';
import { Page } from './ui/page.tsx';
import { Toasts } from './ui/toast.tsx';

const Login = lazy(() => import('./pages/sign-in/login.tsx'));
const SetUp = lazy(() => import('./pages/sign-in/set-up.tsx'));
const Invitation = lazy(() => import('./pages/sign-in/invitation.tsx'));
const Enrol = lazy(() => import('./pages/sign-in/enrol.tsx'));
const MyDevices = lazy(() => import('./pages/account/my-devices.tsx'));
const Regions = lazy(() => import('./pages/account/regions.tsx'));
const Account = lazy(() => import('./pages/account/account.tsx'));
const Client = lazy(() => import('./pages/sign-in/client.tsx'));
const TunnelLogin = lazy(() => import('./pages/sign-in/tunnel-login.tsx'));
const Overview = lazy(() => import('./pages/network/overview.tsx'));
const Gateways = lazy(() => import('./pages/network/gateways.tsx'));
const Gateway = lazy(() => import('./pages/network/gateway.tsx'));
const Usage = lazy(() => import('./pages/network/usage.tsx'));
const Users = lazy(() => import('./pages/people/users.tsx'));
const User = lazy(() => import('./pages/people/user.tsx'));
const Groups = lazy(() => import('./pages/people/groups.tsx'));
const Group = lazy(() => import('./pages/people/group.tsx'));
const Invitations = lazy(() => import('./pages/people/invitations.tsx'));
const Devices = lazy(() => import('./pages/people/devices.tsx'));
const Policy = lazy(() => import('./pages/access/policy.tsx'));
const Rule = lazy(() => import('./pages/access/rule.tsx'));
const Resource = lazy(() => import('./pages/access/resource.tsx'));
const Reach = lazy(() => import('./pages/access/reach.tsx'));
const Audit = lazy(() => import('./pages/service/audit.tsx'));
const Settings = lazy(() => import('./pages/service/settings.tsx'));
const SignIn = lazy(() => import('./pages/service/sign-in-settings.tsx'));
const Tokens = lazy(() => import('./pages/service/tokens.tsx'));

/** Addresses that are no pages of the console: links to these go to the server. */
const pages = /^(?!\/(?:api|login\/oidc)\/)/;

export function App(): JSX.Element {
  return (
    <LocationProvider scope={pages}>
      <Gate />
      <Questions />
      <StepUpDialog />
      <Toasts />
    </LocationProvider>
  );
}

/** Pages for who is not logged in, the one for who has to set up a second factor, or all the others. */
function Gate(): JSX.Element {
  const { path, url, route } = useLocation();
  const [error, setError] = useState<unknown>(undefined);
  const load = (): void => {
    setError(undefined);
    refreshSession().catch(setError);
  };
  useEffect(load, []);
  const me = session.value;
  const userId = me?.user.id;
  useEffect(() => {
    // What was answered to one user is nothing for the next one.
    if (userId !== undefined) return () => void queries.resetQueries();
    return undefined;
  }, [userId]);
  const loggedIn = me != null && me.session?.mustEnrol !== true;
  const isPublic = path === '/login' || path === '/setup' || path === '/invitation';
  useEffect(() => {
    if (me === null && !isPublic) route(path === '/' ? '/login' : `/login?return=${encodeURIComponent(url)}`, true);
  }, [me, path]);
  useEffect(() => {
    if (loggedIn) listen();
  }, [loggedIn]);
  if (error !== undefined && me === undefined) {
    return (
      <main class="alone">
        <div class="fault" role="alert">
          <p>{messageOf(error)}</p>
          <Button onClick={load}>{t.common.retry}</Button>
        </div>
      </main>
    );
  }
  if (isPublic) {
    return (
      <ErrorBoundary onError={report}>
        <Router>
          <Route path="/login" component={Login} />
          <Route path="/setup" component={SetUp} />
          <Route path="/invitation" component={Invitation} />
        </Router>
      </ErrorBoundary>
    );
  }
  if (me == null) {
    return (
      <main class="alone">
        <p role="status">{t.common.loading}</p>
      </main>
    );
  }
  if (!loggedIn) {
    return (
      <ErrorBoundary onError={report}>
        <Router>{[<Route key="enrol" default component={Enrol} />]}</Router>
      </ErrorBoundary>
    );
  }
  return (
    <Layout>
      <ErrorBoundary onError={report}>
        <Router>
          <Route path="/" component={may('gateways:read') ? Overview : MyDevices} />
          <Route path="/devices" component={MyDevices} />
          <Route path="/regions" component={Regions} />
          <Route path="/account" component={Account} />
          <Route path="/client" component={Client} />
          <Route path="/tunnel-login" component={TunnelLogin} />
          <Route path="/overview" component={Overview} />
          <Route path="/users" component={Users} />
          <Route path="/users/:id" component={User} />
          <Route path="/groups" component={Groups} />
          <Route path="/groups/:id" component={Group} />
          <Route path="/invitations" component={Invitations} />
          <Route path="/all-devices" component={Devices} />
          <Route path="/gateways" component={Gateways} />
          <Route path="/gateways/:id" component={Gateway} />
          <Route path="/policy" component={Policy} />
          <Route path="/policy/rules/:id" component={Rule} />
          <Route path="/policy/resources/:id" component={Resource} />
          <Route path="/reach" component={Reach} />
          <Route path="/usage" component={Usage} />
          <Route path="/audit" component={Audit} />
          <Route path="/settings" component={Settings} />
          <Route path="/sign-in" component={SignIn} />
          <Route path="/tokens" component={Tokens} />
          <Route default component={NotFound} />
        </Router>
      </ErrorBoundary>
    </Layout>
  );
}

function report(error: Error): void {
  // For who opens the browser's tools; nothing is sent anywhere.
  console.error(error);
}

function NotFound(): JSX.Element {
  return (
    <Page title={t.shell.notFound}>
      <p>{t.shell.notFoundText}</p>
      <LinkButton href="/">{t.shell.toStart}</LinkButton>
    </Page>
  );
}
