import type { Migration } from '../migrations.ts';

/** Second factors, passkeys, identity providers and SCIM; and a count of handshakes. */
export const signIn: Migration = {
  number: 2,
  statements: ({ integer, text, strict }) => [
    `ALTER TABLE session ADD COLUMN authenticated_at ${integer} NOT NULL DEFAULT 0`,
    `ALTER TABLE session ADD COLUMN methods ${text} NOT NULL DEFAULT '["password"]'`,
    `ALTER TABLE session ADD COLUMN provider_id ${text}`,
    `UPDATE session SET authenticated_at = created_at`,
    `ALTER TABLE "group" ADD COLUMN require_second_factor ${integer} NOT NULL DEFAULT 0
      CHECK (require_second_factor IN (0, 1))`,
    `CREATE TABLE totp (
      user_id ${text} NOT NULL REFERENCES "user" ON DELETE CASCADE,
      sealed_secret ${text} NOT NULL,
      confirmed ${integer} NOT NULL CHECK (confirmed IN (0, 1)),
      last_step ${integer} NOT NULL,
      created_at ${integer} NOT NULL,
      PRIMARY KEY (user_id, confirmed)
    ) ${strict}`,
    `CREATE TABLE recovery_code (
      code_hash ${text} NOT NULL,
      user_id ${text} NOT NULL REFERENCES "user" ON DELETE CASCADE,
      PRIMARY KEY (user_id, code_hash)
    ) ${strict}`,
    `CREATE TABLE passkey (
      id ${text} PRIMARY KEY,
      user_id ${text} NOT NULL REFERENCES "user" ON DELETE CASCADE,
      credential_id ${text} NOT NULL UNIQUE,
      public_key ${text} NOT NULL,
      sign_count ${integer} NOT NULL,
      transports ${text} NOT NULL,
      synced ${integer} NOT NULL CHECK (synced IN (0, 1)),
      name ${text} NOT NULL,
      created_at ${integer} NOT NULL,
      last_used_at ${integer}
    ) ${strict}`,
    `CREATE INDEX passkey_user ON passkey (user_id)`,
    `CREATE TABLE used_challenge (
      challenge_hash ${text} PRIMARY KEY,
      expires_at ${integer} NOT NULL
    ) ${strict}`,
    `CREATE INDEX used_challenge_expiry ON used_challenge (expires_at)`,
    `CREATE TABLE identity_provider (
      id ${text} PRIMARY KEY,
      name ${text} NOT NULL UNIQUE,
      issuer ${text} NOT NULL,
      client_id ${text} NOT NULL,
      sealed_client_secret ${text},
      scopes ${text} NOT NULL,
      enabled ${integer} NOT NULL CHECK (enabled IN (0, 1)),
      create_users ${integer} NOT NULL CHECK (create_users IN (0, 1)),
      email_domains ${text} NOT NULL,
      link_by_email ${integer} NOT NULL CHECK (link_by_email IN (0, 1)),
      asks_second_factor ${integer} NOT NULL CHECK (asks_second_factor IN (0, 1)),
      groups_claim ${text} NOT NULL,
      groups_by_name ${integer} NOT NULL CHECK (groups_by_name IN (0, 1)),
      group_mapping ${text} NOT NULL,
      version ${integer} NOT NULL
    ) ${strict}`,
    `CREATE TABLE external_identity (
      provider_id ${text} NOT NULL REFERENCES identity_provider ON DELETE CASCADE,
      subject ${text} NOT NULL,
      user_id ${text} NOT NULL REFERENCES "user" ON DELETE CASCADE,
      created_at ${integer} NOT NULL,
      last_login_at ${integer} NOT NULL,
      PRIMARY KEY (provider_id, subject)
    ) ${strict}`,
    `CREATE INDEX external_identity_user ON external_identity (user_id)`,
    // Memberships that came by a provider's claims, which its next claims may take away again.
    `CREATE TABLE claimed_membership (
      provider_id ${text} NOT NULL REFERENCES identity_provider ON DELETE CASCADE,
      user_id ${text} NOT NULL REFERENCES "user" ON DELETE CASCADE,
      group_id ${text} NOT NULL REFERENCES "group" ON DELETE CASCADE,
      PRIMARY KEY (provider_id, user_id, group_id)
    ) ${strict}`,
    `CREATE TABLE scim_client (
      id ${text} PRIMARY KEY,
      name ${text} NOT NULL UNIQUE,
      token_hash ${text} NOT NULL UNIQUE,
      created_at ${integer} NOT NULL,
      last_used_at ${integer}
    ) ${strict}`,
    // What of a user or group only its SCIM client knows; `attributes` is the JSON that it sent and reads back.
    `CREATE TABLE scim_user (
      user_id ${text} PRIMARY KEY REFERENCES "user" ON DELETE CASCADE,
      client_id ${text} NOT NULL REFERENCES scim_client ON DELETE CASCADE,
      user_name ${text} NOT NULL,
      external_id ${text},
      attributes ${text} NOT NULL,
      modified_at ${integer} NOT NULL,
      UNIQUE (client_id, user_name)
    ) ${strict}`,
    `CREATE TABLE scim_group (
      group_id ${text} PRIMARY KEY REFERENCES "group" ON DELETE CASCADE,
      client_id ${text} NOT NULL REFERENCES scim_client ON DELETE CASCADE,
      display_name ${text} NOT NULL,
      external_id ${text},
      modified_at ${integer} NOT NULL
    ) ${strict}`,
    `CREATE INDEX scim_group_client ON scim_group (client_id)`,
    `ALTER TABLE gateway_status ADD COLUMN handshakes ${integer} NOT NULL DEFAULT 0`,
  ],
};
