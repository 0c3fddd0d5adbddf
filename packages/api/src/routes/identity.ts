/** Who there is: setup, login, the caller's own account, users, groups, invitations, API tokens, and the audit log. */
import { z } from 'zod';
import { route } from '../contract.ts';
import * as entities from '../entities.ts';
import * as field from '../fields.ts';
import { PERMISSIONS, TOKEN_SCOPES } from '../permission.ts';
import { login, typedPassword } from './login-answer.ts';

const displayName = z
  .string()
  .trim()
  .max(100)
  .regex(/^[^\u0000-\u001f\u007f\u202a-\u202e\u2066-\u2069]*$/, 'no control characters');
const email = z.email().max(254).nullable();
/** An id, or the name that stands for it. */
const reference = z.string().min(1).max(64).meta({ description: 'An id or a name' });

export const session = z
  .strictObject({
    id: field.id,
    /** `client` for a Sallyport client's, which may do what that needs and no more, and ends 90 days after its last use. */
    kind: z.enum(['login', 'client']),
    client: z.string().max(100),
    createdAt: field.time,
    lastUsedAt: field.time,
    expiresAt: field.time,
    /** How the user logged in: `password`, `code`, `recoveryCode`, `passkey`, `provider`. */
    methods: z.array(z.string()),
    /** When the user last proved that it is them. */
    authenticatedAt: field.time,
    /** It is the one that asks. */
    current: z.boolean(),
  })
  .meta({ id: 'Session' });

export const me = z
  .strictObject({
    user: entities.user,
    permissions: z.array(z.enum(PERMISSIONS)),
    /** Null for an API token. */
    session: z
      .strictObject({
        methods: session.shape.methods,
        authenticatedAt: field.time,
        /** A second factor is required that the user has not set up: until then this session can do that alone. */
        mustEnrol: z.boolean(),
        /** What changes must send as X-CSRF-Token; null where the session is no cookie. */
        csrfToken: z.string().nullable(),
      })
      .nullable(),
    standing: z.strictObject({
      devices: z.strictObject({ used: z.number().int(), allowed: z.number().int().nullable() }),
      trafficBytesThisMonth: z.strictObject({
        used: field.bytes,
        allowed: field.bytes.nullable(),
        resetsAt: field.time,
      }),
      bitsPerSecond: field.bitsPerSecond.nullable(),
      /** When devices are cut off unless the user logs in again; null: never. */
      loginAgainBefore: field.time.nullable(),
      /** What is used up, and what to do about it; empty where nothing is. */
      messages: z.array(z.string()),
    }),
  })
  .meta({ id: 'Me' });

export const invitation = z
  .strictObject({
    id: field.id,
    userId: field.id,
    userName: field.slug,
    createdBy: z.string(),
    createdAt: field.time,
    expiresAt: field.time,
  })
  .meta({ id: 'Invitation' });

export const newInvitation = z
  .strictObject({
    ...invitation.shape,
    /** Shown this once. */
    token: z.string(),
    /** Where the invited person chooses a password. */
    url: z.string(),
  })
  .meta({ id: 'NewInvitation' });

export const apiToken = z
  .strictObject({
    id: field.id,
    name: field.label,
    userId: field.id,
    userName: field.slug,
    permissions: z.array(z.enum(TOKEN_SCOPES)),
    createdAt: field.time,
    expiresAt: field.time.nullable(),
    /** Exact to some minutes. */
    lastUsedAt: field.time.nullable(),
  })
  .meta({ id: 'ApiToken' });

export const newApiToken = z
  .strictObject({
    ...apiToken.shape,
    /** Shown this once. */
    token: z.string(),
  })
  .meta({ id: 'NewApiToken' });

export const auditVerification = z
  .strictObject({
    valid: z.boolean(),
    /** Entries that hold, those included whose content was removed when its time was over. */
    entries: z.number().int(),
    expired: z.number().int(),
    firstFault: z.strictObject({ number: z.number().int(), reason: z.string() }).nullable(),
    /** The newest entry that holds: kept elsewhere, it shows later whether entries were changed or cut off. */
    newest: z.strictObject({ number: z.number().int(), hash: z.string() }).nullable(),
  })
  .meta({ id: 'AuditVerification' });

const userParams = z.strictObject({ userId: reference });
const groupParams = z.strictObject({ groupId: reference });
const listQuery = z.strictObject(field.pageQuery);

