export * from './tunnel.ts';
