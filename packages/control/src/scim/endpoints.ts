import type { Endpoint } from '../http/endpoint.ts';

export function scimEndpoints(): Endpoint[] {
  return [];
}
