export * from './drop-reason.ts';
export * from './instant.ts';
export * from './memory.ts';
export * from './packet-batch.ts';
export * from './path.ts';
export * from './protocol.ts';
export * from './secret.ts';
export { suggest } from './suggest.ts';
