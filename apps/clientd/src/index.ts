export * from './failure.ts';
export * from './names/resolv-conf.ts';
export * from './socket/line-reader.ts';
export * from './socket/socket-server.ts';
export * from './reconciler.ts';
