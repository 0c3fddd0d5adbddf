/** Who may be a gateway: whose key is known, or who brings a join token. */
import { randomUUID } from 'node:crypto';
import { isIP } from 'node:net';
import type { Gateway } from '@sallyport/api';
import { hashToken, parseJoinToken, type FromControl, type Hello } from '@sallyport/link';
import type { Selectable, Transaction } from 'kysely';
import type { RateLimiter } from '../http/rate-limiter.ts';
import { announcedCertificate, certificateFor } from '../openvpn/gateway-certificates.ts';
import { openVpnGateway } from '../openvpn/stored.ts';
import { readSubjectKey } from '../openvpn/subject-key.ts';
import { slug } from '../repositories/slug.ts';
import type { Services } from '../services.ts';
import type { Database, GatewayTable } from '../store/schema.ts';
import { SYSTEM, type Origin } from '../store/store.ts';

type Goodbye = Extract<FromControl, { kind: 'goodbye' }>;

export type Admission =
  | { readonly admitted: true; readonly gatewayId: string; readonly name: string }
  | { readonly admitted: false; readonly reason: Goodbye['reason']; readonly message: string };

const DEFAULT_REGION = 'default';
const JOINING: Origin = { actor: { kind: 'system', id: null, name: 'join token' }, via: 'gateway', address: null };

/**
 * Admits a gateway that has proved to hold the key with this hash. A key that is known needs no token, and uses none up.
 * @param announcements how often each gateway may say something else than before
 * @param remoteAddress where it connects from, for one that doesn't say where devices reach it
 */
export async function admit(
  services: Services,
  announcements: RateLimiter,
  keyHash: string,
  hello: Hello,
  remoteAddress: string | undefined,
): Promise<Admission> {
  const said = whatItSays(hello);
  if (typeof said === 'string') return { admitted: false, reason: 'retry', message: said };
  const { db } = services.store;
  // The key was proved by the TLS handshake; its hash is no secret, so that finding it by an index tells nothing.
  const known = await db.selectFrom('gateway').selectAll().where('link_key_hash', '=', keyHash).executeTakeFirst();
  if (known !== undefined) {
    const reached = {
      wireguard_public_key: said.publicKey,
      addresses: JSON.stringify(said.addresses),
      transports: said.transports,
      ...(said.host === '' ? {} : { endpoint_host: said.host, endpoint_port: said.port }),
    };
    const differs = (news: object): boolean =>
      Object.entries(news).some(([column, value]) => known[column as keyof typeof known] !== value);
    // Each is an entry of the audit log, each key a certificate.
    const otherKey = openVpnGateway(known)?.publicKey !== said.openVpnKey;
    if ((otherKey || differs(reached)) && announcements.take(known.id, services.now()) > 0) {
      const message = 'This gateway says something else of itself each time it connects: try again in some minutes.';
      return { admitted: false, reason: 'retry', message };
    }
    const openvpn = await certificateFor(services, known.id, said.openVpnKey, known.openvpn);
    const news = { ...reached, openvpn };
    if (differs(news)) await takeNews(services, known.id, news);
    return { admitted: true, gatewayId: known.id, name: known.name };
  }
  if (hello.token === undefined) {
    const message = 'This gateway is not known here: create a join token and run "sallyport gateway join" again.';
    return { admitted: false, reason: 'unknownGateway', message };
  }
  return join(services, keyHash, hello.token, hello, said, remoteAddress);
}

interface Said {
  readonly publicKey: string;
  readonly host: string;
  readonly port: number;
  readonly addresses: readonly string[];
  /** As they are stored. */
  readonly transports: string;
  /** What its OpenVPN certificate is to be issued for. */
  readonly openVpnKey: string | undefined;
}

/** What a gateway says of itself, once it is sure that it can stand in a device's configuration; or what is wrong. */
function whatItSays({ tunnel, addresses }: Hello): Said | string {
  if (!/^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$/.test(tunnel.wireguardPublicKey))
    return 'The WireGuard public key is none: 32 bytes in base64 are expected.';
  const openvpn = openVpnIn(tunnel);
  const key = openvpn && readSubjectKey(openvpn.publicKey);
  if (key !== undefined && 'fault' in key) return `The OpenVPN public key ${key.fault}.`;
  const host = tunnel.endpointHost;
  if (host !== '' && !isHost(host))
    // prettier-ignore
    return 'The endpoint is neither a host name nor an address.';
  return {
    publicKey: tunnel.wireguardPublicKey,
    host,
    port: tunnel.endpointPort,
    addresses: [...new Set(addresses.filter((address) => isIP(address) !== 0))].sort(),
    transports: JSON.stringify(transportsIn(tunnel)),
    openVpnKey: openvpn?.publicKey,
  };
}

function isHost(text: string): boolean {
  return (
    isIP(text) !== 0 || /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*\.?$/i.test(text)
  );
}

/** The other ways to a gateway. An empty host stands for that of the endpoint; one that is none is no way. */
function transportsIn(tunnel: Hello['tunnel']): Gateway['transports'] {
  const { amneziawg, tls } = tunnel;
  const openvpn = openVpnIn(tunnel);
  const reached = tls !== undefined && (tls.host === '' || isHost(tls.host));
  return {
    amneziawg: amneziawg ?? null,
    tls: reached ? tls : null,
    openvpn: openvpn === undefined ? null : { port: openvpn.port, tcpPort: openvpn.tcpPort },
  };
}

/** Undefined where no device could come by it. */
function openVpnIn({ openvpn }: Hello['tunnel']): Hello['tunnel']['openvpn'] {
  return openvpn !== undefined && (openvpn.port !== 0 || openvpn.tcpPort !== 0) ? openvpn : undefined;
}

