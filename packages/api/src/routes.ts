import type { RouteContract } from './contract.ts';
import { accessRoutes } from './routes/access.ts';
import { clientRoutes, deviceAuthorizationRoutes } from './routes/client.ts';
import { gatewayRoutes } from './routes/gateways.ts';
import { identityRoutes } from './routes/identity.ts';
import { liveRoutes } from './routes/live.ts';
import { openVpnRoutes } from './routes/openvpn.ts';
import { signInRoutes } from './routes/sign-in.ts';

/** Every route of the API, by name. */
export const routes = {
  ...identityRoutes,
  ...accessRoutes,
  ...gatewayRoutes,
  ...signInRoutes,
  ...liveRoutes,
  ...deviceAuthorizationRoutes,
  ...clientRoutes,
  ...openVpnRoutes,
} as const;

export const allRoutes: readonly RouteContract[] = Object.values(routes);
