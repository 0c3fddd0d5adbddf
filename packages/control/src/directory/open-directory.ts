import { isDeepStrictEqual } from 'node:util';
import type { Settings } from '@sallyport/api';
import { encodeStateKey } from '@sallyport/link';
import type { AccessModel } from '@sallyport/policy';
import type { Kysely } from 'kysely';
import type { Logger } from 'pino';
import type { Database } from '../store/schema.ts';
import type { Change, ChangeListener, EntityKind, Store, Writing } from '../store/store.ts';
import type { Directory } from './directory.ts';
import { openVpnAuthority } from '../openvpn/authority.ts';
import { offeredCiphers, pushedLines } from '../openvpn/push.ts';
import { namesOf, readSettings } from '../repositories/settings.ts';
import { load, loadMembers, type Entity, type Ids, type Part } from './load.ts';

/** How often it looks whether a new month has begun. */
const monthCheckMs = 30_000;
/** How soon it tries again where the database did not answer. */
const retryMs = 500;

export interface DirectoryOptions {
  /** The address pools of the service: prefixes. */
  readonly pool4: string;
  readonly pool6: string;
  readonly log: Pick<Logger, 'error'>;
}

/** The kinds that are parts of the access model. */
const parts: Partial<Record<EntityKind, Part>> = {
  user: 'users',
  group: 'groups',
  device: 'devices',
  gateway: 'gateways',
  resource: 'resources',
  rule: 'rules',
  policyTest: 'tests',
  usage: 'users',
};

const kinds = Object.entries(parts) as [EntityKind, Part][];

/** Loads the organisation and keeps it current until it is closed. */
export async function openDirectory(store: Store, options: DirectoryOptions): Promise<Directory> {
  const directory = new StoredDirectory(store, options);
  await directory.open();
  return directory;
}

interface State {
  readonly model: AccessModel;
  readonly settings: Settings;
  /** The month of the users' traffic. */
  readonly month: string;
  /** The last change that is taken in. */
  readonly version: number;
}

