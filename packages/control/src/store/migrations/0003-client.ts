import type { Migration } from '../migrations.ts';

/** What Sallyport's own client needs: requirements of groups, other transports, networks behind devices, logins by code. */
export const client: Migration = {
  number: 3,
  statements: ({ integer, text, strict }) => [
    `ALTER TABLE "group" ADD COLUMN require_kill_switch ${integer} NOT NULL DEFAULT 0
      CHECK (require_kill_switch IN (0, 1))`,
    `ALTER TABLE "group" ADD COLUMN require_region_id ${text}`,
    `ALTER TABLE "group" ADD COLUMN require_gateway_id ${text}`,
    `ALTER TABLE gateway ADD COLUMN transports ${text} NOT NULL DEFAULT '{"amneziawg":null,"tls":null}'`,
    `ALTER TABLE device ADD COLUMN networks ${text} NOT NULL DEFAULT '[]'`,
    `ALTER TABLE session ADD COLUMN kind ${text} NOT NULL DEFAULT 'login' CHECK (kind IN ('login', 'client'))`,
    // The device that a client made goes with its login.
    `ALTER TABLE session ADD COLUMN device_id ${text} REFERENCES device ON DELETE CASCADE`,
    `CREATE INDEX session_by_device ON session (device_id)`,
    `CREATE TABLE device_authorization (
      device_code_hash ${text} PRIMARY KEY,
      user_code ${text} NOT NULL UNIQUE,
      client ${text} NOT NULL,
      address ${text} NOT NULL,
      state ${text} NOT NULL CHECK (state IN ('pending', 'approved', 'denied')),
      user_id ${text} REFERENCES "user" ON DELETE CASCADE,
      session_id ${text} REFERENCES session ON DELETE CASCADE,
      created_at ${integer} NOT NULL,
      expires_at ${integer} NOT NULL,
      last_polled_at ${integer},
      interval_seconds ${integer} NOT NULL
    ) ${strict}`,
    // A new service lets gateways answer names; where devices have other name servers by now, they keep them.
    `UPDATE settings SET value = '${JSON.stringify({
      dns: { servers: [], searchDomains: [], upstreams: [], blockLists: [], blocked: [], hosts: [], domains: [] },
      allowedIps: ['0.0.0.0/0', '::/0'],
      persistentKeepaliveSeconds: 25,
      connectionAudit: { enabled: false, retentionDays: 30 },
      auditAddresses: false,
      usageRetentionDays: 400,
    })}' WHERE version = 1 AND NOT EXISTS (SELECT 1 FROM "user")`,
    `CREATE INDEX device_authorization_expiry ON device_authorization (expires_at)`,
  ],
};
