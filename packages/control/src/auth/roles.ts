import { PERMISSIONS, type Permission, type TokenScope } from '@sallyport/api';
import { ApiError } from '../http/api-error.ts';
import type { Caller } from '../http/caller.ts';

export type Role = 'administrator' | 'auditor' | 'user';

const permissions: Readonly<Record<Role, readonly Permission[]>> = {
  administrator: PERMISSIONS,
  auditor: PERMISSIONS.filter((permission) => permission.endsWith(':read')),
  user: [],
};

/** What a role may do; nothing for one that this program doesn't know. */
export function permissionsOf(role: string): ReadonlySet<TokenScope> {
  return new Set<TokenScope>([...(Object.hasOwn(permissions, role) ? permissions[role as Role] : []), 'self']);
}

/**
 * Throws where a caller would gain by changing a user of this role. Who may set somebody's password may do what they do;
 * so a token that may only write users can't make an administrator, nor become one.
 */
export function requireCovers(caller: Caller, role: string): void {
  for (const permission of permissionsOf(role)) {
    if (permission !== 'self' && !caller.permissions.has(permission)) {
      throw new ApiError(
        'forbidden',
        `A user with the role ${role} may do more than you or your token (${permission}): only who may do the same can change one.`,
      );
    }
  }
}
