import type { User } from '@sallyport/api';
import { useEffect, useState } from 'preact/hooks';
import { call, messageOf } from '../../api/call.ts';

const MAX_PAGES = 10;
const PAGE = 1000;

export interface AllUsers {
  readonly users: readonly User[];
  readonly state: 'counting' | 'complete' | 'more' | 'failed';
  readonly error: string | undefined;
}

/** All users, page by page, up to ten thousand: the server sorts them by name alone. */
export function useAllUsers(): AllUsers {
  const [all, setAll] = useState<AllUsers>({ users: [], state: 'counting', error: undefined });
  useEffect(() => {
    let stopped = false;
    const read = async (): Promise<void> => {
      const users: User[] = [];
      let after: string | null = null;
      for (let page = 1; page <= MAX_PAGES && !stopped; page++) {
        const query: { limit: number; after?: string } = { limit: PAGE, ...(after === null ? {} : { after }) };
        const answer: { items: User[]; next: string | null } = await call('listUsers', { query });
        users.push(...answer.items);
        after = answer.next;
        const state = after === null ? 'complete' : page === MAX_PAGES ? 'more' : 'counting';
        if (!stopped) setAll({ users: [...users], state, error: undefined });
        if (after === null) return;
      }
    };
    read().catch((error: unknown) => {
      if (!stopped) setAll({ users: [], state: 'failed', error: messageOf(error) });
    });
    return () => {
      stopped = true;
    };
  }, []);
  return all;
}
