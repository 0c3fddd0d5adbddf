/** What the command line mounts. What needs the control plane's program loads it when it is called. */
import type { AuditVerdict } from '@sallyport/control';
import type { BackupResult, RestoreChoices, RestoreResult, ServiceChoice } from './commands/storage.ts';

export { checkConfiguration, defaultConfiguration, effectiveConfiguration } from './commands/config.ts';
export { GATEWAY_JOIN_HELP, joinGateway, runGateway } from './commands/gateway.ts';
export { serverCommand } from './commands/server.ts';
export { ConfigurationError } from './config/read.ts';

export { DataFolderError } from './data-folders.ts';
export { SERVER_HELP, UsageError } from './server-arguments.ts';
export { StartError } from './start-error.ts';
export type { BackupResult, RestoreChoices, RestoreResult, ServiceChoice };

/** `sallyport backup FILE`. Throws an Error that says what is wrong and what to do; so do the others. */
export async function backupCommand(choice: ServiceChoice, file: string, passphrase?: string): Promise<BackupResult> {
  return (await import('./commands/storage.ts')).backupTo(choice, file, passphrase);
}

/** `sallyport restore FILE` */
export async function restoreCommand(
  choice: ServiceChoice,
  file: string,
  choices: RestoreChoices = {},
): Promise<RestoreResult> {
  return (await import('./commands/storage.ts')).restoreFrom(choice, file, choices);
}

/** `sallyport audit verify`, on the database itself. */
export async function verifyAuditCommand(choice: ServiceChoice): Promise<AuditVerdict> {
  return (await import('./commands/storage.ts')).verify(choice);
}
