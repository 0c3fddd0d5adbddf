import type { Identity } from '../auth/identity.ts';
import type { RouteImplementation } from '../http/implement.ts';
import { accessImplementations } from './access.ts';
import { gatewayImplementations } from './gateway-implementations.ts';
import { identityImplementations } from './identity.ts';

/** What serves the contracts of the API, all of them. */
export function allImplementations(identity: Identity): RouteImplementation[] {
  return [...identityImplementations(identity), ...accessImplementations, ...gatewayImplementations];
}
