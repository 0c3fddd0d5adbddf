import type { Identity } from '../auth/identity.ts';
import type { RouteImplementation } from '../http/implement.ts';
import { auditRoutes } from './audit.ts';
import { deviceAuthorizationRoutes } from './device-authorizations.ts';
import { groupRoutes } from './groups.ts';
import { invitationRoutes } from './invitations.ts';
import { loginRoutes } from './login.ts';
import { meRoutes } from './me.ts';
import { passkeyRoutes } from './passkeys.ts';
import { secondFactorRoutes } from './second-factors.ts';
import { setupRoutes } from './setup.ts';
import { stepUpRoutes } from './step-up.ts';
import { tokenRoutes } from './tokens.ts';
import { userRoutes } from './users.ts';

/** What serves the contracts of setup, login, clients without a browser, second factors, me, users, groups, invitations, tokens and audit. */
export function identityImplementations(identity: Identity): RouteImplementation[] {
  return [
    ...setupRoutes(identity),
    ...loginRoutes(identity),
    ...deviceAuthorizationRoutes(identity),
    ...meRoutes(identity),
    ...secondFactorRoutes(identity),
    ...passkeyRoutes(identity),
    ...stepUpRoutes(identity),
    ...userRoutes(identity),
    ...groupRoutes(),
    ...invitationRoutes(identity),
    ...tokenRoutes(),
    ...auditRoutes(),
  ];
}
