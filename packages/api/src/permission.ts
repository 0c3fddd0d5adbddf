/** What a caller may do. An administrator may do all of it, an auditor all that only reads, everybody `self`. */
export const PERMISSIONS = [
  'users:read',
  'users:write',
  'groups:read',
  'groups:write',
  'devices:read',
  'devices:write',
  'gateways:read',
  'gateways:write',
  'policy:read',
  'policy:write',
  'settings:read',
  'settings:write',
  'tokens:read',
  'tokens:write',
  'audit:read',
  'metrics:read',
] as const;

export type Permission = (typeof PERMISSIONS)[number];

/** What an API token can be given: permissions, and `self` for what is its user's own. */
export const TOKEN_SCOPES = [...PERMISSIONS, 'self'] as const;

export type TokenScope = (typeof TOKEN_SCOPES)[number];

/**
 * `public` needs no login, `self` any login, for what is the caller's own; `enrol` one that lacks a second factor that is
 * required, too.
 */
export type RoutePermission = Permission | 'public' | 'self' | 'enrol';
