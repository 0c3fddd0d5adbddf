export { CarrierError } from './carrier-error.ts';
export { openCarrierClient, type CarrierClient, type CarrierClientOptions } from './client.ts';
export { CARRIER_LIMITS, type CarrierLimits } from './limits.ts';
export type { CarrierAddress } from './listen.ts';
export { openOpenVpnTcpClient, type OpenVpnTcpClient, type OpenVpnTcpClientOptions } from './openvpn-client.ts';
export {
  OPENVPN_TCP_LIMITS,
  OpenVpnTcpServer,
  type OpenVpnTcpLimits,
  type OpenVpnTcpServerOptions,
} from './openvpn-server.ts';
export {
  CarrierServer,
  type CarrierCertificate,
  type CarrierServerOptions,
  type CarrierServerStats,
} from './server.ts';
export type { Traffic } from './relay.ts';
