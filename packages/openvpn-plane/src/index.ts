export * from './node-crypto.ts';
export * from './openvpn-plane.ts';
export * from './openvpn-protocol.ts';
export * from './openvpn-side.ts';
export * from './remote-path.ts';
export * from './tls-engine.ts';
