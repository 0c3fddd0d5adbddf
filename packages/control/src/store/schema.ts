/**
 * The tables, the same in SQLite and PostgreSQL. Times are Unix milliseconds; booleans 0 or 1; lists and nested data JSON
 * text; `version` grows by one with each change of a row. Tokens are kept as SHA-256, keys sealed with the master key.
 */
import type { Generated } from 'kysely';

export interface UserTable {
  id: string;
  name: string;
  display_name: string;
  email: string | null;
  role: string;
  /** argon2id in the PHC string format, or null where the user has no password yet. */
  password_hash: string | null;
  disabled: number;
  expires_at: number | null;
  devices_per_user: number | null;
  bits_per_second: number | null;
  traffic_bytes_per_month: number | null;
  created_at: number;
  last_login_at: number | null;
  /** Random, anew whenever what the user was logged in by ends: devices that came in by a login have to log in again. */
  login_epoch: Generated<string>;
  version: number;
}

export interface GroupTable {
  id: string;
  name: string;
  description: string;
  require_device_approval: number;
  require_second_factor: Generated<number>;
  require_kill_switch: Generated<number>;
  /** Where members' devices may connect; null: anywhere. */
  require_region_id: string | null;
  require_gateway_id: string | null;
  session_lifetime_seconds: number | null;
  devices_per_user: number | null;
  bits_per_second: number | null;
  traffic_bytes_per_month: number | null;
  version: number;
}

export interface GroupMemberTable {
  group_id: string;
  user_id: string;
}

export interface InvitationTable {
  id: string;
  token_hash: string;
  /** The user that it lets set a password. */
  user_id: string;
  created_by: string;
  created_at: number;
  expires_at: number;
  used_at: number | null;
}

/** Logins. */
export interface SessionTable {
  id: string;
  token_hash: string;
  user_id: string;
  /** What the client calls itself. */
  client: string;
  created_at: number;
  last_used_at: number;
  expires_at: number;
  /** When the user last proved that it is them. */
  authenticated_at: Generated<number>;
  /** JSON list of how: `password`, `code`, `recoveryCode`, `passkey`, `provider`. */
  methods: Generated<string>;
  /** The identity provider that it came by. */
  provider_id: string | null;
  /** `client`: of a Sallyport client that was let in by a code; `expires_at` moves on with its use. */
  kind: Generated<'login' | 'client'>;
  /** The device that the client made, with which it ends. */
  device_id: string | null;
}

/** Clients without a browser that wait to be let in (RFC 8628). */
export interface DeviceAuthorizationTable {
  device_code_hash: string;
  user_code: string;
  /** What the client calls itself. */
  client: string;
  /** Where it asked from. */
  address: string;
  /** `pending`, `approved` or `denied`. */
  state: string;
  /** Who let it in. */
  user_id: string | null;
  /** By which session; what it ends with. */
  session_id: string | null;
  created_at: number;
  expires_at: number;
  last_polled_at: number | null;
  interval_seconds: number;
}

/** Devices that wait, in their tunnel's beginning, for their user to log in by a browser. */
export interface TunnelLoginTable {
  code: string;
  device_id: string;
  user_id: string;
  gateway_id: string;
  /** What the program calls itself, and where it connects from. */
  client: string;
  address: string;
  /** `pending`, `approved` or `denied`. */
  state: string;
  created_at: number;
  expires_at: number;
}

/** Authenticator apps: of a user one that counts, and one that will when a code of it was shown. */
export interface TotpTable {
  user_id: string;
  sealed_secret: string;
  confirmed: number;
  /** The time step of the last code that was taken: no code counts twice. */
  last_step: number;
  created_at: number;
}

export interface RecoveryCodeTable {
  code_hash: string;
  user_id: string;
}

/** Credentials of WebAuthn; ids and keys in base64url. */
export interface PasskeyTable {
  id: string;
  user_id: string;
  credential_id: string;
  public_key: string;
  sign_count: number;
  /** JSON list. */
  transports: string;
  synced: number;
  name: string;
  created_at: number;
  last_used_at: number | null;
}

