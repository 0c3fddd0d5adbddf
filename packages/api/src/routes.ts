import type { RouteContract } from './contract.ts';
import { identityRoutes } from './routes/identity.ts';

/** Every route of the API, by name. */
export const routes = { ...identityRoutes } as const;

export const allRoutes: readonly RouteContract[] = Object.values(routes) as readonly RouteContract[];
