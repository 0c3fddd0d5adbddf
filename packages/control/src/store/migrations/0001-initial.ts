import type { Migration } from '../migrations.ts';

export const initial: Migration = {
  number: 1,
  statements: ({ integer, real, text, serial, strict }) => [
    `CREATE TABLE "user" (
      id ${text} PRIMARY KEY,
      name ${text} NOT NULL UNIQUE,
      display_name ${text} NOT NULL,
      email ${text},
      role ${text} NOT NULL,
      password_hash ${text},
      disabled ${integer} NOT NULL CHECK (disabled IN (0, 1)),
      expires_at ${integer},
      devices_per_user ${integer},
      bits_per_second ${integer},
      traffic_bytes_per_month ${integer},
      created_at ${integer} NOT NULL,
      last_login_at ${integer},
      version ${integer} NOT NULL
    ) ${strict}`,
    `CREATE TABLE "group" (
      id ${text} PRIMARY KEY,
      name ${text} NOT NULL UNIQUE,
      description ${text} NOT NULL,
      require_device_approval ${integer} NOT NULL CHECK (require_device_approval IN (0, 1)),
      session_lifetime_seconds ${integer},
      devices_per_user ${integer},
      bits_per_second ${integer},
      traffic_bytes_per_month ${integer},
      version ${integer} NOT NULL
    ) ${strict}`,
    // Everyone is in the group "everyone" without being listed.
    `CREATE TABLE group_member (
      group_id ${text} NOT NULL REFERENCES "group" ON DELETE CASCADE CHECK (group_id <> 'everyone'),
      user_id ${text} NOT NULL REFERENCES "user" ON DELETE CASCADE,
      PRIMARY KEY (group_id, user_id)
    ) ${strict}`,
    `CREATE INDEX group_member_user ON group_member (user_id)`,
    `CREATE TABLE invitation (
      id ${text} PRIMARY KEY,
      token_hash ${text} NOT NULL UNIQUE,
      user_id ${text} NOT NULL REFERENCES "user" ON DELETE CASCADE,
      created_by ${text} NOT NULL,
      created_at ${integer} NOT NULL,
      expires_at ${integer} NOT NULL,
      used_at ${integer}
    ) ${strict}`,
    `CREATE INDEX invitation_user ON invitation (user_id)`,
    `CREATE TABLE session (
      id ${text} PRIMARY KEY,
      token_hash ${text} NOT NULL UNIQUE,
      user_id ${text} NOT NULL REFERENCES "user" ON DELETE CASCADE,
      client ${text} NOT NULL,
      created_at ${integer} NOT NULL,
      last_used_at ${integer} NOT NULL,
      expires_at ${integer} NOT NULL
    ) ${strict}`,
    `CREATE INDEX session_by_user ON session (user_id)`,
    `CREATE INDEX session_expiry ON session (expires_at)`,
    `CREATE TABLE api_token (
      id ${text} PRIMARY KEY,
      token_hash ${text} NOT NULL UNIQUE,
      name ${text} NOT NULL,
      user_id ${text} NOT NULL REFERENCES "user" ON DELETE CASCADE,
      permissions ${text} NOT NULL,
      created_at ${integer} NOT NULL,
      expires_at ${integer},
      last_used_at ${integer}
    ) ${strict}`,
    `CREATE INDEX api_token_user ON api_token (user_id)`,
    `CREATE TABLE known_client (
      token_hash ${text} PRIMARY KEY,
      user_id ${text} NOT NULL REFERENCES "user" ON DELETE CASCADE,
      expires_at ${integer} NOT NULL
    ) ${strict}`,
    `CREATE INDEX known_client_user ON known_client (user_id)`,
    `CREATE INDEX known_client_expiry ON known_client (expires_at)`,
    `CREATE TABLE device (
      id ${text} PRIMARY KEY,
      user_id ${text} NOT NULL REFERENCES "user" ON DELETE CASCADE,
      name ${text} NOT NULL,
      public_key ${text} NOT NULL UNIQUE,
      ipv4 ${text} NOT NULL UNIQUE,
      ipv6 ${text} NOT NULL UNIQUE,
      approved ${integer} NOT NULL CHECK (approved IN (0, 1)),
      expires_at ${integer},
      bits_per_second ${integer},
      created_at ${integer} NOT NULL,
      version ${integer} NOT NULL,
      UNIQUE (user_id, name)
    ) ${strict}`,
    `CREATE TABLE address (
      number ${integer} PRIMARY KEY,
      device_id ${text} UNIQUE REFERENCES device ON DELETE SET NULL,
      public_key ${text} NOT NULL,
      released_at ${integer}
    ) ${strict}`,
    `CREATE INDEX address_key ON address (public_key)`,
    `CREATE INDEX address_released ON address (released_at)`,
    `CREATE TABLE region (
      id ${text} PRIMARY KEY,
      name ${text} NOT NULL UNIQUE,
      version ${integer} NOT NULL
    ) ${strict}`,
    `CREATE TABLE gateway (
      id ${text} PRIMARY KEY,
      name ${text} NOT NULL UNIQUE,
      region_id ${text} NOT NULL REFERENCES region,
      country ${text},
      city ${text},
      latitude ${real},
      longitude ${real},
      endpoint_host ${text} NOT NULL,
      endpoint_port ${integer} NOT NULL,
      wireguard_public_key ${text} NOT NULL UNIQUE,
      link_key_hash ${text} NOT NULL UNIQUE,
      egress ${text} NOT NULL,
      addresses ${text} NOT NULL,
      draining ${integer} NOT NULL CHECK (draining IN (0, 1)),
      created_at ${integer} NOT NULL,
      version ${integer} NOT NULL
    ) ${strict}`,
    `CREATE INDEX gateway_region ON gateway (region_id)`,
    `CREATE TABLE join_token (
      id ${text} PRIMARY KEY,
      token_hash ${text} NOT NULL UNIQUE,
      region_id ${text} REFERENCES region ON DELETE CASCADE,
      created_at ${integer} NOT NULL,
      expires_at ${integer} NOT NULL,
      used_at ${integer}
    ) ${strict}`,
    `CREATE TABLE gateway_status (
      gateway_id ${text} PRIMARY KEY REFERENCES gateway ON DELETE CASCADE,
      connected ${integer} NOT NULL CHECK (connected IN (0, 1)),
      health ${text} NOT NULL,
      problems ${text} NOT NULL,
      load ${text},
      latency_ms ${real},
      software ${text} NOT NULL,
      last_seen_at ${integer} NOT NULL,
      node ${text} NOT NULL,
      state_version ${integer} NOT NULL,
      applied_version ${integer} NOT NULL,
      applied_digest ${text} NOT NULL,
      report_number ${integer} NOT NULL
    ) ${strict}`,
    `CREATE TABLE resource (
      id ${text} PRIMARY KEY,
      name ${text} NOT NULL UNIQUE,
      description ${text} NOT NULL,
      kind ${text} NOT NULL,
      prefixes ${text} NOT NULL,
      domain ${text},
      services ${text} NOT NULL,
      version ${integer} NOT NULL
    ) ${strict}`,
    `CREATE TABLE rule (
      id ${text} PRIMARY KEY,
      name ${text} NOT NULL UNIQUE,
      enabled ${integer} NOT NULL CHECK (enabled IN (0, 1)),
      groups ${text} NOT NULL,
      resources ${text} NOT NULL,
      gateways ${text} NOT NULL,
      version ${integer} NOT NULL
    ) ${strict}`,
    // A test that names what is gone would test something else, or nothing.
    `CREATE TABLE policy_test (
      id ${text} PRIMARY KEY,
      name ${text} NOT NULL UNIQUE,
      user_id ${text} NOT NULL REFERENCES "user" ON DELETE CASCADE,
      destination ${text} NOT NULL,
      protocol ${text} NOT NULL,
      port ${integer},
      gateway_id ${text} REFERENCES gateway ON DELETE CASCADE,
      expect ${text} NOT NULL,
      version ${integer} NOT NULL
    ) ${strict}`,
    `CREATE INDEX policy_test_user ON policy_test (user_id)`,
    `CREATE INDEX policy_test_gateway ON policy_test (gateway_id)`,
    `CREATE TABLE settings (
      id ${integer} PRIMARY KEY CHECK (id = 1),
      value ${text} NOT NULL,
      version ${integer} NOT NULL
    ) ${strict}`,
    // It outlives the device, or removing and adding one would begin a new month for its user.
    `CREATE TABLE usage (
      device_id ${text} NOT NULL,
      user_id ${text} NOT NULL REFERENCES "user" ON DELETE CASCADE,
      day ${text} NOT NULL,
      sent_bytes ${integer} NOT NULL,
      received_bytes ${integer} NOT NULL,
      PRIMARY KEY (device_id, day)
    ) ${strict}`,
    `CREATE INDEX usage_user ON usage (user_id, day)`,
    `CREATE INDEX usage_day ON usage (day)`,
    `CREATE TABLE device_status (
      device_id ${text} PRIMARY KEY REFERENCES device ON DELETE CASCADE,
      gateway_id ${text} NOT NULL REFERENCES gateway ON DELETE CASCADE,
      last_handshake_at ${integer} NOT NULL
    ) ${strict}`,
    `CREATE INDEX device_status_gateway ON device_status (gateway_id)`,
    `CREATE TABLE audit (
      number ${integer} PRIMARY KEY,
      at ${integer} NOT NULL,
      actor ${text} NOT NULL,
      origin ${text} NOT NULL,
      action ${text} NOT NULL,
      target ${text} NOT NULL,
      before ${text} NOT NULL,
      after ${text} NOT NULL,
      expires ${integer} NOT NULL CHECK (expires IN (0, 1)),
      salt ${text},
      digest ${text},
      hash ${text} NOT NULL
    ) ${strict}`,
    `CREATE INDEX audit_at ON audit (at)`,
    `CREATE INDEX audit_expiring ON audit (at) WHERE expires = 1 AND digest IS NULL`,
    `CREATE TABLE change (
      version ${serial},
      kind ${text} NOT NULL,
      id ${text} NOT NULL,
      at ${integer} NOT NULL
    ) ${strict}`,
    `CREATE INDEX change_at ON change (at)`,
    `CREATE TABLE idempotency (
      key ${text} PRIMARY KEY,
      request_hash ${text} NOT NULL,
      status ${integer} NOT NULL,
      body ${text} NOT NULL,
      created_at ${integer} NOT NULL
    ) ${strict}`,
    `CREATE INDEX idempotency_created ON idempotency (created_at)`,
    `CREATE TABLE secret (
      name ${text} PRIMARY KEY,
      sealed ${text} NOT NULL
    ) ${strict}`,

    `INSERT INTO "group" (id, name, description, require_device_approval, version)
      VALUES ('everyone', 'everyone', 'Every user', 0, 1)`,
    `INSERT INTO resource (id, name, description, kind, prefixes, services, version)
      VALUES ('internet', 'internet', 'Everything that is public', 'internet', '[]', '[]', 1)`,
    `INSERT INTO rule (id, name, enabled, groups, resources, gateways, version)
      VALUES ('everyone-internet', 'everyone-internet', 1, '["everyone"]', '["internet"]', '[]', 1)`,
    `INSERT INTO region (id, name, version) VALUES ('default', 'Default', 1)`,
    `INSERT INTO settings (id, value, version) VALUES (1, '${JSON.stringify({
      dns: { servers: ['9.9.9.9', '149.112.112.112', '2620:fe::fe'], searchDomains: [] },
      allowedIps: ['0.0.0.0/0', '::/0'],
      persistentKeepaliveSeconds: 25,
      connectionAudit: { enabled: false, retentionDays: 30 },
      auditAddresses: false,
      usageRetentionDays: 400,
    })}', 1)`,
  ],
};
