import type { Hub } from '../hub/hub.ts';
import type { Services } from '../services.ts';

/** What happens now, for the overview and the stream of events. */
export interface LiveFeed {
  close(): void;
}

export function openLiveFeed(_services: Services, _hub: Hub): LiveFeed {
  return { close: () => undefined };
}
