import type { Database } from '../store/schema.ts';

/**
 * What is backed up, with the columns of the primary key, in an order in which no row refers to one that comes later.
 * Logins, clients and tunnels that wait to be let in, answered challenges, open invitations, join tokens and answers kept for
 * repeated requests are left out: restoring must not bring back what was ended or used since.
 */
export const BACKED_UP = [
  ['settings', ['id']],
  ['secret', ['name']],
  ['user', ['id']],
  ['group', ['id']],
  ['group_member', ['group_id', 'user_id']],
  ['totp', ['user_id', 'confirmed']],
  ['recovery_code', ['user_id', 'code_hash']],
  ['passkey', ['id']],
  ['identity_provider', ['id']],
  ['external_identity', ['provider_id', 'subject']],
  ['claimed_membership', ['provider_id', 'user_id', 'group_id']],
  ['scim_client', ['id']],
  ['scim_user', ['user_id']],
  ['scim_group', ['group_id']],
  ['api_token', ['id']],
  ['known_client', ['token_hash']],
  ['region', ['id']],
  ['gateway', ['id']],
  ['gateway_status', ['gateway_id']],
  ['device', ['id']],
  ['address', ['number']],
  ['device_status', ['device_id']],
  ['usage', ['device_id', 'day']],
  ['resource', ['id']],
  ['rule', ['id']],
  ['policy_test', ['id']],
  ['audit', ['number']],
  ['change', ['version']],
] as const satisfies readonly (readonly [keyof Database, readonly string[]])[];

/** Every table is in one of the two, or this does not compile. */
export const LEFT_OUT: Readonly<Record<Exclude<keyof Database, (typeof BACKED_UP)[number][0]>, true>> = {
  session: true,
  device_authorization: true,
  tunnel_login: true,
  used_challenge: true,
  invitation: true,
  join_token: true,
  idempotency: true,
};
