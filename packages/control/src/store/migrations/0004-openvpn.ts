import type { Migration } from '../migrations.ts';

/**
 * The second protocol: what its devices show, certificates of gateways, which logins of a user count, and logins in a
 * browser that tunnels wait for.
 */
export const openVpn: Migration = {
  number: 4,
  statements: ({ integer, text, strict }) => [
    `ALTER TABLE device ADD COLUMN openvpn ${text}`,
    `ALTER TABLE gateway ADD COLUMN openvpn ${text}`,
    `ALTER TABLE "user" ADD COLUMN login_epoch ${text} NOT NULL DEFAULT ''`,
    `CREATE TABLE tunnel_login (
      code ${text} PRIMARY KEY,
      device_id ${text} NOT NULL REFERENCES device ON DELETE CASCADE,
      user_id ${text} NOT NULL REFERENCES "user" ON DELETE CASCADE,
      gateway_id ${text} NOT NULL REFERENCES gateway ON DELETE CASCADE,
      client ${text} NOT NULL,
      address ${text} NOT NULL,
      state ${text} NOT NULL CHECK (state IN ('pending', 'approved', 'denied')),
      created_at ${integer} NOT NULL,
      expires_at ${integer} NOT NULL
    ) ${strict}`,
    `CREATE INDEX tunnel_login_expiry ON tunnel_login (expires_at)`,
    `CREATE INDEX tunnel_login_device ON tunnel_login (device_id)`,
    `CREATE INDEX tunnel_login_user ON tunnel_login (user_id)`,
  ],
};
