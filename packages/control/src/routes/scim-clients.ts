import type { RouteImplementation } from '../http/implement.ts';

export function scimClientRoutes(): RouteImplementation[] {
  return [];
}
