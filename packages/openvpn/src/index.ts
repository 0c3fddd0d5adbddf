export type * from './crypto.ts';
export type * from './data/data-sessions.ts';
export type * from './session/authentication.ts';
export type * from './tls.ts';
