export * from './data-plane.ts';
export * from './uapi-client.ts';
export * from './uapi-socket.ts';
export * from './worker.ts';
