export * from './daemon-protocol.ts';
export * from './settings.ts';
