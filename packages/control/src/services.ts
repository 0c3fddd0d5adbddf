import type { Logger } from 'pino';
import type { Directory } from './directory/directory.ts';
import type { Store } from './store/store.ts';

/** What routes work with. */
export interface Services {
  readonly store: Store;
  readonly directory: Directory;
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly log: Logger;
  /** How this service is reached from outside: `https://vpn.example.org`. */
  readonly publicUrl: () => string;
}