/** Challenges that were answered well, until they would have ended: none counts twice. */
export interface UsedChallengeTable {
  challenge_hash: string;
  expires_at: number;
}

/** OpenID Connect. */
export interface IdentityProviderTable {
  id: string;
  name: string;
  issuer: string;
  client_id: string;
  sealed_client_secret: string | null;
  /** JSON list. */
  scopes: string;
  enabled: number;
  create_users: number;
  /** JSON list. */
  email_domains: string;
  link_by_email: number;
  asks_second_factor: number;
  groups_claim: string;
  groups_by_name: number;
  /** JSON list of the API's mappings. */
  group_mapping: string;
  version: number;
}

/** Who a user is at a provider. */
export interface ExternalIdentityTable {
  provider_id: string;
  subject: string;
  user_id: string;
  created_at: number;
  last_login_at: number;
}

/** Memberships that came by a provider's claims, which its next claims may take away again. */
export interface ClaimedMembershipTable {
  provider_id: string;
  user_id: string;
  group_id: string;
}

export interface ScimClientTable {
  id: string;
  name: string;
  token_hash: string;
  created_at: number;
  last_used_at: number | null;
}

/** Users that a SCIM client keeps. */
export interface ScimUserTable {
  user_id: string;
  client_id: string;
  /** In lower case, so that there is one of it; the user's own name here is made from it. */
  user_name: string;
  external_id: string | null;
  /** JSON: whether the client has the user active, and what it sent and reads back; see scim/users.ts. */
  attributes: string;
  modified_at: number;
}

export interface ScimGroupTable {
  group_id: string;
  client_id: string;
  display_name: string;
  external_id: string | null;
  modified_at: number;
}

export interface ApiTokenTable {
  id: string;
  token_hash: string;
  name: string;
  user_id: string;
  /** JSON list of permissions. */
  permissions: string;
  created_at: number;
  expires_at: number | null;
  last_used_at: number | null;
}

/** Marks of clients that logged in as this user before, so that a brute force elsewhere does not lock them out. */
export interface KnownClientTable {
  token_hash: string;
  user_id: string;
  expires_at: number;
}

export interface DeviceTable {
  id: string;
  user_id: string;
  name: string;
  /** WireGuard's, base64; of an OpenVPN device `openvpn:` and its id, so that there is but one. */
  public_key: string;
  /** JSON of what an OpenVPN device shows; see openvpn/stored.ts. Null: it is one of WireGuard's. */
  openvpn: string | null;
  ipv4: string;
  ipv6: string;
  approved: number;
  expires_at: number | null;
  bits_per_second: number | null;
  /** JSON list of the networks behind it: the API's `{prefix, approved}`. */
  networks: Generated<string>;
  created_at: number;
  version: number;
}

/** Addresses stay with a device's user and name, so that who comes back gets theirs; the longest unused are taken first. */
export interface AddressTable {
  /** The number of the address within both pools. */
  number: number;
  device_id: string | null;
  /** The public key that had it last. */
  public_key: string;
  released_at: number | null;
}

export interface RegionTable {
  id: string;
  name: string;
  version: number;
}

export interface GatewayTable {
  id: string;
  name: string;
  region_id: string;
  country: string | null;
  city: string | null;
  latitude: number | null;
  longitude: number | null;
  endpoint_host: string;
  endpoint_port: number;
  wireguard_public_key: string;
  /** SHA-256 of the public key of its TLS certificate (SPKI), hexadecimal. */
  link_key_hash: string;
  /** JSON list of the API's egress entries. */
  egress: string;
  /** JSON list. */
  addresses: string;
  /** JSON of the ways to it beside WireGuard over UDP: the API's `{amneziawg, tls, openvpn}`. */
  transports: Generated<string>;
  /** JSON of the certificate that it was issued as an OpenVPN gateway; see openvpn/stored.ts. */
  openvpn: string | null;
  draining: number;
  created_at: number;
  version: number;
}