async function takeNews(services: Services, id: string, news: Record<string, string | number | null>): Promise<void> {
  await services.store.write(SYSTEM, async ({ db, audit, changed }) => {
    const before = await db.selectFrom('gateway').selectAll().where('id', '=', id).executeTakeFirst();
    if (before === undefined) return;
    await db
      .updateTable('gateway')
      .set({ ...news, version: before.version + 1 })
      .where('id', '=', id)
      .execute();
    const target = { kind: 'gateway', id, name: before.name };
    await audit('gateway.announce', target, announced(before), announced({ ...before, ...news }));
    changed('gateway', id);
  });
}

function announced(row: Selectable<GatewayTable>) {
  return {
    endpointHost: row.endpoint_host,
    endpointPort: row.endpoint_port,
    wireguardPublicKey: row.wireguard_public_key,
    addresses: JSON.parse(row.addresses) as string[],
    transports: JSON.parse(row.transports) as Gateway['transports'],
    openVpnCertificate: announcedCertificate(row.openvpn),
  };
}

async function join(
  services: Services,
  keyHash: string,
  token: string,
  hello: Hello,
  said: Said,
  remoteAddress: string | undefined,
): Promise<Admission> {
  const refused: Admission = {
    admitted: false,
    reason: 'tokenRefused',
    message: 'The join token is wrong, expired or already used: create another one.',
  };
  const tokenHash = hashToken(parseJoinToken(token)?.secret ?? token);
  // Who has none doesn't keep others from writing.
  const { db: reading } = services.store;
  const known = await reading
    .selectFrom('join_token')
    .select('id')
    .where('token_hash', '=', tokenHash)
    .executeTakeFirst();
  if (known === undefined) return refused;
  const id = randomUUID();
  // Made before: it may have to be written, and one writing is under way at a time.
  const openvpn = await certificateFor(services, id, said.openVpnKey, null);
  return services.store.write(JOINING, async ({ db, now, audit, changed }): Promise<Admission> => {
    const row = await db.selectFrom('join_token').selectAll().where('token_hash', '=', tokenHash).executeTakeFirst();
    if (row === undefined || row.used_at !== null || row.expires_at <= now) return refused;
    await db.updateTable('join_token').set({ used_at: now }).where('id', '=', row.id).execute();
    const taken = await db
      .selectFrom('gateway')
      .select('name')
      .where('wireguard_public_key', '=', said.publicKey)
      .executeTakeFirst();
    if (taken !== undefined) {
      const message = `The gateway "${taken.name}" has the same WireGuard key: remove it, or give this one a key of its own.`;
      await audit('gateway.joinRefused', { kind: 'joinToken', id: row.id, name: '' }, undefined, { message });
      return { admitted: false, reason: 'tokenRefused', message };
    }

    const regionId = row.region_id ?? slug(hello.region ?? '') ?? DEFAULT_REGION;
    const region = await db.selectFrom('region').select('id').where('id', '=', regionId).executeTakeFirst();
    if (region === undefined) {
      await db.insertInto('region').values({ id: regionId, name: regionId, version: 1 }).execute();
      await audit('region.create', { kind: 'region', id: regionId, name: regionId }, undefined, { name: regionId });
      changed('region', regionId);
    }
    const name = await freeName(db, slug(hello.name ?? '') ?? 'gateway');
    const gateway = {
      name,
      region_id: regionId,
      country: /^[A-Za-z]{2}$/.test(hello.country ?? '') ? hello.country!.toUpperCase() : null,
      city: hello.city === undefined ? null : cleanText(hello.city),
      endpoint_host: said.host === '' ? ownHost(remoteAddress, services.publicUrl()) : said.host,
      endpoint_port: said.port,
      wireguard_public_key: said.publicKey,
      addresses: JSON.stringify(said.addresses),
      transports: said.transports,
      openvpn,
    };
    await db
      .insertInto('gateway')
      .values({
        id,
        ...gateway,
        latitude: null,
        longitude: null,
        link_key_hash: keyHash,
        egress: '[]',
        draining: 0,
        created_at: now,
        version: 1,
      })
      .execute();
    await audit('gateway.join', { kind: 'gateway', id, name }, undefined, {
      regionId,
      country: gateway.country,
      city: gateway.city,
      endpointHost: gateway.endpoint_host,
      endpointPort: gateway.endpoint_port,
      joinedBy: row.id,
    });
    changed('gateway', id);
    return { admitted: true, gatewayId: id, name };
  });
}

async function freeName(db: Transaction<Database>, wanted: string): Promise<string> {
  const rows = await db.selectFrom('gateway').select('name').execute();
  const taken = new Set(rows.map(({ name }) => name));
  for (let number = 1; ; number++) {
    const name = number === 1 ? wanted : `${wanted}-${number}`;
    if (!taken.has(name)) return name;
  }
}

function cleanText(text: string): string | null {
  const clean = text.replace(/[\u0000-\u001f\u007f\u202a-\u202e\u2066-\u2069]/g, '').trim();
  return clean === '' ? null : clean;
}

/** Where a gateway that doesn't say so is reached: where it comes from, or on this very machine where the service is. */
function ownHost(remoteAddress: string | undefined, publicUrl: string): string {
  const address = (remoteAddress ?? '').replace(/^::ffff:/, '');
  const local = isIP(address) === 0 || address === '::1' || address.startsWith('127.');
  return local ? new URL(publicUrl).hostname.replace(/^\[|\]$/g, '') : address;
}
