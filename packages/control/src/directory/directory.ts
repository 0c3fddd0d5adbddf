import type { Settings } from '@sallyport/api';
import type { AccessModel } from '@sallyport/policy';
import type { Change } from '../store/store.ts';

/** The organisation in memory, kept current with the database. */
export interface Directory {
  /** What access is decided from; a new object after each change, what did not change being the same. */
  readonly model: AccessModel;
  readonly settings: Settings;
  /** Called after `model` took the changes in. */
  onChange(listener: (changes: readonly Change[]) => void): () => void;
}