/** What a group demands of its members' devices, when it is created or changed. */
const requirements = {
  requireKillSwitch: z.boolean().optional(),
  requireRegionId: field.slug.nullable().optional(),
  requireGatewayId: reference.nullable().optional(),
};
const optionalLimits = {
  devicesPerUser: entities.limits.devicesPerUser.optional(),
  bitsPerSecond: entities.limits.bitsPerSecond.optional(),
  trafficBytesPerMonth: entities.limits.trafficBytesPerMonth.optional(),
};

export const identityRoutes = {
  setUp: route({
    id: 'setUp',
    method: 'POST',
    path: '/setup',
    summary: 'Creates the first administrator, by the one-time token that the server prints at its start',
    permission: 'public',
    tag: 'setup',
    body: z.strictObject({
      token: field.token,
      name: field.slug,
      displayName: displayName.optional(),
      password: field.password,
    }),
    result: entities.user,
    status: 201,
  }),
  logIn: route({
    id: 'logIn',
    method: 'POST',
    path: '/login',
    summary: 'Logs a user in',
    permission: 'public',
    tag: 'login',
    body: z.strictObject({
      name: z.string().min(1).max(200),
      password: typedPassword,
      code: z
        .string()
        .trim()
        .min(6)
        .max(40)
        .optional()
        .meta({ format: 'password', description: 'Of the authenticator app, or a recovery code' }),
      client: z.string().max(100).optional().meta({ description: 'What the client calls itself: `alice-laptop`' }),
      knownClient: field.token.optional().meta({ description: 'What an earlier login gave' }),
      cookie: z.boolean().optional().meta({ description: 'For browsers: the session becomes a cookie' }),
    }),
    result: login,
  }),
  logOut: route({
    id: 'logOut',
    method: 'POST',
    path: '/logout',
    summary: 'Ends the session that sends this',
    permission: 'enrol',
    client: true,
    tag: 'login',
  }),
  getMe: route({
    id: 'getMe',
    method: 'GET',
    path: '/me',
    summary: 'Who is logged in, what they may do, and where they stand with their limits',
    permission: 'enrol',
    tag: 'me',
    result: me,
    command: { name: 'me show', examples: ['sallyport me show'] },
  }),
  updateMe: route({
    id: 'updateMe',
    method: 'PATCH',
    path: '/me',
    summary: "Changes the caller's own name for people, and with users:write their mail address",
    permission: 'self',
    tag: 'me',
    body: z.strictObject({ displayName: displayName.optional(), email: email.optional() }),
    result: entities.user,
    command: { name: 'me update', examples: ['sallyport me update --display-name "Alice Ash"'] },
  }),
  changePassword: route({
    id: 'changePassword',
    method: 'POST',
    path: '/me/password',
    summary: "Changes the caller's password and ends all their other sessions",
    permission: 'self',
    tag: 'me',
    body: z.strictObject({
      currentPassword: z
        .string()
        .max(200)
        .default('')
        .meta({ format: 'password', description: 'Empty where there is none yet' }),
      newPassword: field.password,
    }),
    command: { name: 'me password', examples: ['sallyport me password'] },
  }),
  listMySessions: route({
    id: 'listMySessions',
    method: 'GET',
    path: '/me/sessions',
    summary: "The caller's sessions, the last used first",
    permission: 'self',
    tag: 'me',
    result: field.page(session),
    command: {
      name: 'me sessions',
      examples: ['sallyport me sessions'],
      columns: ['id', 'kind', 'client', 'createdAt', 'lastUsedAt', 'expiresAt', 'current'],
    },
  }),
  endMySession: route({
    id: 'endMySession',
    method: 'DELETE',
    path: '/me/sessions/{sessionId}',
    summary: "Ends one of the caller's sessions",
    permission: 'self',
    tag: 'me',
    params: z.strictObject({ sessionId: field.id }),
    command: {
      name: 'me end-session',
      positional: ['sessionId'],
      examples: ['sallyport me end-session 0d2f7a3c-1f0e-4c59-9d7e-6a3f4b1c2d5e'],
    },
  }),
  endMyOtherSessions: route({
    id: 'endMyOtherSessions',
    method: 'DELETE',
    path: '/me/sessions',
    summary: "Ends all the caller's sessions but the one that asks",
    permission: 'self',
    tag: 'me',
    command: { name: 'me end-other-sessions', examples: ['sallyport me end-other-sessions'] },
  }),

  listUsers: route({
    id: 'listUsers',
    method: 'GET',
    path: '/users',
    summary: 'The users, by name',
    permission: 'users:read',
    tag: 'users',
    query: z.strictObject({
      ...field.pageQuery,
      groupId: reference.optional(),
      role: entities.role.optional(),
      disabled: z.enum(['true', 'false']).optional(),
    }),
    result: field.page(entities.user),
    command: {
      name: 'user list',
      examples: ['sallyport user list', 'sallyport user list --group-id engineering --search ali'],
      columns: ['name', 'displayName', 'role', 'disabled', 'expiresAt', 'lastLoginAt'],
    },
  }),
  createUser: route({
    id: 'createUser',
    method: 'POST',
    path: '/users',
    summary: 'Creates a user, who has no password until an invitation is accepted',
    permission: 'users:write',
    tag: 'users',
    body: z.strictObject({
      name: field.slug,
      displayName: displayName.optional(),
      email: email.optional(),
      role: entities.role.optional(),
      expiresAt: field.time.nullable().optional(),
      groups: z.array(reference).max(1000).optional(),
      ...optionalLimits,
    }),
    result: entities.user,
    status: 201,
    versioned: true,
    command: {
      name: 'user create',
      positional: ['name'],
      examples: [
        'sallyport user create alice --display-name "Alice Ash" --groups engineering',
        'sallyport user create bob --role auditor --expires-at 2027-01-31T00:00:00Z',
      ],
    },
  }),
  getUser: route({
    id: 'getUser',
    method: 'GET',
    path: '/users/{userId}',
    summary: 'One user',
    permission: 'users:read',
    tag: 'users',
    params: userParams,
    result: entities.user,
    versioned: true,
    command: { name: 'user show', positional: ['userId'], examples: ['sallyport user show alice'] },
  }),
  updateUser: route({
    id: 'updateUser',
    method: 'PATCH',
    path: '/users/{userId}',
    summary: 'Changes a user; disabling one cuts off all their devices and sessions',
    permission: 'users:write',
    tag: 'users',
    params: userParams,
    body: z.strictObject({
      name: field.slug.optional(),
      displayName: displayName.optional(),
      email: email.optional(),
      role: entities.role.optional(),
      disabled: z.boolean().optional(),
      expiresAt: field.time.nullable().optional(),
      groups: z.array(reference).max(1000).optional(),
      ...optionalLimits,
    }),
    result: entities.user,
    versioned: true,
    command: {
      name: 'user update',
      positional: ['userId'],
      examples: [
        'sallyport user update alice --disabled true',
        'sallyport user update alice --bits-per-second 50000000',
      ],
    },
  }),
  deleteUser: route({
    id: 'deleteUser',
    method: 'DELETE',
    path: '/users/{userId}',
    summary: 'Removes a user with their devices, sessions and tokens',
    permission: 'users:write',
    stepUp: true,
    tag: 'users',
    params: userParams,
    versioned: true,
    command: { name: 'user delete', positional: ['userId'], examples: ['sallyport user delete alice'] },
  }),
  listUserSessions: route({
    id: 'listUserSessions',
    method: 'GET',
    path: '/users/{userId}/sessions',
    summary: 'The sessions of a user, the last used first',
    permission: 'users:read',
    tag: 'users',
    params: userParams,
    result: field.page(session),
    command: {
      name: 'user sessions',
      positional: ['userId'],
      examples: ['sallyport user sessions alice'],
      columns: ['id', 'kind', 'client', 'methods', 'createdAt', 'lastUsedAt', 'expiresAt'],
    },
  }),
  endUserSessions: route({
    id: 'endUserSessions',
    method: 'DELETE',
    path: '/users/{userId}/sessions',
    summary: 'Ends all sessions of a user',
    permission: 'users:write',
    tag: 'users',
    params: userParams,
    command: {
      name: 'user end-sessions',
      positional: ['userId'],
      examples: ['sallyport user end-sessions alice'],
    },
  }),

  listGroups: route({
    id: 'listGroups',
    method: 'GET',
    path: '/groups',
    summary: 'The groups, by name',
    permission: 'groups:read',
    tag: 'groups',
    query: listQuery,
    result: field.page(entities.group),
    command: {
      name: 'group list',
      examples: ['sallyport group list'],
      columns: ['name', 'description', 'memberCount', 'requireDeviceApproval', 'sessionLifetimeSeconds'],
    },
  }),
  createGroup: route({
    id: 'createGroup',
    method: 'POST',
    path: '/groups',
    summary: 'Creates a group',
    permission: 'groups:write',
    tag: 'groups',
    body: z.strictObject({
      name: field.slug,
      description: field.note.optional(),
      requireDeviceApproval: z.boolean().optional(),
      requireSecondFactor: z.boolean().optional(),
      ...requirements,
      sessionLifetimeSeconds: field.seconds.nullable().optional(),
      ...optionalLimits,
    }),
    result: entities.group,
    status: 201,
    versioned: true,
    command: {
      name: 'group create',
      positional: ['name'],
      examples: ['sallyport group create engineering --require-device-approval true'],
    },
  }),
  getGroup: route({
    id: 'getGroup',
    method: 'GET',
    path: '/groups/{groupId}',
    summary: 'One group',
    permission: 'groups:read',
    tag: 'groups',
    params: groupParams,
    result: entities.group,
    versioned: true,
    command: { name: 'group show', positional: ['groupId'], examples: ['sallyport group show engineering'] },
  }),
  updateGroup: route({
    id: 'updateGroup',
    method: 'PATCH',
    path: '/groups/{groupId}',
    summary: 'Changes a group',
    permission: 'groups:write',
    tag: 'groups',
    params: groupParams,
    body: z.strictObject({
      name: field.slug.optional(),
      description: field.note.optional(),
      requireDeviceApproval: z.boolean().optional(),
      requireSecondFactor: z.boolean().optional(),
      ...requirements,
      sessionLifetimeSeconds: field.seconds.nullable().optional(),
      ...optionalLimits,
    }),
    result: entities.group,
    versioned: true,
    command: {
      name: 'group update',
      positional: ['groupId'],
      examples: [
        'sallyport group update engineering --session-lifetime-seconds 86400',
        'sallyport group update travellers --require-kill-switch true --require-region-id frankfurt',
      ],
    },
  }),
  deleteGroup: route({
    id: 'deleteGroup',
    method: 'DELETE',
    path: '/groups/{groupId}',
    summary: 'Removes a group that no rule and no gateway uses',
    permission: 'groups:write',
    tag: 'groups',
    params: groupParams,
    versioned: true,
    command: { name: 'group delete', positional: ['groupId'], examples: ['sallyport group delete engineering'] },
  }),
  listGroupMembers: route({
    id: 'listGroupMembers',
    method: 'GET',
    path: '/groups/{groupId}/members',
    summary: 'The users of a group, by name',
    permission: 'groups:read',
    tag: 'groups',
    params: groupParams,
    query: listQuery,
    result: field.page(z.strictObject({ id: field.id, name: field.slug, displayName: z.string() })),
    command: {
      name: 'group members',
      positional: ['groupId'],
      examples: ['sallyport group members engineering'],
      columns: ['name', 'displayName'],
    },
  }),
  addGroupMember: route({
    id: 'addGroupMember',
    method: 'PUT',
    path: '/groups/{groupId}/members/{userId}',
    summary: 'Takes a user into a group',
    permission: 'groups:write',
    tag: 'groups',
    params: z.strictObject({ groupId: reference, userId: reference }),
    command: {
      name: 'group add-member',
      positional: ['groupId', 'userId'],
      examples: ['sallyport group add-member engineering alice'],
    },
  }),
  removeGroupMember: route({
    id: 'removeGroupMember',
    method: 'DELETE',
    path: '/groups/{groupId}/members/{userId}',
    summary: 'Takes a user out of a group',
    permission: 'groups:write',
    tag: 'groups',
    params: z.strictObject({ groupId: reference, userId: reference }),
    command: {
      name: 'group remove-member',
      positional: ['groupId', 'userId'],
      examples: ['sallyport group remove-member engineering alice'],
    },
  }),

  listInvitations: route({
    id: 'listInvitations',
    method: 'GET',
    path: '/invitations',
    summary: 'The invitations that are still open, by the name of their user',
    permission: 'users:read',
    tag: 'invitations',
    query: listQuery,
    result: field.page(invitation),
    command: {
      name: 'invitation list',
      examples: ['sallyport invitation list'],
      columns: ['id', 'userName', 'createdBy', 'expiresAt'],
    },
  }),
  createInvitation: route({
    id: 'createInvitation',
    method: 'POST',
    path: '/invitations',
    summary: 'Makes a one-time link by which a user chooses a password, the first or a new one',
    permission: 'users:write',
    tag: 'invitations',
    body: z.strictObject({
      userId: reference,
      expiresInSeconds: z.number().int().min(300).max(2_592_000).default(604_800),
    }),
    result: newInvitation,
    status: 201,
    command: {
      name: 'invitation create',
      positional: ['userId'],
      examples: ['sallyport invitation create alice', 'sallyport invitation create alice --expires-in-seconds 86400'],
    },
  }),
  deleteInvitation: route({
    id: 'deleteInvitation',
    method: 'DELETE',
    path: '/invitations/{invitationId}',
    summary: 'Revokes an invitation',
    permission: 'users:write',
    tag: 'invitations',
    params: z.strictObject({ invitationId: field.id }),
    command: {
      name: 'invitation revoke',
      positional: ['invitationId'],
      examples: ['sallyport invitation revoke 0d2f7a3c-1f0e-4c59-9d7e-6a3f4b1c2d5e'],
    },
  }),
  acceptInvitation: route({
    id: 'acceptInvitation',
    method: 'POST',
    path: '/invitations/accept',
    summary: 'Chooses the password of the user that the invitation is for',
    permission: 'public',
    tag: 'invitations',
    body: z.strictObject({ token: field.token, password: field.password }),
    result: z.strictObject({ name: field.slug }),
  }),

  listTokens: route({
    id: 'listTokens',
    method: 'GET',
    path: '/tokens',
    summary: 'The API tokens of all users, by name',
    permission: 'tokens:read',
    tag: 'tokens',
    query: listQuery,
    result: field.page(apiToken),
    command: {
      name: 'token list',
      examples: ['sallyport token list'],
      columns: ['id', 'name', 'userName', 'permissions', 'expiresAt', 'lastUsedAt'],
    },
  }),
  createToken: route({
    id: 'createToken',
    method: 'POST',
    path: '/tokens',
    summary: 'Creates an API token of the caller; it never may do more than they may at the time',
    permission: 'tokens:write',
    stepUp: true,
    tag: 'tokens',
    body: z.strictObject({
      name: field.label,
      permissions: z.array(z.enum(TOKEN_SCOPES)).min(1).max(TOKEN_SCOPES.length),
      expiresAt: field.time.nullable().optional(),
    }),
    result: newApiToken,
    status: 201,
    command: {
      name: 'token create',
      positional: ['name'],
      examples: ['sallyport token create prometheus --permissions metrics:read'],
    },
  }),
  deleteToken: route({
    id: 'deleteToken',
    method: 'DELETE',
    path: '/tokens/{tokenId}',
    summary: 'Revokes an API token',
    permission: 'tokens:write',
    tag: 'tokens',
    params: z.strictObject({ tokenId: field.id }),
    command: {
      name: 'token revoke',
      positional: ['tokenId'],
      examples: ['sallyport token revoke 0d2f7a3c-1f0e-4c59-9d7e-6a3f4b1c2d5e'],
    },
  }),

  listAudit: route({
    id: 'listAudit',
    method: 'GET',
    path: '/audit',
    summary: 'The audit log, the latest entry first',
    permission: 'audit:read',
    tag: 'audit',
    query: z.strictObject({
      ...field.pageQuery,
      action: z.string().max(100).optional().meta({ description: '`user.create`, or `user` for all of its kind' }),
      actor: z.string().max(100).optional().meta({ description: 'The name or id of who did it' }),
      target: z.string().max(100).optional().meta({ description: 'The name or id of what it was done to' }),
      from: field.time.optional(),
      until: field.time.optional(),
    }),
    result: field.page(entities.auditEntry),
    command: {
      name: 'audit list',
      examples: ['sallyport audit list', 'sallyport audit list --action login --target alice'],
      columns: ['number', 'at', 'actor.name', 'action', 'target.kind', 'target.name'],
    },
  }),
  exportAudit: route({
    id: 'exportAudit',
    method: 'GET',
    path: '/audit/export',
    summary: 'The audit log from its first entry on, as JSON lines',
    permission: 'audit:read',
    tag: 'audit',
    query: z.strictObject({ from: field.time.optional(), until: field.time.optional() }),
    result: z.string(),
    mediaType: 'application/jsonl',
    command: { name: 'audit export', examples: ['sallyport audit export > audit.jsonl'] },
  }),
  verifyAudit: route({
    id: 'verifyAudit',
    method: 'GET',
    path: '/audit/verification',
    summary: 'Checks the hash chain of the whole audit log',
    permission: 'audit:read',
    tag: 'audit',
    result: auditVerification,
    command: { name: 'audit verify', examples: ['sallyport audit verify'] },
  }),
};

export type Session = z.infer<typeof session>;
export type Me = z.infer<typeof me>;
export type Invitation = z.infer<typeof invitation>;
export type NewInvitation = z.infer<typeof newInvitation>;
export type ApiToken = z.infer<typeof apiToken>;
export type NewApiToken = z.infer<typeof newApiToken>;
export type AuditVerification = z.infer<typeof auditVerification>;
