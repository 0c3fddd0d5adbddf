/** Commands that work on the database itself, whether the service runs or not: as root, on the control plane's machine. */
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  backup,
  describeDatabaseUrl,
  openStore,
  restore,
  verifyAudit,
  type AuditVerdict,
  type Store,
  type StoreOptions,
} from '@sallyport/control';
import { Secret } from '@sallyport/core';
import { pino } from 'pino';
import { readConfigurationFile } from '../config/read.ts';
import type { Configuration } from '../config/schema.ts';
import { dataFolders, prepareDataFolders } from '../data-folders.ts';
import { databaseUrl } from '../settings.ts';
import { EXIT_NOT_PERMITTED, StartError } from '../start-error.ts';

/** Which service: as `sallyport server` takes it. */
export interface ServiceChoice {
  readonly config?: string | undefined;
  readonly data?: string | undefined;
}

interface Place {
  readonly url: string;
  readonly masterKeyFile: string;
  readonly configuration: Configuration;
}

export interface BackupResult {
  readonly rows: number;
}

export interface RestoreChoices {
  readonly passphrase?: string | undefined;
  /** Replaces what the database holds. */
  readonly force?: boolean | undefined;
}

export interface RestoreResult {
  readonly rows: number;
  /** When the backup was made; RFC 3339. */
  readonly madeAt: string;
  /** Without its password. */
  readonly database: string;
}

/** Writes everything to a new file, while the service runs on. */
export function backupTo(choice: ServiceChoice, file: string, passphrase?: string): Promise<BackupResult> {
  return withStore(choice, (store) =>
    backup(store, resolve(file), {
      ...(passphrase === undefined ? {} : { passphrase: new Secret(passphrase) }),
      onFile: asRoot,
    }),
  );
}

/** Puts a backup into an empty database, or with `force` into any. A service that runs must be started again after it. */
export async function restoreFrom(
  choice: ServiceChoice,
  file: string,
  options: RestoreChoices,
): Promise<RestoreResult> {
  const { url, masterKeyFile, configuration } = locate(choice);
  const { controlUid } = configuration.process;
  prepareDataFolders(configuration.data, { control: controlUid });
  const { rows, header } = await asOwner(url, controlUid, () =>
    restore(resolve(file), {
      url,
      masterKeyFile,
      now: () => Date.now(),
      log: logOf(configuration),
      ...(options.passphrase === undefined ? {} : { passphrase: new Secret(options.passphrase) }),
      force: options.force ?? false,
      onFile: asRoot,
    }),
  );
  // What root has made is the control plane's.
  prepareDataFolders(configuration.data, { control: controlUid });
  return { rows, madeAt: header.createdAt, database: describeDatabaseUrl(url) };
}

/** Follows the chain of the audit log. */
export function verify(choice: ServiceChoice): Promise<AuditVerdict> {
  return withStore(choice, (store) => verifyAudit(store.db));
}

function locate(choice: ServiceChoice): Place {
  if (process.geteuid?.() !== 0) throw new StartError('this takes root; run it with sudo', EXIT_NOT_PERMITTED);
  const overrides =
    choice.data === undefined ? [] : [{ path: ['data'], value: resolve(choice.data), option: '--data' }];
  const configuration = readConfigurationFile(
    choice.config === undefined ? undefined : resolve(choice.config),
    overrides,
  );
  const { control } = dataFolders(configuration.data);
  return { url: databaseUrl(configuration, control), masterKeyFile: join(control, 'master.key'), configuration };
}

async function withStore<T>(choice: ServiceChoice, work: (store: Store) => Promise<T>): Promise<T> {
  const { url, masterKeyFile, configuration } = locate(choice);
  // Not to be made by looking at it.
  if (!existsSync(masterKeyFile)) {
    throw new StartError(
      `there is no service in ${configuration.data}: name its folder with --data, or its file with --config`,
    );
  }
  return asOwner(url, configuration.process.controlUid, async () => {
    const store = await openStore({ url, masterKeyFile, now: () => Date.now(), log: logOf(configuration) });
    try {
      return await work(store);
    } finally {
      await store.close();
    }
  });
}

/**
 * Works on the files of SQLite as the user whose they are. That user's process parses what comes from the network:
 * whoever takes it over may lay links there, which root must not follow.
 */
async function asOwner<T>(url: string, user: number, work: () => Promise<T>): Promise<T> {
  if (!url.startsWith('sqlite:')) return work();
  process.setgroups?.([]);
  process.setegid?.(user);
  process.seteuid?.(user);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
  }
}

/** Within {@link asOwner}: for the backup's file, which is root's. Nothing else happens meanwhile. */
async function asRoot<T>(work: () => Promise<T>): Promise<T> {
  const [user, group] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0];
  process.seteuid?.(0);
  process.setegid?.(0);
  try {
    return await work();
  } finally {
    process.setegid?.(group);
    process.seteuid?.(user);
  }
}

function logOf({ log }: Configuration): StoreOptions['log'] {
  return pino({ base: { name: 'storage' }, level: log.level === 'info' ? 'warn' : log.level }, pino.destination(2));
}
