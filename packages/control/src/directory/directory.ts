import type { Settings } from '@sallyport/api';
import type { AccessModel } from '@sallyport/policy';
import type { ChangeListener, Writing } from '../store/store.ts';

/** The organisation in memory, kept current with the database. */
export interface Directory {
  /**
   * What access is decided from; a new object after each change, what did not change being the same. Once `store.write`
   * has settled, it holds what was written.
   */
  readonly model: AccessModel;
  readonly settings: Settings;
  /**
   * Called after `model` took the changes in. Changes that follow from others are named as well: the devices of a user who
   * is gone.
   */
  onChange(listener: ChangeListener): () => void;
  /**
   * The model as it would be if `writing` were committed now, with all that others committed before: to judge a change
   * before it is made. It counts what `writing.changed` was told.
   */
  preview(writing: Writing): Promise<AccessModel>;
  close(): void;
}
