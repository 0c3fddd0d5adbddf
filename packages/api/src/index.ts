export * from './contract.ts';
export * from './permission.ts';
export * from './problem.ts';
export * as entities from './entities.ts';
export * as fields from './fields.ts';
export type * from './entities.ts';
