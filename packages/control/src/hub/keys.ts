/** The keys by which gateways know this service: the same on all its control nodes, sealed in the database. */
import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { Secret } from '@sallyport/core';
import { createLinkIdentity, loadLinkIdentity, type LinkIdentity } from '@sallyport/link';
import { sealedSecret } from '../store/secrets.ts';
import type { Store } from '../store/store.ts';

const identities = new WeakMap<Store, Promise<LinkIdentity>>();

/** Who the control plane is on the link. A gateway's join token holds the hash of its key. */
export function linkIdentity(store: Store): Promise<LinkIdentity> {
  let identity = identities.get(store);
  if (identity === undefined) {
    identity = openIdentity(store);
    identities.set(store, identity);
    identity.catch(() => identities.delete(store));
  }
  return identity;
}

async function openIdentity(store: Store): Promise<LinkIdentity> {
  const fresh = createLinkIdentity('sallyport control plane');
  const parts = { certificatePem: fresh.certificatePem, privateKeyPem: fresh.privateKeyPem.reveal() };
  const sealed = await sealedSecret(store, 'link-identity', () => Buffer.from(JSON.stringify(parts)));
  const kept = JSON.parse(sealed.reveal().toString()) as typeof parts;
  return loadLinkIdentity({ certificatePem: kept.certificatePem, privateKeyPem: new Secret(kept.privateKeyPem) });
}

/** What desired states are signed with (Ed25519). */
export async function stateKey(store: Store): Promise<KeyObject> {
  const sealed = await sealedSecret(store, 'state-key', () =>
    generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'der' }),
  );
  return createPrivateKey({ key: sealed.reveal(), type: 'pkcs8', format: 'der' });
}
