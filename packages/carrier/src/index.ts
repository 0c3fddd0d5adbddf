export { CarrierError } from './carrier-error.ts';
export { openCarrierClient, type CarrierClient, type CarrierClientOptions } from './client.ts';
export { CARRIER_LIMITS, type CarrierLimits } from './limits.ts';
export {
  CarrierServer,
  type CarrierAddress,
  type CarrierCertificate,
  type CarrierServerOptions,
  type CarrierServerStats,
} from './server.ts';
export type { Traffic } from './relay.ts';
