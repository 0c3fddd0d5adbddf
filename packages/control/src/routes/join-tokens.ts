import { randomBytes, randomUUID } from 'node:crypto';
import { gatewayRoutes as contracts } from '@sallyport/api';
import { createJoinToken, hashToken, JOIN_SECRET_BYTES, parseJoinToken } from '@sallyport/link';
import { linkIdentity } from '../hub/keys.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import * as repository from '../repositories/gateways.ts';
import { findRegion } from '../repositories/regions.ts';
import type { Services } from '../services.ts';
import type { Origin } from '../store/store.ts';
import { found } from './answers.ts';
import { Faults } from './faults.ts';

export interface NewJoinTokenOptions {
  readonly regionId?: string | undefined;
  readonly expiresInSeconds: number;
}

/** A token that lets one gateway join, which is kept as a hash only. For the route, and for a gateway of this machine. */
export async function addJoinToken(services: Services, origin: Origin, options: NewJoinTokenOptions) {
  const { store, publicUrl } = services;
  const { keyHash } = await linkIdentity(store);
  const token = createJoinToken(randomBytes(JOIN_SECRET_BYTES), keyHash);
  return await store.write(origin, async (writing) => {
    const { regionId } = options;
    const faults = new Faults();
    if (regionId !== undefined && (await findRegion(writing.db, regionId)) === undefined)
      faults.add('/body/regionId', 'there is no such region: create it first');
    faults.check();
    const row = await repository.insertJoinToken(writing, {
      id: randomUUID(),
      token_hash: hashToken(parseJoinToken(token)!.secret),
      region_id: regionId ?? null,
      created_at: writing.now,
      expires_at: writing.now + options.expiresInSeconds * 1000,
    });
    // By a pipe: what is on a command line every user of the machine can see.
    return { ...row, token, command: `echo ${token} | sudo sallyport gateway join ${publicUrl()} -` };
  });
}

export const joinTokenRoutes: readonly RouteImplementation[] = [
  implement(contracts.listJoinTokens, ({ services, query }) => repository.listJoinTokens(services.store.db, query)),

  implement(contracts.createJoinToken, ({ services, origin, body }) => addJoinToken(services, origin, body)),

  implement(contracts.revokeJoinToken, ({ services, origin, params }) =>
    services.store.write(origin, async (writing) => {
      found((await repository.deleteJoinToken(writing, params.joinTokenId)) || undefined, 'join token');
    }),
  ),
];
