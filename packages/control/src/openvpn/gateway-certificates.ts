/** Certificates of OpenVPN gateways: issued for the key that a gateway names, and anew long before they end. */
import type { Services } from '../services.ts';
import { SYSTEM } from '../store/store.ts';
import { isGatewayCertificateDue, openVpnAuthority } from './authority.ts';
import { openVpnGateway, type StoredGateway } from './stored.ts';
import { readSubjectKey } from './subject-key.ts';

/** What a gateway is to have for the key that it names now; the same text where that is what it has. Null: it names none. */
export async function certificateFor(
  { store, now }: Pick<Services, 'store' | 'now'>,
  gatewayId: string,
  publicKey: string | undefined,
  known: string | null,
): Promise<string | null> {
  if (publicKey === undefined) return null;
  const before = openVpnGateway({ openvpn: known });
  const serves =
    before !== null && before.publicKey === publicKey && !isGatewayCertificateDue(before.certificate.expiresAt, now());
  if (serves) return known;
  const key = readSubjectKey(publicKey);
  if ('fault' in key) throw new Error(`the OpenVPN public key of gateway ${gatewayId} ${key.fault}`);
  const authority = await openVpnAuthority(store);
  const certificate = await authority.issueForGateway(gatewayId, key.spki, now());
  return JSON.stringify({ publicKey, certificate } satisfies StoredGateway);
}

/** Renews the certificates that are due. Gateways get them with their state, whenever they come. */
export async function renewGatewayCertificates(services: Services): Promise<void> {
  const { store } = services;
  const rows = await store.db
    .selectFrom('gateway')
    .select(['id', 'openvpn'])
    .where('openvpn', 'is not', null)
    .execute();
  for (const { id, openvpn: known } of rows) {
    const renewed = await certificateFor(services, id, openVpnGateway({ openvpn: known })?.publicKey, known);
    if (renewed === known) continue;
    await store.write(SYSTEM, async ({ db, audit, changed }) => {
      const gateway = await db.selectFrom('gateway').selectAll().where('id', '=', id).executeTakeFirst();
      // Another control node may have been quicker, or the gateway have named another key.
      if (gateway?.openvpn !== known) return;
      await db
        .updateTable('gateway')
        .set({ openvpn: renewed, version: gateway.version + 1 })
        .where('id', '=', id)
        .execute();
      await audit('gateway.renewCertificate', { kind: 'gateway', id, name: gateway.name }, undefined, announcedCertificate(renewed)); // prettier-ignore
      changed('gateway', id);
    });
  }
}

/** What the audit log has of it. */
export function announcedCertificate(
  openvpn: string | null,
): { readonly sha256: string; readonly expiresAt: string } | null {
  const certificate = openVpnGateway({ openvpn })?.certificate;
  if (certificate === undefined) return null;
  return { sha256: certificate.sha256, expiresAt: new Date(certificate.expiresAt).toISOString() };
}
