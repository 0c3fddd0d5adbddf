/** What the routes of devices do, of whichever protocol these are. */
import { randomUUID } from 'node:crypto';
import type { Device } from '@sallyport/api';
import { limitsOf, poolAddress, requiresApproval } from '@sallyport/policy';
import { ApiError } from '../http/api-error.ts';
import { checkVersion } from '../http/version.ts';
import type { StoredDevice } from '../openvpn/stored.ts';
import { assignNumber, chooseNumber, releaseNumber } from '../repositories/addresses.ts';
import * as repository from '../repositories/devices.ts';
import { bindToDevice, endSessionsOfDevice } from '../repositories/sessions.ts';
import type { Services } from '../services.ts';
import type { Origin, Writing } from '../store/store.ts';
import { found } from './answers.ts';

/** The most devices of a user for whom no limit is set. */
const MAX_DEVICES_PER_USER = 1000;

/** What a device shows that it is itself; see the table's columns. */
interface Proof {
  readonly publicKey: string;
  readonly openvpn: StoredDevice | null;
}

export interface NewDevice {
  readonly userId: string;
  readonly name: string;
  /** Undefined: as the user's groups demand. */
  readonly approved: boolean | undefined;
  readonly expiresAt: string | null;
  readonly bitsPerSecond: number | null;
  /** The session of the client that makes it: it ends with the device, and makes no other. */
  readonly clientSession?: string | undefined;
}

/** @param proof is made for the id that the device gets */
export async function addDevice(
  services: Services,
  writing: Writing,
  device: NewDevice,
  proof: (id: string) => Proof | Promise<Proof>,
): Promise<string> {
  const { db, now } = writing;
  const model = await services.directory.preview(writing);
  const user = model.users.get(device.userId);
  if (user === undefined) throw new ApiError('notFound', 'There is no such user.');
  const allowed = limitsOf(model, user).devicesPerUser ?? MAX_DEVICES_PER_USER;
  if ((await repository.countDevices(db, user.id)) >= allowed) {
    throw new ApiError(
      'limitReached',
      `${user.name} may have ${String(allowed)} ${allowed === 1 ? 'device' : 'devices'}: remove one, or ask an administrator for more.`,
    );
  }
  const id = randomUUID();
  const { publicKey, openvpn } = await proof(id);
  if (await repository.isKeyUsed(db, publicKey)) {
    throw new ApiError('conflict', 'Another device has this public key: make a new pair of keys for this one.');
  }
  await checkName(writing, user.id, device.name);
  const number = await chooseNumber(db, model, publicKey, now);
  const row = {
    id,
    user_id: user.id,
    name: device.name,
    public_key: publicKey,
    openvpn: openvpn === null ? null : JSON.stringify(openvpn),
    ipv4: poolAddress(model.pool4, number),
    ipv6: poolAddress(model.pool6, number),
    approved: (device.approved ?? !requiresApproval(model, user)) ? 1 : 0,
    expires_at: device.expiresAt === null ? null : Date.parse(device.expiresAt),
    bits_per_second: device.bitsPerSecond,
    networks: '[]',
    created_at: now,
    version: 1,
  };
  await db.insertInto('device').values(row).execute();
  await assignNumber(db, number, { id, publicKey });
  if (device.clientSession !== undefined && !(await bindToDevice(db, device.clientSession, id))) {
    throw new ApiError('forbidden', 'This client has its device: log it in anew for another one.');
  }
  const certificate = openvpn?.certificate?.sha256;
  await writing.audit('device.create', targetOf(row), undefined, {
    ...repository.describeRow(row),
    ...(certificate === undefined ? {} : { certificateSha256: certificate }),
  });
  writing.changed('device', id);
  return id;
}

interface DeviceChange {
  readonly name?: string | undefined;
  readonly approved?: boolean | undefined;
  readonly expiresAt?: string | null | undefined;
  readonly bitsPerSecond?: number | null | undefined;
}

export async function changeDevice(
  writing: Writing,
  before: repository.DeviceRow,
  change: DeviceChange,
): Promise<void> {
  if (change.name !== undefined && change.name !== before.name) {
    await checkName(writing, before.user_id, change.name);
  }
  const set = {
    name: change.name ?? before.name,
    approved: change.approved === undefined ? before.approved : change.approved ? 1 : 0,
    expires_at:
      change.expiresAt === undefined
        ? before.expires_at
        : change.expiresAt === null
          ? null
          : Date.parse(change.expiresAt),
    bits_per_second: change.bitsPerSecond === undefined ? before.bits_per_second : change.bitsPerSecond,
    version: before.version + 1,
  };
  await writing.db.updateTable('device').set(set).where('id', '=', before.id).execute();
  const after = repository.describeRow({ ...before, ...set });
  await writing.audit('device.update', targetOf(after), repository.describeRow(before), after);
  writing.changed('device', before.id);
}

export async function removeDevice(writing: Writing, device: repository.DeviceRow): Promise<void> {
  await releaseNumber(writing.db, device.id, writing.now);
  // Who has a client's session from a machine that was lost makes no other device by it.
  const sessionsEnded = await endSessionsOfDevice(writing.db, device.id);
  await writing.db.deleteFrom('device').where('id', '=', device.id).execute();
  await writing.audit('device.delete', targetOf(device), {
    ...repository.describeRow(device),
    ...(sessionsEnded === 0 ? {} : { sessionsEnded }),
  });
  writing.changed('device', device.id);
  if (sessionsEnded > 0) writing.changed('session', device.user_id);
}

async function checkName(writing: Writing, userId: string, name: string): Promise<void> {
  const other = await writing.db
    .selectFrom('device')
    .select('id')
    .where('user_id', '=', userId)
    .where('name', '=', name)
    .executeTakeFirst();
  if (other !== undefined) {
    throw new ApiError('nameTaken', `The user has another device with the name ${name}: choose one that is free.`);
  }
}

export function targetOf({ id, name }: { readonly id: string; readonly name: string }) {
  return { kind: 'device', id, name };
}

/** A device as it is answered; `userId` where it must be that user's. */
export async function answer(services: Services, reference: string, userId?: string): Promise<Device> {
  const row = found(await repository.findDevice(services.store.db, reference, userId), 'device');
  const [device] = await repository.describeDevices(services.store.db, services.directory.model, [row], services.now());
  return found(device, 'device');
}

export async function change(
  services: Services,
  origin: Origin,
  which: { readonly reference: string; readonly userId?: string; readonly ifMatch: number },
  work: (writing: Writing, device: repository.DeviceRow) => Promise<void>,
): Promise<string> {
  return await services.store.write(origin, async (writing) => {
    const device = found(await repository.findDevice(writing.db, which.reference, which.userId), 'device');
    checkVersion(device.version, which.ifMatch);
    await work(writing, device);
    return device.id;
  });
}
