/** What a worker of the data plane needs of WireGuard: the packet half and its tables, without sessions. */
export * from './packet-half.ts';
export * from './tables.ts';
