import type { RouteImplementation } from '../http/implement.ts';
import { egressRoutes } from './egress.ts';
import { gatewayRoutes } from './gateways.ts';
import { joinTokenRoutes } from './join-tokens.ts';
import { myGatewayRoutes } from './me-gateways.ts';
import { regionRoutes } from './regions.ts';
import { usageRoutes } from './usage.ts';

/** What serves the contracts of `gatewayRoutes` in the API's package. */
export const gatewayImplementations: readonly RouteImplementation[] = [
  ...joinTokenRoutes,
  ...gatewayRoutes,
  ...regionRoutes,
  ...egressRoutes,
  ...usageRoutes,
  ...myGatewayRoutes,
];
