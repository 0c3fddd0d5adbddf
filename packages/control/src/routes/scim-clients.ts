import { routes } from '@sallyport/api';
import { randomUUID } from 'node:crypto';
import { hashToken, newToken } from '../auth/tokens.ts';
import { ApiError } from '../http/api-error.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { describeScimClient, findScimClient, listScimClients } from '../repositories/scim-clients.ts';
import { SCIM_PATH } from '../scim/discovery.ts';

/** Clients in all: an organisation has one or two. */
const maxClients = 50;

export function scimClientRoutes(): RouteImplementation[] {
  return [
    implement(routes.listScimClients, async ({ services }) => {
      const items = await listScimClients(services.store.db);
      return { items: items.sort((a, b) => (a.name < b.name ? -1 : 1)), next: null };
    }),
    implement(routes.createScimClient, async ({ body, services, origin }) => {
      const token = newToken('scim');
      return services.store.write(origin, async ({ db, now, audit, changed }) => {
        const all = await listScimClients(db);
        if (all.some(({ name }) => name === body.name)) {
          throw new ApiError('nameTaken', `There is a SCIM client ${body.name} already; choose another name.`);
        }
        if (all.length >= maxClients) {
          throw new ApiError('limitReached', `There are ${maxClients} SCIM clients; remove those that are not used.`);
        }
        const row = {
          id: randomUUID(),
          name: body.name,
          token_hash: hashToken(token),
          created_at: now,
          last_used_at: null,
        };
        await db.insertInto('scim_client').values(row).execute();
        const described = describeScimClient(row, 0, 0);
        await audit('scimClient.create', { kind: 'scimClient', id: row.id, name: row.name }, undefined, described);
        changed('scimClient', row.id);
        return { ...described, token, url: services.publicUrl() + SCIM_PATH };
      });
    }),
    implement(routes.deleteScimClient, async ({ params, services, origin }) => {
      await services.store.write(origin, async ({ db, audit, changed }) => {
        const row = await findScimClient(db, { id: params.scimClientId });
        if (row === undefined) throw new ApiError('notFound', 'There is no such SCIM client.');
        const before = (await listScimClients(db)).find(({ id }) => id === row.id);
        await db.deleteFrom('scim_client').where('id', '=', row.id).execute();
        await audit('scimClient.delete', { kind: 'scimClient', id: row.id, name: row.name }, before);
        changed('scimClient', row.id);
      });
    }),
  ];
}
