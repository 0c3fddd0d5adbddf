import { routes } from '@sallyport/api';
import { randomUUID } from 'node:crypto';
import type { Identity } from '../auth/identity.ts';
import { requireCovers } from '../auth/roles.ts';
import { requireStepUp } from '../auth/step-up.ts';
import { hashToken, newToken } from '../auth/tokens.ts';
import { ApiError } from '../http/api-error.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { describeInvitation, endInvitations, findInvitation, listInvitations } from '../repositories/invitations.ts';
import { endSessions } from '../repositories/sessions.ts';
import { getUser } from '../repositories/users.ts';

export function invitationRoutes({ passwords }: Identity): RouteImplementation[] {
  return [
    implement(routes.listInvitations, async ({ query, services }) => {
      const { items, next } = await listInvitations(services.store.db, query, services.now());
      return { items: items.map(describeInvitation), next };
    }),
    implement(routes.createInvitation, async ({ body, caller, services, origin }) => {
      const token = newToken('invitation');
      return services.store.write(origin, async ({ db, now, audit, changed }) => {
        const user = await getUser(db, body.userId);
        // Who accepts it can log in as this user.
        requireCovers(caller, user.role);
        if (user.role !== 'user') requireStepUp(caller, now);
        if (user.disabled === 1) throw new ApiError('conflict', 'The user is disabled; enable them first.');
        await db.deleteFrom('invitation').where('user_id', '=', user.id).where('expires_at', '<=', now).execute();
        const row = {
          id: randomUUID(),
          token_hash: hashToken(token),
          user_id: user.id,
          created_by: caller.userName,
          created_at: now,
          expires_at: now + body.expiresInSeconds * 1000,
          used_at: null,
        };
        await db.insertInto('invitation').values(row).execute();
        const invitation = describeInvitation({ ...row, user_name: user.name });
        await audit('invitation.create', { kind: 'user', id: user.id, name: user.name }, undefined, {
          id: row.id,
          expiresAt: invitation.expiresAt,
        });
        changed('invitation', row.id);
        return { ...invitation, token, url: `${services.publicUrl()}/invitation#${token}` };
      });
    }),
    implement(routes.deleteInvitation, async ({ params, caller, services, origin }) => {
      await services.store.write(origin, async ({ db, audit, changed }) => {
        const row = await findInvitation(db, { id: params.invitationId });
        if (row === undefined || row.used_at !== null) throw new ApiError('notFound', 'There is no such invitation.');
        requireCovers(caller, (await getUser(db, row.user_id)).role);
        await db.deleteFrom('invitation').where('id', '=', row.id).execute();
        await audit('invitation.revoke', { kind: 'user', id: row.user_id, name: row.user_name }, { id: row.id });
        changed('invitation', row.id);
      });
    }),
    implement(routes.acceptInvitation, async ({ body, services, origin }) => {
      const gone = (): ApiError =>
        new ApiError('gone', 'This invitation was used, revoked or is too old. Ask an administrator for a new one.');
      const tokenHash = hashToken(body.token);
      const found = await findInvitation(services.store.db, { tokenHash });
      if (found === undefined || found.used_at !== null || found.expires_at <= services.now()) throw gone();
      const hash = await passwords.hash(body.password);
      const by = { ...origin, actor: { kind: 'user', id: found.user_id, name: found.user_name } } as const;
      return services.store.write(by, async ({ db, now, audit, changed }) => {
        const invitation = await findInvitation(db, { tokenHash });
        if (invitation === undefined || invitation.used_at !== null || invitation.expires_at <= now) throw gone();
        const user = await getUser(db, invitation.user_id);
        if (user.disabled === 1) throw gone();
        await db.updateTable('user').set({ password_hash: hash }).where('id', '=', user.id).execute();
        await db.updateTable('invitation').set({ used_at: now }).where('id', '=', invitation.id).execute();
        const others = await endInvitations(db, user.id);
        // Whoever knew the old password is out, and their client is not known any more.
        await endSessions({ db, changed }, user.id);
        await db.deleteFrom('known_client').where('user_id', '=', user.id).execute();
        await audit('invitation.accept', { kind: 'user', id: user.id, name: user.name }, undefined, {
          id: invitation.id,
        });
        for (const id of [invitation.id, ...others]) changed('invitation', id);
        return { name: user.name };
      });
    }),
  ];
}