/** One-time tokens by which gateways join. */
export interface JoinTokenTable {
  id: string;
  token_hash: string;
  region_id: string | null;
  created_at: number;
  expires_at: number;
  used_at: number | null;
}

/** What a gateway last said; written by the control node that it is connected to. */
export interface GatewayStatusTable {
  gateway_id: string;
  connected: number;
  health: string;
  problems: string;
  load: string | null;
  latency_ms: number | null;
  software: string;
  last_seen_at: number;
  /** The control node that it is connected to, or was last. */
  node: string;
  /** The last version of its desired state that it was sent, and the last that it acknowledged. */
  state_version: number;
  applied_version: number;
  /** `VERSION:SHA-256` of a state that it acknowledged. */
  applied_digest: string;
  /** The number of its last report that was stored; 0 for none. */
  report_number: number;
  /** Handshakes of devices since it joined. */
  handshakes: Generated<number>;
}

export interface ResourceTable {
  id: string;
  name: string;
  description: string;
  kind: string;
  prefixes: string;
  domain: string | null;
  /** JSON list of the API's services. */
  services: string;
  version: number;
}

export interface RuleTable {
  id: string;
  name: string;
  enabled: number;
  /** JSON lists of ids. */
  groups: string;
  resources: string;
  gateways: string;
  version: number;
}

export interface PolicyTestTable {
  id: string;
  name: string;
  user_id: string;
  destination: string;
  protocol: string;
  port: number | null;
  gateway_id: string | null;
  expect: string;
  version: number;
}

/** One row. */
export interface SettingsTable {
  id: number;
  /** JSON of the API's settings, without the version. */
  value: string;
  version: number;
}

/** Traffic by device and UTC day (`2026-01-31`); stays when the device is removed. */
export interface UsageTable {
  device_id: string;
  user_id: string;
  day: string;
  sent_bytes: number;
  received_bytes: number;
}

/** The last that was seen of a device. */
export interface DeviceStatusTable {
  device_id: string;
  gateway_id: string;
  last_handshake_at: number;
}

export interface AuditTable {
  number: number;
  at: number;
  actor: string;
  origin: string;
  action: string;
  target: string;
  before: string;
  after: string;
  /** The content may be removed when its time is over; see audit/audit-chain.ts. */
  expires: number;
  /** Random, for entries that expire; removed with the content. */
  salt: string | null;
  /** SHA-256 of the content that was removed. */
  digest: string | null;
  hash: string;
}

/** What changed, in order: how control nodes keep up with each other. */
export interface ChangeTable {
  version: Generated<number>;
  kind: string;
  id: string;
  at: number;
}

export interface IdempotencyTable {
  key: string;
  request_hash: string;
  status: number;
  body: string;
  created_at: number;
}

/** Keys of the service, sealed with the master key. */
export interface SecretTable {
  name: string;
  sealed: string;
}

export interface Database {
  user: UserTable;
  group: GroupTable;
  group_member: GroupMemberTable;
  invitation: InvitationTable;
  session: SessionTable;
  device_authorization: DeviceAuthorizationTable;
  tunnel_login: TunnelLoginTable;
  totp: TotpTable;
  recovery_code: RecoveryCodeTable;
  passkey: PasskeyTable;
  used_challenge: UsedChallengeTable;
  identity_provider: IdentityProviderTable;
  external_identity: ExternalIdentityTable;
  claimed_membership: ClaimedMembershipTable;
  scim_client: ScimClientTable;
  scim_user: ScimUserTable;
  scim_group: ScimGroupTable;
  api_token: ApiTokenTable;
  known_client: KnownClientTable;
  device: DeviceTable;
  address: AddressTable;
  region: RegionTable;
  gateway: GatewayTable;
  join_token: JoinTokenTable;
  gateway_status: GatewayStatusTable;
  resource: ResourceTable;
  rule: RuleTable;
  policy_test: PolicyTestTable;
  settings: SettingsTable;
  usage: UsageTable;
  device_status: DeviceStatusTable;
  audit: AuditTable;
  change: ChangeTable;
  idempotency: IdempotencyTable;
  secret: SecretTable;
}
