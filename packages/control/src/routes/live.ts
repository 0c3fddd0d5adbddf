import type { RouteImplementation } from '../http/implement.ts';
import type { LiveFeed } from '../live/live-feed.ts';

export function liveRoutes(_live: LiveFeed): RouteImplementation[] {
  return [];
}
