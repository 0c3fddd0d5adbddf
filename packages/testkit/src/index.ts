export * from './conformance.ts';
export * from './plain-memory.ts';
export * from './seeded-random.ts';
export * from './simulated-network.ts';
export * from './virtual-clock.ts';
