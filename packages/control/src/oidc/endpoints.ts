import type { Identity } from '../auth/identity.ts';
import type { Endpoint } from '../http/endpoint.ts';

export function oidcEndpoints(_identity: Identity): Endpoint[] {
  return [];
}
