import type { Device } from '@sallyport/api';
import type { JSX } from 'preact';
import { t } from '../../strings/index.ts';
import { Badge } from '../../ui/parts.tsx';

const text = t.account.devices;

/** WireGuard makes a new handshake every two minutes while anything is sent, and gives up after three. */
const sessionMs = 180_000;

export function isConnected({ standing, lastHandshakeAt }: Device, now = Date.now()): boolean {
  return standing === 'active' && lastHandshakeAt !== null && now - Date.parse(lastHandshakeAt) < sessionMs;
}

/** How a device of one's own stands, and what to do where it can't connect. */
export function Standing({ device }: { readonly device: Device }): JSX.Element {
  const { standing, message } = device;
  if (standing === 'active') {
    return isConnected(device) ? (
      <Badge tone="good">{text.connected}</Badge>
    ) : (
      <Badge tone="neutral">{text.standing.active}</Badge>
    );
  }
  const waits = standing === 'awaitingApproval' || standing === 'loginRequired';
  return (
    <div>
      <Badge tone={waits ? 'warn' : 'bad'}>{text.standing[standing]}</Badge>
      {message !== '' && <span class="standing-note">{message}</span>}
    </div>
  );
}
