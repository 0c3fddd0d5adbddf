import type { Device } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { ask } from '../../ui/dialog.tsx';
import { useSearchState } from '../../ui/search-state.ts';
import { done } from '../../ui/toast.tsx';

const text = t.people.devices;

/** As many as a page of the list holds. */
const COUNTED = 100;

/** Says how many devices wait for approval, leads to them, and approves those that are shown. */
export function WaitingDevices({ shown }: { readonly shown: readonly Device[] }): JSX.Element | null {
  const [{ standing = '' }, set] = useSearchState();
  const [progress, setProgress] = useState<readonly [number, number] | undefined>(undefined);
  const { busy, run } = useAction();
  // Said twice so that the database can leave out the others.
  const waiting = useQuery('listDevices', {
    query: { standing: 'awaitingApproval', approved: 'false', limit: COUNTED },
  }).data;
  const here = shown.filter((device) => device.standing === 'awaitingApproval');
  const approveAll = async (): Promise<void> => {
    const title = text.approveAllTitle(here.length);
    if (!(await ask({ title, text: text.approveAllText, action: text.approve, danger: false }))) return;
    let approved: readonly Device[];
    try {
      approved = await setAll(here, true, (count) => setProgress([count, here.length]));
    } finally {
      setProgress(undefined);
      changed('device');
    }
    const failed = here.length - approved.length;
    const said = failed === 0 ? text.approvedAll(approved.length) : text.approvedSome(approved.length, failed);
    done(said, async () => {
      await setAll(approved, false, () => undefined);
      changed('device');
    });
  };
  const isFiltered = standing === 'awaitingApproval';
  const filter = (value: string): void => set({ standing: value, after: '', before: '' });
  if (waiting === undefined || (waiting.items.length === 0 && progress === undefined)) return null;
  return (
    <div class="notice waiting-bar">
      <strong>{text.waiting(waiting.items.length, waiting.next !== null)}</strong>
      <span role="status">{progress !== undefined && text.progress(...progress)}</span>
      <span class="bar-actions">
        <Button small onClick={() => filter(isFiltered ? '' : 'awaitingApproval')}>
          {isFiltered ? text.showAll : text.showWaiting}
        </Button>
        {isFiltered && here.length > 0 && may('devices:write') && (
          <Button small kind="primary" busy={busy} onClick={() => run(approveAll)}>
            {text.approveAll(here.length)}
          </Button>
        )}
      </span>
    </div>
  );
}

/** One after the other; those that changed meanwhile stay as they are. Answers with those that it could set. */
async function setAll(
  devices: readonly Device[],
  approved: boolean,
  onProgress: (count: number) => void,
): Promise<readonly Device[]> {
  const set: Device[] = [];
  onProgress(0);
  for (const [index, { id, version }] of devices.entries()) {
    try {
      set.push(await call('updateDevice', { params: { deviceId: id }, body: { approved }, ifMatch: version }));
    } catch {
      // Counted by who asked.
    }
    onProgress(index + 1);
  }
  return set;
}
