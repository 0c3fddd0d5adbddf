export * from './wireguard-plane.ts';
