import type { Identity } from '../auth/identity.ts';
import type { RouteImplementation } from '../http/implement.ts';
import { auditRoutes } from './audit.ts';
import { groupRoutes } from './groups.ts';
import { invitationRoutes } from './invitations.ts';
import { loginRoutes } from './login.ts';
import { meRoutes } from './me.ts';
import { setupRoutes } from './setup.ts';
import { tokenRoutes } from './tokens.ts';
import { userRoutes } from './users.ts';

/** What serves the contracts of setup, login, me, users, groups, invitations, tokens and audit. */
export function identityImplementations(identity: Identity): RouteImplementation[] {
  return [
    ...setupRoutes(identity),
    ...loginRoutes(identity),
    ...meRoutes(identity),
    ...userRoutes(),
    ...groupRoutes(),
    ...invitationRoutes(identity),
    ...tokenRoutes(),
    ...auditRoutes(),
  ];
}
