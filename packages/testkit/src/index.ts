export * from './plain-memory.ts';
export * from './seeded-random.ts';
