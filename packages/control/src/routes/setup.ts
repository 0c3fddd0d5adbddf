import { routes } from '@sallyport/api';
import type { Identity } from '../auth/identity.ts';
import { isSetupNeeded, isSetupToken, useSetupToken } from '../auth/setup-token.ts';
import { ApiError } from '../http/api-error.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { describeUser, describeUserRow, findUserByName, newUserRow } from '../repositories/users.ts';

export function setupRoutes({ passwords }: Identity): RouteImplementation[] {
  return [
    implement(routes.setUp, async ({ body, services, origin }) => {
      const done = (): ApiError =>
        new ApiError(
          'gone',
          'This link is used up or was replaced. While no administrator exists, each start of the server prints a new one.',
        );
      // No work for who has no chance.
      const { db: reading } = services.store;
      if (!(await isSetupNeeded(reading)) || !(await isSetupToken(reading, body.token))) throw done();
      const hash = await passwords.hash(body.password);
      const setup = { ...origin, actor: { kind: 'setup', id: null, name: 'setup' } } as const;
      return services.store.write(setup, async ({ db, now, audit, changed }) => {
        if (!(await isSetupNeeded(db)) || !(await useSetupToken(db, body.token))) throw done();
        if ((await findUserByName(db, body.name)) !== undefined) {
          throw new ApiError('nameTaken', `There is a user ${body.name} already; choose another name.`);
        }
        const row = newUserRow(now, {
          name: body.name,
          display_name: body.displayName ?? '',
          role: 'administrator',
          password_hash: hash,
        });
        await db.insertInto('user').values(row).execute();
        await audit('user.create', { kind: 'user', id: row.id, name: row.name }, undefined, describeUserRow(row, []));
        changed('user', row.id);
        return describeUser(db, services.directory.model, row);
      });
    }),
  ];
}
