import type { Settings } from '@sallyport/api';
import type { NamesPlan } from '@sallyport/policy';
import type { Kysely, Selectable } from 'kysely';
import type { Database, SettingsTable } from '../store/schema.ts';
import type { Writing } from '../store/store.ts';

/** The one row. */
const SETTINGS_ID = 1;

/** Settings of the names service that a row from before it lacks. */
const NO_NAMES: NamesPlan = { upstreams: [], blockLists: [], blocked: [], hosts: [], domains: [] };

/** Settings of OpenVPN that a row from before it lacks. */
const OPENVPN: Settings['openvpn'] = {
  dataCiphers: ['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305'],
  oldClients: false,
};

export async function readSettings(db: Kysely<Database>): Promise<Settings> {
  return settingsOf(
    await db.selectFrom('settings').selectAll().where('id', '=', SETTINGS_ID).executeTakeFirstOrThrow(),
  );
}

function settingsOf({ value, version }: Selectable<SettingsTable>): Settings {
  const settings = JSON.parse(value) as Omit<Settings, 'version'>;
  return {
    ...settings,
    dns: { ...structuredClone(NO_NAMES), ...settings.dns },
    openvpn: { ...structuredClone(OPENVPN), ...settings.openvpn },
    version,
  };
}

/** What gateways do with the names that devices ask them for. */
export function namesOf({ dns }: Settings): NamesPlan {
  const { upstreams, blockLists, blocked, hosts, domains } = dns;
  return { upstreams, blockLists, blocked, hosts, domains };
}

export async function writeSettings(writing: Writing, before: Settings, after: Settings): Promise<Settings> {
  const { version: _, ...value } = after;
  const settings = { ...value, version: before.version + 1 };
  await writing.db
    .updateTable('settings')
    .set({ value: JSON.stringify(value), version: settings.version })
    .where('id', '=', SETTINGS_ID)
    .execute();
  await writing.audit('settings.update', { kind: 'settings', id: null, name: 'settings' }, before, settings);
  writing.changed('settings', 'settings');
  return settings;
}
