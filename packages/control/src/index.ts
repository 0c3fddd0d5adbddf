export * from './store/store.ts';
export { ApiError } from './http/api-error.ts';
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
export { backup, type BackupOptions } from './backup/backup.ts';
export { restore, type RestoreOptions } from './backup/restore.ts';
export { isStorageAway, startControl, type Control, type ControlOptions } from './control.ts';
export { WebServer, ListenError, type ListenAddress, type OtherProtocol, type WebHandlers } from './web-server.ts';
export { ConsoleFiles, loadConsole } from './http/console-files.ts';
export { answerWhileWaiting } from './waiting.ts';
export { CertificateError, fingerprintOf, HandedCertificate, type Certificate, type CertificateSource } from './tls/certificate.ts'; // prettier-ignore
export { makeSelfSigned, openSelfSigned } from './tls/self-signed.ts';
export { loadAcmeClient, openAcme, type AcmeCertificate, type AcmeOptions } from './tls/acme.ts';
