import type { RouteContract } from './contract.ts';
import { accessRoutes } from './routes/access.ts';
import { gatewayRoutes } from './routes/gateways.ts';
import { identityRoutes } from './routes/identity.ts';

/** Every route of the API, by name. */
export const routes = { ...identityRoutes, ...accessRoutes, ...gatewayRoutes } as const;

export const allRoutes: readonly RouteContract[] = Object.values(routes);
