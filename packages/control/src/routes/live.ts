import { liveRoutes as contracts } from '@sallyport/api';
import { implement, type RouteImplementation } from '../http/implement.ts';
import type { LiveFeed } from '../live/live-feed.ts';

export function liveRoutes(live: LiveFeed): RouteImplementation[] {
  return [
    implement(contracts.getOverview, ({ caller }) => live.overview(caller)),
    implement(contracts.streamEvents, ({ caller, recheck, setHeader }) => {
      // Proxies would hold events back to send them together.
      setHeader('x-accel-buffering', 'no');
      // So that the connection ends with the stream, as when the service stops.
      setHeader('connection', 'close');
      return Promise.resolve(live.open(caller, recheck));
    }),
  ];
}
