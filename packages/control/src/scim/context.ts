import type { EndpointRequest } from '../http/endpoint.ts';
import { versionOf } from '../http/version.ts';
import { findScimClient, type ScimClientRow } from '../repositories/scim-clients.ts';
import type { Services } from '../services.ts';
import type { Origin, Writing } from '../store/store.ts';
import { SCIM_PATH } from './discovery.ts';
import { ScimFault } from './fault.ts';

/** A request of a client that has proved itself. */
export interface ScimRequest {
  readonly request: EndpointRequest;
  readonly services: Services;
  readonly client: ScimClientRow;
  /** `https://vpn.example.org/scim/v2` */
  readonly base: string;
}

export function unauthorized(): ScimFault {
  return new ScimFault(
    401,
    undefined,
    'Send the token of a SCIM client as "authorization: Bearer spm_…"; an administrator makes one where SCIM clients are kept.',
  );
}

/** Runs a change in the client's name, unless the client was removed meanwhile. */
export function writeAs<T>(
  { request, services, client }: ScimRequest,
  work: (writing: Writing) => Promise<T>,
): Promise<T> {
  const origin: Origin = {
    actor: { kind: 'token', id: client.id, name: client.name },
    via: 'scim',
    address: services.directory.settings.auditAddresses ? request.client.address : null,
  };
  return services.store.write(origin, async (writing) => {
    if ((await findScimClient(writing.db, { id: client.id })) === undefined) throw unauthorized();
    return work(writing);
  });
}

/** Throws where the request is made for another version than this (RFC 7644, 3.14); it need not name one. */
export function requireVersion(request: EndpointRequest, version: number): void {
  const header = request.header('if-match');
  if (header === undefined || header.trim() === '*' || versionOf(header) === version) return;
  throw new ScimFault(412, undefined, `The resource has the version W/"${version}" now: get it, and try again.`);
}

/** Ids are ours; whatever else stands in an address is unknown. */
export function isId(id: string): boolean {
  return /^[\w-]{1,64}$/.test(id);
}

export function baseOf(services: Services): string {
  return services.publicUrl() + SCIM_PATH;
}
