export * from './wireguard-plane.ts';
export * from './wireguard-protocol.ts';
