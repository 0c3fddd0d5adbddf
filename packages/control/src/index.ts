export * from './store/store.ts';
export { openStore, type StoreOptions } from './store/open-store.ts';
export { sealedSecret } from './store/secrets.ts';
export { describeDatabaseUrl } from './store/database-url.ts';
export type * from './store/schema.ts';
export type { Directory } from './directory/directory.ts';
export { openDirectory, type DirectoryOptions } from './directory/open-directory.ts';
export {
  auditEntry,
  expireAudit,
  exportAudit,
  verifyAudit,
  type AuditTarget,
  type AuditVerdict,
} from './audit/audit-log.ts';