class StoredDirectory implements Directory {
  readonly #store: Store;
  readonly #log: Pick<Logger, 'error'>;
  readonly #listeners = new Set<ChangeListener>();
  #state: State;
  /** Changes that are not taken in yet, in order. */
  #waiting: Change[] = [];
  /** Whether {@link #waiting} names everything, some changes having been missed. */
  #complete = false;
  #working = Promise.resolve();
  #unsubscribe: (() => void) | undefined;
  #monthTimer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(store: Store, { pool4, pool6, log }: DirectoryOptions) {
    this.#store = store;
    this.#log = log;
    const none = new Map<string, never>();
    this.#state = {
      model: {
        pool4,
        pool6,
        users: none,
        groups: none,
        devices: none,
        gateways: none,
        resources: none,
        rules: none,
        tests: none,
        names: null,
      },
      // Replaced before anybody sees it.
      settings: undefined as never,
      month: '',
      version: 0,
    };
  }

  get model(): AccessModel {
    return this.#state.model;
  }

  get settings(): Settings {
    return this.#state.settings;
  }

  async open(): Promise<void> {
    const { version } = this.#store;
    // What is announced while everything is loaded waits, and is taken in after it; taking it in twice does no harm.
    this.#unsubscribe = this.#store.onChange((changes, complete) => this.#take(changes, complete));
    const loaded = this.#everything(version).then((state) => {
      this.#state = state;
    });
    this.#working = loaded.catch(() => undefined);
    try {
      await loaded;
    } catch (error) {
      this.close();
      throw error;
    }
    this.#monthTimer = setInterval(() => this.#checkMonth(), monthCheckMs).unref();
  }

  onChange(listener: ChangeListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async preview(writing: Writing): Promise<AccessModel> {
    const state = this.#state;
    const committed = await writing.db
      .selectFrom('change')
      .select(['kind', 'id'])
      .where('version', '>', state.version)
      .execute();
    const changes = [...(committed as Omit<Change, 'version'>[]), ...writing.pending];
    const { model } = await this.#reload(writing.db, state, changes, state.version);
    return model;
  }

  close(): void {
    this.#closed = true;
    this.#unsubscribe?.();
    clearInterval(this.#monthTimer);
    clearTimeout(this.#retryTimer);
  }

  /** Settles once the changes are taken in, or that failed and is tried again later. */
  #take(changes: readonly Change[], complete: boolean): Promise<void> {
    this.#waiting = complete ? [...changes] : [...this.#waiting, ...changes];
    this.#complete ||= complete;
    return (this.#working = this.#working.then(() => this.#work()));
  }

  async #work(): Promise<void> {
    const [changes, complete] = [this.#waiting, this.#complete];
    const version = changes.at(-1)?.version;
    if (this.#closed || version === undefined) return;
    this.#waiting = [];
    this.#complete = false;
    const before = this.#state;
    let announced: readonly Change[];
    try {
      if (complete) {
        this.#state = await this.#everything(version);
        announced = [...changes, ...removedBetween(before.model, this.#state.model, version)];
      } else {
        const { implied, ...state } = await this.#reload(this.#store.db, before, changes, version);
        this.#state = state;
        announced = [...changes, ...implied];
      }
    } catch (error) {
      if (this.#closed) return;
      this.#log.error({ err: error }, 'changes could not be taken in; they are tried again');
      // Where everything was announced meanwhile, that holds these as well.
      if (!this.#complete) this.#waiting = [...changes, ...this.#waiting];
      this.#complete ||= complete;
      clearTimeout(this.#retryTimer);
      this.#retryTimer = setTimeout(() => void this.#take([], false), retryMs).unref();
      return;
    }
    await this.#announce(announced, complete);
  }

  /** Everything, sharing with the present model what is the same. */
  async #everything(version: number): Promise<State> {
    const { db } = this.#store;
    const month = monthOf(this.#store.now());
    const model = { ...this.#state.model };
    for (const part of new Set(Object.values(parts))) await replace(model, part, db, undefined, month);
    const settings = await readSettings(db);
    await takeSettings(model, settings, this.#store);
    return { model, settings, month, version };
  }

  /** Reads again what `changes` name and what hangs on it. */
  async #reload(
    db: Kysely<Database>,
    before: State,
    changes: readonly Omit<Change, 'version'>[],
    version: number,
  ): Promise<State & { readonly implied: readonly Change[] }> {
    const ids = new Map<Part, Set<string>>();
    const add = (part: Part, id: string): void => {
      const set = ids.get(part);
      if (set === undefined) ids.set(part, new Set([id]));
      else set.add(id);
    };
    const implied: Change[] = [];
    const named = (kind: EntityKind) => new Set(changes.filter((change) => change.kind === kind).map(({ id }) => id));
    for (const { kind, id } of changes) {
      const part = parts[kind];
      if (part !== undefined) add(part, id);
    }
    for (const group of named('group')) {
      for (const id of await changedMembers(db, before.model, group)) add('users', id);
    }
    const model = { ...before.model };
    for (const part of ['users', 'groups', 'gateways', 'resources', 'rules'] as const) {
      if (ids.has(part)) await replace(model, part, db, ids.get(part), before.month);
    }
    // Devices and tests go with their user, tests with their gateway too.
    const gone = (part: 'users' | 'gateways') =>
      new Set([...(ids.get(part) ?? [])].filter((id) => before.model[part].has(id) && !model[part].has(id)));
    const goneUsers = gone('users');
    const goneGateways = gone('gateways');
    if (goneUsers.size > 0 || goneGateways.size > 0) {
      const namedDevices = named('device');
      for (const device of before.model.devices.values()) {
        if (!goneUsers.has(device.userId) || namedDevices.has(device.id)) continue;
        add('devices', device.id);
        implied.push({ version, kind: 'device', id: device.id });
      }
      const namedTests = named('policyTest');
      for (const test of before.model.tests.values()) {
        const goes = goneUsers.has(test.userId) || (test.gatewayId !== null && goneGateways.has(test.gatewayId));
        if (!goes || namedTests.has(test.id)) continue;
        add('tests', test.id);
        implied.push({ version, kind: 'policyTest', id: test.id });
      }
    }
    for (const part of ['devices', 'tests'] as const) {
      if (ids.has(part)) await replace(model, part, db, ids.get(part), before.month);
    }
    const settings = named('settings').size > 0 ? await readSettings(db) : before.settings;
    await takeSettings(model, settings, this.#store);
    return { model, settings, month: before.month, version, implied };
  }

  /** At the turn of the month everybody's traffic begins anew. */
  #checkMonth(): void {
    const month = monthOf(this.#store.now());
    if (month === this.#state.month) return;
    this.#working = this.#working.then(async () => {
      if (this.#closed || month === this.#state.month) return;
      const before = this.#state;
      const model = { ...before.model };
      try {
        await replace(model, 'users', this.#store.db, undefined, month);
      } catch (error) {
        this.#log.error({ err: error }, "the new month's traffic could not be read; it is tried again");
        return;
      }
      this.#state = { ...before, model, month };
      const changed = [...model.users.values()].filter(
        (user) => user.trafficBytesThisMonth !== before.model.users.get(user.id)?.trafficBytesThisMonth,
      );
      const changes = changed.map(({ id }) => ({ version: before.version, kind: 'usage', id }) as const);
      if (changes.length > 0) await this.#announce(changes, false);
    });
  }

  async #announce(changes: readonly Change[], complete: boolean): Promise<void> {
    const heard = [...this.#listeners].map(async (listener) => {
      try {
        await listener(changes, complete);
      } catch (error) {
        this.#log.error({ err: error }, 'a listener of the directory failed');
      }
    });
    await Promise.all(heard);
  }
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Puts what the database holds now in the place of a part's entities, or of those with certain ids. */
async function replace(
  model: Mutable<AccessModel>,
  part: Part,
  db: Kysely<Database>,
  ids: Ids,
  month: string,
): Promise<void> {
  const before: ReadonlyMap<string, Entity<Part>> = model[part];
  const found: ReadonlyMap<string, Entity<Part>> = await load[part](db, ids, month);
  const after = ids === undefined ? new Map<string, Entity<Part>>() : new Map(before);
  let same = ids !== undefined || found.size === before.size;
  for (const id of ids ?? found.keys()) {
    const entity = found.get(id);
    const old = before.get(id);
    if (entity === undefined) {
      if (after.delete(id)) same = false;
    } else if (old !== undefined && isDeepStrictEqual(old, entity)) {
      after.set(id, old);
    } else {
      after.set(id, entity);
      same = false;
    }
  }
  if (!same) (model as Record<Part, unknown>)[part] = after;
}

/** What gateways get of the settings. Keeps objects where they say the same. */
async function takeSettings(model: Mutable<AccessModel>, settings: Settings, store: Store): Promise<void> {
  const names = namesOf(settings);
  if (!isDeepStrictEqual(names, model.names)) model.names = names;
  const openvpn = await openVpnOf(model, settings, store);
  if (!isDeepStrictEqual(openvpn, model.openvpn ?? null)) model.openvpn = openvpn;
}

/** Null where no gateway has a certificate; where one has, there is an authority, so that this only reads. */
async function openVpnOf(
  model: AccessModel,
  settings: Settings,
  store: Store,
): Promise<NonNullable<AccessModel['openvpn']> | null> {
  if (!Array.from(model.gateways.values()).some(({ openvpnCertificate }) => openvpnCertificate)) return null;
  const authority = await openVpnAuthority(store);
  return {
    authority: authority.certificate,
    clientKey: authority.clientKey.reveal().toString('base64'),
    tokenKey: encodeStateKey(authority.tokenKey),
    dataCiphers: offeredCiphers(settings),
    push: pushedLines(model, settings),
  };
}

/** Users who are in a group and were not, or the other way round. */
async function changedMembers(db: Kysely<Database>, model: AccessModel, group: string): Promise<string[]> {
  const now = await loadMembers(db, group);
  const before = new Set<string>();
  for (const user of model.users.values()) {
    if (user.groups.has(group)) before.add(user.id);
  }
  return [...[...now].filter((id) => !before.has(id)), ...[...before].filter((id) => !now.has(id))];
}

function removedBetween(before: AccessModel, after: AccessModel, version: number): Change[] {
  return kinds.flatMap(([kind, part]) =>
    kind === 'usage'
      ? []
      : [...before[part].keys()].filter((id) => !after[part].has(id)).map((id) => ({ version, kind, id })),
  );
}

function monthOf(now: number): string {
  return new Date(now).toISOString().slice(0, 7);
}
