import type { Identity } from '../auth/identity.ts';
import type { Endpoint } from '../http/endpoint.ts';
import type { RouteImplementation } from '../http/implement.ts';
import type { LiveFeed } from '../live/live-feed.ts';
import { oidcEndpoints } from '../oidc/endpoints.ts';
import { scimEndpoints } from '../scim/endpoints.ts';
import { accessImplementations } from './access.ts';
import { clientRoutes } from './client.ts';
import { gatewayImplementations } from './gateway-implementations.ts';
import { identityProviderRoutes } from './identity-providers.ts';
import { identityImplementations } from './identity.ts';
import { liveRoutes } from './live.ts';
import { openVpnRoutes } from './openvpn.ts';
import { scimClientRoutes } from './scim-clients.ts';

/** What serves the contracts of the API, all of them. */
export function allImplementations(identity: Identity, live: LiveFeed): RouteImplementation[] {
  return [
    ...identityImplementations(identity),
    ...identityProviderRoutes,
    ...scimClientRoutes(),
    ...accessImplementations,
    ...gatewayImplementations,
    ...clientRoutes(),
    ...openVpnRoutes(),
    ...liveRoutes(live),
  ];
}

/** What stands beside the API. */
export function allEndpoints(identity: Identity): Endpoint[] {
  return [...oidcEndpoints(identity), ...scimEndpoints()];
}
