/** Networks behind devices: devices offer them, administrators approve them. */
import type { Device, DeviceNetwork } from '@sallyport/api';
import {
  faultOfNetwork,
  formatPrefix,
  hasHostBits,
  MAX_NETWORKS,
  parseAddress,
  parsePrefix,
  prefixContains,
  prefixesOverlap,
} from '@sallyport/policy';
import type { Kysely } from 'kysely';
import { networksOf } from '../directory/rows.ts';
import { ApiError } from '../http/api-error.ts';
import type { Caller } from '../http/caller.ts';
import { describeRow, type DeviceRow } from '../repositories/devices.ts';
import { findResource, insertResource } from '../repositories/resources.ts';
import { slug } from '../repositories/slug.ts';
import type { Services } from '../services.ts';
import type { Database } from '../store/schema.ts';
import type { Writing } from '../store/store.ts';
import { nameTaken } from './answers.ts';
import { Faults } from './faults.ts';
import { refuseBrokenTests } from './policy-guard.ts';

/** What a device offers after it said so: what was approved and is offered still stays approved, the rest waits. */
export function offeredNetworks(services: Services, before: DeviceRow, prefixes: readonly string[]): DeviceNetwork[] {
  const { pool4, pool6 } = services.directory.model;
  const faults = new Faults();
  const offered = prefixes.map((text, i) => canonical(text, `/body/prefixes/${String(i)}`, faults, [pool4, pool6]));
  faults.check();
  const approved = new Set(networksOf(before).flatMap((one) => (one.approved ? one.prefix : [])));
  return [...new Set(offered)].sort().map((prefix) => ({ prefix, approved: approved.has(prefix) }));
}

export interface Approval {
  readonly approved: readonly string[];
  readonly createResource?: boolean | undefined;
}

/** Approves some of what a device offers, and takes back what was approved else. */
export async function approveNetworks(
  services: Services,
  writing: Writing,
  before: DeviceRow,
  { approved, createResource = false }: Approval,
  caller: Caller,
): Promise<void> {
  const { pool4, pool6 } = services.directory.model;
  const faults = new Faults();
  const wanted = approved.map((text, i) => canonical(text, `/body/approved/${String(i)}`, faults, [pool4, pool6]));
  faults.check();
  const offered = networksOf(before);
  const { others, taken } = await takenAddresses(writing.db, before.id);
  if (others + wanted.length > MAX_NETWORKS)
    throw new ApiError('limitReached', `At most ${String(MAX_NETWORKS)} networks lie behind all devices together.`);
  for (const [i, prefix] of wanted.entries()) {
    const fault = offered.some((one) => one.prefix === prefix)
      ? (taken(prefix) ?? overlapIn(wanted, prefix))
      : `the device does not offer ${prefix}; it offers: ${offered.map((one) => one.prefix).join(', ') || 'none'}`;
    if (fault !== undefined) faults.add(`/body/approved/${String(i)}`, fault);
  }
  faults.check();
  await storeNetworks(
    writing,
    before,
    offered.map(({ prefix }) => ({ prefix, approved: wanted.includes(prefix) })),
    'device.approveNetworks',
  );
  if (createResource) await makeResource(writing, before, wanted, caller);
  await refuseBrokenTests(services, writing);
}

export async function storeNetworks(
  writing: Writing,
  before: DeviceRow,
  networks: readonly DeviceNetwork[],
  action: string,
): Promise<void> {
  const { id, name } = before;
  const set = { networks: JSON.stringify(networks), version: before.version + 1 };
  await writing.db.updateTable('device').set(set).where('id', '=', id).execute();
  await writing.audit(action, { kind: 'device', id, name }, networksIn(before), networksIn({ ...before, ...set }));
  writing.changed('device', id);
}

function networksIn(row: DeviceRow): Pick<Device, 'networks'> {
  return { networks: describeRow(row).networks };
}

async function makeResource(
  writing: Writing,
  device: DeviceRow,
  prefixes: readonly string[],
  caller: Caller,
): Promise<void> {
  if (!caller.permissions.has('policy:write'))
    throw new ApiError('forbidden', 'To create a resource needs the permission policy:write: approve without one.');
  const faults = new Faults();
  if (prefixes.length === 0) faults.add('/body/createResource', 'there is no network to make a resource of');
  faults.check();
  const name = slug(device.name) ?? `device-${device.id.slice(0, 8)}`;
  if ((await findResource(writing.db, name)) !== undefined) throw nameTaken('resource', name);
  await insertResource(writing, {
    name,
    description: `Behind the device ${device.name} of ${device.user_name}`,
    kind: 'network',
    prefixes: [...prefixes],
    domain: null,
    services: [],
  });
}

function canonical(text: string, at: string, faults: Faults, pools: readonly string[]): string {
  const prefix = parsePrefix(text);
  if (prefix === undefined) {
    faults.add(at, 'is no prefix');
    return text;
  }
  const form = formatPrefix(prefix);
  const fault = hasHostBits(text)
    ? `${text} has bits set beyond its length: write ${form}`
    : faultOfNetwork(form, pools);
  if (fault !== undefined) faults.add(at, fault);
  return form;
}

/** A gateway routes each address to one device by one prefix. */
function overlapIn(wanted: readonly string[], prefix: string): string | undefined {
  const other = wanted.find((one) => one !== prefix && prefixesOverlap(one, prefix));
  return other === undefined ? undefined : `${prefix} overlaps ${other}: approve one of them`;
}

/** Says of a prefix what else is there already: another device's network, or the entrance of a gateway. */
async function takenAddresses(
  db: Kysely<Database>,
  deviceId: string,
): Promise<{ readonly others: number; readonly taken: (prefix: string) => string | undefined }> {
  const devices = await db
    .selectFrom('device')
    .select(['name', 'networks'])
    .where('id', '<>', deviceId)
    .where('networks', '<>', '[]')
    .execute();
  const gateways = await db.selectFrom('gateway').select(['name', 'endpoint_host']).execute();
  const behind = devices.flatMap((device) =>
    networksOf(device).flatMap(({ prefix, approved }) => (approved ? { prefix, device: device.name } : [])),
  );
  const taken = (text: string): string | undefined => {
    const other = behind.find((one) => prefixesOverlap(one.prefix, text));
    if (other !== undefined) return `${text} overlaps ${other.prefix}, which is behind the device ${other.device}`;
    const prefix = parsePrefix(text);
    for (const { name, endpoint_host: host } of gateways) {
      const address = parseAddress(host);
      if (prefix !== undefined && address !== undefined && prefixContains(prefix, address))
        return `${text} holds ${host}, where devices reach the gateway ${name}`;
    }
    return undefined;
  };
  return { others: behind.length, taken };
}
