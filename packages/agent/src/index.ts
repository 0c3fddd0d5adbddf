export * from './agent.ts';
export * from './clock.ts';
export * from './membership.ts';
export * from './metrics.ts';
export * from './names.ts';
export * from './state-file.ts';
export * from './tunnel.ts';
