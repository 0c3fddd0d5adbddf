/** What administrators do with the devices of users, with a way back where there is one. */
import type { Device } from '@sallyport/api';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { save } from '../../api/save.ts';
import { t } from '../../strings/index.ts';
import { ask } from '../../ui/dialog.tsx';
import { done } from '../../ui/toast.tsx';

const text = t.people.devices;

export async function setApproved({ id }: Device, approved: boolean, ifMatch: number): Promise<Device> {
  const device = await call('updateDevice', { params: { deviceId: id }, body: { approved }, ifMatch });
  changed('device');
  return device;
}

export async function approve(device: Device, refetch: () => Promise<unknown>): Promise<void> {
  const result = await save(() => setApproved(device, true, device.version), refetch);
  if (result === undefined) return;
  const { saved } = result;
  done(text.approved(device.name, device.userName), () => setApproved(saved, false, saved.version));
}

/** Removes a device that waits. There is no way back: who adds a device for another approves it with that. */
export async function deny(device: Device, refetch: () => Promise<unknown>): Promise<void> {
  const { name, userName } = device;
  if (!(await ask({ title: text.denyTitle(name, userName), text: text.denyText, action: text.deny }))) return;
  if (!(await remove(device, refetch))) return;
  done(text.denied(name, userName));
}

export async function removeWithUndo(device: Device, refetch: () => Promise<unknown>): Promise<void> {
  const { name, userName, userId, publicKey, expiresAt, bitsPerSecond } = device;
  const title = text.removeTitle(name, userName);
  const removeText = publicKey === null ? text.removeProfileText : text.removeText;
  if (!(await ask({ title, text: removeText, action: t.common.remove }))) return;
  if (!(await remove(device, refetch))) return;
  // A certificate can't be given back: the device needs a new profile.
  if (publicKey === null) {
    done(text.removed(name, userName));
    return;
  }
  done(text.removed(name, userName), async () => {
    await call('createDevice', { body: { user: userId, name, publicKey, expiresAt, bitsPerSecond } });
    changed('device');
    done(text.back(name));
  });
}

async function remove({ id, version }: Device, refetch: () => Promise<unknown>): Promise<boolean> {
  const result = await save(() => call('deleteDevice', { params: { deviceId: id }, ifMatch: version }), refetch);
  changed('device');
  return result !== undefined;
}
