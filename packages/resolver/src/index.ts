export { BlockListStore } from './block-list-store.ts';
export type { BlockListStoreOptions } from './block-list-store.ts';
export { CLIENT_LIMITS, NameServer } from './name-server.ts';
export type { NameServerOptions } from './name-server.ts';
export type { ClientLimits } from './clients.ts';
export { canonicalName, parseUpstream } from './plan.ts';
export type { NamesPlan, UpstreamAddress } from './plan.ts';
export { Resolver } from './resolver.ts';
export type { ResolverOptions, ResolverStatistics } from './resolver.ts';
