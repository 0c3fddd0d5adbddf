import type { Identity } from '../auth/identity.ts';
import type { RouteImplementation } from '../http/implement.ts';

export function identityProviderRoutes(_identity: Identity): RouteImplementation[] {
  return [];
}
