import type { JSX } from 'preact';
import { useQuery } from '../../api/query.ts';
import { t } from '../../strings/index.ts';
import { Button } from '../../ui/button.tsx';
import { useSearchState } from '../../ui/search-state.ts';

const text = t.people.devices;

/** As many as a page of the list holds. */
const COUNTED = 100;

/** Says how many devices offer networks that wait for approval, and leads to them. */
export function WaitingNetworks(): JSX.Element | null {
  const [{ networks = '' }, set] = useSearchState();
  const waiting = useQuery('listDevices', { query: { networks: 'waiting', limit: COUNTED } }).data;
  if (waiting === undefined || waiting.items.length === 0) return null;
  const isFiltered = networks === 'waiting';
  return (
    <div class="notice waiting-bar">
      <strong>{text.networks.waiting(waiting.items.length, waiting.next !== null)}</strong>
      <span class="bar-actions">
        <Button small onClick={() => set({ networks: isFiltered ? '' : 'waiting', after: '', before: '' })}>
          {isFiltered ? text.showAll : text.showWaiting}
        </Button>
      </span>
    </div>
  );
}
