export * from './messages.ts';
export * from './signed-state.ts';
