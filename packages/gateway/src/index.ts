export * from './datagram-train.ts';
export * from './inbound.ts';
export * from './outbound.ts';
